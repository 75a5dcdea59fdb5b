"""scaling: laws of the loss over sizes and data, what an arm is worth in compute, and plans."""

import math
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from losslab.cli.application import app
from losslab.cli.flags import Json, Whole
from losslab.cli.speech import Ticker, command_line, show, tell
from losslab.config.numbers import check, shown, whole

scaling_app = App(name="scaling", help="Fit scaling laws, compare arms in compute, plan runs.", sort_key=5)
app.command(scaling_app)

MOST_RESAMPLES = 100_000


@scaling_app.command(name="fit")
def scaling_fit(
    table: Path, *, form: Literal["law", "params", "tokens", "compute", "isoflop", "other", "repeated"] = "law",
    columns: str | None = None, arms: str | None = None, baseline: str | None = None,
    drop_highest: Annotated[int, Parameter(negative="")] = 0, budgets: str | None = None,
    extrapolate: Annotated[bool, Parameter(negative="")] = False, resamples: Whole = 1000, base: str | None = None,
    floor: float | None = None, out: Path | None = None, json: Json = False,
):
    """Fit a scaling law to a table of runs, or to the runs of a study.

    Parameters
    ----------
    table
        A CSV file with a row for each run and the columns num_params, num_tokens and nll; or the folder of a study,
        whose losses are its arms.
    form
        law: E + A/N^alpha + B/D^beta. params, tokens, compute: E + K/x^p of one of them. isoflop: a parabola at each
        compute. other: nll by another loss of the same run, the column other_nll. repeated: tokens that repeat, with
        the column unique_tokens.
    columns
        What columns are called, such as num_params=N,num_tokens=D,nll=loss; flops=C in place of num_tokens.
    arms
        The column that names arms: a law for each, and compute multipliers, paired by a column seed where there is one.
    baseline
        The arm whose compute the others are measured in; cross_entropy if there is one, else the first.
    drop_highest
        Leave out this many runs of the highest nll, as outliers.
    budgets
        What to forecast at, such as 1e18,1e20: computes, or values of what the form is of. With form isoflop: the
        budgets. Not with form repeated.
    extrapolate
        Forecast more than a decade beyond the runs, too.
    resamples
        How often runs are drawn again for the intervals, at least 50; 0 for none.
    base
        With form repeated: the law without repetition, muennighoff or another name or file that plan takes; fitted to
        the runs that do not repeat unless given.
    floor
        With params, tokens, compute: 0 leaves out E. With other: the floor of the other loss.
    out
        Write an HTML page with charts here.
    """
    check_resamples(resamples)
    check("--drop-highest", drop_highest, 0, 5000, "as many as a table has")
    _check_flags(form, arms=arms, baseline=baseline, base=base, floor=floor, budgets=budgets,
                 extrapolate=extrapolate or None)
    asked = None if budgets is None else _budgets(budgets)
    from losslab.cli import scaling_runs

    runs = scaling_runs.read(table, columns, arms, form, tell)
    if baseline is not None and not runs.arms:
        raise ValueError("--baseline needs arms; name their column with --arms")
    runs = runs.without_highest(drop_highest) if drop_highest and form != "law" else runs
    _check_far(runs, form, asked, extrapolate)
    document = scaling_runs.fitted(
        runs, form, asked, baseline=baseline, drop_highest=drop_highest, extrapolate=extrapolate,
        resamples=int(resamples), base=base, floor=floor, progress=Ticker())
    document |= {"command": command_line(), "dropped_highest": int(drop_highest)}
    from losslab.report import scaling as report

    show(document, "" if json else report.text(document), json)
    if out is not None:
        tell(f"page: {report.write(document, out)}")


def check_resamples(resamples: int) -> None:
    """None, or enough of them that an end of an interval is no chance."""
    from losslab.scaling.intervals import FEWEST_RESAMPLES

    check("--resamples", resamples, 0, MOST_RESAMPLES, "more than an interval can use")
    if 0 < resamples < FEWEST_RESAMPLES:
        raise ValueError(f"--resamples is 0, for no intervals, or at least {FEWEST_RESAMPLES}, as with fewer the ends "
                         f"of an interval are a matter of chance; got {resamples}")


def _check_far(runs, form: str, budgets: list[float] | None, extrapolate: bool) -> None:
    """Sizes and numbers of tokens by their own names, before what follows takes them for computes."""
    from losslab.scaling.documents import refuse_far
    from losslab.scaling.powers import RESOURCES

    unit = {"params": "parameters", "tokens": "tokens"}.get(form)
    if unit and budgets:
        x = getattr(runs, RESOURCES[form])
        refuse_far(budgets, float(x.min()), float(x.max()), extrapolate, unit=unit)


def _check_flags(form: str, **flags) -> None:
    forecasts = ("law", "params", "tokens", "compute", "isoflop", "other")
    goes = {"arms": ("law",), "baseline": ("law",), "base": ("repeated",), "budgets": forecasts,
            "extrapolate": forecasts, "floor": ("params", "tokens", "compute", "other")}  # fmt: skip
    for name, value in flags.items():
        if value is not None and form == "repeated" and goes[name] is forecasts:
            raise ValueError(f"--{name} does not go with --form repeated, which fits R_D and R_N and forecasts nothing")
        if value is not None and form not in goes[name]:
            raise ValueError(f"--{name} goes with --form {' or '.join(goes[name])}, and the form is {form}")
    if flags["floor"] is not None:
        check("--floor", flags["floor"], 0.0, 100.0, "nats per token")
        if form != "other" and flags["floor"] != 0:
            raise ValueError(f"--floor takes 0 with --form {form}, which leaves out E; without it E is fitted")


def _budgets(text: str) -> list[float]:
    found = [_amount("--budgets", part) for part in text.split(",")]
    if len(found) > 50:
        raise ValueError(f"--budgets takes at most 50 numbers, got {len(found)}")
    return found


def _amount(flag: str, text: str) -> float:
    """`1e19`, `124M` or `0.5e9` as a number above 0."""
    value = math.nan
    for read in (float, whole):
        try:
            value = float(read(text))
            break
        except (ValueError, OverflowError):
            pass
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{flag} must be a number above 0, such as 1e19 or 124M, got {shown(text)}")
    return value


@scaling_app.command(name="plan")
def scaling_plan(
    *, flops: str | None = None, params: str | None = None, tokens: str | None = None, constants: str = "epoch",
    table: Annotated[bool, Parameter(negative="")] = False,
    extrapolate: Annotated[bool, Parameter(negative="")] = False, device: str | None = None, devices: Whole = 1,
    utilization: float = 0.4, peak: float | None = None, price: float | None = None, json: Json = False,
):
    """Say how a compute is best split between size and data, what loss to expect, and what it takes.

    Parameters
    ----------
    flops
        The compute, C = 6 N D, such as 1e19.
    params
        Or the parameters of a model, such as 124M: the compute for which that size is best.
    tokens
        Or the training tokens, such as 10B.
    constants
        The law: epoch (a refit to Chinchilla's points), chinchilla (as published), chinchilla-unrounded, or a file that
        `losslab scaling fit --json` wrote.
    table
        Print computes from a decade below to a decade above as rows.
    extrapolate
        Plan more than a decade beyond the runs of the law, too.
    device
        For time and money: v100, a10, a100, l4, l40s, h100, h100-pcie, h200 or tpu-v5e.
    devices
        How many.
    utilization
        The share of the peak that training reaches.
    peak
        In place of a device: FLOP/s of one.
    price
        Of one device for an hour, in your currency; no prices are known here.
    """
    from losslab.cli import scaling_runs
    from losslab.scaling import plan as plans

    law = plans.constants(constants)
    machine = plans.machine(device, devices=int(devices), utilization=utilization, peak=peak, price=price)
    amounts = {name: None if text is None else _amount(f"--{name}", text)
               for name, text in (("flops", flops), ("params", params), ("tokens", tokens))}
    found = plans.plan(law, flops=amounts["flops"], num_params=amounts["params"], num_tokens=amounts["tokens"],
                       on=machine, extrapolate=extrapolate)
    rows = plans.table(law, found.flops, on=machine, extrapolate=extrapolate) if table else []
    show(*scaling_runs.planned(found, rows, machine), json)
