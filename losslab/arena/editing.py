"""Edits of the one file of a workspace, by line."""

import re

BEGIN, END = "# protected from here", "# protected up to here"
NEW_FILE = '''\
# protected from here
# The loss of this workspace: compute_loss(logits, targets), or one function of a prediction (see program.md).
# logits are [batch, seq, vocab] float32, targets [batch, seq] int64; give the mean, or one number per token.
# protected up to here
{overrides}import torch.nn.functional as F


def compute_loss(logits, targets):
    return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
'''
LINES = re.compile(r"([1-9]\d{0,6})(?:-([1-9]\d{0,6}))?")


def protected(text: str) -> set[int]:
    """The numbers of the lines, from 1, that an edit by line may not touch."""
    found, inside = set(), False
    for number, line in enumerate(text.splitlines(), 1):
        inside |= line.strip() == BEGIN
        if inside:
            found.add(number)
        inside &= line.strip() != END
    return found


def insert(text: str, after: int, new: str) -> str:
    """`new` behind line `after`; 0 is the beginning.

    Raises:
        ValueError: for a line that is not there, or between two that are protected.

    Example:
        >>> insert("a\\nc\\n", 1, "b")
        'a\\nb\\nc\\n'
    """
    lines = text.splitlines(keepends=True)
    if not 0 <= after <= len(lines):
        raise ValueError(f"the file has {len(lines)} lines, so that nothing can be inserted behind line {after}; give "
                         f"0 to {len(lines)}")
    kept = protected(text)
    if after + 1 in kept and (after in kept or after == 0):
        raise ValueError(f"lines {_range(kept)} are protected, and nothing can be inserted behind line {after}; insert "
                         f"behind line {max(kept)} or later")
    return "".join([*lines[:after], _ended(new), *lines[after:]])


def replace(text: str, lines: str, new: str) -> str:
    """`new` in the place of lines such as `4` or `4-7`.

    Raises:
        ValueError: for lines that are not there, or protected.

    Example:
        >>> replace("a\\nb\\nc\\n", "2-3", "d")
        'a\\nd\\n'
    """
    found, old = LINES.fullmatch(lines.strip()), text.splitlines(keepends=True)
    if not found:
        raise ValueError(f"lines are a number such as 4 or a range such as 4-7, got {lines[:40]!r}")
    first, last = int(found[1]), int(found[2] or found[1])
    if not first <= last <= len(old):
        raise ValueError(f"the file has {len(old)} lines, and {lines} are not among them; give lines from 1 to "
                         f"{len(old)}")
    if touched := sorted(protected(text) & set(range(first, last + 1))):
        raise ValueError(f"lines {_range(protected(text))} are protected, and {lines} would change line {touched[0]}; "
                         "leave them as they are")
    return "".join([*old[: first - 1], _ended(new) if new else "", *old[last:]])


def numbered(text: str) -> str:
    """The text with the numbers of its lines."""
    return "\n".join(f"{number:4d}  {line}" for number, line in enumerate(text.splitlines(), 1))


def code_lines(text: str) -> int:
    """Lines that are neither empty nor a comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _range(numbers: set[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}"
