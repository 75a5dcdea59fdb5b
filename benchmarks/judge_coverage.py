"""How often the 95 % intervals of `losslab judge` hold the truth, by simulation; a few minutes on one core.

    python benchmarks/judge_coverage.py > docs/results/judge-coverage.md

Grades: a level of each prompt (standard deviation s) and a deviation of each completion (1), rounded to 1..10, one in
ten lost. Win rates: the chance of a win in a prompt is drawn from a beta distribution. Texts: 600 words of each prompt
from a Zipf distribution over 3,000 words, 20 of which are likelier in that prompt.
"""

import argparse
import math

import numpy as np

from losslab.judge.measures import compression, kinds
from losslab.judge.statistics import clustered, jackknife, share_ends, t_ends
from losslab.tables import Column, Table, left

PROMPTS, COMPLETIONS = 44, 10
COLUMNS = (left("what"), left("how it was drawn"), Column("coverage"), Column("error claimed / true"), Column("runs"))


def grades(rng, spread, runs, prompts=PROMPTS, *, by_prompt=True):
    """Coverage of the mean grade, and the claimed error in true ones."""
    def drawn(number):
        level = 6.3 + spread * rng.normal(size=(number, 1)) + rng.normal(size=(number, COMPLETIONS))
        return np.clip(np.round(level), 1, 10)

    truth, scores = drawn(100_000).mean(), []
    for _ in range(runs):
        values = drawn(prompts)
        groups = [row[rng.random(COMPLETIONS) < 0.9] for row in values]
        scores.append(clustered(groups if by_prompt else [[x] for group in groups for x in group]))
    return summed(scores, truth, t_ends)


def win_rates(rng, mean, prompts, each, runs):
    scores = []
    for _ in range(runs):
        chance = rng.beta(4 * mean, 4 * (1 - mean), prompts)
        scores.append(clustered(rng.binomial(1, chance[:, None], (prompts, each)).astype(float)))
    return summed(scores, mean, share_ends)


def texts(rng, statistic, runs):
    """The truth is the mean over all runs: these numbers depend on how many texts there are."""
    base = 1 / np.arange(1, 3001)
    scores = []
    for _ in range(runs):
        groups = []
        for _ in range(PROMPTS):
            weights = base / base.sum()
            weights[rng.integers(3000, size=20)] += 0.01
            groups.append(rng.choice(3000, size=600, p=weights / weights.sum()).tolist())
        scores.append(statistic(groups))
    return summed(scores, float(np.mean([score.value for score in scores])), t_ends)


def summed(scores, truth, ends):
    held = [low <= truth <= high for low, high in map(ends, scores)]
    claimed = math.sqrt(np.mean([score.stderr**2 for score in scores]))
    return np.mean(held), claimed / np.std([score.value for score in scores], ddof=1), len(scores)


def packed(groups):
    return jackknife(groups, lambda kept: compression(" ".join(f"w{word}" for word in group) for group in kept))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    rows = [("grade", f"s = {spread}, {PROMPTS} prompts", *grades(rng, spread, runs)) for spread in (0.0, 1.0, 2.0)]
    rows += [("grade", "s = 1, 8 prompts", *grades(rng, 1.0, runs, 8)),
             ("grade, completions taken for independent", f"s = 1, {PROMPTS} prompts",
              *grades(rng, 1.0, runs, by_prompt=False))]
    rows += [("win rate", f"{mean}, {prompts} prompts of {each}", *win_rates(rng, mean, prompts, each, runs))
             for mean, prompts, each in ((0.5, 44, 10), (0.5, 8, 1), (0.9, 20, 3), (0.97, 44, 1))]
    rows += [("distinct 1", "600 words a prompt", *texts(rng, kinds, runs // 10)),
             ("vocabulary", "the same", *texts(rng, lambda groups: kinds(groups, share=False), runs // 10)),
             ("compression", "the same", *texts(rng, packed, runs // 50))]
    table = Table(COLUMNS, [(what, how, f"{100 * held:.1f} %", f"{ratio:.2f}", str(count))
                            for what, how, held, ratio, count in rows])
    said = __doc__.split("\n\n")[2].strip()
    print(f"# How often the 95 % intervals of a judgement hold the truth\n\n{said}\n\n{table.markdown()}\n\n"
          "The measures of many texts together are not averages, and leaving out one prompt after the other\n"
          "overstates their errors: their intervals are too wide.\n\nMade by `python benchmarks/judge_coverage.py`.")


if __name__ == "__main__":
    main()
