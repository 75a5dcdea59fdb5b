"""What the numbers of one row say of each other: each rule gives checks, true or false, with the arithmetic.

A row has the numbers of one score alone: columns of one text (`Claim.rows`), or one phrase (`quantities.phrases`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from losslab.units import conversions, quantities
from losslab.units.claims import Claim
from losslab.units.conversions import LN2
from losslab.units.quantities import says
from losslab.units.reading import Number

ENDS = 0.01  # by which nats per token and bits per byte may differ, since end marks are tokens without bytes
MOST_BYTES_PER_TOKEN = 20  # on any text that a vocabulary was made for
OF_BYTES = (
    r"(?:byte|char(?:acter)?)(?:[- ]level)?[- ](?:perplexity|model|token)|(?:byte|char)[- ]level|"
    r"perplexity (?:per|a|of a|of each) byte|per[- ]byte|for bytes|byte's"
)
SPLITS = ("", "train", "val", "valid", "validation", "dev", "eval", "test")  # parts of the text that a model is of
FEW = 30  # so small an n may count seeds, not items


@dataclass(frozen=True)
class Check:
    ok: bool
    message: str


def figure(x: float) -> str:
    """A computed number, with as many digits as an argument needs."""
    if not 1e-4 <= abs(x) < 1e9:
        return f"{x:.3g}"
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.2f}" if abs(x) >= 1 else f"{x:.3g}"


def overlap(a_low: float, a_high: float, b_low: float, b_high: float) -> bool:
    return a_low <= b_high * (1 + 1e-9) and b_low <= a_high * (1 + 1e-9)


def _numbers(row: Claim, quantity: str) -> list[Number]:
    return [row.columns[quantity]] if quantity in row.columns else []


def possible(claim: Claim) -> Iterator[Check]:
    """Each number by itself: a loss is not negative, a perplexity at least 1, bits per byte at most 8."""
    about_change = says(claim, r"differ|improv|change|delta|gain|reduc")
    for loss in _numbers(claim, "loss"):
        if loss.high < 0 and not about_change:
            yield Check(False, f"a loss of {loss.text} nats/token is below 0, and -ln p of a token cannot be")
    for ppl in _numbers(claim, "perplexity"):
        if ppl.high < 1:
            yield Check(False, f"a perplexity of {ppl.text} is below 1, which is certainty")
    for bpb in _numbers(claim, "bits_per_byte"):
        if bpb.low > 8 and not quantities.is_untrained(claim):
            yield Check(False, f"{bpb.text} bits per byte are above 8: storing the text as it is takes 8")
        elif bpb.high < 0 and not about_change:
            yield Check(False, f"{bpb.text} bits per byte are below 0, and a code has no negative length")
    stderr = claim.columns.get("stderr")
    if stderr is not None and stderr.value < 0:
        yield Check(False, f"a standard error of {stderr.text} is below 0")


def exponential(claim: Claim) -> Iterator[Check]:
    """Perplexity is exp(loss), both per token."""
    if says(claim, r"(?:word|byte|character)(?:[- ]level)?[- ]perplexity|perplexity (?:per|a) (?:word|byte|char)"):
        return
    for loss, ppl in zip(_numbers(claim, "loss"), _numbers(claim, "perplexity"), strict=False):
        said = f"exp({loss.text}) = {figure(conversions.perplexity(loss.value))}"
        if _is_exp(loss, ppl, claim):
            yield Check(True, f"{said}, and the perplexity is {ppl.text}")
            continue
        hint = f"; {ppl.text} is a loss of {figure(math.log(ppl.value))}" if ppl.value > 0 else ""
        base = f" (2^{loss.text} = {figure(2**loss.value)} is of the wrong base)" if loss.value < 100 else ""
        yield Check(False, f"{said}, not a perplexity of {ppl.text}{base}{hint}")


def _is_exp(loss: Number, ppl: Number, claim: Claim) -> bool:
    scales = (1.0, LN2) if says(claim, r"\bbits\b") else (1.0,)  # a loss in bits per token is not a mistake
    return any(overlap(*(conversions.perplexity(x * scale) for x in (loss.low, loss.high)), ppl.low, ppl.high)
               for scale in scales)


def per_byte(claim: Claim) -> Iterator[Check]:
    """Loss, perplexity, bits per byte, tokens and bytes: `loss * tokens = bits_per_byte * bytes * ln 2`."""
    bpbs, losses = _numbers(claim, "bits_per_byte"), _numbers(claim, "loss")
    perplexities = _numbers(claim, "perplexity")
    if not bpbs or not bpbs[0].value > 0:
        return
    bpb, of_bytes = bpbs[0], says(claim, OF_BYTES)
    tokens, num_bytes = claim.columns.get("tokens"), claim.columns.get("bytes")
    if perplexities and not losses and not of_bytes:
        yield from _as_power_of_bpb(claim, bpb, perplexities[0])
    if losses and losses[0].low > 0:
        nll, said = losses[0], losses[0].text
        low, middle, high = nll.low, nll.value, nll.high
    elif perplexities and perplexities[0].low > 1 and not of_bytes:
        ppl, said = perplexities[0], f"ln {perplexities[0].text}"
        low, middle, high = math.log(ppl.low), math.log(ppl.value), math.log(ppl.high)
    else:
        return
    if tokens and num_bytes:
        ratio = num_bytes.value / tokens.value
        expected = bpb.value * LN2 * ratio
        fits = overlap(low * (1 - ENDS), high * (1 + ENDS), bpb.low * LN2 * ratio, bpb.high * LN2 * ratio)
        yield Check(fits, f"{bpb.text} bits per byte * {figure(num_bytes.value)} bytes * ln 2 / "
                          f"{figure(tokens.value)} tokens = {figure(expected)} nats/token, "
                          + (f"and {said}" if fits else f"not {said} (= {figure(middle)})"))
        return
    implied = middle / (bpb.value * LN2)
    said = f"{said} nats/token / ({bpb.text} bits per byte * ln 2) = {figure(implied)} bytes a token"
    if high * (1 + ENDS) < bpb.low * LN2:
        yield Check(False, f"{said}, and a token has at least one")
    elif implied > MOST_BYTES_PER_TOKEN:
        yield Check(False, f"{said}, more than any vocabulary has")
    elif losses:
        yield Check(True, said)


def _as_power_of_bpb(claim: Claim, bpb: Number, ppl: Number) -> Iterator[Check]:
    tokens, num_bytes = claim.columns.get("tokens"), claim.columns.get("bytes")
    vocab_size = claim.columns.get("vocab_size")
    if tokens and num_bytes or vocab_size and vocab_size.value <= 300:
        return  # counted elsewhere, or a token is a byte
    low, high = conversions.byte_perplexity(bpb.low), conversions.byte_perplexity(bpb.high)
    if overlap(low, high, ppl.low, ppl.high):
        per_token = conversions.byte_perplexity(bpb.value * 4.39)
        per_byte = conversions.byte_perplexity(bpb.value)
        yield Check(False, f"2^{bpb.text} = {figure(per_byte)} is the perplexity per byte; per token it is "
                           f"2^(bits per byte * bytes per token), {figure(per_token)} at 4.39 bytes a token")


def counts(claim: Claim) -> Iterator[Check]:
    """A token that is not an end mark has at least one byte."""
    tokens, num_bytes = claim.columns.get("tokens"), claim.columns.get("bytes")
    if tokens and num_bytes and tokens.low > 1.1 * num_bytes.high:
        yield Check(False, f"{figure(tokens.value)} tokens of {figure(num_bytes.value)} bytes are "
                           f"{figure(num_bytes.value / tokens.value)} bytes a token, and a token has at least one")


def below_uniform(claim: Claim) -> Iterator[Check]:
    """A trained model is not worse than the uniform one, whose loss is ln V."""
    sizes = _numbers(claim, "vocab_size")
    if not sizes or sizes[0].value < 2 or claim.scope not in SPLITS:  # a perplexity of another text may be of words
        return
    size, uniform = sizes[0], math.log(sizes[0].value)
    rows = [(loss.low if "." in loss.text else loss.value, f"a loss of {loss.text}")
            for loss in _numbers(claim, "loss")]
    rows += [(math.log(ppl.low), f"ln {ppl.text} = {figure(math.log(ppl.value))}")
             for ppl in _numbers(claim, "perplexity") if ppl.low > 0]
    for low, said in rows:
        base = f"ln {size.value:.0f} = {figure(uniform)}"
        if low <= uniform:
            yield Check(True, f"{said} is not above {base}")
        elif not quantities.is_untrained(claim):
            yield Check(False, f"{said} nats/token is above {base}, the loss of a model that knows nothing")
