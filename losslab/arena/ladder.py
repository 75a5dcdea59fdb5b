"""A ladder: the first rung is a small proxy on which everybody is judged; what survives is tried on a larger one.

An entry survives a rung where its mean difference from cross-entropy is below 0 there. How far the order of a rung is
that of the next is reported, since a proxy is worth no more than that.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from losslab import stats
from losslab.arena import challenge as challenges
from losslab.arena import refereeing
from losslab.arena.challenge import Challenge
from losslab.arena.home import Board
from losslab.arena.refereeing import Entry
from losslab.stats.agreement import agreement


def rung(challenge: Challenge, number: int) -> Challenge:
    """The challenge of a rung; 1 is the challenge itself."""
    if number == 1:
        return replace(challenge, rungs=())
    table = dict(challenge.rungs[number - 2])
    tokens = table.pop("tokens")
    config = challenges.configured(table, tokens, f"rung {number} of {challenge.name}")
    whole = replace(challenge, config=config, budget=replace(challenge.budget, tokens=tokens), rungs=())
    return whole.without_benchmarks()


def climb(board: Board, entry: Entry, value: float, tell: Callable[[str], None] = lambda text: None) -> list[dict]:
    """Try an entry on the rungs above the first, as long as it survives.

    Args:
        board: of a ladder; its hidden seeds are those of every rung.
        entry: what is trained.
        value: its mean difference from cross-entropy on the first rung.
        tell: takes sentences for people.

    Returns:
        of each rung that it reached: `rung`, `status`, `reason`, `tokens`, and `difference` where it finished.
    """
    found = []
    for number in range(2, len(board.challenge.rungs) + 2):
        if not value < 0:
            break
        on = replace(board, path=board.path / f"rung-{number}", challenge=rung(board.challenge, number))
        told = {"rung": number, "tokens": on.challenge.budget.tokens}
        runs = {name: refereeing.run(on, one, board.secret["hidden"], "val", tell=tell)
                for name, one in (("this", entry), ("cross_entropy", Entry("cross_entropy")))}
        ends = [refereeing.status(every) for every in runs.values()]
        if bad := [end for end in ends if end[0] != "finished"]:
            return [*found, told | {"status": bad[0][0], "reason": bad[0][1]}]
        values = {name: {seed: one["scores"]["nll"]["value"] for seed, one in every.items()}
                  for name, every in runs.items()}
        d = stats.compare(values, "cross_entropy", margin=on.challenge.margin, plan=False).arm("this").difference
        value = d.value
        found.append(told | {"status": "finished", "reason": "", "difference": {
            "value": d.value, "low": d.low, "high": d.high, "n": d.n, "unit": "nats/token"}})
    return found


def agreements(rows: list[dict]) -> list[dict]:
    """Of each rung and the next, how far they order the entries alike that were tried on both.

    Args:
        rows: of a board, each with `difference` and `rungs`.

    Returns:
        `rungs` (two numbers), `n`, Kendall's `tau` and its p; from three entries on.
    """
    values: dict[int, dict[str, float]] = {}
    for one in rows:
        values.setdefault(1, {})[one["name"]] = one["difference"]["value"]
        for reached in one.get("rungs", ()):
            if "difference" in reached:
                values.setdefault(reached["rung"], {})[one["name"]] = reached["difference"]["value"]
    found = []
    for number in range(2, max(values, default=1) + 1):
        both = sorted(values.get(number - 1, {}).keys() & values.get(number, {}).keys())
        if len(both) < 3:
            continue
        one = agreement(*([values[which][name] for name in both] for which in (number - 1, number)))
        found.append({"rungs": [number - 1, number], "n": one.n, "tau": one.tau, "tau_p": one.tau_p})
    return found


def told(found: dict) -> str:
    """An agreement as a sentence."""
    first, second = found["rungs"]
    tau = "no order" if found["tau"] is None or math.isnan(found["tau"]) else f"Kendall's tau {found['tau']:.2f}"
    return f"rungs {first} and {second} order {found['n']} entries with {tau}"
