"""A row of instruction data -> the conversations in it, whatever its keys are called."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

MISSING, EMPTY_OUTPUT, EMPTY_PROMPT = "missing keys", "empty outputs", "empty prompts"
NO_TEXT, ROLES = "values that are no text", "messages that are not user and assistant in turn"
SAID_AS = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
           "bot": "assistant", "model": "assistant"}  # fmt: skip
PAIRS = {"prompt": ("response", "completion", "output", "answer"), "question": ("answer", "response")}
KNOWN = ('{"instruction", "input", "output"} (Alpaca), {"messages": [{"role", "content"}]} (chat), '
         '{"prompt", "response"}')


class Example(NamedTuple):
    """One conversation that ends with an answer."""

    messages: tuple[Mapping[str, str], ...]  # as `templates.parts` takes them

    @property
    def prompt(self) -> str:
        """All that is asked in it, inputs too."""
        asked = (f"{m['content']}\n{m.get('input', '')}" for m in self.messages if m["role"] != "assistant")
        return "\n".join(asked).strip()


class Unusable(ValueError):
    """A row without an example; its text is the reason, in the words in which rows are counted."""


def form_of(row: object) -> str:
    """Which kind of row it is, by its keys: `alpaca`, `chat` or `plain`; nothing where it is none of them.

    Example:
        >>> form_of({"instruction": "Name a color.", "output": "Red."}), form_of({"text": "Once"})
        ('alpaca', '')
    """
    if not isinstance(row, dict):
        return ""
    if "messages" in row or "conversations" in row:
        return "chat"
    if "instruction" in row and ("output" in row or "response" in row or "instances" in row):
        return "alpaca"
    if any(asked in row and any(answer in row for answer in answers) for asked, answers in PAIRS.items()):
        return "plain"
    return ""


def is_example(row: object) -> bool:
    """Whether a row is instruction data and no plain text: one with a `text`, too, is so in Alpaca's own keys alone.

    Example:
        >>> is_example({"text": "Once", "question": "?", "answer": "!"}), is_example({"question": "?", "answer": "!"})
        (False, True)
    """
    form = form_of(row)
    return form == "alpaca" or bool(form) and not isinstance(row.get("text"), str)


def read(row: object) -> list[Example]:
    """The conversations of a row; several where an instruction has several `instances`.

    Raises:
        Unusable: with the reason why there is none.

    Example:
        >>> [example] = read({"prompt": "2 + 2 =", "response": "4"})
        >>> [message["content"] for message in example.messages]
        ['2 + 2 =', '4']
    """
    form = form_of(row)
    if form == "chat":
        return [_chat(row.get("messages", row.get("conversations")))]
    if form == "alpaca":
        given = row.get("instances", [row])
        if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
            raise Unusable(MISSING)
        return [_pair(row["instruction"], one.get("output", one.get("response")), one.get("input")) for one in given]
    if form == "plain":
        asked = next(key for key, answers in PAIRS.items() if key in row and any(each in row for each in answers))
        answer = next(key for key in PAIRS[asked] if key in row)
        return [_pair(row[asked], row[answer])]
    raise Unusable(MISSING)


def _pair(asked: object, answer: object, given: object = None) -> Example:
    question = {"role": "user", "content": _text(asked, EMPTY_PROMPT)}
    if given is not None and _text(given, "").strip():
        question["input"] = given
    return Example((question, {"role": "assistant", "content": _text(answer, EMPTY_OUTPUT)}))


def _text(value: object, empty: str) -> str:
    """A text, checked; `empty` is the reason where it is blank, or nothing where it may be."""
    if value is None and empty:
        raise Unusable(empty)
    if not isinstance(value, str) or "\0" in value or not _is_whole(value):
        raise Unusable(NO_TEXT)
    if empty and not value.strip():
        raise Unusable(empty)
    return value


def _is_whole(text: str) -> bool:
    """Whether it has bytes: half of a surrogate pair has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _chat(given: object) -> Example:
    if not isinstance(given, list) or not given:
        raise Unusable(MISSING)
    turns: list[dict[str, str]] = []
    for message in given:
        if not isinstance(message, dict) or "role" not in message and "from" not in message:
            raise Unusable(MISSING)
        role = SAID_AS.get(str(message.get("role", message.get("from"))).lower())
        if role is None or role == "system" and turns:
            raise Unusable(ROLES)
        if "content" not in message and "value" not in message:
            raise Unusable(MISSING)
        text = _text(message.get("content", message.get("value")), "" if role == "system" else
                     EMPTY_OUTPUT if role == "assistant" else EMPTY_PROMPT)
        if turns and turns[-1]["role"] == role:  # one speaker twice in a row has said both
            turns[-1]["content"] += f"\n{text}"
        else:
            turns.append({"role": role, "content": text})
    while turns and turns[-1]["role"] != "assistant":  # a question without an answer teaches none
        turns.pop()
    if not turns:
        raise Unusable(EMPTY_OUTPUT)
    if [turn["role"] for turn in turns if turn["role"] != "system"][0] != "user":
        raise Unusable(ROLES)
    return Example(tuple(turns))


def group_of(example: Example) -> bytes:
    """What examples with the same prompt share, whatever its case, spaces and punctuation: they go to one split."""
    plain = re.sub(r"\W+", " ", unicodedata.normalize("NFKC", example.prompt).casefold()).strip()
    return hashlib.sha256((plain or example.prompt).encode()).digest()


def said(counts: Mapping[str, int]) -> str:
    """Reasons and how many rows each has, as a list for people.

    Example:
        >>> said({"missing keys": 2, "empty outputs": 1})
        '2 with missing keys, 1 with empty outputs'
    """
    return ", ".join(f"{count:,} with {reason}" for reason, count in counts.items() if count)
