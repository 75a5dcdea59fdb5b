"""Tables from files: CSV, JSON, JSON lines or Markdown, each row a dictionary of cells."""

import csv
import io
import itertools
import json
import re
from pathlib import Path

LARGEST_FILE = 16 * 2**20
MOST_ROWS = 10_000  # each may be compared with another
LONGEST_NUMBER = 80  # signs; Python refuses thousands of digits
FORMATS = "CSV, JSON, JSON lines or Markdown"
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")  # the line under a Markdown header


def rows(path: str | Path) -> list[dict]:
    """The rows of a table.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is no table.
    """
    path = Path(path)
    text = _text(path)
    start = text.lstrip()[:1]
    if start in ("[", "{"):
        return _json_rows(text, path)
    if start == "|" or path.suffix.lower() in (".md", ".markdown"):
        return _markdown_rows(text, path)
    return _csv_rows(text, path)


def _text(path: Path) -> str:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; audit takes a {FORMATS} file of claims")
    if not path.is_file():  # reading a pipe or a device may never end
        kind = "a folder" if path.is_dir() else "no file"
        raise ValueError(f"{path} is {kind}; audit takes a {FORMATS} file of claims")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; a table of claims has at most {LARGEST_FILE:,}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it as {FORMATS}") from None
    if "\0" in text:
        raise ValueError(f"{path} holds a NUL (sign {text.index(chr(0))}), so it is no text; save it as {FORMATS}")
    return text


def _csv_rows(text: str, path: Path) -> list[dict]:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        found = list(itertools.islice(reader, MOST_ROWS + 1))
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from None
    for number, row in enumerate(found, 1):
        if None in row:
            raise ValueError(f"{path}, row {number} has more cells than the header; put text with commas in quotes")
    return found


def _markdown_rows(text: str, path: Path) -> list[dict]:
    """The first table of a page: a header, a line of dashes, and the lines with bars under it."""
    lines = text.splitlines()
    top = next((i for i, (line, rule) in enumerate(itertools.pairwise(lines))
                if "|" in line and "|" in rule and _RULE.fullmatch(rule)), None)
    if top is None:
        raise ValueError(f"{path} holds no Markdown table; write | a header |, a line |---| and a line for each claim")
    header = _cells(lines[top])
    found = []
    for line in itertools.islice(itertools.takewhile(lambda line: "|" in line, lines[top + 2 :]), MOST_ROWS + 1):
        cells = _cells(line)
        if len(cells) > len(header):
            raise ValueError(f"{path}, row {len(found) + 1} has more cells than the header; write a bar in text as \\|")
        found.append(dict(zip(header, cells, strict=False)))
    return found


def _cells(line: str) -> list[str]:
    line = re.sub(r"(?<!\\)\|$", "", line.strip().removeprefix("|").rstrip())
    return [cell.replace("\\|", "|").strip(" \t*`") for cell in re.split(r"(?<!\\)\|", line)]


def _json_rows(text: str, path: Path) -> list:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.strip()[:1] == "{" and line.strip()[-1:] == "}" for line in lines):
        if len(lines) > MOST_ROWS:
            raise ValueError(f"{path} has more than {MOST_ROWS:,} claims; audit it in parts")
        return [_json(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    found = _json(text, str(path))
    if isinstance(found, dict):
        found = found.get("claims", [found])
    if not isinstance(found, list):
        raise ValueError(f"{path} holds no list of claims; write [{{\"name\": ..., \"loss\": ...}}, ...]")
    return found


def _json(text: str, where: str):
    try:  # numbers stay as they are written, so that their digits can be counted
        return json.loads(text, parse_float=str, parse_int=_whole, parse_constant=lambda name: None)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} cannot be read as JSON: {error}") from None


def _whole(text: str) -> int | str:
    return int(text) if len(text) <= LONGEST_NUMBER else text
