"""Benchmarks of questions without examples: PIQA, ARC and their like, from local files or the hub.

Contexts, continuations and what stands before them are those of lm-evaluation-harness 0.4.13 (lm_eval/tasks), so that
the same model has the same accuracies on the same items: `accuracy_sum` is its `acc`, `accuracy_per_character` its
`acc_norm`. The setting `prefix` puts the end mark before every text instead, and is then part of each score's name.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from losslab.evaluate import benchmark_rows
from losslab.evaluate.choices import Question, common_beginning, multiple_choice, option, too_long
from losslab.evaluate.requests import begun, prefix_note, prefixed
from losslab.evaluate.task import Settings, TaskResult


@dataclass(frozen=True)
class Asked:
    """A question in words: options after one context, or contexts before one ending."""

    contexts: Sequence[str]
    endings: Sequence[str]  # one for each context; a space joins them
    gold: int

    def __post_init__(self):
        texts = [*self.contexts, *self.endings]
        if len(self.contexts) != len(self.endings) or not all(isinstance(text, str) for text in texts):
            raise ValueError("a question has texts, an ending for each context")
        if type(self.gold) is not int or not 0 <= self.gold < len(self.endings):
            raise ValueError(f"the right one of {len(self.endings)} endings is given as {self.gold!r:.40}")


@dataclass(frozen=True)
class Benchmark:
    """Where the rows of a benchmark are, and how a row is asked."""

    hub: tuple[str, str | None]  # repository and configuration; the split is `validation`
    ask: Callable[[dict], Asked]
    in_bundle: str = ""  # rows of a CORE bundle that hold the same questions, below eval_data/


def _options(context: str, options: Sequence[str], gold: int) -> Asked:
    return Asked([context] * len(options), options, gold)


def _lettered(row: dict, context: str) -> Asked:
    return _options(context, row["choices"]["text"], row["choices"]["label"].index(row["answerKey"].strip()))


def _copa(row: dict) -> Asked:
    connector = {"cause": "because", "effect": "therefore"}[row["question"]]
    # with their own space, as the harness has them: two stand before an option
    options = [" " + text[0].lower() + text[1:] for text in (row["choice1"], row["choice2"])]
    return _options(f"{row['premise'].strip()[:-1]} {connector}", options, row["label"])


def _commonsense_qa(row: dict) -> Asked:
    letters, texts = row["choices"]["label"], row["choices"]["text"]
    shown = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, texts, strict=True))
    context = f"Question: {row['question'].strip()}\n{shown}\nAnswer:"
    return _options(context, letters, letters.index(row["answerKey"]))


def _social_i_qa(row: dict) -> Asked:
    options = [row[f"answer{letter}"] for letter in "ABC"]
    return _options(f"Q: {row['context']} {row['question']}\nA:", options, int(row["label"]) - 1)


def _hellaswag(row: dict) -> Asked:
    if "query" in row:  # of a CORE bundle, where the texts are cleaned already
        return _options(row["query"], row["choices"], row["gold"])
    context = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    return _options(_cleaned(context), [_cleaned(text) for text in row["endings"]], int(row["label"]))


def _cleaned(text: str) -> str:
    """Without the marks that WikiHow left."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def _winogrande(row: dict) -> Asked:
    if "context_options" in row:
        return Asked(row["context_options"], [row["continuation"]] * 2, row["gold"])
    before, _, after = row["sentence"].partition("_")
    return Asked([before + row["option1"], before + row["option2"]], [after.strip()] * 2, int(row["answer"]) - 1)


BENCHMARKS = {
    "arc_easy": Benchmark(("allenai/ai2_arc", "ARC-Easy"),
                          lambda row: _lettered(row, f"Question: {row['question']}\nAnswer:")),
    "arc_challenge": Benchmark(("allenai/ai2_arc", "ARC-Challenge"),
                               lambda row: _lettered(row, f"Question: {row['question']}\nAnswer:")),
    "commonsense_qa": Benchmark(("tau/commonsense_qa", None), _commonsense_qa),
    "copa": Benchmark(("aps/super_glue", "copa"), _copa),
    "hellaswag": Benchmark(("Rowan/hellaswag", None), _hellaswag, "language_understanding/hellaswag.jsonl"),
    "openbookqa": Benchmark(("allenai/openbookqa", "main"), lambda row: _lettered(row, row["question_stem"])),
    "piqa": Benchmark(("baber/piqa", None), lambda row: _options(
        f"Question: {row['goal']}\nAnswer:", [row["sol1"], row["sol2"]], row["label"])),
    "social_i_qa": Benchmark(("lighteval/siqa", None), _social_i_qa),
    "winogrande": Benchmark(("allenai/winogrande", "winogrande_xl"), _winogrande,
                            "language_understanding/winogrande.jsonl"),
}


def run(model, tokenizer, settings: Settings, name: str) -> TaskResult:
    """One benchmark, each option scored after its question under every normalizer.

    Args:
        model: as for `requests.answers`.
        tokenizer: the model's own.
        settings: `benchmarks` holds `NAME.validation.jsonl` or `.gz`, or a CORE bundle where it has the questions;
            None takes the hub. `limit` keeps the first items. `prefix`: `none` puts nothing before a context;
            `end-of-text` puts the end mark there.
        name: of `BENCHMARKS`.

    Returns:
        as `choices.multiple_choice`. Where the contexts differ and the ending does not (WinoGrande), all normalizers
        are one, `accuracy_sum`.

    Raises:
        ValueError, OSError: the file is missing or damaged, or a row is not the benchmark's.
        ConnectionError: the hub cannot be reached.
        ModuleNotFoundError: the hub is asked without the library `datasets`.
    """
    benchmark = BENCHMARKS[name]
    rows, source = _rows(name, benchmark, settings.benchmarks)
    if not rows:
        raise ValueError(f"{source} holds no row of {name}; fetch it again")
    rows = rows[: settings.limit or None]
    try:
        asked = [benchmark.ask(row) for row in rows]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{source} does not hold rows of {name} ({type(error).__name__}: {error})") from None
    questions = [question(tokenizer, model.config.num_positions, one, settings.prefix) for one in asked]
    one_ending = all(len(set(one.endings)) == 1 and len(set(one.contexts)) > 1 for one in asked)
    result = (
        multiple_choice(name, model, questions, settings, normalizers=("sum",)) if one_ending
        else multiple_choice(name, model, questions, settings)
    )
    result.notes[:0] = [f"{name}: no examples, {len(rows)} items of {source}", prefix_note(name, settings.prefix)]
    if settings.limit:
        result.notes.append(f"{name}: limited to {settings.limit} items: not evidence")
    return dataclasses.replace(result, scores=prefixed(result.scores, settings.prefix))


def question(tokenizer, context_length: int, asked: Asked, prefix: str = "none") -> Question:
    """The question in tokens; skipped where an option does not fit `context_length` of them."""
    texts = [f"{context} {ending}" for context, ending in zip(asked.contexts, asked.endings, strict=True)]
    # a context's trailing space belongs to what follows, as the vocabularies have it
    try:
        encoded = tokenizer.encode_batch([context.rstrip() for context in asked.contexts] + texts)
    except ValueError as error:  # a character that this vocabulary has not
        return Question([], asked.gold, str(error))
    pairs = zip(encoded[: len(texts)], encoded[len(texts) :], strict=True)
    whole = [begun(tokenizer, prefix, context, ids) for context, ids in pairs]
    shared, options = common_beginning([tokens for tokens, _ in whole]), []
    for (tokens, start), text in zip(whole, asked.endings, strict=True):
        if len(tokens) - start > context_length:
            return Question([], asked.gold, too_long(len(tokens) - start, context_length))
        options.append(option(tokens, text, start=start, own_start=max(start, shared), num_cut=0))
    return Question(options, asked.gold)


def _rows(name: str, benchmark: Benchmark, folder: Path | None) -> tuple[list[dict], str]:
    """The rows, and what they are rows of."""
    names = [f"{name}.validation.jsonl", f"hf_eval/{name}.validation.jsonl"]
    if benchmark.in_bundle:
        names += [f"{inside}eval_data/{benchmark.in_bundle}" for inside in ("", "core_eval/", "eval_bundle/")]
    path = benchmark_rows.find(folder, names)
    if path is not None:
        return list(benchmark_rows.rows(path, ())), path.name
    repository, configuration = benchmark.hub
    return benchmark_rows.hub_rows(repository, configuration, "validation", ()), f"{repository}, split validation"
