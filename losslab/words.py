"""Words that every part needs: text of others as a terminal can show it, and the name that was meant.

Imports nothing of losslab.
"""

import unicodedata
from collections.abc import Iterable


def printable(text: str) -> str:
    r"""`text` with every character that would move a cursor, hide or reorder text written as its escape.

    A loss may be named by somebody else's file. Control characters, terminal escapes, line ends, marks that turn the
    direction of writing, and halves of characters come out as `\x1b`, `\n`, `\u202e`, `\ud800`; all else stays.

    Example:
        >>> print(printable("mse\x1b[2J\n\u202efake"))
        mse\x1b[2J\n\u202efake
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable_lines(text: str) -> str:
    """The same line by line, for a message that has several."""
    return "\n".join(map(printable, str(text).splitlines()))


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """`; did you mean X?`, or nothing where no known name is close.

    Args:
        name: what came, of which the first 100 characters are compared.
        known: the names that there are.
        cutoff: how like the two must be, from 0 (anything) to 1 (equal).

    Example:
        >>> nearest("squentropi", ["mse", "squentropy"]), nearest("zzz", ["mse"])
        ('; did you mean squentropy?', '')
    """
    import difflib  # needed after a mistake alone, and slow to load

    close = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""


def width(text: str) -> int:
    """Columns that `text` takes on a terminal: wide characters take two, marks that join another none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, columns: int) -> str:
    """`text` in at most `columns` columns; what was cut off is marked.

    Example:
        >>> shorten("cross_entropy + 0.0001*z_loss", 16)
        'cross_entropy +…'
    """
    if width(text) <= columns:
        return text
    while text and width(text) >= columns:
        text = text[: max(0, len(text) - max(1, (width(text) - columns) // 2))]
    return text + "…"


def both_ends(text: str, columns: int) -> str:
    """`text` in at most `columns` columns, cut in its middle: what tells a name from another may stand last.

    Example:
        >>> both_ends("cross_entropy + 0.0001*z_loss", 16)
        'cross_en…*z_loss'
    """
    if width(text) <= columns:
        return text
    head, tail = columns - 1 - (columns - 1) // 2, (columns - 1) // 2
    while width(text[:head]) > columns - 1 - (columns - 1) // 2:
        head -= 1
    while width(text[len(text) - tail :]) > (columns - 1) // 2:
        tail -= 1
    return f"{text[:head]}…{text[len(text) - tail :]}"


def extra(name: str) -> str:
    """How an extra of losslab is installed, which no package index has.

    Example:
        >>> extra("hf")
        'run `pip install -c constraints.txt -e ".[hf]"` in the folder of losslab'
    """
    return f'run `pip install -c constraints.txt -e ".[{name}]"` in the folder of losslab'
