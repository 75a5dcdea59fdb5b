"""noise: how much results differ from seed to seed."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.executing import Where, executor, own_threads
from losslab.cli.flags import (
    Corpus,
    Data,
    Device,
    Evaluate,
    Json,
    Model,
    Numerics,
    NumTokens,
    Preset,
    Recipe,
    Size,
    Threads,
    Tokenizer,
    Train,
    Whole,
    configure,
    seed_list,
)
from losslab.cli.speech import Ticker, command_line, outcome, show, tell
from losslab.config.numbers import check

MOST_CROSSED = 50  # 2,500 runs


@app.command(sort_key=2)
def noise(
    loss: str, other: str | None = None, *, seeds: str = "20", crossed: Whole = 5, corpus: Corpus = None,
    tokenizer: Tokenizer = None, preset: Preset = None, size: Size = None, recipe: Recipe = None,
    num_tokens: NumTokens = None, workers: Whole | None = None,
    threads: Threads = 1, device: Device = None, numerics: Numerics = None, store: Path = Path("runs"),
    where: Where | None = None,
    out: Path | None = None,
    level: Annotated[float, Parameter(negative="")] = 0.04, json: Json = False,
    data: Data = None, model: Model = None, train: Train = None, evaluate: Evaluate = None,
):
    """Train one loss or two with many seeds: the noise floor, where it comes from, and the seeds that differences need.

    Parameters
    ----------
    loss
        A formula, or the path of a loss file.
    other
        A second one: the table then says whether pairing by seed helps.
    seeds
        How many seeds of each loss (20 is 0 to 19), or a list such as 3,5,8 or 0-4.
    crossed
        Seeds of the initial weights, and as many of the data order, each with each: 5 are 25 more runs of the first
        loss. 0 leaves this out.
    workers
        Runs at once, each in its own process; 2, or one for each GPU. On a cluster, the most at once.
    store
        Folder of runs; what is finished there is not run again. The crossed runs are in its folder `crossed`.
    out
        A Markdown file for the tables.
    level
        Of the test for which seeds are counted; 0.04 is that of the first look at a comparison.
    """
    numbers = seed_list(seeds)
    check("--crossed", crossed, 0, MOST_CROSSED, "which are 2,500 runs")
    check("--level", level, 1e-6, 0.5, "a test of no use")
    sections = {"data": data, "model": model, "train": train, "evaluate": evaluate}
    short = {"size": size, "recipe": recipe, "corpus": corpus, "tokenizer": tokenizer, "num_tokens": num_tokens,
             "device": device, "numerics": numerics}
    conditions = [configure(preset, None, sections, loss=one, **short) for one in (loss, other) if one is not None]
    from losslab import processes
    from losslab.report import noise as page
    from losslab.study import noise as study

    threads = own_threads(where, threads)
    processes.adopt_orphans()
    with executor(where, store, conditions, workers=workers, threads=threads) as (at_once, others):
        document, runs = study.measure(conditions, numbers, store, crossed=crossed, level=level, workers=at_once,
                                       threads=threads, tell=tell, progress=Ticker(), executor=others)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page.markdown(document, command_line()), encoding="utf-8")
        tell(f"the tables are in {out}")
    show(document, page.text(document), json)
    statuses: dict[str, list[str]] = {}
    for run in runs:
        statuses.setdefault(run.condition, []).append(run.status)
    return outcome(statuses)
