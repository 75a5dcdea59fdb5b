"""The error rates of the verdict, of racing and of the plan for more seeds; writes docs/results/verdicts.md and .json.

    losslab compare cross_entropy --seeds 0-119 --num-tokens 100k --corpus tales --store STORE   # runs of one condition
    python benchmarks/verdicts.py STORE [--studies 5000] [--processes 2]

Recorded: arms are drawn from the runs of one condition, no run twice in a study. Simulated: arms with a known
distribution. Everything is judged by the code that judges a comparison. Half an hour on two cores.
"""

import argparse
import json
import math
import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np

from losslab.cli.calibrate import recorded
from losslab.stats import compare
from losslab.stats.calibration import Design, calibrate, rate, resampled, simulated, study

OUT = Path(__file__).parent.parent / "docs" / "results"
SIMULATED = [("normal", 0.0), ("normal", 0.5), ("normal", 0.9), ("heavy", 0.0), ("heavy", 0.5), ("skewed", 0.0),
             ("skewed", 0.5)]  # fmt: skip


def run(task: tuple) -> dict:
    """One line of a table; the worker's seed depends on the line alone."""
    number, kind, values, studies, *what = task
    if kind == "recorded":
        arms, seeds, rule = what
        draw, margin = resampled(values, arms), float(np.std(values, ddof=1))
        about = {"arms": arms, "seeds": seeds, "rule": rule}
    elif kind == "simulated":
        shape, correlation, rule = what
        arms, seeds, margin = 4, 4, 1.0
        draw = simulated(arms, 1.0, correlation, shape)
        about = {"shape": shape, "correlation": correlation, "rule": rule}
    elif kind == "race":
        return race(studies, *what)
    else:
        return plan(studies, *what)
    # the margin is one standard deviation of an arm: wide enough that equivalence can be shown
    found = calibrate(draw, Design(arms, seeds, rule, margin), studies=studies, seed=number)
    return {"kind": kind} | about | {key: found[key] for key in ("false_verdicts", "false_equivalent", "coverage")}


def race(studies: int, arms: int, effect: float) -> dict:
    """Runs of a race at 4, 8 and 16 seeds by those of a fixed design of 10; one candidate differs by `effect` standard
    deviations of a paired difference, or all do."""
    rng, draw, own, alone, total = np.random.default_rng(arms), simulated(arms, 1.0), [], [], []
    for _ in range(studies):
        for last, seeds in ((2, own), (arms, alone)):
            values = draw(rng, 16)
            values[1:last] += effect * math.sqrt(2)
            found = study(values, Design(arms, 4, "race"))
            seeds.append(len(found.arm("arm 1").seeds) / 10)
            if seeds is alone:
                total.append(sum(len(arm.seeds) for arm in found.arms) / (10 * arms))
    return {"kind": "race", "arms": arms, "effect": effect, "own": float(np.mean(own)),
            "own_all": float(np.mean(alone)), "total": float(np.mean(total))}


def plan(studies: int, seeds: int, ratio: float) -> dict:
    """The share of followed plans that show the margin, where the true difference is the margin and a paired
    difference has `ratio` times its standard deviation; arms that the first look settled are left out."""
    rng, shown, followed, needed, over = np.random.default_rng(seeds), 0, 0, [], 0
    while followed + over < studies:
        d = rng.normal(1.0, ratio, 10_000)
        first = compare(*_arms(d[:seeds]), margin=1.0, looks=())
        arm = first.arm("candidate")
        if arm.outcome != "open":
            continue
        if arm.difference.seeds_needed is None:
            over += 1
            continue
        followed += 1
        needed.append(arm.difference.seeds_needed)
        second = compare(*_arms(d[: needed[-1]]), margin=1.0, looks=[first.new_look], plan=False)
        shown += second.arm("candidate").outcome == "worse"
    return {"kind": "plan", "seeds": seeds, "ratio": ratio, "power": rate(shown, followed),
            "needed": float(np.median(needed)), "beyond": over}


def _arms(d: np.ndarray) -> tuple[dict, str]:
    return {"base": dict.fromkeys(range(len(d)), 0.0), "candidate": dict(enumerate(d.tolist()))}, "base"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--studies", type=int, default=5000)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    values, condition = recorded(arguments.store)
    n, few = arguments.studies, max(1, arguments.studies // 3)
    rules = ("look", "advice", "race")
    tasks = [("recorded", values, n, arms, seeds, rule) for arms in (2, 6) for seeds in (3, 5, 10) for rule in rules]
    tasks += [("simulated", None, n, *shape, rule) for shape in SIMULATED for rule in rules]
    tasks += [("race", None, few, arms, 5.0) for arms in (2, 6)]
    tasks += [("plan", None, few, seeds, ratio) for seeds in (3, 5, 10) for ratio in (0.5, 1.0, 2.0, 4.0)
              if (seeds, ratio) not in ((5, 0.5), (10, 0.5))]  # there the first look settles nearly all
    started, lines = time.monotonic(), []
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for line in pool.imap(run, [(number, *task) for number, task in enumerate(tasks)]):
            lines.append(line)
            print(f"{len(lines)} of {len(tasks)}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    about = {"runs": len(values), "condition": condition, "standard_deviation": float(np.std(values, ddof=1)),
             "studies": n}
    (OUT / "verdicts.json").write_text(json.dumps(about | {"lines": lines}, indent=1) + "\n")
    (OUT / "verdicts.md").write_text(page(about, lines))


def page(about: dict, lines: list[dict]) -> str:
    """The tables as Markdown."""
    def told(found: dict) -> str:
        return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"

    def table(kind: str, *columns: str) -> str:
        chosen = [line for line in lines if line["kind"] == kind]
        rows = [[told(line[c]) if isinstance(line[c], dict) else f"{line[c]:.3g}" if isinstance(line[c], float)
                 else str(line[c]) for c in columns] for line in chosen]
        head = [columns, ["---"] * len(columns), *rows]
        return "\n".join("| " + " | ".join(c.replace("_", " ") for c in row) + " |" for row in head)

    worst = {kind: max(line["false_verdicts"]["high"] for line in lines if line["kind"] == kind)
             for kind in ("recorded", "simulated")}
    runs, studies, sd = about["runs"], about["studies"], f"{about['standard_deviation']:.4f}"
    return f"""# How often the verdict errs

`python benchmarks/verdicts.py STORE --studies {studies}`, over {runs} runs of one condition (`tiny`, 100k
tokens, standard deviation {sd} nats/token). `look`: one look. `advice`: where a difference is
open, the printed number of seeds for the observed difference is added once, as far as there are runs. `race`: looks
at seeds, twice and four times as many. Brackets hold 95 % intervals. `false verdicts`: studies of equal arms with
any "better" or "worse"; `false equivalent`: studies whose arms all differ by the margin (one standard deviation) with
any "equivalent"; `coverage`: printed intervals that hold the true difference.

## Recorded runs

The upper limits of the false verdicts are at most {worst['recorded']:.3f}.

{table("recorded", "arms", "seeds", "rule", "false_verdicts", "false_equivalent", "coverage")}

## Simulated: 4 arms, 4 seeds

The upper limits of the false verdicts are at most {worst['simulated']:.3f}. `heavy` is Student's t with 3 degrees of
freedom, `skewed` exponential. What arms share on a seed cancels in their difference.

{table("simulated", "shape", "correlation", "rule", "false_verdicts", "false_equivalent", "coverage")}

## Racing at 4, 8 and 16 seeds

Runs by those of a fixed design of 10 seeds. `own`: of one arm that differs by `effect` paired standard deviations while
the others do not; `own all`: where all candidates differ so; `total`: of the whole study then.

{table("race", "arms", "effect", "own", "own_all", "total")}

## The plan for more seeds

The true difference is the margin, the paired standard deviation `ratio` times that. Of studies whose first look left it
open: the share that showed it with the advised seeds (promised: 0.9), the median of the seeds advised in all, and how
many plans were beyond 10,000 seeds and not followed.

{table("plan", "seeds", "ratio", "power", "needed", "beyond")}
"""


if __name__ == "__main__":
    main()
