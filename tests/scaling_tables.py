"""Tables of runs that follow a known law."""

import math

import numpy as np

from losslab.scaling.law import Law
from losslab.scaling.table import Runs

LAW = Law(1.2, math.log(60), math.log(200), 0.35, 0.37)
SIZES, RATIOS = (2e4, 6e4, 1.8e5, 5e5), (10, 40)


def cells(sizes=SIZES, ratios=RATIOS, seeds=1):
    """Parameters, tokens and seed of each run."""
    found = [(n, n * r, seed) for n in sizes for r in ratios for seed in range(seeds)]
    return [np.array(column) for column in zip(*found, strict=True)]


def runs(law=LAW, *, noise=0.0, seed=0, **design) -> Runs:
    """Runs of one arm."""
    size, tokens, seeds = cells(**design)
    errors = np.random.default_rng(seed).standard_normal(len(size))
    return Runs(size, tokens, law.nll(size, tokens) * np.exp(noise * errors), seeds=tuple(map(str, seeds)))


def pair(worth, *, noise=0.004, seed=0, correlation=0.7, **design) -> Runs:
    """A baseline and an arm that is worth `worth` times its compute, with errors in common on each seed."""
    size, tokens, seeds = cells(**design)
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(len(size))
    arms = []
    for law in (LAW, LAW.scaled(worth)):
        errors = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * rng.standard_normal(len(size))
        arms.append(law.nll(size, tokens) * np.exp(noise * errors))
    return Runs(np.tile(size, 2), np.tile(tokens, 2), np.concatenate(arms),
                ("baseline",) * len(size) + ("candidate",) * len(size), tuple(map(str, seeds)) * 2)


def csv(found: Runs) -> str:
    """The runs as a file, with the columns of their arms and seeds."""
    rows = ["num_params,num_tokens,nll,arm,seed"]
    rows += [f"{n!r},{d!r},{y!r},{arm},{seed}" for n, d, y, arm, seed in
             zip(found.num_params.tolist(), found.num_tokens.tolist(), found.nll.tolist(),
                 found.arms or [""] * len(found), found.seeds, strict=True)]
    return "\n".join(rows) + "\n"
