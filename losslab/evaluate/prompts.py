"""The prompts of CORE, as karpathy/nanochat (nanochat/core_eval.py) builds them, in tokens.

Items are shuffled with `Random(1337)` and cut to the limit; the shots of item i are drawn from the cut list with
`Random(1234 + i)`. So a limited run has other prompts than the full one, not only fewer.
"""

import random
from collections.abc import Callable, Sequence

import numpy as np

from losslab.evaluate.bundle import BundleTask
from losslab.evaluate.choices import Question, common_beginning, option, too_long


def chosen(rows: Sequence[dict], limit: int) -> list[dict]:
    """The items of a run in their order: shuffled, then cut."""
    rows = list(rows)
    random.Random(1337).shuffle(rows)
    return rows[:limit] if limit else rows


def shots(items: Sequence[dict], index: int, num_fewshot: int) -> list[dict]:
    """The examples before item `index`: drawn from the other items."""
    others = len(items) - 1
    # numbers of the others, which is what drawing from the list without `index` comes to
    drawn = random.Random(1234 + index).sample(range(others), min(num_fewshot, others))
    return [items[number + (number >= index)] for number in drawn]


def question(tokenizer, context_length: int, items: Sequence[dict], index: int, task: BundleTask) -> Question:
    """Item `index` behind its examples, cut from the left to the context length; skipped where its answer is longer."""
    try:
        return _KINDS[task.icl_task_type](tokenizer, context_length, items, index, task)
    except ValueError as error:  # a character that this vocabulary has not
        return Question([], 0, str(error))


def _multiple_choice(tokenizer, context_length: int, items: Sequence[dict], index: int, task: BundleTask) -> Question:
    """The options have one context; what they all begin with is not scored."""
    row, delimiter = items[index], task.continuation_delimiter
    shown = _shown(items, index, task, lambda one: one["query"] + delimiter + one["choices"][one["gold"]])
    stem = shown + row["query"] + delimiter
    context, *whole = _encoded(tokenizer, [stem.rstrip(), *(stem + choice for choice in row["choices"])])
    own_start = common_beginning(whole)
    starts = [(min(len(context), own_start), own_start)] * len(whole)
    return _question(whole, row["choices"], starts, row["gold"], context_length)


def _schema(tokenizer, context_length: int, items: Sequence[dict], index: int, task: BundleTask) -> Question:
    """The options are contexts of one continuation; what they all end with is scored."""
    row, delimiter = items[index], task.continuation_delimiter
    shown = _shown(items, index, task, lambda one: (
        one["context_options"][one["gold"]] + delimiter + one["continuation"]))
    whole = _encoded(tokenizer, [shown + one + delimiter + row["continuation"] for one in row["context_options"]])
    # the end mark has nothing before it and is never scored
    ending = min(common_beginning([tokens[::-1] for tokens in whole]), *(len(tokens) - 1 for tokens in whole))
    starts = [(len(tokens) - ending,) * 2 for tokens in whole]
    return _question(whole, [row["continuation"]] * len(whole), starts, row["gold"], context_length)


def _language_modeling(tokenizer, context_length: int, items: Sequence[dict], index: int, task: BundleTask) -> Question:
    """One continuation, of which every token must be the likeliest; contexts lose the space around them."""
    row, delimiter = items[index], task.continuation_delimiter
    shown = _shown(items, index, task, lambda one: one["context"].strip() + delimiter + one["continuation"])
    stem = shown + row["context"].strip() + delimiter
    context, whole = _encoded(tokenizer, [stem.strip(), stem + row["continuation"]])
    if len(context) >= len(whole) or not np.array_equal(context, whole[: len(context)]):
        return Question([], 0, "its text without the answer is, in tokens, not how its text with the answer begins")
    return _question([whole], [row["continuation"]], [(len(context),) * 2], 0, context_length)


_KINDS = {"multiple_choice": _multiple_choice, "schema": _schema, "language_modeling": _language_modeling}


def _shown(items: Sequence[dict], index: int, task: BundleTask, render: Callable[[dict], str]) -> str:
    return "".join(render(one) + "\n\n" for one in shots(items, index, task.num_fewshot))


def _encoded(tokenizer, texts: list[str]) -> list[np.ndarray]:
    return [np.concatenate([[tokenizer.eot], ids]).astype(np.int32) for ids in tokenizer.encode_batch(texts)]


def _question(
    whole: Sequence[np.ndarray], texts: Sequence[str], starts: Sequence[tuple[int, int]], gold: int, context_length: int
) -> Question:
    """Of whole texts in tokens, and where in each the option begins and where it is its own, cut from the left."""
    options = []
    for tokens, text, (start, own_start) in zip(whole, texts, starts, strict=True):
        num_cut = max(0, len(tokens) - context_length)
        if own_start <= num_cut:
            return Question([], gold, too_long(len(tokens) - own_start, context_length))
        options.append(option(tokens, text, start=start, own_start=own_start, num_cut=num_cut))
    return Question(options, gold)
