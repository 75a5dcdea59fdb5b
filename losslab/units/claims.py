"""Rows of a table as claims: numbers in known columns, words, and the text that each number is of."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from losslab.units import tables
from losslab.units.columns import COLUMNS, OF_A_TEXT, SCORES, SPELLINGS
from losslab.units.numbers import SUFFIXES, Number, key_of
from losslab.untrusted import one_line

MISSING = {"", "-", "–", "—", "na", "n/a", "nan", "null", "none", "?"}
LONGEST_NAME = 200
LARGEST_NUMBER = 1e30
# units of which a perplexity is not that of tokens: `char_ppl` is no perplexity of a text called `char`
OTHER_UNITS = {"word", "byte", "char", "character", "per_word", "per_byte"}
_CELL = re.compile(
    r"[~≈]?\s*([-+−]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([kmb%x×]?)"
    r"(?:\s*(?:±|\+/?-)\s*(\d*\.?\d+(?:e[-+]?\d+)?)\s*%?)?(?:\s*\(n\s*=\s*(\d+)\))?", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One row."""

    name: str
    columns: dict[str, Number] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)  # of the columns of words, in one spelling; `claim` as written
    named: dict[str, dict[str, Number]] = field(default_factory=dict)  # the columns that name a text, by this text
    scope: str = ""  # the text that `columns` are of, as `lambada`; nothing where the table does not say

    def rows(self) -> list["Claim"]:
        """The columns of one text each: only such numbers are of one score, and may be compared."""
        if not self.named:
            return [self]
        own, shared = self.columns, {"vocab_size", "num_choices"}
        if len(self.named) == 1 and self.score is None:  # an error, an n, a baseline can be of nothing else
            shared = {name for name, column in COLUMNS.items() if column.group in ("text", "sample", "compared")}
            own = {name: number for name, number in own.items() if name not in shared}
        moved = {name: number for name, number in self.columns.items() if name in shared}
        return [replace(self, columns=own, named={})] * bool(own) + [
            replace(self, columns=moved | columns, named={}, scope=f"{self.scope} {scope}".strip())
            for scope, columns in self.named.items()
        ]

    @property
    def score(self) -> str | None:
        """The first score of the row, to which its error and its baseline belong."""
        return next((name for name in SCORES if name in self.columns), None)


@dataclass(frozen=True)
class Table:
    claims: list[Claim]
    notes: list[str]


def read(path: str | Path) -> Table:
    """The claims of a CSV, JSON, JSON lines or Markdown file.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is no table of claims, naming the row and the column.
    """
    return table(tables.rows(path), source=str(path))


def table(rows: Sequence[dict], source: str = "the table") -> Table:
    """Rows of cells as claims; columns that mean nothing here are named in a note.

    Raises:
        ValueError: for a row that is no dictionary, or a cell that its column cannot hold.

    Example:
        >>> found = table([{"Val loss": "3.28", "colour": "red"}])
        >>> found.claims[0].named["val"]["loss"].value, found.notes
        (3.28, ['columns that are not read: colour'])
    """
    if not rows:
        raise ValueError(f"{source} has no claims; write a header and a row for each claim, or a list of objects")
    if len(rows) > tables.MOST_ROWS:
        raise ValueError(f"{source} has more than {tables.MOST_ROWS:,} claims; audit it in parts")
    unknown: dict[str, None] = {}
    claims = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"{source}, row {number} is not an object with columns, got {row!r:.60}")
        cells = {}
        for column, cell in row.items():
            key = _key(str(column))
            if key is None or key in cells:
                unknown[one_line(str(column), LONGEST_NAME)] = None
            elif not _is_missing(cell):
                cells[key] = cell
        claims.append(_claim(cells, number, source))
    notes = [f"columns that are not read: {', '.join(unknown)}"] if unknown else []
    return Table(claims, notes)


def _is_missing(cell) -> bool:
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING)


def _key(column: str) -> tuple[str, str] | None:
    """Text (or none) and quantity that a column names: `Bits per byte`, `lambada_ppl`; None: it means nothing here."""
    key = key_of(column[:LONGEST_NAME])
    if key in SPELLINGS:
        return "", SPELLINGS[key]
    spellings = [spelling for spelling, name in SPELLINGS.items() if name in OF_A_TEXT]
    for spelling in sorted(spellings, key=len, reverse=True):
        scope = key.removesuffix(f"_{spelling}")
        if scope != key:
            is_other = scope in OTHER_UNITS or scope.rpartition("_")[2] in OTHER_UNITS
            return None if is_other else (scope, SPELLINGS[spelling])
    return None


def _claim(cells: dict, number: int, source: str) -> Claim:
    words = {}
    for (_, column), cell in cells.items():
        if COLUMNS[column].is_words:
            if not isinstance(cell, str | int | float):
                raise ValueError(f"{source}, row {number}: {column} must be text, got {cell!r:.60}")
            words[column] = str(cell).strip() if column in ("claim", "name", "baseline") else key_of(str(cell))
    name = one_line(words.pop("name", ""), LONGEST_NAME) or f"row {number}"
    named: dict[str, dict[str, Number]] = {"": {}}
    for scope, column in sorted(cells, key=lambda key: list(COLUMNS).index(key[1])):
        is_number = not COLUMNS[column].is_words or column == "baseline" and _is_number(words["baseline"])
        if is_number:
            where = f"{source}, row {number} ({name}): {f'{scope}_' * bool(scope)}{column}"
            columns = named.setdefault(scope, {})
            columns |= _numbers(column, cells[scope, column], columns, where)
    if "baseline" in named[""]:
        del words["baseline"]
    return Claim(name, named.pop(""), words, named, words.pop("dataset", ""))


def _is_number(cell: str) -> bool:
    return len(cell) <= tables.LONGEST_NUMBER and _CELL.fullmatch(cell) is not None


def _numbers(column: str, cell, already: dict, where: str) -> dict:
    """A cell such as `3.2785 ± 0.0004 (n=16)` fills three columns."""
    text = str(cell).strip() if isinstance(cell, str | int | float) and not isinstance(cell, bool) else ""
    match = _CELL.fullmatch(text) if len(text) <= tables.LONGEST_NUMBER else None
    if match is None:
        raise ValueError(f"{where} must be a number, got {cell!r:.60}")
    value, suffix, stderr, n = match.groups()
    scale = 0.01 if suffix == "%" else SUFFIXES.get(suffix.lower(), 1.0)
    number = Number.read(re.sub("[,_]", "", value).replace("−", "-"), scale)
    found = {column: replace(number, text=f"{number.text}%") if suffix == "%" else number}
    error = "baseline_stderr" if column == "baseline" else "stderr"
    if stderr is not None and not (column in SCORES and any(score in already for score in SCORES)):
        found[error] = Number.read(stderr, scale)  # of the first score, or of the difference
    if n is not None and "n" not in already:
        found["n"] = Number.read(n)
    for name, number in found.items():
        if not math.isfinite(number.value) or abs(number.value) > LARGEST_NUMBER:
            raise ValueError(f"{where} must be a number up to {LARGEST_NUMBER:g}, got {cell!r:.60}")
        if COLUMNS[name].is_count and not number.value > 0:
            raise ValueError(f"{where} must be a count above 0, got {number.text}")
    return found
