"""Multipliers over rungs: a line of log m against log compute, and what it forecasts."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from losslab.scaling.exchange import LEAST_RUNGS, NO_FALL, change
from losslab.scaling.intervals import LEVEL
from losslab.scaling.law import Law
from losslab.scaling.worth import LARGEST, Worth, beyond, times

DRAWS = 4000
SOME = 200  # laws of the baseline that stand for what is not known of it


def trend(pairs: list[tuple], laws: Law, asked: Sequence[float], rng) -> list[Worth]:
    """Forecasts by log m = u + v log(C / C of the middle rung), fitted to the mean differences of the rungs.

    The rungs are the units: how far their means lie from the line is the error, be it seeds or a bent trend. There is
    none, `[]`, where the law does not fall at the rungs.
    """
    from scipy.special import stdtrit

    sizes, tokens, means = (np.array([pair[i] for pair in pairs]) for i in range(3))
    flops = 6 * sizes * tokens
    seeds = np.array([pair[5] for pair in pairs], dtype=float)
    center = np.log(flops).mean()
    x, free = np.log(flops) - center, len(pairs) - 2
    where = np.log(np.array(asked)) - center
    several = laws.at(np.concatenate([[0], rng.integers(1, len(laws.E), size=SOME)])) if len(laws.E) > 1 else laws
    drawn, best, most = [], None, math.log(LARGEST)
    for i in range(len(several.E)):
        line, covariance, sse = _line(several.at(i), sizes, tokens, means, x, seeds)
        if line is None and i == 0:
            return []
        if line is None:  # of a refit: by it the multiplier may be anything
            ends = np.where(np.arange(DRAWS // len(several.E)) % 2, 2 * most, -2 * most)
            drawn.append(np.tile(ends[:, None], len(where)))
            continue
        center_of = line[0] + line[1] * where
        spread = np.sqrt(sse / free * (covariance[0, 0] + 2 * where * covariance[0, 1] + where**2 * covariance[1, 1]))
        if i == 0:
            best = center_of
        if i or len(several.E) == 1:
            drawn.append(center_of + spread * stdtrit(free, rng.uniform(size=(DRAWS // len(several.E), 1))))
    every = np.concatenate(drawn)
    low, high = np.quantile(every, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    below, above = (every <= 0).mean(axis=0), (every >= 0).mean(axis=0)
    p_values = np.clip(2 * np.minimum(below, above), 1 / len(every), 1)
    found = []
    for i, compute in enumerate(asked):
        ends = [0.0 if end < -most else math.inf if end > most else math.exp(end) for end in (low[i], high[i])]
        value = math.exp(min(max(best[i], -most), most))
        found.append(Worth(float(compute), value, *ends, extrapolated=beyond(compute, flops.min(), flops.max()),
                           p=float(p_values[i])))
    return found


def _line(law: Law, sizes, tokens, means, x, seeds):
    """Gauss-Newton for u and v in change(law, exp(u + v x)) = mean difference, weighted by seeds."""
    line = np.zeros(2)
    design = np.column_stack([np.ones_like(x), x])
    for _ in range(50):
        log_m = np.clip(design @ line, -math.log(LARGEST), math.log(LARGEST))
        with np.errstate(over="ignore"):  # a steep power at little compute; what is not finite ends the search below
            slope = -(law.alpha / 2 * np.exp(law.log_A - law.alpha * (np.log(sizes) + log_m / 2))
                      + law.beta / 2 * np.exp(law.log_B - law.beta * (np.log(tokens) + log_m / 2)))
        if not np.isfinite(slope).all() or (np.abs(slope) < 1e-12).all():
            return None, None, None
        residual = means - change(law, sizes, tokens, log_m)
        jacobian = slope[:, None] * design
        normal = jacobian.T @ (seeds[:, None] * jacobian)
        if np.linalg.cond(normal) > 1e14:
            return None, None, None
        step = np.linalg.solve(normal, jacobian.T @ (seeds * residual))
        step *= min(1.0, 1.0 / max(1e-300, np.abs(step).max()))
        line = line + step
        if np.abs(step).max() < 1e-10:
            break
    return line, np.linalg.inv(normal), float((seeds * residual**2).sum())


def without_smallest(pairs: list[tuple], laws: Law, asked: Sequence[float], rng) -> tuple[list[Worth], str]:
    """The trend of the larger sizes alone; or none, and why."""
    smallest = min(pair[0] for pair in pairs)
    left = [pair for pair in pairs if pair[0] > smallest]
    unknown = "whether the forecast holds without the smallest size is not known"
    if len({pair[0] * pair[1] for pair in left}) < LEAST_RUNGS:
        return [], f"{unknown}: {len(left)} rungs would be left"
    if not (again := trend(left, laws, asked, rng)):
        return [], f"{unknown}: at the other sizes {NO_FALL}"
    return again, ""


def unsure(one: Worth, again: Worth) -> Worth:
    """The forecast `one`, with a reason to believe nothing where the one without the smallest size contradicts it.

    They contradict each other where each lies outside the other's interval. One alone is not enough: fewer rungs give a
    less certain forecast, which chance puts outside the narrower interval far more often than in 1 of 20 cases.
    """
    if one.low <= again.value <= one.high or again.low <= one.value <= again.high:
        return one
    return replace(one, reason=f"{times(one.value)} {one.interval} by all sizes and {times(again.value)} "
                               f"{again.interval} without the smallest, so the trend is not one line")
