"""The runs that `scaling fit` reads, the fit that was asked for, and a plan as a document and as text."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from losslab.cli.speech import wrapped
from losslab.progress import Progress, duration
from losslab.scaling import arms as many
from losslab.scaling import documents, isoflop, powers, repeated
from losslab.scaling import fit as fits
from losslab.scaling import plan as plans
from losslab.scaling import table as tables
from losslab.scaling.table import Runs
from losslab.tables import Column, Table, left

WANTED = {"other": ("other_nll",), "repeated": ("unique_tokens",)}


def read(path: Path, columns: str | None, arms: str | None, form: str, tell: Callable[[str], None]) -> Runs:
    """The runs of a table, or of a folder of runs.

    Raises:
        OSError: if the table cannot be opened.
        ValueError: for what is no table of runs, and flags that do not go with a folder.
    """
    names = tables.columns(columns)
    if not path.is_dir():
        if path.suffix.lower() == ".toml":
            raise ValueError(f"{path} is the file of a study; give the folder of its runs, such as runs/NAME")
        if arms is not None:
            return tables.read(path, names | {"arm": arms}, wanted=("arm",), welcome=("seed",))
        return tables.read(path, names, wanted=WANTED.get(form, ()))
    if columns or arms or form in WANTED:
        raise ValueError(f"{path} is a folder of runs, whose sizes, tokens and losses are known; --columns, --arms and "
                         f"--form {' or '.join(WANTED)} go with a table")
    return _of_runs(path, tell)


def _of_runs(folder: Path, tell: Callable[[str], None]) -> Runs:
    from losslab import records
    from losslab.comparison.measured import num_params

    found = records.find([folder])
    rows, lost, texts = [], 0, set()
    for run in found:
        size, tokens = num_params(run), run.result.get("tokens")
        if run.status != "finished" or not size or not tokens or "nll" not in run.scores:
            lost += 1
            continue
        texts.add((run.spec["corpus"].get("digest"), run.spec["corpus"].get("tokenizer")))
        rows.append({"num_params": size, "num_tokens": tokens, "nll": run.scores["nll"]["value"], "arm": run.loss,
                     "seed": run.seed})
    if lost:
        tell(f"note: {lost} of {len(found)} runs of {folder} have not finished, and are left out")
    several = len({row["arm"] for row in rows}) > 1
    read = tables.from_rows(rows, wanted=("arm", "seed") if several else (), source=str(folder))
    if len(texts) < 2:
        return read
    return replace(read, notes=(*read.notes, f"these runs have {len(texts)} corpora or tokenizers, and nll of unlike "
                                             "texts follows no common law"))


def fitted(
    runs: Runs, form: str, budgets: Sequence[float] | None, *, baseline: str | None, drop_highest: int,
    extrapolate: bool, resamples: int, base: str | None, floor: float | None, progress: Progress,
) -> dict:
    """The document of the fit that was asked for."""
    low, high = float(runs.flops.min()), float(runs.flops.max())
    if form in powers.RESOURCES:
        over = powers.RESOURCES[form]
        x = getattr(runs, over)
        documents.refuse_far(budgets or (), float(x.min()), float(x.max()), extrapolate)
        found = powers.power_law(runs, over, floor=floor is None, resamples=resamples, progress=progress)
        return documents.power_law(found, runs, form, budgets)
    if form == "other":
        count = min(resamples, powers.LOSS_RESAMPLES)
        found = powers.loss_to_loss(runs, x0=floor, resamples=count, progress=progress)
        documents.refuse_losses(found, budgets or (), extrapolate)
        return documents.power_law(found, runs, form, budgets)
    if form == "repeated":
        known = {repeated.MUENNIGHOFF.name: repeated.MUENNIGHOFF}
        law = None if base is None else known.get(base) or plans.constants(base)
        return documents.repeated(repeated.fit(runs, law, resamples=resamples, progress=progress))
    if form == "isoflop":
        return documents.isoflop(isoflop.fit(runs, budgets, resamples=resamples))
    documents.refuse_far(budgets or (), low, high, extrapolate)
    if runs.arms:
        if drop_highest:
            raise ValueError("--drop-highest takes runs from all arms alike, and so not the same rungs of each; take "
                             "outliers out of the table where there are arms")
        return many.fit(runs, baseline, budgets=budgets, extrapolate=extrapolate, resamples=resamples,
                        progress=progress)
    return documents.law(fits.fit(runs, drop_highest=drop_highest, resamples=resamples, progress=progress), budgets)


# --- plans ---------------------------------------------------------------------------------------

def planned(found: plans.Plan, rows: Sequence[plans.Plan], machine: plans.Machine | None) -> tuple[dict, str]:
    """A plan as a document, and as text."""
    notes = plans.warnings(found)
    document = found.to_dict() | {
        "constants": found.constants.to_dict(), "machine": None if machine is None else asdict(machine),
        "warnings": notes}
    if rows:
        document["table"] = [row.to_dict() for row in rows]
    lines = [f"{found.num_params:,.0f} parameters and {found.num_tokens:,.0f} tokens, {found.ratio:.1f} a parameter, "
             f"for {found.flops:.4g} FLOP (C = 6 N D)",
             f"expected nll {found.nll:.4f} nats/token by {found.constants.name}: {found.constants.source}"]
    if machine is not None:
        cost = "" if found.cost is None else f", {found.cost:,.2f} at {machine.price:g} a device and hour"
        lines.append(f"{duration(found.seconds)} on {machine.devices:,} x {machine.name} at {machine.utilization:.0%} "
                     f"of {machine.peak:.4g} FLOP/s{cost} ({machine.source})")
    text = "\n".join(wrapped(line, "  ") for line in lines)
    if rows:
        text += f"\n\n{_rows(rows, machine).text(100, rule=True)}"
    return document, "\n".join([text, *(wrapped(f"note: {note}", "  ") for note in notes)])


def _rows(rows: Sequence[plans.Plan], machine: plans.Machine | None) -> Table:
    columns = [Column("FLOP"), Column("parameters"), Column("tokens"), Column("tokens/param"),
               Column("nll", "nats/token")]
    cells = [[f"{row.flops:.3g}", f"{row.num_params:.3g}", f"{row.num_tokens:.3g}", f"{row.ratio:.1f}",
              f"{row.nll:.4f}"] for row in rows]
    if machine is not None:
        columns.append(Column("time"))
        cells = [[*line, duration(row.seconds)] for line, row in zip(cells, rows, strict=True)]
        if machine.price is not None:
            columns.append(Column("cost"))
            cells = [[*line, f"{row.cost:,.2f}"] for line, row in zip(cells, rows, strict=True)]
    marks = {"": "", "outside": "outside the runs", "far": "far beyond the runs"}
    cells = [(*line, marks[row.extrapolated]) for line, row in zip(cells, rows, strict=True)]
    return Table((*columns, left("")), cells)
