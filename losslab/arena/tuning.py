"""Cross-entropy with the settings that a submitter may set, tuned over the same ranges with as many trials as tests."""

import math
import random
from collections.abc import Callable

from losslab.arena import refereeing
from losslab.arena.home import Board
from losslab.arena.refereeing import Entry
from losslab.records import files


def settings(board: Board, tell: Callable[[str], None] = lambda text: None) -> dict:
    """The best of the trials on the visible seeds; found once for a board, and kept with it."""
    path = board.path / "cross_entropy.json"
    try:
        return files.read_sealed(path, 1, always=True)["settings"]
    except FileNotFoundError:
        pass
    tried = []
    for number, given in enumerate(trials(board), 1):
        told = given or "as the recipe has it"
        tell(f"tuning cross_entropy: trial {number} of {board.challenge.budget.tests}, {told}")
        runs = refereeing.run(board, Entry("cross_entropy", {}, given), board.secret["visible"], "tune", tell=tell)
        if refereeing.status(runs)[0] == "finished":
            tried.append((sum(one["scores"]["tune_nll"]["value"] for one in runs.values()) / len(runs), number, given))
    if not tried:
        raise ValueError("no trial of cross_entropy finished, so that there is nothing to compare with")
    _, number, best = min(tried, key=lambda one: one[:2])
    files.write_sealed(path, {"format": 1, "settings": best, "trials": [[nll, given] for nll, _, given in tried]})
    return best


def trials(board: Board) -> list[dict]:
    """As many settings as a submitter has tests: the recipe's own first, then random ones within the ranges.

    Ranges that span a factor of four or more are drawn from by ratios, others by differences.
    """
    rng = random.Random(board.secret["nonce"])
    drawn = [{name: _drawn(rng, name, low, high) for name, (low, high) in board.challenge.overrides.items()}
             for _ in range(board.challenge.budget.tests - 1)]
    return [{}, *drawn]


def _drawn(rng: random.Random, name: str, low: float, high: float) -> float:
    by_ratio = low > 0 and high / low >= 4
    value = math.exp(rng.uniform(math.log(low), math.log(high))) if by_ratio else rng.uniform(low, high)
    return float(round(value)) if name == "warmup_iters" else min(high, max(low, float(f"{value:.3g}")))
