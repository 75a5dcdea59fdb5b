"""Tables of claims: what a CSV or JSON file says, row by row, as numbers and plain text."""

import csv
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from losslab.units import reading
from losslab.units.reading import Number

COLUMNS = ("loss", "perplexity", "bits_per_byte", "tokens", "bytes", "vocab_size", "accuracy", "stderr", "n")
ALIASES = {
    "ppl": "perplexity", "bpb": "bits_per_byte", "nll": "loss", "test_loss": "loss", "val_loss": "loss",
    "cross_entropy": "loss", "vocab": "vocab_size", "vocabulary": "vocab_size", "vocabulary_size": "vocab_size",
    "acc": "accuracy", "se": "stderr", "std_err": "stderr", "standard_error": "stderr", "num_tokens": "tokens",
    "num_bytes": "bytes", "items": "n", "claim_text": "claim", "text": "claim", "statement": "claim",
    "free_text": "claim", "free_text_claim": "claim", "model": "name", "id": "name", "title": "name",
}  # fmt: skip
MISSING = {"", "-", "–", "—", "na", "n/a", "nan", "null", "none", "?"}
COUNTS = {"tokens", "bytes", "vocab_size", "n"}
LARGEST_FILE = 64 * 2**20
_CELL = re.compile(
    r"[~≈]?\s*([-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([kmb%]?)"
    r"(?:\s*(?:±|\+/?-)\s*(\d*\.?\d+(?:e[-+]?\d+)?)\s*%?)?(?:\s*\(n\s*=\s*(\d+)\))?", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One row."""

    name: str
    text: str = ""  # the free text, plain
    columns: dict[str, Number] = field(default_factory=dict)

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
    if path.is_dir():
        raise ValueError(f"{path} is a folder; audit takes a CSV or JSON file of claims")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; a table of claims has at most {LARGEST_FILE:,}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it as a CSV or JSON file") from None
    rows = _json_rows(text, path) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text, path)
    return table(rows, source=str(path))


def table(rows: list[dict], source: str = "the table") -> Table:
    """Rows of cells as claims; columns that mean nothing here are named in a note."""
    if not rows:
        raise ValueError(f"{source} has no claims; write a header and a row for each claim, or a list of objects")
    known, unknown = {"name", "claim", *COLUMNS}, {}
    claims = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"{source}, row {number} is not an object with columns, got {row!r:.60}")
        cells = {}
        for column, cell in row.items():
            key = re.sub(r"\W+", "_", str(column).strip().lower()).strip("_")
            key = ALIASES.get(key, key)
            if key in known:
                cells.setdefault(key, cell)
            else:
                unknown[str(column)] = None
        claims.append(_claim(cells, number, source))
    notes = [f"columns that are not read: {', '.join(unknown)}"] if unknown else []
    return Table(claims, notes)


def _claim(cells: dict, number: int, source: str) -> Claim:
    for column in ("name", "claim"):
        if not isinstance(cells.get(column, ""), str | int | float | None):
            raise ValueError(f"{source}, row {number}: {column} must be text, got {cells[column]!r:.60}")
    name = str(cells.get("name") if cells.get("name") is not None else "").strip() or f"row {number}"
    columns: dict[str, Number] = {}
    for column in COLUMNS:
        cell = cells.get(column)
        if cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING):
            continue
        is_short = isinstance(cell, str | int | float) and not isinstance(cell, bool) and len(str(cell)) <= 80
        found = _CELL.fullmatch(str(cell).strip()) if is_short else None
        if found is None:
            raise ValueError(f"{source}, row {number} ({name}): {column} must be a number, got {cell!r:.60}")
        columns |= _numbers(column, *found.groups(), already=columns)
    for column in COUNTS & columns.keys():
        if not columns[column].value > 0:
            raise ValueError(f"{source}, row {number} ({name}): {column} must be a count above 0, "
                             f"got {columns[column].text}")
    text = cells.get("claim") if cells.get("claim") not in (None, "") else cells.get("name")  # a name may be the claim
    return Claim(name, reading.plain(str(text or "")), columns)


def _numbers(column: str, value: str, suffix: str, stderr: str | None, n: str | None, already: dict) -> dict:
    """A cell such as `3.2785 ± 0.0004 (n=16)` fills three columns."""
    scale = 0.01 if suffix == "%" else reading.SUFFIX.get(suffix.lower(), 1.0)
    found = {column: Number.read(re.sub("[,_]", "", value), scale)}
    if stderr is not None and "stderr" not in already:
        found["stderr"] = Number.read(stderr, scale)
    if n is not None and "n" not in already:
        found["n"] = Number.read(n)
    return found


def _csv_rows(text: str, path: Path) -> list[dict]:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from None
    for number, row in enumerate(rows, 1):
        if None in row:
            raise ValueError(f"{path}, row {number} has more cells than the header; put text with commas in quotes")
    return rows


def _json_rows(text: str, path: Path) -> list:
    try:  # numbers stay as they are written, so that their digits can be counted
        found = json.loads(text, parse_float=str, parse_constant=lambda name: None)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from None
    if isinstance(found, dict):
        found = found.get("claims", [found])
    if not isinstance(found, list):
        raise ValueError(f"{path} holds no list of claims; write [{{\"name\": ..., \"loss\": ...}}, ...]")
    return found
