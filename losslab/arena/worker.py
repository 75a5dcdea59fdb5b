"""One refereed run, in a process of the host's own: it trains and measures, and never runs a submission.

It reads one JSON object from standard input and prints another. What the submission computes is computed in a jail that
this process starts; weights, optimizer, data, seeds and the number of updates are here.
"""

import json
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

from losslab import experiment, machine, processes, records
from losslab.arena import benchmarks, tiers
from losslab.arena import challenge as challenges
from losslab.arena.jail import Ended, Jail, Limits
from losslab.arena.jailed import Jailed, Referee, submission
from losslab.arena.memory import Layout

WATCH_SECONDS = 0.5
KEPT_COSTS = ("train_seconds", "loss_seconds", "cross_entropy_seconds", "tokens_per_second")


def main() -> int:
    request = json.loads(sys.stdin.buffer.readline())
    if processes.parent_is_gone():
        return 1
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        found = run(request)
    except tiers.NotToBeHad as error:
        found = {"status": "refused", "reason": str(error), "unavailable": True}
    except Ended as error:
        found = {"status": error.status, "reason": error.reason}
    except (ValueError, OSError) as error:
        found = {"status": "failed", "reason": str(error)}
    json.dump(found, answer)
    answer.flush()
    return 0


def _end_with_the_parent() -> None:
    """A run whose command was killed is made anew, in the same folder; this one must not write there meanwhile."""
    while not processes.parent_is_gone():
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def run(request: dict) -> dict:
    """Train and measure one seed of one submission.

    Args:
        request: `challenge` (as `to_dict`), `formula`, `files` (their texts by name), `overrides`, `seed`, `split`
            (`tune` for visible tests, `val` for the board), `folder` (of the run), `tiers` (accepted, best first).

    Returns:
        `status`, `reason`, `scores`, `cost`, `weights` (their sha256), `tier`, and how much was checked.

    Raises:
        Ended: where the submission broke a rule.
        NotToBeHad: where no accepted tier is to be had.
    """
    machine.set_threads(1)
    folder = Path(request["folder"])
    asked = challenges.from_dict(request["challenge"])
    config = asked.run(request["formula"], request["seed"], request["split"], request["overrides"])
    with processes.workplace() as place:
        court = _Court(asked, request["tiers"], place)
        try:
            plan = experiment.Experiment(config, files=request["files"], outside=court.outside, tell=_say)
            court.begin(plan)
            record = experiment.run(plan, folder, threads=1)
            try:
                court.referee.finish()
            except Ended as error:
                records.write_result(folder, {"status": "failed", "error": str(error)})
                raise
        except ValueError:
            if court.ended is not None:  # the loop wraps nothing, but a record says only its sentence
                raise court.ended from None
            raise
        finally:
            court.close()
    result = record.result
    tier = min(court.referee.tiers, key=tiers.WEAKEST_FIRST.index)
    about = {"tier": tier, "calls": court.referee.calls, "repeated": court.referee.repeated,
             "differences": court.referee.differences}
    if record.status == "diverged":
        return {"status": "diverged", "reason": f"the objective was not finite at step {result.get('step')}", **about}
    if request["split"] == "val":
        weights = folder / "checkpoint" / result["checkpoint"] / "model.safetensors"
        result["scores"] |= benchmarks.scores(asked, plan, weights, result["weights"], _say)
    cost = {name: result["cost"][name] for name in KEPT_COSTS if name in result["cost"]}
    return {"status": "finished", "reason": "", "scores": result["scores"], "cost": cost, **about,
            "weights": result["weights"], "condition": record.condition, "corpus": result["corpus"]["digest"]}


class _Court:
    """The jail of a run and who watches it; the jail is started once the size of a micro-batch is known."""

    def __init__(self, asked, accepted: list[str], place: Path):
        self.asked, self.accepted, self.place = asked, accepted, place
        self.jail = self.referee = self.ended = None
        self.deadline = time.monotonic() + asked.budget.seconds

    def outside(self, parsed, sources) -> Jailed:
        self.submission = submission(parsed, sources)
        return Jailed(parsed, sources, self.score)

    def begin(self, plan: experiment.Experiment) -> None:
        train = plan.config.train
        rows = train.micro_batch_size or train.batch_size
        self.layout = Layout(rows, plan.config.seq_len, plan.corpus.tokenizer.vocab_size)
        calls = plan.num_steps * (train.batch_size // rows)
        self.jail = self.fresh()
        self.jail.__enter__()
        self.referee = Referee(self.jail, self.fresh, calls, self.place, self.asked.gradient)

    def fresh(self) -> Jail:
        return Jail(self.submission, self.layout, limits(self.asked), self.accepted, waits=False)

    def score(self, logits, targets):
        try:
            if time.monotonic() > self.deadline:
                raise Ended("killed", f"the run took more than {self.asked.budget.seconds:,} seconds")
            return self.referee(logits, targets)
        except Ended as error:
            self.ended = error
            raise

    def close(self) -> None:
        if self.jail is not None:
            self.jail.close()
        if self.referee is not None:
            self.referee.close()


def limits(asked: challenges.Challenge) -> Limits:
    """What a jail of this challenge may use."""
    budget = asdict(asked.budget)
    return Limits(**{name: budget[name] for name in ("memory_bytes", "scratch_bytes", "seconds", "call_seconds")})


def _say(text) -> None:
    print(text, file=sys.stderr, flush=True)
