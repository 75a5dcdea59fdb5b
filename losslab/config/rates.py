"""The lowest learning rate of a schedule as a ratio of its peak, and the setting that earlier versions had for it.

An earlier losslab had `train.min_learning_rate`, a rate. It is read as the ratio that gives the same rate to the last
bit, so that a schedule of that time is one that can be continued, and has the name that it had.
"""

import math
from collections.abc import Mapping

from losslab.config.numbers import shown

OLD, NEW = "min_learning_rate", "min_learning_rate_ratio"
ADVICE = (f"train.{OLD} is a ratio of the peak now: give --train.min-learning-rate-ratio, such as 0.1 for a tenth of "
          "train.learning_rate")
NEIGHBORS = 8  # floating-point numbers on either side that are tried: two roundings move a ratio by less


def lowest(peak: float, ratio: float) -> float:
    """The learning rate at the end of the cosine.

    A ratio that is one over a whole number divides the peak, as the presets of earlier versions did. Any other product
    is rounded to 15 digits, so that every rate that can be written in so many is reached from every peak.

    Example:
        >>> lowest(4e-3, 0.1), lowest(6e-4, 0.1) == 6e-4 / 10, lowest(1e-3, 0.25), lowest(1.0, 0.0)
        (0.0004, True, 0.00025, 0.0)
    """
    if ratio and (1 / ratio).is_integer():
        return peak / (1 / ratio)
    return float(f"{peak * ratio:.15g}")


def ratio(peak: float, rate: float) -> float:
    """The ratio whose lowest rate is `rate`, the shortest of several; the nearest one where none gives it exactly.

    Args:
        peak: the highest learning rate, from 0.
        rate: the lowest one, from 0 to `peak`.

    Raises:
        ValueError: for a rate above the peak, or what is no rate.

    Example:
        >>> ratio(4e-3, 4e-4), ratio(1e-2, 0.0), ratio(3e-4, 1.2e-4)
        (0.1, 0.0, 0.4)
    """
    if not (_is_rate(peak) and _is_rate(rate) and rate <= peak):
        raise ValueError(f"train.{OLD} (={shown(rate)}) must lie between 0 and train.learning_rate (={shown(peak)})")
    if not rate:
        return 0.0
    near = [rate / peak]
    for _ in range(NEIGHBORS):
        near = [math.nextafter(near[0], 0.0), *near, math.nextafter(near[-1], 2.0)]
    near += [float(f"{rate / peak:.{digits}g}") for digits in range(1, 16)]
    exact = [each for each in near if 0 < each <= 1 and lowest(peak, each) == rate]
    return min(exact, key=lambda each: (len(repr(each)), each)) if exact else min(1.0, rate / peak)


def converted(train: Mapping, peak: float | None = None) -> dict:
    """The settings of `train` with the rate of earlier versions as a ratio; as they are where they have none.

    Args:
        train: settings by name, in any spelling.
        peak: the learning rate where `train` has none.

    Raises:
        ValueError: for a rate that cannot be, or one given together with a ratio.
    """
    names = {str(key).replace("-", "_"): key for key in train}
    if OLD not in names:
        return dict(train)
    if NEW in names:
        raise ValueError(f"train.{OLD} and train.{NEW} both set the end of the schedule; give the ratio alone")
    rest = {key: value for key, value in train.items() if key != names[OLD]}
    return rest | {NEW: ratio(train.get(names.get("learning_rate"), peak), train[names[OLD]])}


def _is_rate(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
