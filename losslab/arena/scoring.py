"""The score of the published task, for comparison with its board.

Each metric becomes a number between 0 and 1: 0 at the worst baseline, 1/2 at the best one, 1 at a bound that nothing
passes, by a power of the share of the way from the worst baseline to the bound. Numbers of the metrics are averaged by
their geometric mean.
"""

import math

from losslab.arena.challenge import BENCHMARKS

BOUNDS = {"nll": 0.0, "bits_per_byte": 0.0, "bits_per_byte_with_eot": 0.0, "nll_calibrated": 0.0, "perplexity": 1.0,
          "word_perplexity": 1.0, **dict.fromkeys(BENCHMARKS, 1.0)}
LEAST = 0.01  # so that one metric of 0 does not make the mean 0


def bounded_power(value: float, worst: float, best: float, bound: float) -> float | None:
    """The published map of one metric; None where the baselines do not differ.

    Args:
        value: of an entry.
        worst: of the baselines, which gives 0.
        best: of the baselines, which gives 1/2.
        bound: which gives 1.

    Example:
        >>> bounded_power(2.3, 2.3377, 2.2701, 0.0) < 0.5 < bounded_power(2.2, 2.3377, 2.2701, 0.0)
        True
    """
    if worst == best or worst == bound:
        return None
    way, reference = (min(1.0, max(0.0, (worst - x) / (worst - bound))) for x in (value, best))
    if not 0 < reference < 1:
        return None
    return way ** (math.log(0.5) / math.log(reference)) if way else 0.0


def add_scores(rows: list[dict], challenge) -> None:
    """Add `published_score` to each row; None with fewer than two baselines."""
    baselines = [one for one in rows if one["kind"] == "baseline"]
    for one in rows:
        parts = []
        for name in challenge.hidden:
            known = [base["metrics"][name]["value"] for base in baselines if name in base["metrics"]]
            if name in one["metrics"] and len(known) > 1 and name in BOUNDS:
                worst, best = sorted(known, reverse=name not in BENCHMARKS)[:: len(known) - 1]
                parts.append(bounded_power(one["metrics"][name]["value"], worst, best, BOUNDS[name]))
        parts = [max(LEAST, part) for part in parts if part is not None]
        one["published_score"] = math.exp(sum(map(math.log, parts)) / len(parts)) if parts else None
