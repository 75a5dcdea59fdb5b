"""ladder: the losses of a study over sizes and budgets of tokens, and what they are worth in compute."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.executing import Where, executor, own_threads
from losslab.cli.flags import Corpus, Json, Threads, Track, Trust, Whole, seed_list, trusted
from losslab.cli.scaling import check_resamples
from losslab.cli.speech import OK, Ticker, command_line, exit_code, outcome, show, tell, wrapped
from losslab.progress import duration
from losslab.tables import Column, Table, name


@app.command(sort_key=2)
def ladder(
    study: Path, *, corpus: Corpus = None, seeds: str | None = None, tasks: str | None = None,
    benchmarks: Path | None = None, workers: Whole | None = None, threads: Threads = 1,
    store: Path | None = None, where: Where | None = None, report: Path | None = None, trust: Trust = None,
    track: Track = None, extrapolate: Annotated[bool, Parameter(negative="")] = False, resamples: Whole = 1000,
    dry_run: Annotated[bool, Parameter(negative="")] = False, json: Json = False,
):
    """Compare losses at several sizes and budgets of tokens, and say what each is worth in compute.

    Parameters
    ----------
    study
        A study file with a table [ladder]: sizes = ["tiny", {n_layer = 4, n_head = 4, n_embd = 192}],
        tokens_per_param = [10, 40], rate = "width". Called again, it continues.
    seeds
        How many seeds, or a list, in place of the study's; the same at each rung.
    tasks
        Such as core,blimp: every run is scored on them, and the page says how they go with the loss.
    benchmarks
        A folder with benchmark files for the tasks; without one they come from the hub.
    workers
        Runs at once, each in its own process; 2, or one for each GPU. On a cluster, the most at once.
    store
        Its folder; runs/NAME unless given.
    report
        Where the HTML page goes; STORE/report.html unless given.
    extrapolate
        Forecast more than a decade beyond the runs, too.
    resamples
        How often runs are drawn again for the intervals of the law, at least 50; 0 for none.
    dry_run
        Print rungs, runs, tokens, estimated time and disk, and train nothing.
    """
    from losslab.study import checks, read

    check_resamples(resamples)
    wanted = with_tasks(read(study), tasks, benchmarks)
    given = {} if corpus is None else {"corpus": corpus}
    given |= {} if seeds is None else {"seeds": tuple(seed_list(seeds))}
    wanted = replace(wanted, name=wanted.name or checks.name_of(study), **given)
    return climb(wanted, store or Path("runs", wanted.name), where=where, workers=workers, threads=threads,
                 trust=trusted(trust), page=report, extrapolate=extrapolate, resamples=int(resamples), dry_run=dry_run,
                 json=json, track=track)


def with_tasks(wanted, tasks: str | None, benchmarks: Path | None):
    """The study with other tasks, or another place of their files, where flags say so."""
    given = {} if tasks is None else {"tasks": tuple(name.strip() for name in tasks.split(",") if name.strip())}
    return replace(wanted, **given, **({} if benchmarks is None else {"benchmarks": str(benchmarks)}))


def climb(wanted, store: Path, *, where: Where | None, workers: int | None, threads: int,
          trust: tuple[str, ...] | None, page: Path | None, dry_run: bool, json: bool, extrapolate: bool = False,
          resamples: int = 1000, track: str | None = None) -> int:
    """Run a ladder, or estimate it, and show what came out; returns the exit code."""
    from losslab import processes

    threads = own_threads(where, threads)
    processes.adopt_orphans()
    with executor(where, store, list(wanted.configs.values()), workers=workers, threads=threads,
                  dry_run=dry_run) as (workers, found):
        return _climb(wanted, store, workers=workers, threads=threads, trust=trust, page=page, dry_run=dry_run,
                      json=json, extrapolate=extrapolate, resamples=resamples, track=track, executor=found)


def _climb(wanted, store: Path, *, workers, threads, trust, page, dry_run, json, extrapolate, resamples, track,
           executor) -> int:
    from losslab import ladder as ladders
    from losslab.cli import tracking

    running = {"workers": workers, "threads": threads, "trusted": trust, "tell": tell, "progress": Ticker()}
    if dry_run:
        estimate = ladders.estimated(wanted, store, **running)
        show(estimate, _estimate_text(estimate), json)
        return OK
    with tracking.tracker(track, store, wanted.name) as tracked:
        document = ladders.climb(wanted, store, page=page, command=command_line(), track=tracked,
                                 extrapolate=extrapolate, resamples=resamples, executor=executor,
                                 shown=partial(_show, json), **running)
    return _done(document, json)


def again(folder: Path, *, page: Path | None, json: bool) -> int:
    """Show what has come out of a ladder, and write its page."""
    from losslab import ladder as ladders

    return _done(ladders.again(folder, page=page, command=command_line(), tell=tell, progress=Ticker(),
                               shown=partial(_show, json)), json)


def _show(json: bool, document: dict) -> None:
    from losslab.report import ladder as report

    show(document, "" if json else report.text(document), json)


def _done(document: dict, json: bool) -> int:
    from losslab.cli import showing

    if not json:
        print(f"\ntable: {document['table']}", flush=True)
    showing.written(document["report"], json)
    return exit_code([outcome({arm["name"]: arm["statuses"] for arm in rung["arms"]})
                      for rung in document["rungs"]])


def _estimate_text(estimate: dict) -> str:
    table = Table((name("rung"), Column("parameters"), Column("tokens"), Column("tokens/param"), Column("runs"),
                   Column("done"), Column("time")), [
        (rung["name"], f"{rung['num_params']:,}", f"{rung['num_tokens']:,}", f"{rung['tokens_per_param']:.3g}",
         str(rung["runs"]), str(rung["done"]), duration(rung["seconds"])) for rung in estimate["rungs"]])
    lines = [
        f"arms:    {', '.join(estimate['arms'])}",
        f"runs:    {estimate['runs']:,} ({estimate['done']:,} done already), {estimate['tokens']:,} tokens, "
        f"{estimate['flops']:.3g} FLOP (6ND)",
        f"time:    about {duration(estimate['seconds'])} until the page, if the machine stays as busy as it is now",
        f"disk:    about {estimate['disk_bytes'] / 1e6:.0f} MB",
    ]
    said = [f"note:    {sentence}" for sentence in estimate["notes"]]
    return f"{table.text(100, rule=True)}\n\n" + "\n".join(wrapped(line, " " * 9) for line in lines + said)
