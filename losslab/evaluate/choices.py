"""Questions with options, and texts to be completed: what a model picks, and how often that is right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from losslab.evaluate.beginnings import common_length
from losslab.evaluate.requests import Answer, Request, answers, num_cut
from losslab.evaluate.task import Settings, TaskResult
from losslab.progress import counting
from losslab.stats import mean_score

TIE = 1e-9  # of the smaller cost: two costs closer than this are one number, rounded twice


@dataclass(frozen=True)
class Option:
    """One way to continue a text."""

    request: Request | None  # None where nothing is left to score
    text: str  # the option's own string, without the space that joins it
    num_own: int  # last tokens of the request that are the option's own: what all options begin with is not counted
    num_cut: int = 0  # tokens already dropped from the left


@dataclass(frozen=True)
class Question:
    """Options of which one is right; a text to be completed has one option. Or the reason why it cannot be scored."""

    options: Sequence[Option]
    gold: int
    skipped: str = ""


# name -> the count that an option's nats are divided by, and how many of its last tokens are summed (None: all)
NORMALIZERS: Mapping[str, Callable[[Option, int], tuple[int, int | None]]] = {
    "sum": lambda option, num_tokens: (min(1, num_tokens), None),
    "per_token": lambda option, num_tokens: (num_tokens, None),
    "per_character": lambda option, num_tokens: (len(option.text), None),
    "per_byte": lambda option, num_tokens: (len(option.text.encode()), None),
    "per_own_token": lambda option, num_tokens: (option.num_own, option.num_own),
}


def multiple_choice(
    name: str, model, questions: Sequence[Question], settings: Settings, *,
    normalizers: Sequence[str] = tuple(NORMALIZERS),
) -> TaskResult:
    r"""How often the cheapest option is the right one, under each normalizer.

    $$\hat k = \arg\min_k \frac{1}{d_k} \sum_{t \in k} -\log p(t \mid \text{what came before}).$$

    `sum` has $d = 1$ (lm-evaluation-harness's `acc`), `per_character` and `per_byte` divide by the length of the
    option's string without the joining space (its `acc_norm` and `acc_bytes`), `per_token` by its tokens, and
    `per_own_token` leaves the tokens that all options begin with out of both sums (CORE). Options that tie: the
    first is picked. An option with nothing to score is picked only where it stands first, which is what the smallest
    of a list with nan is in Python and so in nanochat.

    Args:
        name: of the task.
        model: as for `requests.answers`.
        questions: those with a `skipped` reason are counted and not scored.
        settings: for progress and whether the result is limited.
        normalizers: of `NORMALIZERS`.

    Returns:
        scores `accuracy_sum`, ... with n = items and the standard error of a mean, and `share_cut`, the share of
        items whose text did not fit the context; counts `items`, `skipped`, `cut`, `same_options`,
        `empty_options` and `tied_sum`, ...

    Example:
        >>> from losslab import config, model
        >>> from losslab.evaluate.requests import Request
        >>> small = config.ModelConfig(n_layer=1, n_head=1, n_embd=8)
        >>> texts = "a cat", "a much longer dog"
        >>> options = [Option(Request([0], list(text.encode())), text, len(text), 0) for text in texts]
        >>> untrained = model.initialized(small, 257, 0)
        >>> result = multiple_choice("pets", untrained, [Question(options, 0)], Settings(), normalizers=["sum"])
        >>> result.scores["accuracy_sum"].value, result.counts["items"]  # a uniform model: the shorter
        (1.0, 1)

    Reference:
        Biderman et al., Lessons from the trenches on reproducible evaluation of language models, 2024, appendix A.
    """
    scored, said = _answered(name, model, questions, settings)
    counts = _counts(model, questions, scored)
    counts["same_options"] = sum(_same_options(question) for question in scored)
    counts["empty_options"] = sum(any(not option.num_own for option in question.options) for question in scored)
    items = [{"gold": question.gold, "picked": {}, "costs": {}} for question in scored]
    correct = {}
    for normalizer in normalizers:
        tied = 0
        for item, question, row in zip(items, scored, said, strict=True):
            costs = [_cost(normalizer, *pair) for pair in zip(question.options, row, strict=True)]
            picked, is_tied = pick(costs)
            item["picked"][normalizer], item["costs"][normalizer] = picked, costs
            tied += is_tied
        counts[f"tied_{normalizer}"] = tied
        correct[f"accuracy_{normalizer}"] = [item["picked"][normalizer] == item["gold"] for item in items]
    return _result(name, model, questions, settings, correct, counts, items)


def language_modeling(name: str, model, questions: Sequence[Question], settings: Settings) -> TaskResult:
    """How often every token of a completion is the one that the model finds likeliest.

    Args:
        name: of the task.
        model: as for `requests.answers`.
        questions: of one option each.
        settings: for progress and whether the result is limited.

    Returns:
        the score `accuracy` with n = items, and `share_cut`; counts `items`, `skipped`, `cut`.

    Example:
        >>> from losslab import config, model
        >>> from losslab.evaluate.requests import Request
        >>> untrained = model.initialized(config.ModelConfig(n_layer=1, n_head=1, n_embd=8), 257, 0)
        >>> question = Question([Option(Request([0], [5, 6, 7]), "", 3, 0)], 0)
        >>> language_modeling("a task", untrained, [question], Settings()).scores["accuracy"].value
        0.0
    """
    scored, said = _answered(name, model, questions, settings)
    correct = [bool(row[0].is_greedy.all()) for row in said]
    items = [{"correct": right, "nats": float(row[0].nats.sum())} for right, row in zip(correct, said, strict=True)]
    counts = _counts(model, questions, scored)
    return _result(name, model, questions, settings, {"accuracy": correct}, counts, items)


def too_long(num_tokens: int, context_length: int) -> str:
    """Why a question is skipped whose answer has more tokens than a model can see."""
    return f"an answer of {num_tokens} tokens does not fit a context of {context_length}"


def option(tokens: np.ndarray, text: str, *, start: int, own_start: int, num_cut: int) -> Option:
    """The option that begins at `start` of a whole text's tokens, and from `own_start` on is like no other's."""
    start = max(start, num_cut + 1)
    request = Request(tokens[num_cut:start], tokens[start:]) if start < len(tokens) else None
    return Option(request, text, len(tokens) - own_start, num_cut)


def common_beginning(sequences: Sequence[np.ndarray]) -> int:
    """The number of tokens at the beginning that all sequences have in common.

    Example:
        >>> common_beginning([np.array([1, 2, 3]), np.array([1, 2, 4]), np.array([1, 2])])
        2
    """
    return min(common_length(sequences[0], other) for other in sequences)


def pick(costs: Sequence[float | None]) -> tuple[int, bool]:
    """The cheapest option, the first where several tie, and whether several do; None: nothing of it was scored.

    Example:
        >>> pick([2.0, 1.0, 1.0]), pick([2.0, None, 1.0]), pick([None, 1.0])
        ((1, True), (2, False), (0, False))
    """
    if costs[0] is None:
        return 0, all(cost is None for cost in costs[1:]) and len(costs) > 1
    cheapest = min(cost for cost in costs if cost is not None)
    best = [k for k, cost in enumerate(costs) if cost is not None and cost <= cheapest * (1 + TIE)]
    return best[0], len(best) > 1


def _cost(normalizer: str, one: Option, answer: Answer | None) -> float | None:
    nats = answer.nats if answer is not None else np.zeros(0)
    divisor, num_last = NORMALIZERS[normalizer](one, len(nats))
    if not divisor:
        return None
    # what a diverged model calls nan is as unlikely as can be
    return float(np.nan_to_num(nats[-num_last:] if num_last else nats, nan=np.inf).sum() / divisor)


def _answered(name: str, model, questions, settings: Settings) -> tuple[list[Question], list[list[Answer | None]]]:
    """The questions that can be scored, and the answers to their options."""
    scored = [question for question in questions if not question.skipped]
    requests = [one.request for question in scored for one in question.options if one.request is not None]
    said = iter(answers(model, requests, progress=counting(settings.progress, name, "requests")))
    return scored, [
        [next(said) if one.request is not None else None for one in question.options] for question in scored
    ]


def _counts(model, questions: Sequence[Question], scored: Sequence[Question]) -> dict[str, int]:
    cut = sum(_is_cut(question, model.config.num_positions) for question in scored)
    return {"items": len(scored), "skipped": len(questions) - len(scored), "cut": cut}


def _result(name: str, model, questions, settings: Settings, correct: dict, counts: dict, items: list) -> TaskResult:
    context_length, notes, numbers = model.config.num_positions, [], iter(items)
    rows = [{"index": index, **({"skipped": question.skipped} if question.skipped else next(numbers))}
            for index, question in enumerate(questions)]
    scores = {}
    if counts["items"]:
        scores = {key: mean_score(values, "share of items") for key, values in correct.items()}
        cut = [_is_cut(question, context_length) for question in questions if not question.skipped]
        scores["share_cut"] = mean_score(cut, "share of items")
    if counts["cut"]:
        notes.append(f"{name}: {counts['cut']} of {counts['items']} items are longer than the context of "
                     f"{context_length} tokens and lost their beginning")
    if counts["skipped"]:
        reason = next(question.skipped for question in questions if question.skipped)
        notes.append(f"{name}: {counts['skipped']} of {len(questions)} items were skipped, the first because {reason}")
    if counts.get("same_options"):
        notes.append(f"{name}: {counts['same_options']} items have options that are the same; they tie, and the first "
                     "is picked")
    if counts.get("empty_options"):
        notes.append(f"{name}: {counts['empty_options']} items have an option that adds no token; for "
                     "per_own_token it is picked where it stands first and nowhere else")
    return TaskResult(name, scores, counts, notes, items=rows, is_evidence=not settings.limit)


def _is_cut(question: Question, context_length: int) -> bool:
    return any(one.num_cut or (one.request is not None and num_cut(one.request, context_length))
               for one in question.options)


def _same_options(question: Question) -> bool:
    seen = {
        (one.text, *((bytes(np.concatenate([one.request.context, one.request.continuation])),) if one.request else ()))
        for one in question.options
    }
    return len(seen) < len(question.options)
