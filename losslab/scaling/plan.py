"""Plans: how a compute is best split, what loss to expect, and the time and money that it takes."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from losslab.config.numbers import check, shown
from losslab.scaling.law import FLOPS_PER_PARAMETER, NAMED, Constants, Law
from losslab.scaling.worth import DECADE, beyond
from losslab.untrusted import read_object
from losslab.words import nearest

DEFAULT = "epoch"
UTILIZATION = 0.4  # of the peak; 0.32 to 0.4 are usual at 124M to 355M parameters, 0.5 to 0.6 where all is tuned
STEPS_PER_DECADE = 2
FLOPS = (1e6, 1e32)
LEAST, MOST = 1e-3, 1e30  # parameters or tokens of an optimum


@dataclass(frozen=True)
class Device:
    """A device's peak in dense matrix products of 16 bit, in FLOP per second, and who says so."""

    name: str
    peak: float
    source: str


_NVIDIA = "NVIDIA data sheet of the {}, {}; the dense figure, half of that with sparsity where only this is printed"
DEVICES = {one.name: one for one in (
    Device("v100", 125e12, _NVIDIA.format("V100 (SXM2, float16)", "2020")),
    Device("a10", 125e12, _NVIDIA.format("A10", "2021")),
    Device("a100", 312e12, _NVIDIA.format("A100 (40 or 80 GB)", "2021")),
    Device("l4", 121e12, _NVIDIA.format("L4", "2023")),
    Device("l40s", 362e12, _NVIDIA.format("L40S", "2023")),
    Device("h100", 989.4e12, _NVIDIA.format("H100 SXM", "2023")),
    Device("h100-pcie", 756e12, _NVIDIA.format("H100 PCIe", "2023")),
    Device("h200", 989.4e12, _NVIDIA.format("H200 SXM", "2024")),
    Device("tpu-v5e", 197e12, "Google Cloud TPU documentation, v5e, as of 2025"),
)}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A compute, split so that the expected loss is least.

    Args:
        flops: C = 6 N D.
        num_params, num_tokens: N and D.
        nll: what the law expects, in nats per token of its text and tokenizer.
        constants: the law.
        extrapolated: empty within its runs, `outside` up to a decade beyond, `far` further out.
        seconds: on the devices; None without one.
        cost: in the currency of the price; None without one.
    """

    flops: float
    num_params: float
    num_tokens: float
    nll: float
    constants: Constants
    extrapolated: str
    seconds: float | None = None
    cost: float | None = None

    @property
    def ratio(self) -> float:
        """Tokens per parameter."""
        return self.num_tokens / self.num_params

    def to_dict(self) -> dict:
        return {"flops": self.flops, "num_params": round(self.num_params), "num_tokens": round(self.num_tokens),
                "ratio": self.ratio, "nll": self.nll, "extrapolated": self.extrapolated,
                "seconds": self.seconds, "cost": self.cost}


@dataclass(frozen=True)
class Machine:
    """What a plan is to run on.

    Args:
        name: of the device, or `a device of 1e+14 FLOP/s`.
        peak: of one device, FLOP/s.
        devices: how many.
        utilization: the share of the peak that training reaches.
        price: of one device and hour; None where it is not known.
        source: who says the peak.
    """

    name: str
    peak: float
    devices: int = 1
    utilization: float = UTILIZATION
    price: float | None = None
    source: str = "given"

    def seconds(self, flops: float) -> float:
        return flops / (self.peak * self.devices * self.utilization)

    def cost(self, flops: float) -> float | None:
        return None if self.price is None else self.seconds(flops) / 3600 * self.devices * self.price


def machine(device: str | None, *, devices: int = 1, utilization: float = UTILIZATION, peak: float | None = None,
            price: float | None = None) -> Machine | None:  # fmt: skip
    """The devices of a plan, checked; None where none are named.

    Raises:
        ValueError: for an unknown device or a number out of range.
    """
    check("--devices", devices, 1, 10_000_000, "more than there are")
    check("--utilization", utilization, 1e-4, 1.0, "the peak itself")
    if price is not None:
        check("--price", price, 0.0, 1e6, "of a device and hour")
    if peak is not None:
        check("--peak", peak, 1e6, 1e18, "FLOP/s of one device")
        if device is not None:
            raise ValueError("--device and --peak both say how fast a device is; give one of them")
        return Machine(f"a device of {peak:g} FLOP/s", float(peak), devices, utilization, price)
    if device is None:
        if price is not None or devices != 1:
            raise ValueError("--price and --devices need to know the device; name one with --device, or give --peak")
        return None
    known = DEVICES.get(device.lower())
    if known is None:
        raise ValueError(f"no device {shown(device)} is known{nearest(device.lower(), DEVICES)}; known are "
                         f"{', '.join(DEVICES)}, and --peak takes FLOP/s of another one")
    return Machine(known.name, known.peak, devices, utilization, price, known.source)


def constants(name: str) -> Constants:
    """The law of a name, or of the JSON file of a fit.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for an unknown name, or a file that holds no law.

    Example:
        >>> constants("chinchilla").law.alpha
        0.34
    """
    if name in NAMED:
        return NAMED[name]
    path = Path(name)
    if path.suffix.lower() != ".json" and not path.exists():
        raise ValueError(f"no constants are called {shown(name)}{nearest(name, NAMED)}; known are {', '.join(NAMED)}, "
                         "and a file that `losslab scaling fit --json` wrote")
    return from_document(read_object(path, 2**26), str(path))


def from_document(document: dict, source: str) -> Constants:
    """The law in the JSON document of a fit; its constants may also be plain numbers.

    Raises:
        ValueError: where a constant is missing or no law can have it.
    """
    values = {}
    for name in ("E", "A", "B", "alpha", "beta"):
        value = document.get(name)
        value = value.get("value") if isinstance(value, dict) else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{source} has no number for {name}, got {shown(value)}; give a file that "
                             "`losslab scaling fit --json` wrote")
        if value < 0 or (value == 0 and name != "E"):
            raise ValueError(f"{source} has {name} {value:g}, and a law that has an optimum needs it above 0")
        values[name] = float(value)
    ends = [document.get(f"fitted_{end}_flops") for end in ("from", "to")]
    known = all(isinstance(end, int | float) and not isinstance(end, bool) and 0 < end < math.inf for end in ends)
    law = Law(values["E"], math.log(values["A"]), math.log(values["B"]), values["alpha"], values["beta"])
    return Constants(source, law, tuple(map(float, ends)) if known else (0.0, math.inf), f"the fit in {source}")


def plan(law: Constants, *, flops: float | None = None, num_params: float | None = None,
         num_tokens: float | None = None, on: Machine | None = None, extrapolate: bool = False) -> Plan:  # fmt: skip
    """The plan of a compute, or of the compute for which a size, or a number of tokens, is the best.

    Args:
        law: the constants.
        flops, num_params, num_tokens: one of them.
        on: the devices, for time and money.
        extrapolate: whether a compute may lie more than a decade beyond the runs of the law.

    Raises:
        ValueError: unless exactly one is given; for one out of range, or too far beyond the runs.

    Example:
        >>> found = plan(NAMED["epoch"], flops=1e19)
        >>> round(found.ratio, 1)
        24.2
    """
    given = {"--flops": flops, "--params": num_params, "--tokens": num_tokens}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise ValueError("a plan starts from one of --flops, --params and --tokens, got "
                         f"{' and '.join(named) or 'none'}")
    if flops is None:
        check(named[0], given[named[0]], 1, 1e18, "more than any model has" if num_params else "more than there are")
        with np.errstate(all="ignore"):
            flops = float(law.law.flops_for(num_params=num_params, num_tokens=num_tokens))
        if not FLOPS[0] <= flops <= FLOPS[1]:
            raise ValueError(f"{named[0]} {given[named[0]]:g} is the best of a compute of {flops:.3g} FLOP by these "
                             f"constants, and a plan takes {FLOPS[0]:g} to {FLOPS[1]:g}")
    check("--flops", float(flops), *FLOPS, "beyond all that is computed on Earth in a century")
    outside = beyond(flops, *law.flops)
    if outside == "far" and not extrapolate:
        raise ValueError(f"{flops:.3g} FLOP lie more than a decade beyond the runs of {law.name} ({law.flops[0]:.2g} "
                         f"to {law.flops[1]:.2g} FLOP); --extrapolate plans there all the same")
    with np.errstate(all="ignore"):
        best = law.law.optimum(flops)
    if not all(LEAST < amount < MOST for amount in best):
        raise ValueError(f"{law.name} has no optimum at {flops:.3g} FLOP that could be trained: its best size would be "
                         f"{best[0]:.3g} parameters; alpha or beta is near 0 in it")
    if num_params is not None:  # the number as it was given, without the rounding of the way there and back
        best = num_params, flops / (FLOPS_PER_PARAMETER * num_params)
    elif num_tokens is not None:
        best = flops / (FLOPS_PER_PARAMETER * num_tokens), num_tokens
    return Plan(float(flops), float(best[0]), float(best[1]), float(law.law.nll(*best)), law, outside,
                None if on is None else on.seconds(flops), None if on is None else on.cost(flops))


def table(law: Constants, around: float, *, on: Machine | None = None, extrapolate: bool = False) -> list[Plan]:
    """Plans from a decade below a compute to a decade above it; those too far beyond the runs are left out.

    Raises:
        ValueError: as `plan`, for the compute itself.
    """
    plan(law, flops=around, on=on, extrapolate=extrapolate)
    exponents = range(-STEPS_PER_DECADE, STEPS_PER_DECADE + 1)
    every = [around * 10 ** (i / STEPS_PER_DECADE) for i in exponents]
    return [plan(law, flops=flops, on=on, extrapolate=True) for flops in every
            if FLOPS[0] <= flops <= FLOPS[1] and (extrapolate or beyond(flops, *law.flops) != "far")]


def warnings(found: Plan) -> list[str]:
    """Sentences on what makes a plan doubtful."""
    low, high = found.constants.flops
    where = f"the runs of {found.constants.name}, which go from {low:.2g} to {high:.2g} FLOP"
    said = []
    if found.extrapolated == "outside":
        said.append(f"{found.flops:.3g} FLOP lie outside {where}")
    elif found.extrapolated == "far":
        said.append(f"{found.flops:.3g} FLOP lie {abs(_decades(found.flops, low, high)):.1f} decades beyond {where}: "
                    f"an extrapolation of more than {DECADE:g} times")
    if high == math.inf:
        said.append(f"{found.constants.name} does not say between which computes its runs lie")
    return said


def _decades(flops: float, low: float, high: float) -> float:
    return math.log10(flops / high) if flops > high else math.log10(low / flops)
