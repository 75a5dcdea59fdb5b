"""Instruction data -> documents whose parts are prompts and answers; rows that are none are counted."""

import hashlib
import itertools
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from losslab import instruct
from losslab.corpus import files
from losslab.corpus.splits import Piece
from losslab.instruct import rows, verbs

FORMAT = 1  # raised when the same rows would become other documents
PEEKED = 100  # rows that are looked at before a .jsonl file is taken for plain text


class Reading:
    """Rows on their way to documents: the template, and what was counted.

    Args:
        template: a name, or `auto`: that of the first row's own kind.
        name: of the data, for an error.
    """

    def __init__(self, template: str, name: str):
        if template != "auto":
            instruct.check(template)
        self.template, self.name = template, name
        self.num_rows = self.num_examples = self.with_input = self.duplicates = self.same_prompt = 0
        self.left_out: Counter[str] = Counter()
        self.forms: Counter[str] = Counter()
        self.variety = verbs.Variety()
        self._lengths: dict[str, array] = {"prompt": array("q"), "answer": array("q")}  # words of each example
        self._seen: set[bytes] = set()
        self._groups: set[bytes] = set()

    @property
    def identity(self) -> list:
        """What decides the documents besides the rows."""
        written = [instruct.written(name) for name in instruct.TEMPLATES]
        return ["instructions", FORMAT, self.template, hashlib.sha256("\0".join(written).encode()).hexdigest()]

    def pieces(self, found: Iterable[object]) -> Iterator[Piece]:
        """The documents of rows, each in parts."""
        for row in found:
            self.num_rows += 1
            try:
                examples = instruct.read(row)
            except rows.Unusable as error:
                self.left_out[str(error)] += 1
                continue
            self.forms[instruct.form_of(row)] += 1
            if self.template == "auto":
                self.template = instruct.form_of(row)
            for example in examples:
                yield from self._parts(example)

    def _parts(self, example: instruct.Example) -> Iterator[Piece]:
        parts = [part for part in instruct.parts(self.template, example.messages) if part.text]
        text = hashlib.sha256("\0".join(part.text for part in parts).encode()).digest()
        group = instruct.group_of(example)
        self.num_examples += 1
        self.with_input += any(message.get("input") for message in example.messages)
        self.variety.add(instruction_of(example))
        for name, is_answer in (("prompt", False), ("answer", True)):
            said = (m for m in example.messages if (m["role"] == "assistant") == is_answer)
            self._lengths[name].append(sum(len(f"{m['content']} {m.get('input', '')}".split()) for m in said))
        self.duplicates += text in self._seen
        self.same_prompt += group in self._groups and text not in self._seen
        self._seen.add(text)
        self._groups.add(group)
        for i, (content, is_answer) in enumerate(parts, 1):
            yield Piece(content, more=i < len(parts), is_answer=is_answer, group=group)

    def check(self) -> None:
        """An error where no row was an example."""
        if not self.num_examples:
            why = f": {rows.said(self.left_out)}" if self.left_out else ""
            raise ValueError(f"{self.name} has {self.num_rows:,} rows and no example among them{why}; a row is "
                             f"{rows.KNOWN}")

    def found(self) -> dict | None:
        """What was counted, as `losslab corpus` shows it; None where no row was an example."""
        if not self.num_examples:
            return None
        return {
            "template": self.template, "template_text": instruct.written(self.template), "rows": self.num_rows,
            "forms": dict(self.forms), "examples": self.num_examples, "left_out": sum(self.left_out.values()),
            "left_out_because": dict(self.left_out), "duplicates": self.duplicates, "same_prompt": self.same_prompt,
            "with_input": self.with_input, "share_with_input": self.with_input / self.num_examples,
            "words": {name: _spread(lengths) for name, lengths in self._lengths.items()},
            "variety": self.variety.to_dict(),
        }


def instruction_of(example: instruct.Example) -> str:
    """What is asked first, without its input."""
    return next(message["content"] for message in example.messages if message["role"] == "user")


def _spread(lengths: array) -> dict:
    values = np.frombuffer(lengths, dtype=np.int64)
    found = np.quantile(values, (0, 0.5, 0.95, 1))
    return {"mean": float(values.mean())} | dict(zip(("least", "median", "95 %", "most"), found.tolist(), strict=True))


def variety(found: Iterable[object], parse: Callable) -> dict:
    """Leading verbs and objects of rows by another parser than the plain rule."""
    counted = verbs.Variety(parse)
    for row in found:
        with suppress(rows.Unusable):
            for example in instruct.read(row):
                counted.add(instruction_of(example))
    return counted.to_dict("spacy")


def told(about: dict) -> str:
    """What was counted, in a sentence or two."""
    text = f"{about['examples']:,} examples of {about['rows']:,} rows, in the template {about['template']}"
    if about["left_out"]:
        text += f"; rows left out: {rows.said(about['left_out_because'])}"
    if about["duplicates"]:
        text += (f"; {about['duplicates']:,} duplicate{'s' * (about['duplicates'] != 1)} of an earlier one, kept, on "
                 "one side of the split")
    if about["same_prompt"]:
        text += f"; {about['same_prompt']:,} with the prompt of an earlier one, on its side of the split"
    return text


# --- files -------------------------------------------------------------------------------------

def holds(path: Path) -> bool:
    """Whether a file is instruction data: all .json is, and .jsonl whose rows have their keys and no `text` first."""
    if files.suffix(path) in files.JSON_SUFFIXES:
        return True
    if ".jsonl" not in files.suffix(path):
        return False
    try:
        with files.unpacking(path):
            for number, row in enumerate(itertools.islice(files.json_lines(path), PEEKED)):
                if instruct.is_example(row):
                    return True
                if number == 0 and isinstance(row, dict) and isinstance(row.get("text"), str):
                    return False
    except ValueError:  # said where it is read
        return False
    return False


def of_file(path: Path) -> Iterator[object]:
    """The rows of a file: a JSON list, or a JSON value a line."""
    with files.unpacking(path):
        yield from _rows(path)


def _rows(path: Path) -> Iterator[object]:
    if ".jsonl" in files.suffix(path):
        yield from files.json_lines(path)
        return
    text = files.whole(path)
    if text.lstrip("\ufeff \t\r\n")[:1] == "{" and "\n" in text.strip():  # lines under the name of a list
        try:
            found = [json.loads(line) for line in text.lstrip("\ufeff").splitlines() if line.strip()]
        except (ValueError, RecursionError):
            found = None
        if found is not None:
            yield from found
            return
    try:
        found = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        why = "its brackets are nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"{path} is not JSON ({why}); instruction data is a list of rows, each {rows.KNOWN}") from None
    if not isinstance(found, list):
        raise ValueError(f"{path} holds {type(found).__name__}, and not a list of rows, each {rows.KNOWN}")
    yield from found
