"""The key of an endpoint: from the environment alone, and in nothing that is written or said."""

import os
import re
from collections.abc import Iterable, Mapping

VARIABLES = ("LOSSLAB_JUDGE_KEY", "OPENAI_API_KEY")  # the first that is set
LONG = r"(?=[A-Za-z0-9]*[0-9])[A-Za-z0-9]{16,}"  # letters with a digit among them, as no word has
LIKE_A_KEY = re.compile(rf"(?:^|[\s=:/])(?:sk-(?:[A-Za-z0-9]+[-_])*|gsk_|xai-|hf_|AIza){LONG}|[Bb]earer\s+\S{{8,}}")
HIDDEN = "(key)"
ON_THE_COMMAND_LINE = (
    "a key does not belong on a command line, which other users and the history of the shell can see; put it into the "
    f"environment variable {VARIABLES[0]}, and replace this one, which was seen"
)


class Key:
    """A secret that shows itself to nobody: `reveal` is called where the header is made, and nowhere else."""

    def __init__(self, text: str = "", variable: str = ""):
        self._text, self.variable = text, variable

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return f"Key({self.variable or 'none'})"

    def __reduce__(self):
        raise TypeError("a key is not written down")

    def reveal(self) -> str:
        return self._text

    def hide(self, text: str) -> str:
        """`text` without the key, should a server send it back."""
        return text.replace(self._text, HIDDEN) if self._text else text


def read(variable: str | None = None, environment: Mapping[str, str] = os.environ) -> Key:
    """The key in a variable of the environment; empty where none is set.

    Args:
        variable: its name, which must be set; else the first of `VARIABLES` that is.

    Raises:
        ValueError: for a variable that is not set, or holds what cannot be sent. Neither text is repeated.
    """
    if variable is not None and not (re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", variable) and variable in environment):
        raise ValueError("--key-variable takes the name of an environment variable that is set, such as "
                         f"{VARIABLES[0]}, and not the key itself")
    for name in (variable,) if variable else VARIABLES:
        if text := environment.get(name, "").strip():
            if not (text.isascii() and text.isprintable()) or " " in text:
                raise ValueError(f"the environment variable {name} holds something that is no key: it has a space, a "
                                 "line break or a letter that no key has")
            return Key(text, name)
    return Key()


def check_arguments(arguments: Iterable[str], environment: Mapping[str, str] = os.environ, *, also: str = "") -> None:
    """Refuse a command line that has a key in it.

    Args:
        also: another variable that may hold one.

    Raises:
        ValueError: for an argument that looks like a key, or has one of the environment in it; it is not repeated.
    """
    known = [text for name in (*VARIABLES, also) if len(text := environment.get(name, "").strip()) >= 8]
    for argument in arguments:
        if LIKE_A_KEY.search(argument) or any(text in argument for text in known):
            raise ValueError(ON_THE_COMMAND_LINE)
