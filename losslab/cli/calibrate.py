"""calibrate: how often the verdict itself errs."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.flags import WHOLE, Json, NumTokens, configure, workers_of
from losslab.cli.speech import Ticker, show, tell
from losslab.tables import Column, Table, left

MOST_STUDIES, MOST_ARMS, MOST_SEEDS = 100_000, 50, 1_000
SAID = {
    "false_verdicts": "studies of equal arms that call one better or worse (at most 0.05)",
    "coverage": "printed intervals that hold the true difference (at least 0.95)",
    "false_equivalent": "studies of arms that differ by the margin and call one equivalent (at most 0.05)",
    "power": "studies that show the arm that differs by --effect",
}


@app.command(sort_key=9)
def calibrate(
    *, from_: Annotated[Path | None, Parameter(name="--from")] = None, sd: float = 0.004, correlation: float = 0.0,
    shape: Literal["normal", "heavy", "skewed"] = "normal", effect: float | None = None,
    studies: Annotated[int, WHOLE] = 1000, arms: Annotated[int, WHOLE] = 2, seeds: Annotated[int, WHOLE] = 5,
    race: Annotated[bool, Parameter(negative="")] = False, advice: Annotated[bool, Parameter(negative="")] = False,
    margin: float = 0.002, seed: Annotated[int, WHOLE] = 0,
    real: Annotated[bool, Parameter(negative="")] = False, num_tokens: NumTokens = 100_000, corpus: str = "tales",
    preset: str = "tiny", workers: Annotated[int, WHOLE] = 2, json: Json = False,
):
    """Measure the error rates of the verdict itself, over studies whose truth is known.

    Arms that do not differ are drawn from recorded runs of one condition, without taking a run twice in a study, or
    are simulated; each study is judged by the code that judges a comparison.

    Parameters
    ----------
    from_
        A store: the runs of the condition that has most. Without one the studies are simulated.
    sd
        Simulated standard deviation of an arm over seeds, in nats/token.
    correlation
        Simulated correlation of two arms on the same seed.
    shape
        Of the simulated distribution: normal, heavy (Student's t, 3 degrees of freedom) or skewed (exponential).
    effect
        True difference of one arm where power is measured, in nats/token; five standard deviations unless given.
    studies
        How many of each kind.
    arms
        Arms of a study, the baseline among them.
    seeds
        Seeds of the first look.
    race
        Look at that many seeds, twice and four times as many; settled arms stop.
    advice
        Where a difference is open, add the advised seeds for the observed difference once.
    margin
        The difference in nats/token that would matter.
    seed
        Of the draws.
    real
        Train each study instead: cross_entropy against itself under other seeds, into the store --from.
    corpus
        Of real studies.
    preset
        Of real studies.
    workers
        Runs of real studies at once.
    """
    from losslab.config.numbers import check
    from losslab.stats import calibration

    for name, value, low, most in (("--studies", studies, 1, MOST_STUDIES), ("--arms", arms, 2, MOST_ARMS),
                                   ("--seeds", seeds, 2, MOST_SEEDS)):
        check(name, value, low, most)
    if race and advice:
        raise ValueError("--race and --advice are two ways to add seeds; give one of them")
    if real:
        return _real(from_, studies, arms, seeds, margin, workers, num_tokens=num_tokens, corpus=corpus, preset=preset,
                     json=json)
    design = calibration.Design(arms, seeds, "race" if race else "advice" if advice else "look", margin)
    if from_ is None:
        source, draw = "simulated", calibration.simulated(arms, sd, correlation, shape)
    else:
        values, condition = recorded(from_)
        if len(values) < arms * seeds:
            raise ValueError(f"{from_} has {len(values)} finished runs of condition {condition}, and a study of {arms} "
                             f"arms x {seeds} seeds takes {arms * seeds}; run more seeds, or give fewer arms")
        sd = float(_sd(values))
        source, draw = f"{len(values)} runs of condition {condition}", calibration.resampled(values, arms)
    effect = 5 * sd if effect is None else effect
    ticker = Ticker()
    found = calibration.calibrate(draw, design, studies=studies, effect=effect, seed=seed,
                                  progress=lambda done, total: ticker("judging", done, total, "studies"))
    asked = {"source": source, "standard_deviation": sd, "effect": effect, "studies": studies, "arms": arms,
             "seeds": seeds, "rule": design.rule, "margin": margin}
    rows = [(name, _rate(found[name]), told) for name, told in SAID.items() if found[name]]
    table = Table((left("rate"), Column("value [95 % interval]"), left("what it is")), rows)
    heading = f"{source}, standard deviation {sd:.2g} nats/token; rule: {design.rule}"
    show(found | asked, f"{heading}\n\n{table.text()}", json)


def _real(store, studies, arms, seeds, margin, workers, *, num_tokens, corpus, preset, json) -> None:
    from losslab import processes
    from losslab.study import equal

    if store is None:
        raise ValueError("--real trains runs and needs a place for them; give --from STORE")
    processes.adopt_orphans()
    config = configure(preset, None, {"data": None, "model": None, "train": None, "evaluate": None},
                       corpus=corpus, num_tokens=num_tokens)
    found = equal.document(equal.studies(
        config, store, studies, arms=arms, seeds=seeds, margin=margin, workers=workers_of(workers), tell=tell,
        progress=Ticker()), margin)
    lines = [f"{name}  {_rate(found[name])}  (n={found[name]['n']})" for name in ("false_verdicts", "coverage")]
    show(found, "\n".join([*found["verdicts"], "", *lines]), json)


def _rate(found: dict) -> str:
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _sd(values: list[float]) -> float:
    import numpy as np

    return np.std(values, ddof=1)


def recorded(store: Path) -> tuple[list[float], str]:
    """The nll of the finished runs of the condition with most of them."""
    from losslab import records
    from losslab.comparison import measured

    found: dict[str, list[float]] = {}
    for run in records.find([store]):
        value = measured.score(run, "nll") if run.status == "finished" else None
        if value is not None:
            found.setdefault(run.condition, []).append(value)
    if not found:
        raise ValueError(f"{store} holds no finished run with a nll; train some, such as with `losslab noise`")
    condition = max(found, key=lambda name: len(found[name]))
    return found[condition], condition
