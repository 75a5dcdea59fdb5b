"""`losslab reproduce` of a study in stages."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from losslab.cli.executing import one_process
from losslab.cli.flags import Whole, known, threads_of
from losslab.cli.judging import KEY_FLAGS
from losslab.cli.speech import OK, Ticker, command_line, outcome, run_lines, show, tell
from losslab.progress import duration
from losslab.tables import Column, Table, left, name
from losslab.words import printable

GROUP = Group("A study in stages")


@Parameter(name="*", group=GROUP)
@dataclass
class Stages:
    """What writes and who judges."""

    against: Annotated[list[str] | None, Parameter(
        negative="", help="A model next to those of the study: a folder, or a name on the hub such as gpt2.")] = None
    prompts: Annotated[Path | None, Parameter(
        help="A file of beginnings of stories; unless given, beginnings of held-out stories are taken.")] = None
    url: Annotated[str | None, Parameter(
        help="An OpenAI-compatible endpoint that grades; its key comes from the environment.")] = None
    judge_model: Annotated[str | None, Parameter(help="The name of the model there.")] = None
    judge: Annotated[Path | None, Parameter(
        help="A model on this machine that grades, by the likelihood of each grade.")] = None
    max_calls: Annotated[Whole | None, Parameter(
        help="Ask nobody if the grades of one stage would take more calls than this.")] = None
    key_variable: Annotated[str | None, Parameter(help="The environment variable that holds the key.")] = None
    key: Annotated[list[str] | None, Parameter(name=KEY_FLAGS, show=False, negative="")] = None


def reproduce(study: str, scale: str, corpus: str | None, data: str | None, asked: Stages, threads: int, *,
              store: Path | None, page: Path | None, dry_run: bool, json: bool) -> int:
    """Conduct a study in stages, or estimate it; returns the exit code."""
    from losslab import processes, stages
    from losslab.report import staged

    one_process()
    _check(asked)
    published = stages.load(study)
    wanted = published.at(scale).with_texts(corpus, data)
    store = store or Path("runs", wanted.name)
    for stage in wanted.training:
        if not (data if stage.start else corpus):
            flag = "--data" if stage.start else "--corpus"
            tell(f"{stage.name} is trained on {stage.corpus}; {flag} takes a file or folder that you have")
    threads = threads_of(threads, tell)
    processes.adopt_orphans()
    if dry_run:
        found = stages.estimate(wanted, store, threads=threads, others=len(asked.against or ()),
                                calls=asked.url is not None, progress=Ticker())
        show(found, _estimate_text(found), json)
        return OK
    rules = stages.Asked(
        against=tuple(asked.against or ()), prompts=asked.prompts, url=asked.url, judge_model=asked.judge_model,
        judge=asked.judge, max_calls=asked.max_calls, key_variable=asked.key_variable, page=page,
        command=command_line())
    found = stages.conduct(wanted, published, store, rules, threads=threads, tell=tell, progress=Ticker(),
                           on_line=run_lines())
    if found["status"] != "finished":
        show(found, f"{store / found['stage']}: {found['status']}; the same command continues from there", json)
        return outcome({found["stage"]: [found["status"]]})
    show(found, f"{staged.text(found)}\n\nreport: {found['report']}", json)
    return OK


def _check(asked: Stages) -> None:
    """An error for a key on the command line, and for two judges."""
    from losslab.judge import keys

    if asked.key is not None:
        raise ValueError(keys.ON_THE_COMMAND_LINE)
    given = known(**vars(asked))
    keys.check_arguments([*(str(value) for value in given.values()), *sys.argv[1:]], also=asked.key_variable or "")
    if asked.url is not None and asked.judge is not None:
        raise ValueError("--url and --judge are two judges; give one of them")
    if alone := [key for key in ("judge_model", "key_variable") if key in given and asked.url is None]:
        raise ValueError(f"--{alone[0].replace('_', '-')} goes with --url URL; give both, or neither")


def _estimate_text(found: dict) -> str:
    rows = [(row["name"], row["kind"], row["status"], f"{row['steps']:,}" if row["runs"] else "–",
             f"{row['tokens']:,}" if row["tokens"] else "–", duration(row["seconds"]) if row["seconds"] else "–",
             f"{row['disk_bytes'] / 1e6:.0f} MB" if row["disk_bytes"] else "–",
             f"{row['calls']:,}" if row["calls"] else "–") for row in found["stages"]]
    table = Table((name("stage"), left("kind"), left("status"), Column("updates"), Column("tokens"), Column("time"),
                   Column("disk"), Column("calls")), rows)
    return printable(f"study: {found['name']}") + "\n" + table.text() + "\n\n" + "\n".join([
        f"runs:   {found['runs']}", f"tokens: {found['tokens']:,} of training in all",
        f"time:   about {duration(found['seconds'])} for what is not done, if the machine stays as busy as it is now; "
        "measures and a judge come on top", f"disk:   about {found['disk_bytes'] / 1e6:.0f} MB"])
