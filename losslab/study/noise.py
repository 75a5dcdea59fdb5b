"""The noise of a condition: many seeds of it, whether pairing by seed helps, and where the differences come from."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, replace
from pathlib import Path

from losslab import records
from losslab.config import ExperimentConfig
from losslab.progress import Progress, silent
from losslab.records import Record
from losslab.running import Tell, execute, plan
from losslab.stats import noise as statistics

ALPHA, POWER = 0.05, 0.9
ENVIRONMENT = ("losslab", "torch", "device", "dtype", "threads")  # what a page names of it
CROSSED = "crossed"  # the folder in the store
FIXED_SEED = 0  # of dropout in the crossed design


def measure(
    conditions: Sequence[ExperimentConfig], seeds: Sequence[int], store: str | Path, *, crossed: int = 5,
    level: float = statistics.FIRST_LOOK, workers: int = 1, threads: int = 1, tell: Tell = lambda text: None,
    progress: Progress = silent, executor: Executor | None = None,
) -> tuple[dict, list[Record]]:
    """Train one or two conditions with many seeds, and the first with its seeds of weights and data order crossed.

    Args:
        conditions: one or two; their own seeds are not used.
        seeds: at least 2, of every condition.
        store: a folder of runs; what is finished there is not run again. Those of the crossed design are in `crossed/`.
        crossed: seeds of the initial weights, and as many of the data order; 0 for no crossed design.
        level: of the test for which `seeds_needed` counts.
        executor: of other machines, as for `running.execute`.

    Returns:
        the document that `document` describes, and the runs behind it.

    Raises:
        ValueError: for another number of conditions, too few seeds, or what cannot be run.
        running.Stopped: after SIGTERM or Ctrl-C, once every worker has saved its run.
    """
    if not 1 <= len(conditions) <= 2:
        raise ValueError(f"noise is measured of one loss or two, got {len(conditions)}; `losslab compare` takes more")
    if len(seeds) < 2:
        raise ValueError(f"noise takes at least 2 seeds, got {len(seeds)}; 20 know it to within some 40 %")
    with records.lock(store, "store"):
        grid = cells(conditions[0], crossed)
        plans = [plan(conditions, seeds, store, tell=tell, progress=progress)]
        if grid:  # conditions of one run each, which are no arms: a store of their own
            plans.append(plan(grid, [FIXED_SEED], Path(store) / CROSSED, tell=tell, progress=progress))
        for planned in plans:
            execute(planned, workers=workers, threads=threads, tell=tell, progress=progress,
                    executor=executor)
        many, *rest = [[records.read(folder) for folder in planned.folders] for planned in plans]
    count = len(conditions)
    runs = sum(rest, many)
    return document([many[i::count] for i in range(count)], *rest, level=level), runs


def cells(config: ExperimentConfig, crossed: int) -> list[ExperimentConfig]:
    """The conditions of a crossed design, row by row: a row has one seed of weights, a column one of the data order.

    Raises:
        ValueError: for a design of one row, or a training that has no initial weights.
    """
    if not crossed:
        return []
    if crossed < 2:
        raise ValueError(f"a crossed design takes at least 2 seeds of each kind, got {crossed}; 0 leaves it out")
    if config.start:
        raise ValueError(f"the weights of {config.start} are no part of a seed, so that there is no crossed design; "
                         "leave it out with --crossed 0")
    return [replace(config, model=replace(config.model, init_seed=weights), data=replace(config.data, seed=order))
            for weights in range(crossed) for order in range(crossed)]


def document(
    conditions: Sequence[Sequence[Record]], grid: Sequence[Record] = (), *, level: float = statistics.FIRST_LOOK,
) -> dict:
    """What the runs say, JSON-able.

    Args:
        conditions: the runs of one condition or two, one for each seed.
        grid: those of a crossed design, row by row.
        level: of the test for which seeds are counted.

    Returns:
        `standard_deviation` of the first condition over seeds (the noise floor, nats/token), `correlation` over seeds
        (None for one condition), `seeds_needed` (a list of `difference`, `seeds`, `low`, `high`); `conditions`,
        `pairing`, `difference` and `components` with the intervals, and `notes`. What too few finished runs leave
        unknown is None.
    """
    values = [{run.seed: _nll(run) for run in runs if run.status == "finished"} for runs in conditions]
    notes = [_lost(runs[0].loss, runs) for runs in conditions if any(run.status != "finished" for run in runs)]
    found = [_condition(runs, own) for runs, own in zip(conditions, values, strict=True)]
    paired = _paired(*values) if len(values) == 2 else None
    difference, of = None, "unpaired"
    if paired and paired.paired.value > 0:
        difference, of = paired.paired, "paired"
    elif found[0]["standard_deviation"]:
        one = statistics.standard_deviation(list(values[0].values()), ALPHA)
        ends = {name: 2**0.5 * getattr(one, name) for name in ("value", "low", "high")}
        difference = replace(one, **ends, variance=2 * one.variance)
    parts, why = _components(grid)
    notes += [why] if why else []
    first = conditions[0][0]
    return {
        "standard_deviation": found[0]["standard_deviation"],
        "correlation": paired.correlation if paired else None,
        "seeds_needed": statistics.seeds_table(difference, level, POWER) if difference else [],
        "unit": "nats/token", "confidence": 1 - ALPHA, "level": level, "power": POWER,
        "conditions": found,
        "pairing": asdict(paired) | {"saved": paired.saved} if paired else None,
        "difference": asdict(difference) | {"of": of} if difference else None,
        "components": parts, "notes": notes,
        "corpus": {name: first.spec["corpus"].get(name) for name in ("name", "digest", "tokenizer")},
        "tokens_per_run": next((run.result["tokens"] for run in conditions[0] if "tokens" in run.result), None),
        "config": first.spec["config"],
        "environment": {name: first.environment.get(name) for name in ENVIRONMENT},
    }


def _nll(run: Record) -> float:
    return run.scores[records.score_name([run], "nll")]["value"]  # `nll_stride_64` where windows overlap


def _condition(runs: Sequence[Record], values: Mapping[int, float]) -> dict:
    about = {"loss": runs[0].loss, "condition": runs[0].condition, "n": len(values), "runs": len(runs),
             "nll": {str(seed): value for seed, value in values.items()}, "mean": None, "standard_deviation": None,
             "low": None, "high": None}
    if len(values) < 2:
        return about
    one = statistics.standard_deviation(list(values.values()), ALPHA)
    return about | {"mean": sum(values.values()) / len(values), "standard_deviation": one.value, "low": one.low,
                    "high": one.high}


def _paired(first: Mapping[int, float], second: Mapping[int, float]) -> statistics.Pairing | None:
    shared = [seed for seed in first if seed in second]
    if len(shared) < 2:
        return None
    return statistics.pairing([first[seed] for seed in shared], [second[seed] for seed in shared], ALPHA)


def _components(grid: Sequence[Record]) -> tuple[dict | None, str]:
    """The parts of a crossed design, or why there are none."""
    if not grid:
        return None, ""
    if any(run.status != "finished" for run in grid):
        return None, f"no parts of the noise: {_lost('the crossed design', grid)}"
    size = round(len(grid) ** 0.5)
    values = list(map(_nll, grid))
    values = [values[row * size : (row + 1) * size] for row in range(size)]
    try:
        found = statistics.components(values, ALPHA)
    except ValueError as error:
        return None, str(error)
    parts = {name: asdict(part) | {"share": share} for name, part, share in zip(
        ("initial_weights", "data_order", "remainder"), (found.rows, found.columns, found.remainder), found.shares,
        strict=True)}
    dropout = grid[0].spec["config"]["model"].get("dropout", 0.0)
    return {**parts, "rows": size, "columns": size, "nll": values, "dropout": dropout, "dropout_seed": FIXED_SEED}, ""


def _lost(what: str, runs: Sequence[Record]) -> str:
    lost = [run for run in runs if run.status != "finished"]
    kinds = sorted({run.status for run in lost})
    return f"{len(lost)} of {len(runs)} runs of {what} {'is' if len(lost) == 1 else 'are'} {' or '.join(kinds)}"
