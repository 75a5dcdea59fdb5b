"""studies, reproduce: the studies that come with losslab."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.flags import Corpus, Json, Threads, Whole, workers_of
from losslab.cli.speech import show, tell
from losslab.cli.training import conduct
from losslab.tables import Column, Table, left, name


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
    study: str, *, scale: Literal["smoke", "laptop", "full"] = "laptop", corpus: Corpus = None, workers: Whole = 2,
    threads: Threads = 1, store: Path | None = None, report: Path | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False, json: Json = False,
):
    """Run a study that comes with losslab; called again, it continues.

    Parameters
    ----------
    study
        Its name; `losslab studies` lists them.
    scale
        How large: smoke shows in a minute that it runs, laptop and full answer the question.
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

    wanted = registry.load(study).at(scale)
    if corpus is not None:
        wanted = replace(wanted, corpus=corpus)
    else:
        used = next(iter(wanted.configs.values())).data.corpus
        tell(f"{wanted.name} is trained on {used}; --corpus takes another text, such as a folder of stories")
    return conduct(wanted, store or Path("runs", wanted.name), workers=workers_of(workers), threads=threads, trust=(),
                   page=report, dry_run=dry_run, json=json)
