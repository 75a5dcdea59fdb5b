"""The learning rate of each update."""

import math
from collections.abc import Callable

from losslab.config import TrainConfig, rates
from losslab.optim.groups import PEAK

# progress of the decay, from 0 to 1 -> share of the way from the lowest rate to the peak
DECAYS: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "linear": lambda progress: 1 - progress,
    "wsd": lambda progress: 1 - progress,
    "wsd_sqrt": lambda progress: 1 - math.sqrt(progress),  # Haegele et al. 2024, arXiv 2405.18392
}


def set_learning_rates(optimizer, step: int, num_steps: int, config: TrainConfig) -> None:
    """Give each group the learning rate of update `step`; one without its own peak has that of `config`."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, num_steps, config, group.get(PEAK))


def learning_rate(step: int, num_steps: int, config: TrainConfig, peak: float | None = None) -> float:
    """Learning rate of update `step` (from 0): linear warm-up, the peak, and a decay to the minimum.

    Args:
        step: from 0.
        num_steps: of the whole run.
        config: gives the schedule, its warm-up, and the minimum as a share of the configuration's peak.
        peak: to scale, `config.learning_rate` if None.

    Example:
        >>> config = TrainConfig(learning_rate=1.0, min_learning_rate_ratio=0.1, warmup_steps=10)
        >>> [round(learning_rate(step, 1000, config), 4) for step in (0, 9, 10, 505, 1000)]
        [0.0909, 0.9091, 1.0, 0.55, 0.1]
        >>> learning_rate(1000, 1000, config, peak=20.0)
        2.0
        >>> config = TrainConfig(learning_rate=1.0, min_learning_rate_ratio=0.0, warmup_steps=10, schedule="wsd")
        >>> [round(learning_rate(step, 1000, config), 4) for step in (9, 10, 600, 800, 1000)]
        [0.9091, 1.0, 1.0, 0.5, 0.0]
    """
    if peak is None:
        peak = config.learning_rate
    lowest = rates.lowest(peak, config.min_learning_rate_ratio)
    warmup, start = config.phases(num_steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if step < start:
        return peak
    progress = (step - start) / max(1, num_steps - start)
    return lowest + DECAYS[config.schedule](min(1.0, progress)) * (peak - lowest)
