"""Whether `--dry-run` is right: the estimate of a study, the study itself, and both times part by part.

    python benchmarks/dry_run.py compare cross_entropy squentropy --tune learning_rate=5 --seeds 3 --num-tokens 100k

Takes what `losslab compare` takes, but for --store and --json. The store is thrown away. For a machine that does
nothing else. What training and measuring of each run took is read from its result and the times of its files.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = [sys.executable, "-m", "losslab.cli"]


def losslab(*arguments: str) -> dict:
    return json.loads(subprocess.run([*COMMAND, *arguments, "--json"], check=True, stdout=subprocess.PIPE).stdout)


def taken(store: Path) -> dict[str, list[tuple[float, float]]]:
    """Loss and kind -> of each of its runs, seconds of training, and those from its last log line to the result."""
    found: dict[str, list[tuple[float, float]]] = {}
    for result in sorted(store.rglob("result.json")):
        loss = json.loads((result.parent / "spec.json").read_text())["config"]["loss"]
        last = (result.parent / "log.jsonl").stat()
        whole = json.loads(result.read_text())
        updates = whole.get("cost", {}).get("train_seconds", float("nan"))
        kind = "trial" if "trials" in result.parts else "run"
        found.setdefault(f"{loss} ({kind})", []).append((updates, result.stat().st_mtime - last.st_mtime))
    return found


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        begun = time.monotonic()
        estimate = losslab(*arguments, "--store", str(store), "--dry-run")
        print(f"the dry run took {time.monotonic() - begun:.1f} s")
        begun = time.monotonic()
        losslab(*arguments, "--store", str(store))
        real = time.monotonic() - begun
        said = estimate["seconds"]
        print(f"estimate {said:.1f} s (tuning {estimate['seconds_tuning']:.1f}, training "
              f"{estimate['seconds_training']:.1f}, else {estimate['seconds_else']:.1f}); it took {real:.1f} s; "
              f"the estimate is {100 * (said / real - 1):+.0f} %")
        for name, parts in estimate["parts_by_arm"].items():
            print(f"  {name}: " + ", ".join(f"{part} {seconds:.2f}" for part, seconds in parts.items()))
        for name, rows in taken(store).items():
            training, measuring = (sum(column) / len(rows) for column in zip(*rows, strict=True))
            print(f"  {len(rows)} x {name}: training process {training:.2f} s, from its last line to the result "
                  f"{measuring:.2f} s, on average")


if __name__ == "__main__":
    main(sys.argv[1:])
