"""A file of prompts, beginnings of stories or instructions, and what was written after them."""

import gzip
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from losslab import untrusted
from losslab.untrusted import one_line, shown

MOST_BYTES = 64 << 20
MOST_CHARACTERS = 100_000  # of a prompt
KINDS = (".yaml", ".yml", ".json", ".jsonl", ".txt")
MARK = "<|endoftext|>"
# the two templates of the Alpaca data, as they were published with it
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)


@dataclass(frozen=True)
class Prompt:
    """What a model continues, and what a judge is shown of it."""

    text: str
    shown: str


@dataclass(frozen=True)
class Written:
    """What one model wrote: `[prompts][completions]`."""

    name: str
    texts: list[list[str]]


def read(path: Path, most: int = 0) -> tuple[list[Prompt], list[str]]:
    """The prompts of a file, and what there is to say of them.

    Spaces at the end of a prompt are left out: a byte-level vocabulary has the space at the beginning of the next word.

    Args:
        path: a YAML list of texts, `.json` (a list), `.jsonl`, or `.txt` (a prompt in each line, or between lines
            `<|endoftext|>`), each also as `.gz`. A row of JSON is a text, has a `prompt` or `text`, or has an
            `instruction` and perhaps an `input`, as Alpaca's have.
        most: the first so many; 0 for all.

    Raises:
        ValueError: for a file that is no such list.
    """
    path = Path(path)
    packed = path.suffix.lower() == ".gz"
    kind = (path.with_suffix("") if packed else path).suffix.lower()
    if kind not in KINDS:
        raise _wrong(f"--prompts takes a file that ends in {', '.join(KINDS)} (or these and .gz), got {path}")
    text = _text(path, packed)
    rows = {".txt": _lines, ".jsonl": _json_lines, ".json": _json}.get(kind, _yaml)(text, path)
    found, notes, cut = {}, [], 0
    for number, row in enumerate(rows, 1):
        if most and len(found) == most:
            break
        prompt = _prompt(row, number, path)
        cut += prompt.text != prompt.text.rstrip(" ")
        prompt = Prompt(prompt.text.rstrip(" "), prompt.shown.rstrip(" "))
        if not prompt.text.strip() or len(prompt.text) > MOST_CHARACTERS:
            raise _wrong(f"prompt {number} of {path} is empty, or longer than {MOST_CHARACTERS:,} characters; take it "
                         "out")
        if prompt.text in found:
            notes.append(f"prompt {number} is the same as prompt {found[prompt.text][0]}, and is left out")
            continue
        found[prompt.text] = number, prompt
    if not found:
        raise _wrong(f"{path} has no prompt in it")
    if cut:
        notes.append(f"{cut} prompt{'s' * (cut > 1)} ended in a space, which was taken off")
    return [prompt for _, prompt in found.values()], notes


def _wrong(sentence: str) -> ValueError:
    return ValueError(one_line(sentence))


def _text(path: Path, packed: bool) -> str:
    raw = untrusted.read_bytes(path, MOST_BYTES)
    try:
        if packed:
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
                raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise _wrong(f"{path} unpacks to more than {MOST_BYTES >> 20} MB; take a part of it")
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _wrong(f"{path} is not UTF-8 (at byte {error.start}); convert it, for example with iconv") from None
    except (OSError, EOFError) as error:
        raise _wrong(f"{path} is not a whole gzip file ({error}); fetch it again") from None


def _prompt(row: object, number: int, path: Path) -> Prompt:
    if isinstance(row, dict):
        if isinstance(instruction := row.get("instruction"), str):
            given = row.get("input") or ""
            if isinstance(given, str):
                template = WITH_INPUT if given else WITHOUT_INPUT
                told = f"{instruction}\n\nInput:\n{given}" if given else instruction
                # not by format: a text may have braces in it
                text = template.replace("{input}", "\0").replace("{instruction}", instruction).replace("\0", given)
                return Prompt(text, told)
        row = next((row[key] for key in ("prompt", "text") if key in row), row)
    if not isinstance(row, str):
        raise _wrong(f"prompt {number} of {path} is no text, and has no `prompt`, `text` or `instruction` that is one: "
                     f"{shown(row, 40)}")
    return Prompt(row, row)


def _lines(text: str, path: Path) -> Iterator[str]:
    if re.search(rf"^{re.escape(MARK)}\s*$", text, re.M):
        parts = (part.strip("\n") for part in re.split(rf"^{re.escape(MARK)}\s*$", text, flags=re.M))
    else:
        parts = iter(text.split("\n"))
    return (part for part in parts if part.strip())


def _json_lines(text: str, path: Path) -> Iterator[object]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield untrusted.parse_json(line.encode(), f"line {number} of {path}")


def _json(text: str, path: Path) -> list:
    found = untrusted.parse_json(text.encode(), str(path))
    if not isinstance(found, list):
        raise _wrong(f"{path} must hold a list of prompts, got {shown(found, 40)}")
    return found


def _yaml(text: str, path: Path) -> Iterator[str]:
    """The texts of a YAML list: blocks (`- |-`), quoted, or plain in one line."""
    lines, at = text.split("\n"), 0
    while at < len(lines):
        line, at = lines[at], at + 1
        if not line.strip() or line.strip() in ("---", "...") or line.startswith("#"):
            continue
        item = re.match(r"-\s+(\S.*)$", line)
        if not item:
            raise _wrong(f"line {at} of {path} is no item of a list of texts (`- |-` and then the text, or `- text`): "
                         f"{shown(line, 40)}")
        value = item[1].strip()
        if block := re.fullmatch(r"\|([-+]?)", value):
            outside = (i for i in range(at, len(lines)) if lines[i].strip() and not lines[i].startswith(" "))
            end = next(outside, len(lines))
            yield _block(lines[at:end], block[1])
            at = end
        else:
            yield _scalar(value, at, path)


def _block(lines: list[str], keep: str) -> str:
    indent = next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), 0)
    text = "\n".join(line[indent:] for line in lines)
    if keep == "+":
        return text
    return text.rstrip("\n") + ("" if keep == "-" else "\n")


def _scalar(value: str, number: int, path: Path) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            raise _wrong(f"line {number} of {path} has a quoted text that does not end there") from None
    if value.startswith("'"):
        if re.fullmatch(r"'(?:[^']|'')*'", value):
            return value[1:-1].replace("''", "'")
        raise _wrong(f"line {number} of {path} has a quoted text that does not end there")
    if re.match(r"[>|&*!{\[%@`]", value) or re.search(r":(\s|$)|\s#", value):
        raise _wrong(f"line {number} of {path} is more than a plain text in YAML; write it as a block, `- |-`, got "
                     f"{shown(value, 40)}")
    return value
