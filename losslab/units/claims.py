"""Tables of claims: what a CSV or JSON file says, row by row, as numbers and plain text."""

import csv
import io
import itertools
import json
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from losslab.units import reading
from losslab.units.reading import Number
from losslab.untrusted import one_line

COLUMNS = ("loss", "perplexity", "bits_per_byte", "tokens", "bytes", "vocab_size", "accuracy", "stderr", "n")
WORDS = ("name", "claim", "of")  # columns of words; `of` is the text that a row is of
ALIASES = {
    "ppl": "perplexity", "bpb": "bits_per_byte", "nll": "loss", "cross_entropy": "loss",
    "vocab": "vocab_size", "vocabulary": "vocab_size", "vocabulary_size": "vocab_size",
    "acc": "accuracy", "se": "stderr", "std_err": "stderr", "standard_error": "stderr", "num_tokens": "tokens",
    "num_bytes": "bytes", "items": "n", "claim_text": "claim", "text": "claim", "statement": "claim",
    "free_text": "claim", "free_text_claim": "claim", "model": "name", "id": "name", "title": "name",
    "dataset": "of", "data_set": "of", "corpus": "of", "data": "of", "task": "of", "benchmark": "of", "split": "of",
    "test_set": "of", "eval_set": "of", "evaluation_set": "of",
}  # fmt: skip
MISSING = {"", "-", "–", "—", "na", "n/a", "nan", "null", "none", "?"}
COUNTS = {"tokens", "bytes", "vocab_size", "n"}
LARGEST_FILE = 16 * 2**20
MOST_CLAIMS = 10_000  # each may speak of every other
LONGEST_NAME = 200
LONGEST_CELL = 80  # of a number
LARGEST_NUMBER = 1e30
SCORES = ("loss", "perplexity", "bits_per_byte", "accuracy")
# scores and counts that may carry the name of a text, as `lambada_ppl` or `val_loss`
OF_A_TEXT = (*SCORES, "tokens", "bytes")
# whose perplexity is not per token, and so is none of `perplexity`
OTHER_UNITS = {"word", "byte", "char", "character", "per_word", "per_byte"}
_CELL = re.compile(
    r"[~≈]?\s*([-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([kmb%]?)"
    r"(?:\s*(?:±|\+/?-)\s*(\d*\.?\d+(?:e[-+]?\d+)?)\s*%?)?(?:\s*\(n\s*=\s*(\d+)\))?", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One row."""

    name: str
    text: str = ""  # the free text, plain
    columns: dict[str, Number] = field(default_factory=dict)
    named: dict[str, dict[str, Number]] = field(default_factory=dict)  # the same, of each text that columns name
    scope: str = ""  # the text that `columns` are of, as `lambada`; nothing where the table does not say

    def rows(self) -> list["Claim"]:
        """The columns of one text each: only such numbers are of one score, and may be held against each other."""
        if not self.named:
            return [self]
        own = [replace(self, named={})] if any(score in self.columns for score in SCORES) else []
        shared = {name: number for name, number in self.columns.items() if name == "vocab_size"}
        if len(self.named) == 1 and not own:
            shared = self.columns  # an error, an n that can be of nothing else
        return own + [
            replace(self, columns=shared | columns, named={}, scope=f"{self.scope} {scope}".strip())
            for scope, columns in self.named.items()
        ]

    @property
    def about(self) -> str:
        """Name and text together, plain: all that says what the numbers are of."""
        return f"{reading.plain(self.name)}. {self.text}"


@dataclass(frozen=True)
class Table:
    claims: list[Claim]
    notes: list[str]


def read(path: str | Path) -> Table:
    """The claims of a CSV or JSON file.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is no table of claims, naming the row and the column.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; audit takes a CSV or JSON file of claims")
    if not path.is_file():  # reading a pipe or a device may never end
        kind = "a folder" if path.is_dir() else "no file"
        raise ValueError(f"{path} is {kind}; audit takes a CSV or JSON file of claims")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; a table of claims has at most {LARGEST_FILE:,}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it as a CSV or JSON file") from None
    if "\0" in text:
        raise ValueError(f"{path} holds a NUL (sign {text.index(chr(0))}), so it is no text; save it as CSV or JSON")
    rows = _json_rows(text, path) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text, path)
    return table(rows, source=str(path))


def table(rows: list[dict], source: str = "the table") -> Table:
    """Rows of cells as claims; columns that mean nothing here are named in a note."""
    if not rows:
        raise ValueError(f"{source} has no claims; write a header and a row for each claim, or a list of objects")
    if len(rows) > MOST_CLAIMS:
        raise ValueError(f"{source} has more than {MOST_CLAIMS:,} claims; audit it in parts")
    unknown: dict[str, None] = {}
    claims = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"{source}, row {number} is not an object with columns, got {row!r:.60}")
        cells = {}
        for column, cell in row.items():
            key = _key(str(column))
            if key is None:
                unknown[one_line(str(column), LONGEST_NAME)] = None
            else:
                cells.setdefault(key, cell)
        claims.append(_claim(cells, number, source))
    notes = [f"columns that are not read: {', '.join(unknown)}"] if unknown else []
    return Table(claims, notes)


def _key(column: str) -> tuple[str, str] | None:
    """Text (or none) and quantity that a column names: `Bits per byte`, `lambada_ppl`; None: it means nothing here."""
    key = re.sub(r"\W+", "_", column[:LONGEST_NAME].strip().lower()).strip("_")
    quantity = ALIASES.get(key, key)
    if quantity in (*WORDS, *COLUMNS):
        return "", quantity
    spellings = [*OF_A_TEXT, *(short for short, long in ALIASES.items() if long in OF_A_TEXT)]
    for spelling in sorted(spellings, key=len, reverse=True):
        scope = key.removesuffix(f"_{spelling}")
        if scope != key:
            quantity = ALIASES.get(spelling, spelling)
            return None if scope in OTHER_UNITS or scope.rpartition("_")[2] in OTHER_UNITS else (scope, quantity)
    return None


def _claim(cells: dict, number: int, source: str) -> Claim:
    for column in WORDS:
        if not isinstance(cells.get(("", column), ""), str | int | float | None):
            raise ValueError(f"{source}, row {number}: {column} must be text, got {cells['', column]!r:.60}")
    title, text = cells.get(("", "name")), cells.get(("", "claim"))
    name = one_line(str(title if title is not None else "").strip(), LONGEST_NAME) or f"row {number}"
    named: dict[str, dict[str, Number]] = {"": {}}
    order = sorted(cells, key=lambda key: (*COLUMNS, *WORDS).index(key[1]))
    for scope, column in order:
        cell = cells[scope, column]
        if column in WORDS or cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING):
            continue
        where = f"{source}, row {number} ({name}): {f'{scope}_' * bool(scope)}{column}"
        columns = named.setdefault(scope, {})
        columns |= _numbers(column, cell, columns, where)
    plain = reading.plain(str((text if text not in (None, "") else title) or ""))  # a name may be the claim
    return Claim(name, plain, named.pop(""), named, reading.plain(str(cells.get(("", "of")) or "")))


def _numbers(column: str, cell, already: dict, where: str) -> dict:
    """A cell such as `3.2785 ± 0.0004 (n=16)` fills three columns."""
    is_short = isinstance(cell, str | int | float) and not isinstance(cell, bool) and len(str(cell)) <= LONGEST_CELL
    match = _CELL.fullmatch(str(cell).strip()) if is_short else None
    if match is None:
        raise ValueError(f"{where} must be a number, got {cell!r:.60}")
    value, suffix, stderr, n = match.groups()
    scale = 0.01 if suffix == "%" else reading.SUFFIX.get(suffix.lower(), 1.0)
    found = {column: Number.read(re.sub("[,_]", "", value), scale)}
    if stderr is not None and "stderr" not in already:
        found["stderr"] = Number.read(stderr, scale)
    if n is not None and "n" not in already:
        found["n"] = Number.read(n)
    for name, number in found.items():
        if not math.isfinite(number.value) or abs(number.value) > LARGEST_NUMBER:
            raise ValueError(f"{where} must be a number up to {LARGEST_NUMBER:g}, got {cell!r:.60}")
        if name in COUNTS and not number.value > 0:
            raise ValueError(f"{where} must be a count above 0, got {number.text}")
    return found


def _csv_rows(text: str, path: Path) -> list[dict]:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = list(itertools.islice(reader, MOST_CLAIMS + 1))
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from None
    for number, row in enumerate(rows, 1):
        if None in row:
            raise ValueError(f"{path}, row {number} has more cells than the header; put text with commas in quotes")
    return rows


def _whole(text: str) -> int | str:
    return int(text) if len(text) <= LONGEST_CELL else text  # Python refuses thousands of digits


def _json_rows(text: str, path: Path) -> list:
    try:  # numbers stay as they are written, so that their digits can be counted
        found = json.loads(text, parse_float=str, parse_int=_whole, parse_constant=lambda name: None)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from None
    if isinstance(found, dict):
        found = found.get("claims", [found])
    if not isinstance(found, list):
        raise ValueError(f"{path} holds no list of claims; write [{{\"name\": ..., \"loss\": ...}}, ...]")
    return found
