"""Arms that cost the same: horizons in proportion to what an update of each takes.

Equal tokens are equal steps of the same batches. At equal time, or equal flops, an arm that costs more per update is
trained for fewer of them. A learning curve that is cut, or read off in between, is no answer to that: its learning rate
has not come down. So each arm gets a schedule of its own that ends where the baseline's cost is used up. What an update
costs is found out once, before anything is trained, and the horizons are written into the arms.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from losslab import records
from losslab.comparison import Comparison
from losslab.config import ExperimentConfig, digest, to_dict
from losslab.experiment import Experiment, timing
from losslab.running import Tell
from losslab.study.definition import MATCHES

NAME = "costs.json"  # of an update of each arm, in the folder of the study
ROUNDS = 3  # timings of every arm, in turns; the fastest update counts, since what other programs take only ever adds
UNSURE = 0.05  # the fastest two timings of an arm should agree to this
SAME = 0.02  # costs nearer than this are one cost: a timing of a few updates knows no more


def matched(
    arms: Sequence[ExperimentConfig], by: str, costs: Sequence[float], *, baseline: int = 0,
) -> list[ExperimentConfig]:
    """The arms with horizons at which each costs what the baseline costs.

    Args:
        arms: one configuration for each.
        by: `tokens` leaves the arms as they are; `time` and `flops` change horizons.
        costs: of an update of each arm, in any unit; what `update_costs` returns.
        baseline: the number of the arm that keeps its horizon.

    Returns:
        The arms in their order. One whose update costs the same as the baseline's within 2 % gets the baseline's
        updates, which is no change where the horizons were the same; another has `train.num_steps` set.

    Raises:
        ValueError: for an unknown way of matching, costs that are none, or an arm for which the baseline's cost is not
            enough for one update.

    Example:
        >>> from losslab.config import preset
        >>> cheap, dear = matched([preset("tiny"), preset("tiny")], "time", [0.02, 0.03])
        >>> cheap.num_steps, dear.num_steps
        (976, 651)
    """
    check(by)
    if by == "tokens":
        return list(arms)
    if len(costs) != len(arms) or not all(0 < cost < float("inf") for cost in costs):
        raise ValueError(f"matching by {by} takes a cost above 0 for each of the {len(arms)} arms, got {list(costs)}")
    steps, own = arms[baseline].num_steps, costs[baseline]
    found = []
    for arm, cost in zip(arms, costs, strict=True):
        wanted = steps if abs(cost / own - 1) <= SAME else round(steps * own / cost)
        if wanted < 1:
            raise ValueError(f"an update of {arm.loss} costs more than the whole run of {arms[baseline].loss}; give "
                             "more tokens")
        found.append(arm if wanted == arm.num_steps else replace(arm, train=replace(
            arm.train, num_steps=wanted, num_tokens=0)))
    return found


def update_costs(
    arms: Sequence[ExperimentConfig], by: str, *, threads: int = 1, trusted: Collection[str] | None = None,
    tell: Tell = lambda text: None,
) -> list[float]:
    """What an update of each arm costs: in seconds, measured on this machine, or in flops, counted.

    Args:
        arms: one configuration for each.
        by: `time` or `flops`; with `tokens` every cost is 1.
        threads: CPU threads, as in the runs that will follow.
        trusted: hashes of loss files that may run besides those in the user's list; None if the user named the files.
        tell: takes a line for each arm.

    Raises:
        ValueError: for an unknown way of matching, or an arm that cannot be run.
    """
    check(by)
    if by == "tokens":
        return [1.0] * len(arms)
    made = [Experiment(arm, trusted=trusted, tell=tell) for arm in arms]
    if by == "flops":
        return [float(update_flops(one.config, one.corpus.tokenizer.vocab_size)) for one in made]
    timed: list[list[float]] = [[] for _ in made]
    for turn in range(ROUNDS):
        for i in range(len(made)) if turn % 2 == 0 else reversed(range(len(made))):
            timed[i].append(timing.measure([made[i]], threads=threads)[0]["fastest_seconds"])
    for one, each in zip(made, timed, strict=True):
        tell(f"{one.objective}: {1000 * min(each):.3g} ms an update")
    if (spread := max(sorted(each)[1] / min(each) for each in timed) - 1) > UNSURE:
        tell(f"two timings of one arm differ by {spread:.0%}, so that these times are no better known than that; "
             "arms are matched by time on a machine that does nothing else")
    return [min(each) for each in timed]


def kept(
    folder: str | Path, arms: Mapping[str, ExperimentConfig], by: str, measure: Callable[[], list[float]], *,
    baseline: str,
) -> list[float]:
    """The costs that this study measured when it began, or those that `measure` finds now, which are kept.

    A second timing would give other horizons, and so other runs. An arm that is new gets the cost that a timing now has
    as a multiple of the baseline's, and the others keep theirs.

    Raises:
        ValueError: for a file of costs that was changed.
    """
    path = Path(folder) / NAME
    asked = {name: digest(to_dict(replace(arm, seed=0))) for name, arm in arms.items()}
    try:
        found = records.files.read_sealed(path, 2)
        known = dict(zip(found["arms"].values(), found["costs"], strict=True)) if found.get("by") == by else {}
    except FileNotFoundError:
        known = {}
    if asked[baseline] not in known:
        known = {}
    if not known.keys() >= set(asked.values()):
        measured = dict(zip(asked.values(), measure(), strict=True))
        times = known[asked[baseline]] / measured[asked[baseline]] if known else 1.0
        known = {arm: known.get(arm, times * cost) for arm, cost in measured.items()}
        Path(folder).mkdir(parents=True, exist_ok=True)
        records.files.write_sealed(path, {"format": 2, "by": by, "arms": asked,
                                          "costs": [known[arm] for arm in asked.values()]})
    return [float(known[arm]) for arm in asked.values()]


def told(by: str, costs: Mapping[str, float], equal: Comparison, found: Comparison) -> dict:
    """What a document says of arms that were matched, in their order."""
    def scored(compared: Comparison, name: str) -> dict:
        arm = compared.arm(name)
        return {"tokens": arm.tokens, "nll": arm.scores.get(compared.measure), "status": arm.status}

    names = [arm.name for arm in found.arms]
    order = [name for name in (arm.name for arm in equal.arms) if name in names]
    return {"by": by, "arms": [{"name": name, "cost": costs[name] / costs[found.baseline],
                                "equal": scored(equal, name), "matched": scored(found, name)} for name in order]}


def update_flops(config: ExperimentConfig, vocab_size: int) -> int:
    """Floating-point operations of the matrix products of one update, forward and backward: `ModelConfig.token_flops`.

    Losses over the same model have the same flops, although their times differ; arms differ in flops where models or
    sequences do.
    """
    return config.num_tokens * config.model.token_flops(vocab_size, config.seq_len) // config.num_steps


def check(by: str) -> None:
    """Raise for a way of matching that is none."""
    if by not in MATCHES:
        raise ValueError(f"arms are matched by {', '.join(MATCHES[:-1])} or {MATCHES[-1]}, got {by!r}")
