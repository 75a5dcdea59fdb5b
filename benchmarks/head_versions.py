"""Time of `linear_loss` in two checkouts of losslab, each in a process of its own, that take turns.

    python benchmarks/head_versions.py BEFORE AFTER [--turns 15] [--loss cross_entropy]

A turn runs one loss once in each process, forward and backward, on the problem of `linear_loss.py`; the order is
reversed from turn to turn and the first turn warms up. Printed is the median over turns of AFTER's time by BEFORE's
with its quartiles, and whether value and gradients were the same to the last bit. Each checkout brings its own
`benchmarks/linear_loss.py`.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIZES = [(4096, 64, 50257), (2048, 256, 50257), (8192, 256, 4096)]  # tokens, width, vocabulary
LOSSES = ["cross_entropy", "squentropy", "softcap(15) | cross_entropy", "softcap(15) | squentropy + 1e-4*z_loss",
          "focal", "cross_entropy + 0.1*entropy", "mile"]  # fmt: skip


def work(checkout: str) -> None:
    """Answer each line on standard input, a size and a loss, with the seconds that it took and a hash of the result."""
    sys.path[:0] = [checkout, str(Path(checkout) / "benchmarks")]
    from linear_loss import ours, problem

    problems = {size: problem(*size) for size in SIZES}
    made = {(loss, size): ours(loss, size[2]) for size in SIZES for loss in LOSSES}
    print("ready", flush=True)
    for line in sys.stdin:
        size, loss = json.loads(line)
        hidden, lm_head, targets = problems[tuple(size)]
        hidden.grad = lm_head.grad = None
        run = made[loss, tuple(size)]
        started = time.perf_counter()
        found = run(hidden, lm_head, targets)
        found = found if hasattr(found, "backward") else found.total
        found.backward()
        seconds = time.perf_counter() - started
        parts = (found.detach(), hidden.grad, lm_head.grad)
        digest = hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()
        print(json.dumps([seconds, digest]), flush=True)


class Checkout:
    """A process that computes with the losslab of one folder."""

    def __init__(self, folder: Path):
        command = [sys.executable, "-P", __file__, "--work", str(folder.resolve())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, size, loss) -> tuple[float, str]:
        self.process.stdin.write(json.dumps([size, loss]) + "\n")
        self.process.stdin.flush()
        return tuple(json.loads(self.process.stdout.readline()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--loss", action="append", choices=LOSSES, help="this one alone; may be given several times")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.work)
    if len(arguments.checkouts) != 2:
        parser.error("give two folders: the checkout before and the one after")
    both, medians = [Checkout(folder) for folder in arguments.checkouts], []
    print("| tokens x width x vocabulary | loss | time after / before | result |\n| --- | --- | --- | --- |")
    for size in SIZES:
        for loss in arguments.loss or LOSSES:
            ratios, same = [], True
            for turn in range(arguments.turns + 1):
                answers = [each.ask(size, loss) for each in both[:: 1 if turn % 2 else -1]][:: 1 if turn % 2 else -1]
                same &= answers[0][1] == answers[1][1]
                ratios += [answers[1][0] / answers[0][0]] if turn else []
            low, middle, high = statistics.quantiles(ratios, n=4)
            medians.append(middle)
            print(f"| {' x '.join(map(str, size))} | `{loss}` | {middle:.3f} [{low:.3f}, {high:.3f}] | "
                  f"{'identical' if same else 'different'} |", flush=True)
    print(f"\nmedian of the medians {statistics.median(medians):.3f}, largest {max(medians):.3f}")


if __name__ == "__main__":
    main()
