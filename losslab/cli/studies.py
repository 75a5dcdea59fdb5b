"""studies, reproduce: the studies that come with losslab."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from losslab.cli import ladder, staging
from losslab.cli.application import app
from losslab.cli.comparing import conduct
from losslab.cli.executing import Where
from losslab.cli.flags import Corpus, Json, Start, Threads, Whole, given, workers_of
from losslab.cli.speech import show, tell, wrapped
from losslab.cli.staging import Stages
from losslab.tables import Column, Table, left, name
from losslab.words import printable


@app.command(sort_key=9)
def studies(study: str | None = None, *, json: Json = False):
    """List the studies that come with losslab, or show one.

    Parameters
    ----------
    study
        Its name; none lists them all.
    """
    from losslab.stages import reading
    from losslab.stages import registry as staged
    from losslab.study import registry

    if study is not None and study in staged.names():
        return show(reading.tables(staged.text(study)), staged.text(study).strip(), json)
    if study is not None:
        found = registry.load(study)
        return show({"arms_by_name": list(found.configs)} | found.to_dict(), registry.text(study).strip(), json)
    told = [{"name": one.name, "question": one.question, "arms": list(one.configs), "scales": list(one.scales),
             "published": one.published} for one in map(registry.load, registry.names())]
    told += [{"name": one.name, "question": one.question, "stages": [stage.name for stage in one.stages],
              "scales": list(one.scales), "published": one.published} for one in map(staged.load, staged.names())]
    told.sort(key=lambda one: one["name"])
    rows = [(one["name"], str(len(one["arms"])) if "arms" in one else f"{len(one['stages'])} stages",
             ", ".join(one["scales"]), one["question"]) for one in told]
    table = Table((name("name"), Column("arms"), left("scales"), left("question")), rows)
    after = "`losslab studies NAME` shows one, `losslab reproduce NAME --scale smoke` runs it"
    show({"studies": told}, f"{table.text()}\n\n{after}", json)
    return 0


@app.command(sort_key=9)
def reproduce(
    study: str, *, scale: Literal["smoke", "laptop", "full"] = "laptop", corpus: Corpus = None,
    data: Annotated[str | None, Parameter(help="Instruction data to fine-tune on: a file, or owner/name.")] = None,
    start: Start = None, tasks: str | None = None, benchmarks: Path | None = None,
    workers: Whole | None = None, threads: Threads = 1, store: Path | None = None, where: Where | None = None,
    report: Path | None = None, stages: Stages | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False, json: Json = False,
):
    """Run a study that comes with losslab; called again, it continues.

    Parameters
    ----------
    study
        Its name; `losslab studies` lists them.
    scale
        How large: smoke shows in a minute that it runs, laptop and full answer the question.
    tasks
        Such as core,blimp: the runs are scored on them, too.
    benchmarks
        A folder with benchmark files for the tasks; without one they come from the hub.
    workers
        Runs at once, each in its own process; 2, or one for each GPU. Stages come one after the
        other, and have the threads of all.
    store
        Its folder; runs/NAME-SCALE unless given.
    report
        Where the HTML page goes; STORE/report.html unless given.
    dry_run
        Print arms or stages, runs, tokens, estimated time and disk, and train nothing.
    """
    from losslab.stages import registry as staged
    from losslab.study import registry

    if study in staged.names():
        if start is not None:
            raise ValueError(f"{study} begins with new weights; leave out --start")
        if tasks is not None or benchmarks is not None:
            raise ValueError(f"{study} is no comparison that is scored on tasks; leave out --tasks and --benchmarks")
        if where is not None and where.executor != "local":
            raise ValueError(f"the stages of {study} come one after the other, on this machine; leave out --executor")
        return staging.reproduce(study, scale, corpus, data, stages or Stages(), workers_of(workers or 2) * threads,
                                 store=store, page=report, dry_run=dry_run, json=json)
    wanted = ladder.with_tasks(registry.load(study).at(scale), tasks, benchmarks)
    if given(stages):
        raise ValueError(f"--{next(iter(given(stages))).replace('_', '-')} goes with a study in stages "
                         f"({', '.join(staged.names())}), and {study} compares losses; leave it out")
    wanted = _with_start(wanted, start)
    if corpus is not None and data is not None:
        raise ValueError(f"--corpus and --data name the same text of {study}; give one of them")
    if (corpus := corpus or data) is not None:
        wanted = replace(wanted, corpus=corpus)
    else:
        used = next(iter(wanted.configs.values())).data.corpus
        tell(f"{wanted.name} is trained on {used}; --corpus takes another text, such as a folder of stories")
    go = ladder.climb if wanted.ladder else conduct
    return go(wanted, store or Path("runs", wanted.name), where=where, workers=workers, threads=threads,
              trust=(), page=report, dry_run=dry_run, json=json)


def _with_start(wanted, start: str | None):
    """The study with the model that it fine-tunes, where it fine-tunes one."""
    from losslab.study import registry

    if wanted.start != registry.GIVEN:
        if start is not None:
            raise ValueError(f"{wanted.name} begins with new weights; leave out --start")
        return wanted
    if start is None:
        raise ValueError(f"{wanted.name} fine-tunes a model of yours; name its run or imported model with --start RUN, "
                         "such as runs/story-gpt-laptop/pretrain of `losslab reproduce story-gpt`")
    return replace(wanted, start=start)


@app.command(sort_key=9)
def agreement(first: Path, second: Path, *, json: Json = False):
    """Say whether two studies rank the arms that both have alike: Kendall's tau and Spearman's rho, with p.

    Parameters
    ----------
    first
        The folder of a study that was run, such as runs/loss-table-laptop.
    second
        That of another one, such as its best arms again: `losslab compare runs/NAME --best 3 --recipe classic`.
    """
    from losslab.report import words
    from losslab.study import agree

    found = agree(first, second)
    titles = [title for study in found["studies"] for title in (f"nll, {study}", "rank")]
    rows = [(arm["name"], *(cell for nll, rank in zip(arm["nll"], arm["rank"], strict=True)
                            for cell in (words.number(nll), str(rank)))) for arm in found["arms"]]
    show(found, f"{Table((name('loss', least=16), *map(Column, titles)), rows).text(100, rule=True)}\n\n"
         + wrapped(printable(_agreed(found)), "  "), json)


def _agreed(found: dict) -> str:
    from losslab.report import words

    if found["tau"] is None:
        told = f"all {found['n']} arms are equal in one of the studies, so that there is no order to agree with"
    else:
        tau, rho = (f"p = {words.p_value(found[key])}".replace("= <", "<") for key in ("tau_p", "rho_p"))
        how = "counting all orders" if found["exact"] else "approximately"
        told = (f"{found['n']} arms: Kendall's tau {found['tau']:.2f} ({tau}), Spearman's rho "
                f"{found['rho']:.2f} ({rho}; {how}); means alone are ranked, however "
                "near they are")
    return told + (f"; left out: {', '.join(found['left_out'])}" if found["left_out"] else "")
