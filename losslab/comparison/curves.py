"""Learning curves of the seeds of one arm, and how far they run from those of the baseline."""

from collections.abc import Sequence

from losslab.records import Record

MOST_POINTS = 300  # a line on a page shows no more than this


def curve(runs: Sequence[Record], key: str = "tune/nll") -> dict:
    """Mean and range over seeds of `key` against tokens, and every seed's own line.

    The mean is taken over the runs that finished (over all of them when none did), at the tokens
    that each of them logged: a mean that loses a seed half-way would jump for no reason of the loss.
    """
    lines = {run.seed: dict(run.curve(key)) for run in runs}
    finished = [run.seed for run in runs if run.status == "finished"] or list(lines)
    return {
        "key": key,
        **_spread([lines[seed] for seed in finished if lines[seed]]),
        "seeds": [
            {"seed": seed, "tokens": _thin(list(line)), "values": _thin(list(line.values()))}
            for seed, line in lines.items()
            if line
        ],
    }


def gap(runs: Sequence[Record], baseline: Sequence[Record], key: str = "tune/nll") -> dict:
    """The same for the difference from the baseline, taken seed by seed."""
    theirs = {run.seed: dict(run.curve(key)) for run in baseline if run.status == "finished"}
    differences = []
    for run in runs:
        if run.status == "finished" and theirs.get(run.seed):
            line = theirs[run.seed]
            differences.append({tokens: v - line[tokens] for tokens, v in run.curve(key) if tokens in line})
    return {"key": key, **_spread([line for line in differences if line])}


def _spread(lines: Sequence[dict[int, float]]) -> dict:
    shared = sorted(set.intersection(*(set(line) for line in lines))) if lines else []
    shared = _thin(shared)
    values = [[line[tokens] for line in lines] for tokens in shared]
    return {
        "tokens": shared,
        "mean": [sum(v) / len(v) for v in values],
        "low": [min(v) for v in values],
        "high": [max(v) for v in values],
        "n": len(lines),
    }


def _thin(points: list) -> list:
    if len(points) <= MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[round(i * last / (MOST_POINTS - 1))] for i in range(MOST_POINTS)]
