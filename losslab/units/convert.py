"""One score in every unit that can be derived from it, each with its arithmetic."""

import math
import re
from dataclasses import dataclass

from losslab.units import conversions
from losslab.units.conversions import LN2

# what a score can be counted over, and how many of the next one each of them has
CHAIN = ("word", "token", "byte", "character")
RATIOS = ("tokens_per_word", "bytes_per_token", "characters_per_byte")
# what a ratio can be, and why; the others only have to be above 0 and finite (an end mark is a token without bytes)
RANGES = {"characters_per_byte": (0.25, 1.0, "a character has 1 to 4 bytes in UTF-8")}


@dataclass(frozen=True)
class Unit:
    """A score over one link of the chain: its nats, its bits, or a power of them."""

    name: str
    per: str
    kind: str  # nats, bits, power (exp of nats) or ratio (8 bits over bits)

    @property
    def key(self) -> str:
        return self.name.replace("/", "_per_").replace(" ", "_")


UNITS = {unit.key: unit for unit in (
    Unit("nats/token", "token", "nats"),
    Unit("bits/token", "token", "bits"),
    Unit("perplexity", "token", "power"),
    Unit("bits/byte", "byte", "bits"),
    Unit("bits/character", "character", "bits"),
    Unit("byte perplexity", "byte", "power"),
    Unit("word perplexity", "word", "power"),
    Unit("compression ratio", "byte", "ratio"),
)}  # fmt: skip
SHORT = {
    "nat": "nats_per_token", "nats": "nats_per_token", "nll": "nats_per_token", "loss": "nats_per_token",
    "cross_entropy": "nats_per_token", "bit": "bits_per_token", "bits": "bits_per_token", "bpt": "bits_per_token",
    "ppl": "perplexity", "pplx": "perplexity", "token_perplexity": "perplexity", "perplexity_per_token": "perplexity",
    "bpb": "bits_per_byte", "bpc": "bits_per_character", "byte_ppl": "byte_perplexity",
    "perplexity_per_byte": "byte_perplexity", "word_ppl": "word_perplexity", "wppl": "word_perplexity",
    "perplexity_per_word": "word_perplexity", "ratio": "compression_ratio", "compression": "compression_ratio",
    "compression_factor": "compression_ratio",
}  # fmt: skip


def unit(text: str) -> Unit:
    """The unit that `text` spells, as `nats`, `bits per byte`, `bpb` or `PPL`.

    Raises:
        ValueError: if it spells none.
    """
    key = re.sub(r"[\s_/-]+", "_", text.strip().lower())
    key = re.sub(r"_char\b|_chr\b|_characters\b", "_character", key)
    key = re.sub(r"_tok\b|_tokens\b", "_token", re.sub(r"_bytes\b", "_byte", key))
    key = re.sub(r"^(nat|bit)(?=_)", r"\1s", key)
    key = re.sub(r"^(nats|bits)_(?=token|byte|char)", r"\1_per_", key)
    key = SHORT.get(key, key)
    if key not in UNITS:
        names = ", ".join(known.name for known in UNITS.values())
        raise ValueError(f"unknown unit {text!r}; the units are {names}")
    return UNITS[key]


@dataclass(frozen=True)
class Length:
    """A code length over one link of the chain, and how it was reached."""

    value: float
    arithmetic: str
    is_bits: bool

    def times(self, ratio: float) -> "Length":
        return Length(self.value * ratio, f"{self.arithmetic} * {ratio:g}", self.is_bits)

    def over(self, ratio: float) -> "Length":
        return Length(self.value / ratio, f"{self.arithmetic} / {ratio:g}", self.is_bits)

    def as_bits(self) -> "Length":
        return self if self.is_bits else Length(self.value / LN2, f"{self.arithmetic} / ln 2", True)

    def as_nats(self) -> "Length":
        return Length(self.value * LN2, f"{self.arithmetic} * ln 2", False) if self.is_bits else self


@dataclass(frozen=True)
class Converted:
    """One unit's value and arithmetic, or the ratios without which it cannot be had."""

    unit: Unit
    value: float | None
    arithmetic: str
    missing: tuple[str, ...] = ()


def convert(value: float, source: Unit, **ratios: float | None) -> list[Converted]:
    """`value` in every unit.

    The nats of a word are those of its tokens, of a token those of its bytes, of a byte those of its characters:

    $$\\text{nats/word} = \\text{nats/token} \\cdot \\frac{\\text{tokens}}{\\text{word}}, \\qquad
      \\text{nats/token} = \\text{nats/byte} \\cdot \\frac{\\text{bytes}}{\\text{token}}, \\qquad
      \\text{nats/byte} = \\text{nats/character} \\cdot \\frac{\\text{characters}}{\\text{byte}}.$$

    Args:
        value: the score, in `source`.
        ratios: `tokens_per_word`, `bytes_per_token`, `characters_per_byte` of the text that was scored; None where
            unknown.

    Raises:
        ValueError: for a value or a ratio that cannot be.

    Example:
        >>> for line in convert(1.83, unit("nats"), bytes_per_token=4.39)[:4]:
        ...     print(f"{line.unit.name}: {line.arithmetic} = {line.value:.4f}")
        nats/token: 1.83 = 1.8300
        bits/token: 1.83 / ln 2 = 2.6401
        perplexity: exp(1.83) = 6.2339
        bits/byte: 1.83 / 4.39 / ln 2 = 0.6014
    """
    for name, ratio in ratios.items():
        if ratio is not None and not 0 < ratio < math.inf:
            raise ValueError(f"{name} must be above 0 and finite, got {ratio:g}")
        if ratio is not None and name in RANGES:
            least, most, why = RANGES[name]
            if not least <= ratio <= most:
                raise ValueError(f"{name} must be from {least:g} to {most:g}, got {ratio:g}; {why}")
    start = code_length(value, source)
    same = Converted(source, value, f"{value:g}")
    return [same if target == source else _one(start, source, target, ratios) for target in UNITS.values()]


def code_length(value: float, source: Unit, said: str = "") -> Length:
    """The nats or bits that a score stands for, over what it is counted per; `said` is how the value was written.

    Raises:
        ValueError: for a value that the unit cannot have.
    """
    least, said = 1 if source.kind == "power" else 0, said or f"{value:g}"
    if not least <= value < math.inf or (source.kind == "ratio" and value == 0):
        bound = "above 0" if source.kind == "ratio" else f"at least {least}, which is certainty, and finite"
        raise ValueError(f"{source.name} must be {bound}, got {value:g}")
    match source.kind:
        case "nats" | "bits":
            return Length(value, said, source.kind == "bits")
        case "ratio":
            return Length(8 / value, f"8 / {said}", True)
    if source.per == "byte":
        return Length(math.log2(value), f"log2 {said}", True)
    return Length(math.log(value), f"ln {said}", False)


def in_unit(length: Length, target: Unit) -> Converted:
    """A code length over what `target` is counted per, in that unit."""
    bits, nats = length.as_bits(), length.as_nats()
    match target.kind:
        case "nats":
            return Converted(target, nats.value, nats.arithmetic)
        case "bits":
            return Converted(target, bits.value, bits.arithmetic)
        case "ratio":
            return Converted(target, 8 / bits.value if bits.value else math.inf, f"8 / ({bits.arithmetic})")
    said = f"2^({bits.arithmetic})" if length.is_bits else f"exp({nats.arithmetic})"
    return Converted(target, conversions.perplexity(nats.value), said)


def _one(length: Length, source: Unit, target: Unit, ratios: dict[str, float | None]) -> Converted:
    first, last = CHAIN.index(source.per), CHAIN.index(target.per)
    needed = RATIOS[min(first, last) : max(first, last)]
    missing = tuple(name for name in needed if ratios.get(name) is None)
    if missing:
        return Converted(target, None, "", missing)
    for name in needed if last > first else reversed(needed):
        length = length.over(ratios[name]) if last > first else length.times(ratios[name])
    return in_unit(length, target)
