"""The runs that `scaling fit` reads, the fit that was asked for, and a plan as a document and as text."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
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
LADDER, TABLE = "ladder.toml", "ladder.csv"  # which `losslab.ladder` keeps in its folder; importing it loads torch


@dataclass(frozen=True)
class OfFolder(Runs):
    """Runs of a folder, which says what they are compared with."""

    baseline: str | None = None


def read(path: Path, columns: str | None, arms: str | None, form: str, tell: Callable[[str], None]) -> Runs:
    """The runs of a table, of the folder of a ladder, or of a folder of runs.

    Raises:
        OSError: if the table cannot be opened.
        ValueError: for what is no table of runs, a folder without runs that ended, and flags that do not go with one.
    """
    names = tables.columns(columns)
    if not path.is_dir():
        if path.suffix.lower() == ".toml":
            raise ValueError(f"{path} is the file of a study; give the folder of its runs, such as runs/NAME")
        if arms is not None:
            return tables.read(path, names | {"arm": arms}, wanted=("arm",), welcome=("seed",))
        return tables.read(path, names, wanted=WANTED.get(form, ()))
    is_ladder = (path / LADDER).is_file()
    if columns or arms or form in WANTED:
        such = f", such as {path / TABLE}" if is_ladder else ""
        raise ValueError(f"{path} is a folder of runs, whose sizes, tokens and losses are known; --columns, --arms and "
                         f"--form {' or '.join(WANTED)} go with a table{such}")
    found = _of_ladder(path) if is_ladder else _of_runs(path, tell)
    if not found.arms or form == "law":
        return found
    each = list(found.by_arm())
    return _noted(found, f"these are runs of {len(each)} arms ({', '.join(each)}), and --form {form} fits all of them "
                         "together; --form law fits each apart")


def _noted(runs: Runs, *notes: str) -> Runs:
    return replace(runs, notes=(*runs.notes, *notes))


def _of_ladder(folder: Path) -> Runs:
    """The rungs that are done, with arms, parameters and baseline as the ladder has them."""
    from losslab.ladder import settings
    from losslab.study.folder import as_begun

    study, path = as_begun(folder / LADDER, what="ladder", anew="another name"), folder / TABLE
    ladder = settings.of(study)
    if not path.is_file():
        raise ValueError(f"no rung of the ladder {folder} is done: {TABLE} is written after each of them; the same "
                         "`losslab ladder` continues it")
    names = {"num_params": settings.COUNTS[ladder.params][0]}
    found = tables.read(path, names, wanted=("arm", "seed"))
    done = {*tables.read(path, names | {"arm": "rung"}, wanted=("arm",)).arms}
    every = sum(len(ladder.budgets(size)) for size in ladder.sizes)
    if len(done) < every:
        found = _noted(found, f"{len(done)} of the {every} rungs of this ladder are in its table; the same `losslab "
                              "ladder` continues it")
    if len(found.by_arm()) < 2:
        return replace(found, arms=(), seeds=())
    return OfFolder(**vars(found), baseline=study.reference)


def _of_runs(folder: Path, tell: Callable[[str], None]) -> Runs:
    from losslab import records
    from losslab.comparison.measured import num_params, score

    found = records.find([folder])
    ended = [run for run in found if run.status == "finished"]
    measured = [run for run in ended if num_params(run) and run.result.get("tokens")
                and score(run, records.score_name([run], "nll")) is not None]
    if not found:
        raise ValueError(f"{folder} holds no run; give the folder of a ladder or a study, such as runs/NAME, or a "
                         "table of runs")
    if not measured:
        raise ValueError(f"none of the {len(found)} runs of {folder} has finished with an nll, so there is nothing to "
                         "fit")
    if lost := Counter(run.status for run in found if run.status != "finished"):
        told = ", ".join(f"{count} {status}" for status, count in lost.items())
        tell(f"note: {lost.total()} of {len(found)} runs of {folder} have not finished ({told}), and are left out")
    if without := len(ended) - len(measured):
        tell(f"note: {without} of {len(found)} runs of {folder} finished without a finite nll, or do not say their "
             "parameters and tokens, and are left out")
    names, notes = records.labels_over_sizes(measured)
    scores = {run.path: records.score_name([run], "nll") for run in measured}
    rows = [{"num_params": num_params(run), "num_tokens": run.result["tokens"], "nll": score(run, scores[run.path]),
             "arm": names[run.condition], "seed": run.seed} for run in measured]
    texts = {(run.spec["corpus"].get("digest"), run.spec["corpus"].get("tokenizer")) for run in measured}
    for many_of, what, whose in ((texts, "corpora or tokenizers", "texts"),
                                 ({*scores.values()}, "kinds of nll", "evaluation windows")):
        if len(many_of) > 1:
            notes.append(f"these runs have {len(many_of)} {what}, and nll of unlike {whose} follows no common law")
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    if len(arms) < 2:
        return _noted(tables.from_rows(rows, source=str(folder)), *notes)
    plain = next((names[run.condition] for run in measured if run.loss == "cross_entropy"), None)
    return _noted(OfFolder(**vars(tables.from_rows(rows, wanted=("arm", "seed"), source=str(folder))),
                           baseline=records.baseline(arms, plain)), *notes)


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
        baseline = baseline or getattr(runs, "baseline", None)
        found = many.fit(runs, baseline, budgets=budgets, extrapolate=extrapolate, resamples=resamples,
                         progress=progress)  # whose warnings are those of the baseline's law, where it has one
        return found | {"warnings": list(dict.fromkeys([*runs.notes, *found["warnings"]]))}
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
