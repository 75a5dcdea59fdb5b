"""Faults done on purpose: kills at random moments, byte flips, mutated inputs; and what came of them.

    python benchmarks/faults.py [--kills 100] [--flips 1000] [--inputs 20000] [--seed 0] [--workers 2]
    python benchmarks/faults.py --input 4711 --seed 0      # one input again, with its traceback
    python benchmarks/faults.py --flip 17 --seed 0         # one flip again

First all kinds of work are done once, which takes some minutes; then, on two cores of their own, 100 kills take about
half an hour, flips and inputs 15 minutes. Writes benchmarks/results/faults.json and the tables of docs/trust.md; 0 of
any part leaves its figures as they are. Exit code 1 where a fault was not met as it should be.
"""

import argparse
import collections
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import faults_flips
import faults_inputs
import faults_kills
import faults_material
import faults_page

RESULTS = Path(__file__).parent / "results" / "faults.json"


class Progress:
    """How many, how fast, how long still; a line every ten seconds."""

    def __init__(self):
        self.begun, self.last, self.what = time.monotonic(), 0.0, ""

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self.what:
            self.what, self.begun, self.last = what, now, 0.0
        if now - self.last < 10 and done < total:
            return
        self.last, rate = now, done / max(now - self.begun, 1e-9)
        print(f"{what}: {done:,} of {total:,}, {rate:.2f}/s, {(total - done) / max(rate, 1e-9) / 60:.1f} min left",
              file=sys.stderr, flush=True)  # fmt: skip


def inputs(material: Path, folder: Path, count: int, seed: int, workers: int, tell) -> dict:
    """`count` mutated inputs in `workers` processes; one that hangs in a library is killed and counted."""
    context = multiprocessing.get_context("spawn")
    outcomes: collections.Counter = collections.Counter()
    findings: list[faults_inputs.Finding] = []
    subjects: dict[str, collections.Counter] = {}
    running: dict = {}

    def start(worker: int, first: int) -> None:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=faults_inputs.work, daemon=True, args=(
            theirs, str(material), str(folder / f"worker-{worker}"), seed, range(first, count, workers)))  # fmt: skip
        process.start()
        theirs.close()
        running[ours] = [process, worker, first, time.monotonic()]

    for worker in range(workers):
        start(worker, worker)
    while running:
        for pipe in multiprocessing.connection.wait(list(running), timeout=5):
            try:
                number, subject, what, finding = pipe.recv()
            except EOFError:
                number, subject, what, finding = running[pipe][2], "", "died", None
            running[pipe][2:] = [number if number is not None else running[pipe][2], time.monotonic()]
            if what == "done":
                running.pop(pipe)[0].join()
            elif what == "died":
                process, worker, last, _ = running.pop(pipe)
                process.join()
                why = f"the process ended with {process.exitcode}"
                findings.append(faults_inputs.Finding(last, "", "traceback", why, why))
                outcomes["traceback"] += 1
                start(worker, last + workers)
            elif what != "begun":
                outcomes[what] += 1
                subjects.setdefault(subject, collections.Counter())[what] += 1
                findings += [finding] if finding else []
                tell("inputs", sum(outcomes.values()), count)
        for pipe, (process, worker, last, heard) in list(running.items()):
            if time.monotonic() - heard > 3 * faults_inputs.LIMIT_SECONDS:
                process.kill()
                running.pop(pipe)
                findings.append(faults_inputs.Finding(last, "", "hang", "in a library"))
                outcomes["hang"] += 1
                start(worker, last + workers)
    return {"inputs": sum(outcomes.values()), "seed": seed, "outcomes": dict(outcomes),
            "by_key": _grouped(findings), "subjects": len(faults_inputs.SUBJECTS), "by_subject": subjects}  # fmt: skip


def _grouped(findings: list[faults_inputs.Finding]) -> list[dict]:
    groups: dict[str, list] = {}
    for finding in findings:
        groups.setdefault(finding.key, []).append(finding)
    return [{"count": len(group), "key": key, "first": asdict(group[0])}
            for key, group in sorted(groups.items(), key=lambda pair: -len(pair[1]))]  # fmt: skip


def flips(bench: faults_flips.Flips, count: int, tell) -> dict:
    """`count` flips, one after the other; Ctrl-C ends them, and those that were done count."""
    found = []
    with contextlib.suppress(KeyboardInterrupt):
        for number in range(count):
            found.append(bench.run(number))
            tell("flips", number + 1, count)
    return {"seed": bench.seed, "by_file": {kind: dict(collections.Counter(f.outcome for f in found if f.file == kind))
                                            for kind in sorted({f.file for f in found})},
            "wrong": [asdict(f) for f in found if f.outcome in ("silent", "traceback")]}  # fmt: skip


def joined(before: dict, now: dict) -> dict:
    """Flips of some kinds of files, next to those of others that were done before."""
    kinds = before.get("by_file", {}) | now["by_file"]
    wrong = [flip for flip in before.get("wrong", []) if flip["file"] not in now["by_file"]] + now["wrong"]
    every = sum((collections.Counter(came) for came in kinds.values()), collections.Counter())
    return {"flips": every.total(), "seed": now["seed"], "outcomes": dict(every),
            "by_file": dict(sorted(kinds.items())), "wrong": wrong}  # fmt: skip


def main() -> int:
    given = _arguments()
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    tell = Progress()
    with tempfile.TemporaryDirectory(prefix="losslab-faults-") as name:
        folder = Path(name)
        with faults_material.cache(folder / "cache"):
            if given.input is not None or given.flip is not None:
                return _again(folder, given, tell)
            material = _material(folder, given, tell) if given.inputs or given.flips else folder
            if given.inputs:
                _keep(kept, inputs=inputs(material, folder, given.inputs, given.seed, given.workers, tell))
            if given.flips:
                kinds = tuple(kind for kind in faults_flips.KEPT if _is_asked(kind.kind, given))
                bench = faults_flips.Flips(material, folder / "bench", given.seed, kinds)
                _keep(kept, flips=joined(kept.get("flips", {}) if given.only else {}, flips(bench, given.flips, tell)))
            if given.kills:
                works = [work for work in faults_kills.WORKS if _is_asked(work.name, given)]
                kept["kills"] = kept.get("kills", {}) if given.only else {}
                faults_kills.run(folder / "kills", given.kills, given.seed, tell, works=works,
                                 keep=lambda name, outcome: _keep(kept, kills=kept["kills"] | {
                                     name: outcome.to_dict()}))  # fmt: skip
    print(faults_page.table(kept))
    return _complain(kept)


def _is_asked(name: str, given) -> bool:
    return not given.only or any(part in name for part in given.only.split(","))


def _keep(kept: dict, **found: dict) -> None:
    """Write down what is there; a part that takes long may yet be broken off."""
    kept |= found | {"machine": {"python": platform.python_version(), "system": platform.system()}}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    faults_page.write(kept)


def _material(folder: Path, given, tell) -> Path:
    """Every kind of file, and every kind of work, done; what was made before in the folder that is named stays."""
    folder = given.material.resolve() if given.material else folder / "material"
    if not (folder / "formula").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        faults_material.everything(folder)
    return faults_flips.make(folder, tell=tell)


def _complain(found: dict) -> int:
    """What was not met as it should be, each with the command that shows it again."""
    again, code = "python benchmarks/faults.py", 0
    for group in found.get("inputs", {}).get("by_key", []):
        first, code = group["first"], 1
        print(f"{group['count']:5} x {group['key']}: {first['subject']}: {first['said'][:120]}\n        {again} "
              f"--input {first['number']} --seed {found['inputs']['seed']}")  # fmt: skip
    for flip in found.get("flips", {}).get("wrong", []):
        code = 1
        print(f"{flip['file']}: {flip['outcome']}: {flip['said']}\n        {again} --flip {flip['number']} --seed "
              f"{found['flips']['seed']} (and --only, where it was given)")  # fmt: skip
    for work, came in found.get("kills", {}).items():
        for trouble in came["troubles"]:
            code = 1
            print(f"{work}: {trouble}\n        {again} --kills {len(came['kills'])} --only '{work}' --inputs 0 "
                  "--flips 0")  # fmt: skip
    return code


def _again(folder: Path, given, tell) -> int:
    """One input or flip once more; the bent files stay where the last line says."""
    material = _material(folder, given, tell)
    if given.flip is not None:
        kinds = tuple(kind for kind in faults_flips.KEPT if _is_asked(kind.kind, given))
        print(faults_flips.Flips(material, folder / "bench", given.seed, kinds).run(given.flip))
        return 0
    place = Path(tempfile.mkdtemp(prefix="losslab-input-"))
    subject, bent, file = faults_inputs.Bench(material, place, given.seed).bend(given.input)
    kept = place.with_name(f"{place.name}-kept")
    shutil.copytree(bent, kept)
    print(f"{subject.name}: {kept / file.relative_to(bent)}", flush=True)
    try:
        subject.read(bent, file)
    finally:
        shutil.rmtree(place)
    return 0


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("kills", 100), ("flips", 1000), ("inputs", 20_000), ("seed", 0), ("workers", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--material", type=Path, help="where what is bent is made, or was made before")
    parser.add_argument("--only", default="", help="works or files with one of these in their names; others stay")
    parser.add_argument("--input", type=int, help="do this one input again")
    parser.add_argument("--flip", type=int, help="do this one flip again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
