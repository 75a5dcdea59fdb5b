"""studies, reproduce: the studies that come with losslab."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from losslab.cli import ladder
from losslab.cli.application import app
from losslab.cli.flags import Corpus, Json, Threads, Whole, workers_of
from losslab.cli.speech import show, tell, wrapped
from losslab.cli.training import conduct
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
    from losslab.study import registry

    if study is not None:
        found = registry.load(study)
        return show({"arms_by_name": list(found.configs)} | found.to_dict(), registry.text(study).strip(), json)
    every = [registry.load(each) for each in registry.names()]
    rows = [(one.name, str(len(one.arms)), ", ".join(one.scales), one.question) for one in every]
    table = Table((name("name"), Column("arms"), left("scales"), left("question")), rows)
    after = "`losslab studies NAME` shows one, `losslab reproduce NAME --scale smoke` runs it"
    told = [{"name": one.name, "question": one.question, "arms": list(one.configs), "scales": list(one.scales),
             "published": one.published} for one in every]
    show({"studies": told}, f"{table.text()}\n\n{after}", json)
    return 0


@app.command(sort_key=9)
def reproduce(
    study: str, *, scale: Literal["smoke", "laptop", "full"] = "laptop", corpus: Corpus = None,
    tasks: str | None = None, benchmarks: Path | None = None, workers: Whole = 2, threads: Threads = 1,
    store: Path | None = None, report: Path | None = None, dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
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
        Runs at once, each in its own process.
    store
        Its folder; runs/NAME-SCALE unless given.
    report
        Where the HTML page goes; STORE/report.html unless given.
    dry_run
        Print arms, runs, tokens, estimated time and disk, and train nothing.
    """
    from losslab.study import registry

    wanted = ladder.with_tasks(registry.load(study).at(scale), tasks, benchmarks)
    if corpus is not None:
        wanted = replace(wanted, corpus=corpus)
    else:
        used = next(iter(wanted.configs.values())).data.corpus
        tell(f"{wanted.name} is trained on {used}; --corpus takes another text, such as a folder of stories")
    go = ladder.climb if wanted.ladder else conduct
    return go(wanted, store or Path("runs", wanted.name), workers=workers_of(workers), threads=threads, trust=(),
              page=report, dry_run=dry_run, json=json)


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
