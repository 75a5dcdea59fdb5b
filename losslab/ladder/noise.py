"""How far the validation set, its own entropy and the decay of the learning rate decide what a ladder says."""

import math
from collections.abc import Sequence

import numpy as np

from losslab import records
from losslab.comparison import Comparison, measured
from losslab.ladder.rungs import Rung
from losslab.records import Record

SHARES = 1.0, 1 / 4, 1 / 16


def validation(rung: Rung, found: Comparison) -> list[dict]:
    """How sure the nll of one run is on the whole validation set and on parts of it, next to what seeds do.

    The standard error of a part of as many documents, drawn at random, is that of the whole set times the root of how
    often it holds the part. Arms that are measured on the same documents share most of that error, and seeds do so
    too, so a difference is surer than this.

    Returns:
        of the baseline: `rung`, `share`, `documents`, `stderr` and `seed_sd` in nats/token (None with one seed).
    """
    arm = found.arm(found.baseline)
    scores = [run.scores[name] for run in arm.finished if (name := records.score_name([run], "nll")) in run.scores]
    known = [(measured.figure(one.get("stderr")), one.get("n")) for one in scores if measured.figure(one.get("stderr"))]
    if not known:
        return []
    error = math.sqrt(float(np.mean([stderr**2 for stderr, _ in known])))
    values = [one["value"] for one in scores]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return [{"rung": rung.name, "share": share, "documents": max(1, round(known[0][1] * share)),
             "stderr": error / math.sqrt(share), "seed_sd": spread} for share in SHARES]


def floor(done: Sequence[tuple[Rung, Comparison]]) -> dict | None:
    """What no model can go below: the entropy of an invented text, where it is known.

    The floor of the text is in bits per byte, end marks included. The bits per byte and the nll of a run make nats per
    token of it, the same number whichever run is taken.

    Returns:
        `nll` (nats/token), `bits_per_byte`; None for another text.
    """
    for run in (run for _, found in done for arm in found.arms for run in arm.finished):
        known, nll, bits = (measured.known_floor(run), *(
            measured.score(run, records.score_name([run], name)) for name in ("nll", "bits_per_byte_with_eot")))
        if known and nll and bits:
            return {"nll": known * nll / bits, "bits_per_byte": known}
    return None


def decay(rung: Rung, found: Comparison) -> list[dict]:
    """What the last part of the schedule `wsd`, in which the learning rate decays to its end, takes off the nll.

    Returns:
        `rung`, `arm`, `share` of the run, `before` and `after` (nll on `tune` at the last point before the decay and at
        the end, the means over seeds) and `takes_off`; nothing for another schedule.
    """
    told = []
    for arm in found.arms:
        pairs = [pair for run in arm.finished if (pair := _around(run)) is not None]
        if pairs and len(pairs) == len(arm.runs):
            before, after = np.mean(pairs, axis=0)
            told.append({"rung": rung.name, "arm": arm.name, "share": arm.finished[0].config.train.decay_share,
                         "before": float(before), "after": float(after), "takes_off": float(before - after)})
    return told


def _around(run: Record) -> tuple[float, float] | None:
    config, curve = run.config, run.curve("tune/nll")
    if not config.train.schedule.startswith("wsd"):
        return None
    start = config.train.phases(config.num_steps)[1] / config.num_steps * curve[-1][0] if curve else 0.0
    before = [value for tokens, value in curve if tokens <= start]
    return (before[-1], curve[-1][1]) if before and curve[-1][0] > start else None


def told(spread: Sequence[dict], margin: float) -> str:
    """One sentence on what size of the validation set is enough; nothing where it is not known."""
    whole = [row for row in spread if row["share"] == 1.0 and row["seed_sd"]]
    if not whole:
        return ""
    worst = max(whole, key=lambda row: row["stderr"] / row["seed_sd"])
    return (f"the whole validation set gives the nll of one run to {worst['stderr']:.4f} nats/token at "
            f"{worst['rung']}, {worst['stderr'] / worst['seed_sd']:.2g} times the standard deviation over seeds, and "
            f"{margin:g} would matter; arms share that error, as they are measured on the same documents")
