"""compare: losses under matched conditions, and what that would take."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.executing import Where, executor, own_threads
from losslab.cli.flags import Json, Threads, Track, Trust, Whole, completed, trusted
from losslab.cli.measuring import task_names, task_scores
from losslab.cli.speech import OK, Ticker, command_line, exit_code, outcome, show, tell, wrapped
from losslab.cli.studying import Asked, study
from losslab.progress import duration
from losslab.words import printable

MOST_FIRST = 5  # values of a setting that one line names


@app.command(sort_key=1)
def compare(
    *losses: str, asked: Asked | None = None, workers: Whole | None = None, threads: Threads = 1,
    store: Path | None = None, where: Where | None = None, report: Path | None = None, save: Path | None = None,
    trust: Trust = None, track: Track = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False, json: Json = False,
):
    """Train losses under matched conditions, and say whether the difference is real.

    Parameters
    ----------
    losses
        Formulas such as "cross_entropy + 1e-4*z_loss", paths of loss files, or one study: `study.toml`.
    workers
        Runs at once, each in its own process; 2, or one for each GPU. On a cluster, the most at once.
    store
        Folder of runs; what is finished there is not run again. `runs`, and `runs/NAME` for a study with a name.
    report
        Where the HTML page goes; STORE/report.html unless given.
    save
        Write the study that the flags mean into this file, too; it has the file's name unless --name gives one.
    dry_run
        Print arms, runs, tokens, estimated time and disk, and train nothing.
    """
    asked = asked or Asked()
    if asked.tasks is not None and task_names(asked.tasks) is None:  # the list of tasks was asked for
        return OK
    wanted, from_file = study(completed(losses, tell), asked)
    if save is not None:
        wanted = _named_after(wanted, save)
    named, store = store, store or Path("runs", wanted.name)
    for warning in _no_verdict(wanted, bool(losses or asked.arm)):
        tell(warning)
    if save is not None:
        wanted.write(save)
        again = shlex.join(["losslab", "compare", str(save), *(["--store", str(named)] if named else [])])
        tell(f"the study {wanted.name} is in {save}; `{again}` continues it")
    if trust and not from_file:
        raise ValueError("--trust goes with a study file: a loss file that you name here is run because you name it")
    hashes = trusted(trust) if from_file else None
    return conduct(wanted, store, where=where, workers=workers, threads=threads, trust=hashes, page=report,
                   dry_run=dry_run, json=json, track=track)


def _named_after(wanted, file: Path):
    """The study with a name, as its file is named when it is run: so both are one study, in one folder."""
    from losslab.study.checks import name_of

    if file.suffix != ".toml":
        raise ValueError(f"--save takes a file that ends in .toml, by which a study is known, got {file}")
    return wanted if wanted.name else replace(wanted, name=name_of(file))


def conduct(wanted, store: Path, *, where: Where | None, workers: int | None, threads: int,
            trust: tuple[str, ...] | None, page: Path | None, dry_run: bool, json: bool,
            track: str | None = None) -> int:
    """Run a study, or estimate it, and show what came out; returns the exit code."""
    from losslab import processes

    threads = own_threads(where, threads)
    processes.adopt_orphans()
    with executor(where, store, list(wanted.configs.values()), workers=workers, threads=threads,
                  dry_run=dry_run) as (workers, found):
        return _conduct(wanted, store, workers=workers, threads=threads, trust=trust, page=page, dry_run=dry_run,
                        json=json, track=track, executor=found)


def _conduct(wanted, store: Path, *, workers, threads, trust, page, dry_run, json, track, executor) -> int:
    from losslab import records, running
    from losslab import study as studies
    from losslab.cli import showing, tracking

    if dry_run:
        wanted, searches, planned = studies.prepared(wanted, store, trusted=trust, tell=tell, progress=Ticker())
        estimate = running.estimate(planned, workers=workers, threads=threads, tuning=studies.tuning(wanted),
                                    names=list(wanted.configs))
        estimate["search"] = studies.search(searches)
        show(estimate, _estimate_text(estimate), json)
        return OK
    names = task_names(",".join(wanted.tasks)) if wanted.tasks else []
    document: dict = {}

    def shown(told: dict) -> None:
        document.update(told)
        if not (json and names):  # with tasks, one document holds both
            showing.verdict(told, json)

    with tracking.tracker(track, store, wanted.name) as tracked:
        compared = studies.conduct(wanted, store, workers=workers, threads=threads, trusted=trust, page=page,
                                   command=command_line(), shown=shown, tell=tell, progress=Ticker(), track=tracked,
                                   executor=executor)
    showing.written(document["report"], json)
    code = OK
    if names:
        found = [records.read(run.path) for run in compared.runs]
        code = task_scores(document, found, names, wanted.benchmarks and Path(wanted.benchmarks) or None,
                           baseline=wanted.baseline or None, out=store / "tasks.html", json=json)
    statuses: dict[str, list[str]] = {}
    for run in compared.runs:  # as they count in the verdict
        statuses.setdefault(run.condition, []).append(run.status)
    return exit_code([outcome(statuses), code])


def _no_verdict(wanted, named: bool) -> list[str]:
    """Said before anything is spent: what these arms and seeds cannot show."""
    said = []
    if not named and len(wanted.arms) == 1:
        said.append("no loss is named, so cross_entropy is trained alone and there will be no verdict; "
                    "name two losses to compare them")
    elif len(wanted.arms) == 1:
        said.append("one loss, so there will be no verdict; name a second one to compare")
    if len(wanted.seeds) == 1:
        said.append("one seed, so there will be no verdict; --seeds 5 shows how much seeds differ")
    return said


def _estimate_text(estimate: dict) -> str:
    from losslab.experiment import fitting

    indent = " " * 9
    told = "; ".join(f"{estimate[key]} {what}" for key, what in (
        ("tuning_runs", f"of them for {estimate['trials']} trials of tuning"), ("done", "done already"))
                     if estimate[key])
    tuned = [wrapped(f"{indent if number else 'search:  '}{text}", indent)
             for number, text in enumerate(_search_lines(estimate.get("search", [])))]
    return "\n".join([
        "arms:    " + f"\n{indent}".join(printable(arm) for arm in estimate["arms"]),
        *tuned,
        wrapped(f"runs:    {estimate['runs']}{f' ({told})' if told else ''}, each {estimate['steps_per_run']:,} steps, "
                f"{estimate['tokens_per_run']:,} tokens", indent),
        wrapped(f"tokens:  {estimate['tokens']:,} in all, {estimate['tokens_per_second']:,.0f} per second in each run "
                f"({estimate['num_params']:,} parameters)", indent),
        wrapped(f"time:    about {duration(estimate['seconds'])} until the verdict, if the machine stays as busy as it "
                "is now", indent),
        wrapped(f"memory:  {fitting.text(estimate['memory'])}, in each run", indent),
        f"disk:    about {estimate['disk_bytes'] / 1e6:.0f} MB",
    ])


def _search_lines(search: list[dict]) -> list[str]:
    """What is searched: in one line where it is the same for all arms, else in one for each."""
    lines = [_searched(each) for each in search]
    if len(set(lines)) == 1:
        return [f"{lines[0]} each"]
    return [f"{printable(each['arm'])}: {text}" for each, text in zip(search, lines, strict=True)]


def _searched(each: dict) -> str:
    parts = []
    for key, found in each["settings"].items():
        first = [printable(f"{value:g}" if isinstance(value, float) else str(value)) for value in found["first"]]
        begins = f"{', '.join(first[:MOST_FIRST])}{', ...' if len(first) > MOST_FIRST else ''}"
        where = f"grid of {len(found['values'])} values" if each["method"] == "grid" else each["method"]
        if "low" in found:
            where += f" from {found['low']:g} to {found['high']:g}"
        elif each["method"] == "ladder":
            where += f" from {first[len(first) // 2]}"
        parts.append(f"{key.removeprefix('train.').removeprefix('loss.')}: {where} (first {begins})")
    return f"{'; '.join(parts)}; {each['trials']} trials"
