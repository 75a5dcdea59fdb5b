"""Power laws: what more compute, parameters or data do to the loss, and the sizes of least loss."""

import itertools
import math
from collections.abc import Iterator

from losslab.units.checks import Check, fits, likely
from losslab.units.claims import Claim
from losslab.units.numbers import Number, figure, overlap

KAPLAN = 0.050  # exponent of compute; of parameters 0.076, of data 0.095 to 0.103 (arXiv 2001.08361)
STEEPEST = {"loss_ratio": 0.15, "reducible_loss_ratio": 0.4}  # no published law of language is steeper
RESOURCES = {"compute_ratio": "compute", "parameter_ratio": "parameters", "data_ratio": "data"}
FLOPS = (1e18, 5.76e23)  # between which a ratio of tokens to parameters is looked for where the row names no compute
ROUNDING = 0.05  # of tokens per parameter


def power_law(row: Claim) -> Iterator[Check]:
    """Under `L ~ C^-a`, F times the compute leaves `F^-a` of the loss."""
    resources = [name for name in RESOURCES if name in row.columns]
    if len(resources) != 1 or not row.columns[resources[0]].low > 0 or row.columns[resources[0]].value == 1:
        return  # of two at once one law says nothing
    factor, exponent = row.columns[resources[0]], row.columns.get("exponent")
    for name in STEEPEST:
        left = row.columns.get(name)
        if left is None or not left.value > 0:
            continue
        if exponent is not None and exponent.value:
            yield _against(exponent, factor, left, name)
        elif resources[0] != "data_ratio" and (factor.value > 1) == (left.value < 1):  # early the loss halves with data
            yield _steepness(factor, left, name)


def _against(exponent: Number, factor: Number, left: Number, name: str) -> Check:
    a = [abs(x) for x in (exponent.low, exponent.value, exponent.high)]
    ends = [_power(f, -x) for f, x in itertools.product((factor.low, factor.high), (a[0], a[2]))]
    expected, of = _power(factor.value, -a[1]), "the reducible loss" if name.startswith("red") else "the loss"
    power = f"{factor.value:.12g}^-{a[1]:g}"
    start = f"{factor.value:,.12g} times at exponent {a[1]:g} leave {power} = {figure(expected)} of {of}"
    if overlap((min(ends), max(ends)), (left.low, left.high)):
        return fits(True, start)
    needed = _power(left.value, -1 / a[1])
    return fits(False, f"{start}, not {figure(left.value)}, which takes {left.value:.3g}^(-1/{a[1]:g}) = "
                       f"{figure(needed)} times")


def _power(base: float, exponent: float) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def _steepness(factor: Number, left: Number, name: str) -> Check:
    implied = -math.log(left.value) / math.log(factor.value)
    start = f"an exponent of -ln {left.value:.3g} / ln {factor.value:.12g} = {figure(implied)}"
    if implied <= STEEPEST[name]:
        return likely(True, f"this is {start}")
    usual = f"{factor.value:,.12g} times leave {figure(_power(factor.value, -KAPLAN))}"
    return likely(False, f"this would be {start}, steeper than any published law of language (at most "
                         f"{STEEPEST[name]:g}; the loss by compute about {KAPLAN:.2f}, where {usual})")


def least_loss(row: Claim) -> Iterator[Check]:
    """Tokens per parameter of least loss follow from the constants of a law `A/N^alpha + B/D^beta`."""
    constants = [row.columns.get(name) for name in ("law_a", "law_b", "law_alpha", "law_beta")]
    ratio = row.columns.get("tokens_per_parameter")
    if ratio is None or any(one is None or not one.value > 0 for one in constants):
        return
    flops = (row.columns["flops"].value,) * 2 if "flops" in row.columns else FLOPS
    if not flops[0] > 0:
        return
    try:
        found = [tokens_per_parameter(c, tuple(one.value for one in constants)) for c in flops]
    except (OverflowError, ZeroDivisionError):
        return
    places = " and ".join(f"{figure(x)} at {c:g} FLOPs" for x, c in dict(zip(found, flops, strict=True)).items())
    start = f"{', '.join(one.text for one in constants)} give tokens per parameter of {places}"
    low, high = min(found) * (1 - ROUNDING), max(found) * (1 + ROUNDING)
    is_so = overlap((low, high), (ratio.low, ratio.high))
    yield fits(is_so, start if is_so else f"{start}, not {ratio.text}")


def tokens_per_parameter(flops: float, constants: tuple[float, float, float, float]) -> float:
    """D/N at the optimum of `A/N^alpha + B/D^beta` under `flops = 6 N D`.

    Args:
        constants: A, B, alpha, beta.

    Example:
        >>> round(tokens_per_parameter(5.76e23, (406.4, 410.7, 0.34, 0.28)), 1)
        92.6
    """
    a, b, alpha, beta = constants
    g = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    params = g * (flops / 6) ** (beta / (alpha + beta))
    return flops / 6 / params**2
