"""What an arm would score in the time that the baseline took, by what its updates cost: an estimate, and no look.

An arm whose run takes 1.1 times as long as the baseline's would see a 1.1th of its tokens in that time, with a learning
rate that has come down by then. Its own learning curve says nothing of that, since its rate has not. So the nll is
taken to fall with the logarithm of the tokens as fast as the learning curve of the baseline does from an eighth of the
run to its half, where no schedule has brought the rate far down. `--match time` trains such runs instead.
"""

import math
from collections.abc import Sequence

from losslab.comparison import measured
from losslab.comparison.curves import curve
from losslab.records import Record

SAME = 0.02  # times nearer than this are one time, as in `study.match`
FIRST, LAST = 1 / 8, 1 / 2  # of the run, between which the curve is read
FEWEST = 3  # points of it


def relative_time(runs: Sequence[Record], baseline: Sequence[Record]) -> float | None:
    """Training time of a run of an arm as a multiple of the baseline's, both the median over finished seeds."""
    own, theirs = (measured.median([measured.cost(run, "train_seconds") for run in each if run.status == "finished"])
                   for each in (runs, baseline))
    return own / theirs if own and theirs else None


def fall(baseline: Sequence[Record]) -> float | None:
    """How much nll falls where tokens grow by a factor e, in nats/token, by least squares over the learning curve.

    None where the curve has fewer than three points in that part of the run, or does not fall.
    """
    found = curve(baseline)
    last = found["tokens"][-1] if found["tokens"] else 0
    points = [(math.log(tokens), nll) for tokens, nll in zip(found["tokens"], found["mean"], strict=True)
              if FIRST * last <= tokens <= LAST * last]
    if len(points) < FEWEST:
        return None
    x, y = (sum(each) / len(points) for each in zip(*points, strict=True))
    slope = sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
    return -slope if slope < 0 else None


def nll_at_equal_time(nll: float | None, time: float | None, per_e: float | None) -> float | None:
    """`nll` of an arm after the tokens that the baseline's time is enough for.

    Args:
        nll: at the tokens that it had, in nats/token.
        time: what `relative_time` gives.
        per_e: what `fall` gives.

    Returns:
        None where one of them is not known; `nll` as it is where the times are equal within 2 %.

    Example:
        >>> round(nll_at_equal_time(1.5, 1.1, 0.2), 4)  # 1.5 + 0.2 ln 1.1
        1.5191
    """
    if nll is None or time is None:
        return None
    if abs(time - 1) <= SAME:
        return nll
    return None if per_e is None else nll + per_e * math.log(time)
