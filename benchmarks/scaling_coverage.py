"""Do the intervals of scaling laws and compute multipliers hold what they promise? Studies whose truth is known.

    python benchmarks/scaling_coverage.py [--studies 300] [--only law|multiplier|few] [--out FILE.json]

Runs are drawn from a law with known constants; the code that fits a user's table fits them. Writes
benchmarks/results/scaling_coverage.json. A quarter of an hour on one core; each line depends on its own seeds alone.
"""

import argparse
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from losslab.scaling import fit as fits
from losslab.scaling.exchange import exchange
from losslab.scaling.law import Law
from losslab.scaling.multiplier import compare
from losslab.scaling.table import Runs
from losslab.stats.calibration import rate

OUT = Path(__file__).parent / "results" / "scaling_coverage.json"
LAW = Law(1.2, math.log(60), math.log(200), 0.35, 0.37)  # near what models of 20k to 500k parameters do
RESAMPLES = 300
DESIGNS = {  # sizes, tokens per parameter, seeds
    "ladder 4 x 2 x 3": ((2e4, 6e4, 1.8e5, 5e5), (10, 40), 3),
    "ladder 5 x 3 x 1": ((2e4, 5e4, 1.2e5, 3e5, 7e5), (5, 20, 80), 1),
    "grid 8 x 6 x 1": (tuple(np.geomspace(2e4, 2e6, 8)), tuple(np.geomspace(5, 160, 6)), 1),
}
NOISE = 0.004  # standard deviation of log nll over seeds, at all sizes


def drawn(rng, law: Law, design, *, shape: str = "normal", noise: float = NOISE) -> Runs:
    """Runs of one arm."""
    sizes, ratios, seeds = design
    cells = [(n, n * r, s) for n in sizes for r in ratios for s in range(seeds)]
    num_params, num_tokens = (np.array([cell[i] for cell in cells], dtype=float) for i in (0, 1))
    errors = rng.standard_normal(len(cells)) if shape == "normal" else rng.standard_t(3, len(cells)) / math.sqrt(3)
    return Runs(num_params, num_tokens, law.nll(num_params, num_tokens) * np.exp(noise * errors),
                seeds=tuple(str(cell[2]) for cell in cells))


def law_coverage(name: str, shape: str, studies: int) -> dict:
    """How often the intervals hold the true constants, and the true optimum at the largest compute and a decade on."""
    held, done = Counter(), 0
    for study in range(studies):
        runs = drawn(np.random.default_rng([study, 1]), LAW, DESIGNS[name], shape=shape)
        found = fits.fit(runs, resamples=RESAMPLES, seed=study, leave_out=False)
        held["misfit"] += any("of one rung explains" in sentence for sentence in found.warnings)
        if found.draws is None:
            held["no interval"] += 1
            continue
        done += 1
        asked = {key: (lambda one, key=key: getattr(one, key)) for key in ("E", "alpha", "beta")}
        for times, label in ((1, "at the top"), (10, "a decade on")):
            flops = times * found.flops[1]
            asked |= {f"params {label}": lambda one, c=flops: one.optimum(c)[0],
                      f"nll {label}": lambda one, c=flops: one.nll(*one.optimum(c))}
        for key, ask in asked.items():
            interval = found.interval(ask)
            held[key] += interval["low"] <= float(ask(LAW)) <= interval["high"]
    return {"kind": "law", "design": name, "noise": shape, "studies": done,
            "without_interval": held.pop("no interval", 0), "said_not_to_hold": held.pop("misfit"),
            "coverage": {key: rate(count, done) for key, count in held.items()}}


def pair(rng, multiplier, design, correlation: float = 0.7) -> Runs:
    """Runs of a baseline and of an arm that is worth `multiplier(C)` times the compute, with errors in common."""
    sizes, ratios, seeds = design
    rows = []
    for n in sizes:
        for r in ratios:
            half = math.log(multiplier(6 * n * n * r)) / 2
            for seed in range(seeds):
                shared = math.sqrt(correlation) * rng.standard_normal()
                for arm, grown in (("baseline", 0.0), ("candidate", half)):
                    own = math.sqrt(1 - correlation) * rng.standard_normal()
                    nll = LAW.nll(n * math.exp(grown), n * r * math.exp(grown))
                    rows.append((n, n * r, nll * math.exp(NOISE * (shared + own)), arm, str(seed)))
    columns = list(zip(*rows, strict=True))
    return Runs(*(np.array(column) for column in columns[:3]), arms=columns[3], seeds=columns[4])


MULTIPLIERS = {
    "1": lambda flops: 1.0, "1.05": lambda flops: 1.05, "1.3": lambda flops: 1.3,
    "1.2, fading by a tenth a decade": lambda flops: 1.2 * (flops / 1e12) ** -0.04,
}


def multiplier_coverage(name: str, truth: str, studies: int) -> dict:
    """How often the intervals hold the true multiplier, at rungs and a decade on, and what the verdicts are."""
    rungs = held = forecasts = ahead = 0
    verdicts: dict[str, Counter] = {"rungs": Counter(), "forecast": Counter()}
    widths, values = [], []
    for study in range(studies):
        runs = pair(np.random.default_rng([study, 2]), MULTIPLIERS[truth], DESIGNS[name])
        base = runs.by_arm()["baseline"]
        laws, reason = exchange(base, fits.fit(base, resamples=RESAMPLES, seed=study, leave_out=False))
        [found] = compare(runs, "baseline", laws=laws, reason=reason)
        for one in found.rungs:
            verdicts["rungs"][one.verdict] += 1
            if one.low is not None:
                rungs += 1
                held += one.low <= MULTIPLIERS[truth](one.flops) <= one.high
        for one in found.trend:
            forecasts += 1
            ahead += one.low <= MULTIPLIERS[truth](one.flops) <= one.high
            verdicts["forecast"][one.verdict] += 1
            widths.append(one.high / max(one.low, 1e-4))
            values.append(one.value / MULTIPLIERS[truth](one.flops))
    return {"kind": "multiplier", "design": name, "truth": truth, "studies": studies,
            "coverage": {"rungs": rate(held, rungs) if rungs else None,
                         "a decade on": rate(ahead, forecasts) if forecasts else None},
            "verdicts": {key: dict(value) for key, value in verdicts.items()},
            "forecast_over_truth": {"median": float(np.median(values)), "standard_deviation": float(np.std(values))},
            "median_width": float(np.median(widths))}


FEW = {
    "1 rung x 3 seeds": ((6e4,), (20,), 3), "2 sizes x 2 x 3": ((2e4, 6e4), (10, 40), 3),
    "3 sizes, one ratio x 3": ((2e4, 6e4, 1.8e5), (20,), 3), "4 x 2 x 1 seed": ((2e4, 6e4, 1.8e5, 5e5), (10, 40), 1),
}


def few(name: str, studies: int) -> dict:
    """What is said where the rungs or seeds are too few, the candidate being worth 1.3 times the compute."""
    said: dict[str, Counter] = {"rungs": Counter(), "forecast": Counter()}
    for study in range(studies):
        [found] = compare(pair(np.random.default_rng([study, 3]), MULTIPLIERS["1.3"], FEW[name]), "baseline")
        said["rungs"].update(one.verdict for one in found.rungs)
        said["forecast"].update([one.verdict for one in found.trend] or ["cannot tell"])
    return {"kind": "few", "design": name, "studies": studies,
            "verdicts": {key: dict(value) for key, value in said.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--only", choices=("law", "multiplier", "few"))
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    tasks = [(few, name) for name in FEW]
    tasks += [(multiplier_coverage, name, truth) for name in list(DESIGNS)[:1] for truth in MULTIPLIERS]
    tasks += [(law_coverage, name, shape) for name in DESIGNS for shape in ("normal", "heavy")]
    kinds = {"law": law_coverage, "multiplier": multiplier_coverage, "few": few}
    lines, begun = [], time.monotonic()
    for work, *what in tasks:
        if given.only and work is not kinds[given.only]:
            continue
        studies = max(1, given.studies // 10) if work is few else given.studies
        lines.append(work(*what, studies))
        print(f"{time.monotonic() - begun:.0f} s: {json.dumps(lines[-1])}", file=sys.stderr, flush=True)
        about = {"law": {"E": LAW.E, "A": 60, "B": 200, "alpha": LAW.alpha, "beta": LAW.beta}, "noise": NOISE,
                 "resamples": RESAMPLES, "level": 0.95}
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(about | {"lines": lines}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
