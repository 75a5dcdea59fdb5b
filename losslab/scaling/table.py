"""Tables of runs: what is read of a CSV file, and what is refused with the row and the column that are wrong."""

import csv
import io
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from losslab.config.numbers import whole
from losslab.scaling.law import FLOPS_PER_PARAMETER
from losslab.scaling.runs import Runs
from losslab.untrusted import TooLarge, descriptor, one_line, read_whole, shown
from losslab.words import nearest

NUMBERS = {  # what may stand in a column, and between which values
    "num_params": (1.0, 1e15, "parameters of a model"), "num_tokens": (1.0, 1e17, "tokens that it was trained on"),
    "flops": (1.0, 1e32, "compute"), "nll": (1e-6, 1e3, "nats per token"),
    "unique_tokens": (1.0, 1e17, "tokens before they repeat"), "other_nll": (1e-6, 1e3, "nats per token"),
}  # fmt: skip
WORDS = ("arm", "seed")
NAMES = (*NUMBERS, *WORDS)
MOST_ROWS = 5_000
MOST_BYTES = 2**25
DELIMITERS = ",;\t|"
HINT = "a table has a column for each of num_params, num_tokens and nll, and a row for each run"


def columns(text: str | None) -> dict[str, str]:
    """Name here -> name in the table, of `num_params=N,nll=loss`.

    Raises:
        ValueError: for what is not written like that, or a name that means nothing here.

    Example:
        >>> columns("num_params=Model Size, nll=loss")
        {'num_params': 'Model Size', 'nll': 'loss'}
    """
    found: dict[str, str] = {}
    for part in (text or "").split(",") if text else ():
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise ValueError(f"--columns takes pairs such as num_params=N,num_tokens=D,nll=loss, got {shown(part)}")
        if name not in NAMES:
            raise ValueError(f"--columns has no {shown(name)}{nearest(name, NAMES)}; it maps {', '.join(NAMES)}")
        if name in found:
            raise ValueError(f"--columns names {name} twice; give each once")
        found[name] = column
    return found


def read(path: str | Path, names: Mapping[str, str] | None = None, *, wanted: Sequence[str] = (),
         welcome: Sequence[str] = ()) -> Runs:  # fmt: skip
    """The runs of a CSV file, whose cells are parted by commas, semicolons, tabs or bars.

    Args:
        path: of the file, in UTF-8.
        names: of columns that are called otherwise, as from `columns`.
        wanted: further columns that are read: `arm`, `seed`, `unique_tokens`, `other_nll`.
        welcome: those that are read where they are there.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is no table of runs; names the row and the column.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}; {HINT}")
    try:
        raw = read_whole(descriptor(path, follow=True), MOST_BYTES)
    except TooLarge:
        raise ValueError(f"{path} has more than {MOST_BYTES:,} bytes, which no table of {MOST_ROWS:,} runs has; give "
                         "one row for each run") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{path} holds a NUL (sign {text.index(chr(0)):,}), so it is no CSV file")
    lines = text.lstrip().partition("\n")[0]
    delimiter = max(DELIMITERS, key=lines.count)
    try:
        reader = csv.DictReader(io.StringIO(text.lstrip(), newline=""), delimiter=delimiter, strict=True,
                                skipinitialspace=True)
        header = [(name or "").strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        filled = (row for row in map(_trimmed, reader) if any(map(_filled, row.values())))
        rows = list(itertools.islice(filled, MOST_ROWS + 1))
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from None
    doubled = [name for name in dict.fromkeys(header) if name and header.count(name) > 1]
    if doubled:
        raise ValueError(f"{path} has two columns called {one_line(doubled[0], 60)}; name them apart")
    wanted = [*wanted, *(name for name in welcome if (names or {}).get(name, name) in header or name in (names or {}))]
    return from_rows(rows, names, wanted=wanted, source=str(path), header=header)


def _trimmed(row: dict) -> dict:
    """Without the empty cells beyond the header, which a delimiter at the end of a row makes."""
    if not any(map(_filled, row.get(None) or ())):
        row.pop(None, None)
    return row


def _filled(cell) -> bool:
    return bool(cell) and (not isinstance(cell, str) or bool(cell.strip()))


def from_rows(rows: Iterable[Mapping], names: Mapping[str, str] | None = None, *, wanted: Sequence[str] = (),
              source: str = "the table", header: Sequence[str] | None = None) -> Runs:  # fmt: skip
    """Rows of cells, text or numbers, as runs; columns that are not asked for are ignored.

    Raises:
        ValueError: naming the row and the column that are wrong.

    Example:
        >>> from_rows([{"num_params": 1e6, "num_tokens": "2e7", "nll": "3.5"}]).nll.tolist()
        [3.5]
    """
    rows = list(rows)
    called = {name: name for name in NAMES} | dict(names or {})
    if not rows:
        raise ValueError(f"{source} has no runs; {HINT}")
    if len(rows) > MOST_ROWS:
        raise ValueError(f"{source} has more than {MOST_ROWS:,} rows; a fit is of runs, so give one row for each run")
    header = list(rows[0]) if header is None else header
    needed = ["num_params", "num_tokens", "nll", *wanted]
    given = set(names or {})
    if "num_tokens" not in given and ("flops" in given or ("flops" in header and "num_tokens" not in header)):
        needed[1] = "flops"  # then D = C / 6 N
    for name in needed:
        if called[name] not in header:
            raise ValueError(_absent(name, called[name], header, source))
    cells = {name: [_cell(name, called[name], row, number, source) for number, row in enumerate(rows, 1)]
             for name in needed}
    if "flops" in cells:
        cells["num_tokens"] = [flops / (FLOPS_PER_PARAMETER * size)
                               for flops, size in zip(cells["flops"], cells["num_params"], strict=True)]
    more = {name: np.array(cells[name]) for name in ("unique_tokens", "other_nll") if name in cells}
    arms, seeds = tuple(cells.get("arm", ())), tuple(cells.get("seed", ()))
    found = Runs(np.array(cells["num_params"]), np.array(cells["num_tokens"]), np.array(cells["nll"]), arms, seeds,
                 more, source)
    return Runs(found.num_params, found.num_tokens, found.nll, arms, seeds, more, source, tuple(_notes(found, rows)))


def _absent(name: str, column: str, header: Sequence[str], source: str) -> str:
    have = ", ".join(one_line(each, 30) for each in header[:12] if each) or "none"
    hint = f"--columns {name}=NAME says which it is" if column == name else "that is what --columns asks for"
    near = nearest(column, [each for each in header if each])
    return f"{source} has no column {one_line(column, 60)}{near} ({hint}); its columns are {have}"


def _cell(name: str, column: str, row: Mapping, number: int, source: str):
    cell = row.get(column)
    if None in row:
        raise ValueError(f"{source}, row {number} has more cells than the header; put text with delimiters in quotes")
    where = f"{source}, row {number}: {one_line(column, 60)}"
    if name in WORDS:
        if not _filled(cell) and cell != 0:
            raise ValueError(f"{where} is empty; give each run its {name}")
        return one_line(str(cell), 200)
    low, high, meaning = NUMBERS[name]
    value = _number(cell)
    if value is None or not math.isfinite(value):
        hint = "; write a point, and no comma" if isinstance(cell, str) and "," in cell else ""
        raise ValueError(f"{where} must be a number ({meaning}), got {shown(cell)}{hint or '; or leave the run out'}")
    if not low <= value <= high:
        raise ValueError(f"{where} must lie between {low:g} and {high:g} ({meaning}), got {value:g}")
    return value


def _number(cell) -> float | None:
    """`1e6`, `124M` or a number; None for what is none."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float) or (isinstance(cell, str) and len(cell) > 80):
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        pass
    try:
        return float(whole(cell))
    except (ValueError, OverflowError):
        return None


def _notes(runs: Runs, rows: Sequence[Mapping]) -> Iterable[str]:
    keys = list(zip(runs.num_params, runs.num_tokens, runs.nll, runs.arms or itertools.repeat(""),
                    runs.seeds or itertools.repeat(""), *runs.more.values(), strict=False))
    if copies := len(keys) - len(set(keys)):
        yield (f"{copies} of {len(keys)} rows repeat an earlier one in all that is read; they count as runs, so take "
               "them out if they are copies: copies make intervals too narrow")
    for column in ("arm", "loss", "arms"):
        if not runs.arms and len({str(row.get(column)) for row in rows}) > 1 and not _is_numeric(rows, column):
            yield (f"the column {column} names several arms, and one law is fitted to all of them; --arms {column} "
                   "fits each apart and compares them")


def _is_numeric(rows: Sequence[Mapping], column: str) -> bool:
    return all(_number(row.get(column)) is not None for row in rows)
