"""corpus, runs, report: what is there already."""

import json as jsons
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab import config as configuration
from losslab.cli.application import app, runs_app
from losslab.cli.flags import Data, Json, Tokenizer, given, known
from losslab.cli.speech import command_line, show, tell


@app.command(sort_key=6)
def corpus(name: str = "tales", *, tokenizer: Tokenizer = None, json: Json = False, data: Data = None):
    """Describe a corpus: splits, sizes, digest, and the floor where it is known.

    Parameters
    ----------
    name
        `tales`, `pydoc`, a path, or the name of a hub data set.
    """
    from losslab.corpus import Corpus
    from losslab.corpus.progress import as_lines

    values = given(data) | known(corpus=name, tokenizer=tokenizer)
    config = configuration.override(configuration.preset("tiny").data, values, source="the flags")
    about = Corpus.open(config, progress=as_lines(tell)).describe()
    show(about, jsons.dumps(about, indent=1, ensure_ascii=False), json)


@runs_app.command(name="list")
def runs_list(store: Path = Path("runs"), *, json: Json = False):
    """The runs of a store, one line each.

    Parameters
    ----------
    store
        A folder of runs.
    """
    from losslab import records

    rows = [{"run": str(r.path), "loss": r.loss, "seed": r.seed, "condition": r.condition, "status": r.status,
             "nll": r.scores.get("nll", {}).get("value")} for r in records.find([store])]
    text = "\n".join(f"{row['status']:9} {row['nll'] or float('nan'):8.4f} seed {row['seed']:<4} {row['condition']} "
                     f"{row['loss']}  {row['run']}" for row in rows)
    show({"runs": rows}, text or f"no runs in {store}", json)


@runs_app.command(name="show")
def runs_show(run: Path, *, json: Json = False):
    """Everything that one run wrote down.

    Parameters
    ----------
    run
        A run folder.
    """
    from losslab import records

    record = records.read(run)
    document = {"run": str(run), "status": record.status, "spec": record.spec, "environment": record.environment,
                "result": record.result}
    show(document, jsons.dumps(document, indent=1, ensure_ascii=False), json)


@app.command(sort_key=8)
def report(runs: Annotated[list[Path], Parameter(negative="")], *, out: Path = Path("report.html"),
           baseline: str | None = None, margin: float = 0.002, json: Json = False):
    """Write the page of runs that are already there.

    Parameters
    ----------
    runs
        Run folders or stores.
    out
        Where the HTML page goes.
    baseline
        The loss that others are compared with.
    margin
        The difference in nats/token that would matter.
    """
    from losslab import records
    from losslab import report as reports

    document = reports.document(records.find(runs), baseline=baseline, margin=margin, command=command_line())
    document["report"] = str(reports.write(document, out))
    show(document, f"{reports.table(document)}\n\nreport: {document['report']}", json)
