"""What an arm is worth at one compute, in numbers and in a sentence."""

from dataclasses import dataclass

LARGEST = 1e4  # multipliers are looked for up to this, and down to one over it
LOOSE = 2.0  # an interval that holds this and one over it says nothing
ERROR_RATE = 0.05  # over the arms that are compared with the baseline at one compute
DECADE = 10.0


@dataclass(frozen=True)
class Worth:
    """What an arm is worth at one compute.

    Args:
        flops: the compute.
        value: the multiplier; None where there is none to be told.
        low, high: its 95 % interval; None where it cannot be told, 0 and infinity where an end is beyond the law.
        reason: why nothing can be told; empty where something can.
        p: of no difference; None where there is no interval.
        p_holm: the same, adjusted for the arms that are compared at this compute.
        shown: of a rung that has a verdict, which counts looks: whether that shows a difference; else None.
        extrapolated: how it lies to the runs: empty for a rung, `outside` up to a decade beyond, `far` further out.
        num_params, num_tokens, seeds, difference: of a rung: its size, the pairs, and the mean difference in nats.
    """

    flops: float
    value: float | None
    low: float | None
    high: float | None
    reason: str = ""
    extrapolated: str = ""
    num_params: float | None = None
    num_tokens: float | None = None
    seeds: int = 0
    difference: float | None = None
    p: float | None = None
    p_holm: float | None = None
    shown: bool | None = None

    @property
    def verdict(self) -> str:
        """`worth more`, `worth less`, `no difference shown` or `cannot tell`."""
        if self.value is None or self.low is None or self.high is None or self.reason:
            return "cannot tell"
        if self.excludes_one:
            return "no difference shown" if self.may_be_chance else "worth more" if self.low > 1 else "worth less"
        return "cannot tell" if self.low < 1 / LOOSE and self.high > LOOSE else "no difference shown"

    @property
    def excludes_one(self) -> bool:
        """Whether the interval of this arm alone leaves out 1."""
        return self.low is not None and self.high is not None and (self.low > 1 or self.high < 1)

    @property
    def may_be_chance(self) -> bool:
        """Whether an arm may differ as much by chance: by the verdict of the rung, else by the adjusted p-value."""
        return self.p_holm is not None and self.p_holm >= ERROR_RATE if self.shown is None else not self.shown

    @property
    def sentence(self) -> str:
        """`worth 1.07 times the compute [1.02, 1.12] at 10^13 FLOP`."""
        at = f"at {power(self.flops)} FLOP{', extrapolated' if self.extrapolated else ''}"
        if self.verdict == "cannot tell":
            return f"cannot tell {at}: {self.reason or f'the interval {self.interval} is too wide'}"
        if self.verdict == "no difference shown":
            return f"no difference shown {at} ({times(self.value)} {self.interval}{self._although})"
        return f"worth {times(self.value)} times the compute {self.interval} {at}"

    @property
    def _although(self) -> str:
        """Why an interval that leaves out 1 shows nothing."""
        if not self.excludes_one or self.p_holm is None:
            return ""
        if self.shown is False and self.p_holm < ERROR_RATE:
            return f", p = {self.p_holm:.2g}, open by the verdict of the rung"
        return f", p = {self.p_holm:.2g}{' adjusted for the arms' if self.p_holm > self.p else ''}"

    @property
    def interval(self) -> str:
        return "–" if self.low is None else f"[{times(self.low)}, {times(self.high)}]"


def times(value: float) -> str:
    """A multiplier with what digits it deserves.

    Example:
        >>> times(1.0712), times(0.04), times(float('inf')), times(123.4)
        ('1.07', '0.040', 'more than 10,000', '123')
    """
    if value > LARGEST:
        return f"more than {LARGEST:,.0f}"
    if value <= 0:
        return f"less than 1/{LARGEST:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}".ljust(5, "0")


def power(flops: float) -> str:
    """A compute as a power of ten.

    Example:
        >>> power(1e13), power(3.2e13)
        ('10^13', '3.2e13')
    """
    digits, _, exponent = f"{flops:.1e}".partition("e")
    return f"10^{int(exponent)}" if digits == "1.0" else f"{digits.removesuffix('.0')}e{int(exponent)}"


def beyond(flops: float, lowest: float, highest: float) -> str:
    """How a compute lies to those of the runs: empty inside, `outside` within a decade of them, `far` beyond that."""
    near = 1 + 1e-9
    if lowest / near <= flops <= highest * near:
        return ""
    return "outside" if lowest / DECADE / near <= flops <= highest * DECADE * near else "far"
