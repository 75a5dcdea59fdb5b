"""What the boundary of the arena costs: training with a loss in a jail next to the same training without one.

    python benchmarks/arena_boundary.py [--steps 40] [--rounds 9] [--tier bwrap]

Rounds of a few updates are timed in turn in one process, each from the same weights; the ratio is that of the medians.
The model is that of loss-laptop. Starting a jail and repeating calls come once a run, and are shown apart. Writes
benchmarks/results/arena_boundary.json. Takes one to two minutes on an idle machine; `--rounds 2 --steps 5 --out FILE`
shows that it runs.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from losslab import formula
from losslab.arena import challenge, tiers, worker
from losslab.arena.jail import Jail, Submission
from losslab.arena.jailed import Jailed, Referee
from losslab.arena.memory import Layout
from losslab.config import override
from losslab.model import initialized
from losslab.objective import Objective
from losslab.training_loop import train

RESULT = Path(__file__).parent / "results" / "arena_boundary.json"
VOCAB = 257
LOSS = "cross_entropy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tier", default="")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    laptop = challenge.read("loss-laptop")
    config = override(laptop.config.train, {"num_steps": asked.steps, "num_tokens": 0, "device": "cpu",
                                            "dtype": "float32", "log_every": 1000})
    rows, seq = config.batch_size, laptop.config.seq_len
    ids = torch.randint(VOCAB, (asked.steps, rows, seq + 1), generator=torch.Generator().manual_seed(0))

    def jail(waits: bool = False) -> Jail:
        return Jail(Submission(LOSS), Layout(rows, seq, VOCAB), worker.limits(laptop),
                    [asked.tier] if asked.tier else tiers.at_least("plain"), waits=waits)

    def once(objective) -> float:
        model = initialized(laptop.config.model, VOCAB, 0, ())
        started = time.perf_counter()
        train(model, lambda step: (ids[step, :, :-1], ids[step, :, 1:]), objective, config)
        return (time.perf_counter() - started) / asked.steps

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, jail(waits=True) as one:
        start = time.perf_counter() - started
        # as many calls are repeated and held against finite differences as in a run of the challenge, in proportion
        referee = Referee(one, jail, max(laptop.config.num_steps, asked.steps * (asked.rounds + 1)), Path(folder))
        within, without = Jailed(formula.parse(LOSS), [], referee), Objective.parse(LOSS)
        taken = {"jail": [], "plain": []}
        for turn in range(asked.rounds + 1):
            for name, objective in (("jail", within), ("plain", without))[:: 1 if turn % 2 else -1]:
                seconds = once(objective)
                if turn:  # one round warms up
                    taken[name].append(seconds)
                print(f"round {turn}, {name}: {1e3 * seconds:.2f} ms an update", file=sys.stderr)
        started = time.perf_counter()
        referee.finish()
        finish = time.perf_counter() - started
    middle = {name: statistics.median(values) for name, values in taken.items()}
    steps = laptop.config.num_steps
    whole = (start + finish + steps * middle["jail"]) / (steps * middle["plain"])
    found = {
        "tier": one.tier, "milliseconds": {name: round(1e3 * value, 3) for name, value in middle.items()},
        "ratio_of_an_update": round(middle["jail"] / middle["plain"], 3), "seconds_to_start": round(start, 2),
        "seconds_to_repeat": round(finish, 2), "repeated": referee.repeated, "updates_of_a_run": steps,
        "ratio_of_training": round(whole, 3), "rounds": asked.rounds, "steps": asked.steps,
    }
    asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
