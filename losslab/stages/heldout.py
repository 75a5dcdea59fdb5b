"""Prompts from the validation text of a stage, which no stage was trained on."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from losslab import records
from losslab.corpus import Corpus
from losslab.instruct import templates
from losslab.stages.file import Generate

LONGER = 1.5  # a document is so many times as long as its beginning, or longer


def write(path: Path, stage: Generate, corpus: Corpus, longest: int) -> list[dict]:
    """The prompts of a stage, written as JSON Lines that `losslab judge --prompts` reads.

    Args:
        path: where they go.
        stage: how many, and how long a beginning is.
        corpus: the text; of instruction data half of the prompts have an input, as far as there are so many.
        longest: tokens of a prompt that fits.

    Returns:
        a row for each: `prompt`, or `instruction` and `input`; `has_input`, and `held_out`, the text that follows it
        there.

    Raises:
        ValueError: for a text that has no prompt of that length.
    """
    rows = _instructions(corpus, stage, longest) if corpus.is_instructions else _beginnings(corpus, stage)
    if not rows:
        raise ValueError(f"the validation text of {corpus.name} has no document from which the stage {stage.name} "
                         f"could take a prompt; give it more with data.val_bytes, or fewer prompt_words")
    path.parent.mkdir(parents=True, exist_ok=True)
    records.files.write_whole(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
    return rows


def _beginnings(corpus: Corpus, stage: Generate) -> list[dict]:
    """The first words of the first documents that are long enough, none twice."""
    found: dict[str, dict] = {}
    for document in corpus.documents("val"):
        text = corpus.tokenizer.decode(document.tokens).lstrip()
        words = list(re.finditer(r"\S+", text))
        if len(words) >= LONGER * stage.prompt_words:
            cut = words[stage.prompt_words - 1].end()
            found.setdefault(text[:cut], {"prompt": text[:cut], "has_input": False, "held_out": text[cut:]})
        if len(found) == stage.num_prompts:
            break
    return list(found.values())


def _instructions(corpus: Corpus, stage: Generate, longest: int) -> list[dict]:
    """The first rows with an input, and the first without one, in turn."""
    kinds: dict[bool, list[dict]] = {True: [], False: []}
    for row in _examples(corpus, longest):
        of_kind = kinds[row["has_input"]]
        if len(of_kind) < stage.num_prompts:
            of_kind.append(row)
        if all(len(rows) == stage.num_prompts for rows in kinds.values()):
            break
    most = stage.num_prompts
    with_input = kinds[True][: max(most // 2, most - len(kinds[False]))]
    without = kinds[False][: most - len(with_input)]
    pairs = [row for pair in zip(with_input, without, strict=False) for row in pair]
    return pairs + with_input[len(without):] + without[len(with_input):]


def _examples(corpus: Corpus, longest: int) -> Iterator[dict]:
    """The first question of each example, and its answer."""
    seen = set()
    for document in corpus.documents("val"):
        flags = document.answers
        begin = int(flags.argmax())
        end = begin + int((~flags[begin:]).argmax()) if not flags[begin:].all() else len(flags)
        prompt = corpus.tokenizer.decode(document.tokens[:begin])
        if begin < longest and prompt.strip() and prompt not in seen:
            seen.add(prompt)
            yield _parsed(prompt) | {"held_out": corpus.tokenizer.decode(document.tokens[begin:end])}


def _parsed(prompt: str) -> dict:
    """A prompt in the template `alpaca` as its instruction and input; any other as it is."""
    match = re.fullmatch(r".*?### Instruction:\n(.*?)(?:\n\n### Input:\n(.*))?\n\n### Response:", prompt, re.DOTALL)
    if match:
        asked = {"role": "user", "content": match[1], "input": match[2] or ""}
        if templates.render("alpaca", [asked]) == prompt:
            return {"instruction": match[1], "input": match[2] or "", "has_input": bool(match[2])}
    return {"prompt": prompt, "has_input": False}
