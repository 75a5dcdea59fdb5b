"""corpus, runs, report: what is stored already."""

import math
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from losslab import config as configuration
from losslab.cli.application import app, runs_app
from losslab.cli.flags import Data, Json, Tokenizer, given, known, margin_of
from losslab.cli.speech import OK, USER_ERROR, Ticker, command_line, show, tell
from losslab.words import printable

PAGE = "report.html"
STUDY, LADDER, RUNGS = "study.toml", "ladder.toml", "rungs"  # in folders of studies and ladders; theirs load torch


@app.command(sort_key=6)
def corpus(name: str = "tales", *, tokenizer: Tokenizer = None, out: Path | None = None,
           parser: Literal["rule", "spacy"] = "rule", json: Json = False, data: Data = None):
    """Describe a corpus: splits, sizes, digest, and its entropy where that is known.

    Of instruction data also rows, lengths, inputs, duplicates, and how varied it is: leading verbs and their objects.

    Parameters
    ----------
    name
        `tales`, `pydoc`, a path, or the name of a hub data set.
    out
        Draw the verbs and objects of instruction data as two rings: FILE.svg or FILE.html.
    parser
        What finds verbs and objects: a plain rule, or an installed model of spaCy.
    """
    from losslab.cli import showing
    from losslab.corpus import Corpus, instructions, sources
    from losslab.instruct import verbs

    values = given(data) | known(corpus=name, tokenizer=tokenizer)
    config = configuration.override(configuration.preset("tiny").data, values, source="the flags")
    parse = verbs.by_spacy() if parser == "spacy" else None
    about = Corpus.open(config, progress=Ticker()).describe()
    if parse is not None:
        about["variety"] = instructions.variety(sources.rows_of(config), parse)
    if out is not None:
        from losslab.report import rings

        about["drawing"] = str(rings.write(about, out))
    show(about, "" if json else showing.corpus(about), json)


@runs_app.command(name="list")
def runs_list(store: Path = Path("runs"), *, sort: str | None = None,
              filter: Annotated[tuple[str, ...], Parameter(negative="")] = (), json: Json = False):
    """The runs of a store: a line each, with the settings in which they differ.

    Parameters
    ----------
    store
        A folder of runs.
    sort
        The column to order by, smallest first: status, nll, seed, loss, corpus, condition, tag, run, or a setting.
    filter
        KEY=VALUE to keep the runs that have it, such as status=finished or learning_rate=0.002; may be repeated.
    """
    from losslab.cli import listing
    from losslab.records import choosing, index

    found = index.rows(store)
    kept = choosing.ordered(choosing.select([choosing.values(row) for row in found], filter), sort)
    columns, colour = listing.terminal()
    if kept:
        text = listing.table(kept, columns=columns, colour=colour)
    else:
        text = printable(f"no runs in {store}" + (f" with {' and '.join(filter)}" if filter else ""))
    shown = {run["run"] for run in kept}
    for row in found:
        if row.problem and row.path in shown:
            tell(f"unreadable: {row.problem}")
    show({"runs": [row | {"nll": finite(row["nll"])} for row in kept]}, text, json)


def finite(value: float | None) -> float | None:
    """JSON cannot write an infinite nll, which a model has that gives probability 0 to a token that came."""
    return value if value is None or math.isfinite(value) else None


@runs_app.command(name="show")
def runs_show(run: Path, *, json: Json = False):
    """One run: what was asked, what came out, what it cost, and whether its files are as they were written.

    Parameters
    ----------
    run
        A run folder.
    """
    from losslab import records
    from losslab.cli import showing

    record = records.read(run)
    document = {"run": str(run), "status": record.status, "tags": list(record.tags), "spec": record.spec,
                "environment": record.environment, "result": record.result, "problems": showing.problems(record)}
    show(document, "" if json else showing.run(record), json)


@runs_app.command(name="rm")
def runs_rm(runs: Annotated[list[Path], Parameter(negative="")], *,
            yes: Annotated[bool, Parameter(negative="")] = False):
    """Remove runs. A folder that is no run, holds something else, or is in use stays.

    Parameters
    ----------
    runs
        Run folders.
    yes
        Do not ask; needed where nobody can be asked.
    """
    import sys

    from losslab.records import check_removable, remove

    runs = list(dict.fromkeys(runs))
    for run in runs:  # all of them before the first is gone
        check_removable(run)
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ValueError("nothing was removed: there is no terminal to ask on; --yes removes without asking")
        tell("\n".join(printable(str(run)) for run in runs))
        print(f"remove {'this run' if len(runs) == 1 else f'these {len(runs)} runs'}? [y/N] ", end="", file=sys.stderr,
              flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            tell("nothing was removed")
            return USER_ERROR
    for run in runs:
        remove(run)
        tell(printable(f"removed {run}"))
    return OK


@runs_app.command(name="tag")
def runs_tag(run: Path, tags: Annotated[list[str], Parameter(negative="")], *,
             remove: Annotated[bool, Parameter(negative="")] = False, json: Json = False):
    """Give a run tags, to filter by; they are no part of its condition.

    Parameters
    ----------
    run
        A run folder.
    tags
        Words without commas.
    remove
        Take these tags away.
    """
    from losslab import records

    now = records.tag(run, *([(), tags] if remove else [tags]))
    show({"run": str(run), "tags": list(now)}, printable(f"{run}: {', '.join(now) or 'no tags'}"), json)


@app.command(sort_key=8)
def report(runs: Annotated[list[Path], Parameter(negative="")], *, out: Path | None = None,
           figures: Path | None = None, baseline: str | None = None, margin: float | None = None, json: Json = False):
    """Write the page of runs that are already there, or of a study or a ladder as far as it has come.

    Parameters
    ----------
    runs
        Run folders or stores; the folder of a study alone gives its page, with its labels, baseline, margin and tuning,
        and that of a ladder the page of its rungs that have ended.
    out
        Where the HTML page goes: into the folder of the study or ladder, or report.html here, unless given.
    figures
        A folder for a paper: each chart as SVG and PNG, each table as CSV, Markdown and LaTeX, and a METHODS.md.
    baseline
        The loss that others are compared with; that of the study, or cross_entropy.
    margin
        The difference in nats/token that would matter; that of the study, or 0.002.
    """
    from losslab import comparison, records
    from losslab.cli import showing

    if margin is not None:
        margin = margin_of(margin)
    if len(runs) == 1 and (runs[0] / LADDER).is_file() and (runs[0] / RUNGS).is_dir():
        if given := [flag for flag, value in (("--figures", figures), ("--baseline", baseline), ("--margin", margin))
                     if value is not None]:
            raise ValueError(f"{given[0]} goes with a comparison, and {runs[0]} is a ladder of them; give the folder "
                             "of one of its rungs")
        from losslab.cli.ladder import again

        return again(runs[0], page=out, json=json)
    if figures is not None:
        from losslab.report.figures import place

        place(figures)  # before anything is read or written
    if len(runs) == 1 and (runs[0] / STUDY).is_file():
        from losslab import study

        compared, command = study.again(runs[0], baseline=baseline, margin=margin, tell=tell)
        return showing.comparison(compared, out or runs[0] / PAGE, json, command or command_line(), figures)
    margin = 0.002 if margin is None else margin
    found = records.find(runs)
    stores = {(path.parent if records.is_run(path) else path).resolve() for path in runs}
    if len(stores) == 1:
        compared = comparison.judged(found, stores.pop(), baseline=baseline, margin=margin, tell=tell)
    else:  # no ledger is that of all
        compared = comparison.compare(found, baseline=baseline, margin=margin)
    return showing.comparison(compared, out or Path(PAGE), json, command_line(), figures)
