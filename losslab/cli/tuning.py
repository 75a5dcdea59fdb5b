"""tune: the same number of trials for every arm, judged on the tune split."""

from pathlib import Path

from losslab.cli.application import app
from losslab.cli.executing import Where, executor, own_threads
from losslab.cli.flags import Json, Threads, Trust, Whole, trusted
from losslab.cli.speech import OK, Ticker, show, tell
from losslab.cli.studying import Asked, study
from losslab.config.numbers import check


@app.command(sort_key=3)
def tune(
    *losses: str, asked: Asked | None = None, trials: Whole | None = None, method: str | None = None,
    journal: str | None = None, stale: float = 120.0, workers: Whole | None = None,
    threads: Threads = 1, store: Path | None = None, where: Where | None = None, trust: Trust = None,
    json: Json = False,
):
    """Find the settings of each loss, with the same number of trials over the same space.

    Trials are judged by plain cross-entropy on the tune split, never on the validation split, and have seeds of their
    own. `losslab compare --tune` does the same and then compares the losses with fresh seeds.

    Parameters
    ----------
    losses
        Formulas, paths of loss files, or one study: `study.toml`, whose space is searched.
    trials
        Of each loss; 5, or as --tune or the study says.
    method
        ladder, grid, random, tpe or halving; a ladder for numbers, a grid for lists, random for both.
    journal
        A journal file of Optuna that several processes may share, or the URL of another storage of Optuna.
    stale
        Seconds after which another process's trial that gives no sign of life is taken over.
    workers
        Runs at once, each in its own process; 2, or one for each GPU. On a cluster, the most at once.
    store
        Folder of the study; trials lie in its folder `trials`. `runs`, and `runs/NAME` for a study with a name.
    """
    asked = asked or Asked()
    check("--stale", stale, 15, 1e6, "seconds; a live trial gives a sign of life every 5")
    wanted, from_file = study(losses, asked)
    table = dict(wanted.tune) or {"trials": 5, "space": {"train.learning_rate": {}}}
    table |= {key: value for key, value in (("trials", trials), ("method", method)) if value is not None}
    hashes = trusted(trust) if from_file else None
    store = store or Path("runs", wanted.name)
    from losslab import processes
    from losslab import tune as tuning
    from losslab.report import tuning as tables

    processes.adopt_orphans()
    threads = own_threads(where, threads)
    with executor(where, store, list(wanted.configs.values()), workers=workers, threads=threads) as (at_once, others):
        found = tuning.tune(
            wanted.configs, tuning.Tuning.from_dict(table), store, own=wanted.spaces, workers=at_once, threads=threads,
            trusted=hashes, journal=journal, stale=stale, tell=tell, progress=Ticker(), executor=others,
        )
    document = {"store": str(store), "tune": table,
                "arms": [{"name": name, **each.to_dict()} for name, each in found.items()]}
    show(document, f"{tables.trials(document).text()}\n\n{tables.summary(document).text()}", json)
    return OK
