"""A file of prompts: texts that a model continues, or instructions that it answers."""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from losslab import untrusted
from losslab.instruct import templates
from losslab.untrusted import one_line, shown

MOST_BYTES = 64 << 20
MOST_PROMPTS = 1_000_000
MARK = "<|endoftext|>"


class Prompt(NamedTuple):
    """A text, or an instruction."""

    text: str
    given: str | None = None
    """The input of an instruction, perhaps empty; None for a text that is continued as it is."""

    def rendered(self, template: str | None = None) -> str:
        """What the model reads; an instruction stands in the template `alpaca` unless another one is given.

        Example:
            >>> Prompt("Once").rendered(), Prompt("Once").rendered("plain")
            ('Once', 'Once\\n')
        """
        if template is None and self.given is None:
            return self.text
        asked = {"role": "user", "content": self.text, "input": self.given or ""}
        return templates.render(template or "alpaca", [asked])


def read_prompts(path: str | Path, most: int = MOST_PROMPTS) -> list[Prompt]:
    """The prompts of a file, in its order, at most the first `most`.

    - `.json`: a list of texts, or of objects that have a `prompt` or a `text`, or an `instruction` and perhaps an
      `input`, as Alpaca's rows; `.jsonl`: one of these on each line.
    - `.yaml`: a list of texts, as the authors of TinyStories publish their prompts; nothing else of YAML is read.
    - any other: a prompt in each line, or between lines `<|endoftext|>`; empty lines are left out.

    Each may be packed as `.gz`.

    Raises:
        ValueError: naming the file and the place in it, for what is no prompt, or a file without any.
    """
    path = Path(path)
    packed = path.suffix.lower() == ".gz"
    kind = (path.with_suffix("") if packed else path).suffix.lower()
    found = []
    for place, row in READERS.get(kind, _lines)(_text(path, packed), path):
        if len(found) == most:
            break
        found.append(_prompt(row, one_line(f"{path}, {place},")))
    if not found:
        raise _wrong(f"{path} has no prompts; write one a line")
    return found


def _wrong(sentence: str) -> ValueError:
    return ValueError(one_line(sentence))


def _text(path: Path, packed: bool) -> str:
    with open(untrusted.descriptor(path, follow=True), "rb") as file:
        raw = file.read(MOST_BYTES + 1)
    try:
        if packed:
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
                raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise _wrong(f"{path} has more than {MOST_BYTES >> 20} MB, which is no file of prompts; take a part of it")
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _wrong(f"{path} is not UTF-8: {error.reason} at byte {error.start}; convert it, for example with "
                     "iconv") from None
    except (OSError, EOFError, zlib.error) as error:
        raise _wrong(f"{path} is not a whole gzip file ({error}); fetch it again") from None


def _prompt(row: object, where: str) -> Prompt:
    if isinstance(row, dict):
        given = row.get("input") or ""
        if isinstance(row.get("instruction"), str) and isinstance(given, str):
            return Prompt(row["instruction"], given)
        row = next((row[key] for key in ("prompt", "text") if key in row), row)
    if isinstance(row, dict):
        raise ValueError(f"{where} has no prompt; write it as {json.dumps({'prompt': 'Once upon a time'})}, or as an "
                         "instruction and its input")
    if not isinstance(row, str):
        raise ValueError(f"{where} has the prompt {shown(row, 40)}; a prompt is a text")
    return Prompt(row)


Rows = Iterator[tuple[str, object]]  # where in the file, and what stands there


def _lines(text: str, path: Path) -> Rows:
    if re.search(rf"^{re.escape(MARK)}\s*$", text, re.M):
        parts = (part.strip("\n") for part in re.split(rf"^{re.escape(MARK)}\s*$", text, flags=re.M))
        return ((f"part {number}", part) for number, part in enumerate(parts, 1) if part.strip())
    return ((f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _json_lines(text: str, path: Path) -> Rows:
    for place, line in ((f"line {number}", line) for number, line in enumerate(text.split("\n"), 1)):
        if line.strip():
            yield place, untrusted.parse_json(line.encode(), f"{path}, {place},")


def _json(text: str, path: Path) -> Rows:
    found = untrusted.parse_json(text.encode(), str(path))
    if not isinstance(found, list):
        raise _wrong(f"{path} must hold a list of prompts, got {shown(found, 40)}")
    return ((f"number {number}", row) for number, row in enumerate(found, 1))


def _yaml(text: str, path: Path) -> Rows:
    """The texts of a YAML list: blocks (`- |-`), quoted, or plain in one line."""
    lines, at = text.split("\n"), 0
    while at < len(lines):
        line, at = lines[at], at + 1
        if not line.strip() or line.strip() in ("---", "...") or line.startswith("#"):
            continue
        place, item = f"line {at}", re.match(r"-\s+(\S.*)$", line)
        if not item:
            raise _wrong(f"{path}, {place}, is no item of a list of texts (`- |-` and then the text, or `- text`): "
                         f"{shown(line, 40)}")
        value = item[1].strip()
        if block := re.fullmatch(r"\|([-+]?)", value):
            outside = (i for i in range(at, len(lines)) if lines[i].strip() and not lines[i].startswith(" "))
            end = next(outside, len(lines))
            yield place, _block(lines[at:end], block[1])
            at = end
        else:
            yield place, _scalar(value, f"{path}, {place},")


def _block(lines: list[str], keep: str) -> str:
    indent = next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), 0)
    text = "\n".join(line[indent:] for line in lines)
    if keep == "+":
        return text
    return text.rstrip("\n") + ("" if keep == "-" else "\n")


def _scalar(value: str, where: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            raise _wrong(f"{where} has a quoted text that does not end there") from None
    if value.startswith("'"):
        if re.fullmatch(r"'(?:[^']|'')*'", value):
            return value[1:-1].replace("''", "'")
        raise _wrong(f"{where} has a quoted text that does not end there")
    if re.match(r"[>|&*!{\[%@`]", value) or re.search(r":(\s|$)|\s#", value):
        raise _wrong(f"{where} is more than a plain text in YAML; write it as a block, `- |-`, got {shown(value, 40)}")
    return value


READERS = {".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json, ".yaml": _yaml, ".yml": _yaml}
