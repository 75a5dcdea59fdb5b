"""Outcomes of a judge as scores: grades of each model, differences between them, win rates; errors over prompts."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from losslab.judge.grading import Outcome
from losslab.judge.protocols import Protocol, Scale
from losslab.judge.statistics import clustered, krippendorff, share_ends, t_ends
from losslab.stats import Score, mean_score
from losslab.stats.inference import holm, paired_p

AGREEMENT = "Krippendorff's alpha (squared differences) of repeated grades of the same text"


def of_model(outcomes: Sequence[Outcome], protocol: Protocol) -> dict:
    """The grades of one model: each a score with an interval, what failed, and how far repeated grades agree."""
    failures = Counter(outcome.failure for outcome in outcomes if outcome.grades is None)
    found = {
        "grades": {scale.name: _grade(outcomes, scale) for scale in protocol.scales},
        "failures": sum(failures.values()), "asked": len(outcomes), "failure_reasons": dict(failures.most_common()),
    }
    if any(outcome.task.repeat for outcome in outcomes):
        found["agreement"] = {"coefficient": AGREEMENT, "grades": {
            scale.name: krippendorff(list(_by_text(outcomes, scale).values())) for scale in protocol.scales}}
    return found


def difference(candidate: Sequence[Outcome], baseline: Sequence[Outcome], protocol: Protocol) -> dict:
    """Candidate - baseline of each grade, paired by prompt; `p_value` by Holm over the grades."""
    found, tested = {}, {}
    for scale in protocol.scales:
        means = [{prompt: math.fsum(values) / len(values) for prompt, values in _by_prompt(outcomes, scale).items()}
                 for outcomes in (candidate, baseline)]
        d = [means[0][prompt] - means[1][prompt] for prompt in means[0] if prompt in means[1]]
        score = mean_score(d, scale.unit) if d else Score(math.nan, None, 0, scale.unit)
        found[scale.name] = with_ends(score, t_ends(score)) | {"p_value": None}
        if score.stderr:
            tested[scale.name] = paired_p(d)
    for name, p_value in zip(tested, holm(list(tested.values())), strict=True):
        found[name]["p_value"] = p_value
    return found


def of_pairs(outcomes: Sequence[Outcome], names: tuple[str, str], texts: dict[tuple[str, int, int], str]) -> dict:
    """The win rate of the first of two models: a win counts only where both orders agree on it, else it is a tie.

    Args:
        outcomes: of pairs, each in both orders.
        names: the two models.
        texts: (model, prompt, number) -> what it wrote, for the part that length plays.
    """
    pairs: dict[tuple, dict[str, Outcome]] = defaultdict(dict)
    for outcome in outcomes:
        pairs[outcome.task.prompt, outcome.task.number, outcome.task.repeat][outcome.task.model[0]] = outcome
    points, lengths, flips, first, failures = defaultdict(list), [], [], [], Counter()
    for (prompt, number, _), both in pairs.items():
        if failed := [outcome.failure for outcome in both.values() if outcome.grades is None]:
            failures[failed[0]] += 1
            continue
        votes = [winner(both[names[0]], names[0]), winner(both[names[1]], names[0])]
        first += [outcome.grades["better"] == 1 for outcome in both.values() if outcome.grades["better"] != 3]
        flips.append(sorted(votes) == [0.0, 1.0])
        point = votes[0] if votes[0] == votes[1] else 0.5
        points[prompt].append(point)
        long, other = (len(texts[name, prompt, number]) for name in names)
        if point != 0.5 and long != other:
            lengths.append((point == 1) == (long > other))
    every = [point for group in points.values() for point in group]
    return rate(list(points.values()), names) | {
        "wins": every.count(1), "losses": every.count(0), "ties": every.count(0.5),
        "failures": sum(failures.values()), "asked": len(pairs), "failure_reasons": dict(failures.most_common()),
        "first_position_chosen": _share(first), "flipped_by_order": _share(flips), "longer_text_wins": _share(lengths),
    }


def rate(groups: Sequence[Sequence[float]], names: tuple[str, str]) -> dict:
    """The mean of points (1 a win of the first, 0.5 a tie) of each prompt, with its interval and a sentence."""
    score = clustered(groups, "win rate")
    ends = share_ends(score)
    found = with_ends(score, ends) | {"model": names[0], "against": names[1]}
    if ends is None:
        return found | {"verdict": "no verdict: it takes two prompts or more"}
    low, high = ends
    said = "better than" if low > 0.5 else "worse than" if high < 0.5 else "not shown to differ from"
    return found | {"verdict": f"{names[0]} is {said} {names[1]}: it wins {100 * score.value:.0f} % "
                               f"[{100 * low:.0f}, {100 * high:.0f}] of pairs, a tie counted half, {score.n} prompts"}


def winner(outcome: Outcome, name: str) -> float:
    """1 where the model `name` was called the better one, 0 where the other was, 0.5 where neither."""
    picked = outcome.grades["better"]
    return 0.5 if picked == 3 else float((outcome.task.model[0] == name) == (picked == 1))


def with_ends(score: Score, ends: tuple[float, float] | None) -> dict:
    """A score as JSON has it, with the 95 % interval."""
    found = score.to_dict() | dict(zip(("low", "high"), ends or (None, None), strict=True))
    return found | ({"value": None} if math.isnan(score.value) else {})


def _grade(outcomes: Sequence[Outcome], scale: Scale) -> dict:
    by_prompt = _by_prompt(outcomes, scale)
    score = clustered(list(by_prompt.values()), scale.unit)
    found = with_ends(score, t_ends(score)) | {
        "failures": sum(outcome.grades is None for outcome in outcomes),
        "num_grades": sum(outcome.grades is not None for outcome in outcomes),
    }
    if scale.letters:
        found["shares"] = _shares(outcomes, scale)
    return found


def _shares(outcomes: Sequence[Outcome], scale: Scale) -> dict[str, float]:
    given = [round(outcome.grades[scale.name]) for outcome in outcomes if outcome.grades is not None]
    return {letter: given.count(i) / len(given) for i, letter in enumerate(scale.letters, 1)} if given else {}


def _by_text(outcomes: Sequence[Outcome], scale: Scale) -> dict[tuple[int, int], list[float]]:
    """(prompt, number) -> the grades that the text got, one for each time that it was graded."""
    found = defaultdict(list)
    for outcome in outcomes:
        if outcome.grades is not None:
            found[outcome.task.prompt, outcome.task.number].append(outcome.grades[scale.name])
    return found


def _by_prompt(outcomes: Sequence[Outcome], scale: Scale) -> dict[int, list[float]]:
    """prompt -> one value for each of its texts: the mean of the grades that it got."""
    found = defaultdict(list)
    for (prompt, _), values in _by_text(outcomes, scale).items():
        found[prompt].append(math.fsum(values) / len(values))
    return found


def _share(values: Sequence[bool]) -> dict:
    return {"value": sum(values) / len(values) if values else None, "n": len(values)}
