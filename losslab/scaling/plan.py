"""Plans: how a compute is best split, what loss to expect, and the time, money and memory that it takes."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from losslab.config.numbers import check, shown
from losslab.scaling.devices import DEVICES as DEVICES
from losslab.scaling.devices import UTILIZATION as UTILIZATION
from losslab.scaling.devices import Machine
from losslab.scaling.devices import machine as machine
from losslab.scaling.law import FLOPS_PER_PARAMETER, NAMED, Constants, Law
from losslab.scaling.worth import DECADE, beyond
from losslab.untrusted import read_object
from losslab.words import nearest

DEFAULT = "epoch"
STEPS_PER_DECADE = 2
FLOPS = (1e6, 1e32)
LEAST, MOST = 1e-3, 1e30  # parameters or tokens of an optimum


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
        machine: the devices; None without one.
    """

    flops: float
    num_params: float
    num_tokens: float
    nll: float
    constants: Constants
    extrapolated: str
    seconds: float | None = None
    cost: float | None = None
    machine: Machine | None = None

    @property
    def ratio(self) -> float:
        """Tokens per parameter."""
        return self.num_tokens / self.num_params

    def to_dict(self) -> dict:
        return {"flops": self.flops, "num_params": round(self.num_params), "num_tokens": round(self.num_tokens),
                "ratio": self.ratio, "nll": self.nll, "extrapolated": self.extrapolated,
                "seconds": self.seconds, "cost": self.cost}


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
                None if on is None else on.seconds(flops), None if on is None else on.cost(flops), on)


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
    if found.machine is not None:
        said += found.machine.too_small(found.num_params)
    return said


def _decades(flops: float, low: float, high: float) -> float:
    return math.log10(flops / high) if flops > high else math.log10(low / flops)
