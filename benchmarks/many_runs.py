"""How long `losslab runs list` and `losslab report` take on a store of many runs.

    python benchmarks/many_runs.py --runs 10000 --out benchmarks/results/many_runs.json
    python benchmarks/many_runs.py --runs 10000 --serve --out benchmarks/results/serve_runs.json

Makes finished runs with made-up scores in a temporary folder, lists them without and with an index, and writes the
page of them. With --serve it measures the live page in their place: from the start of `losslab serve` to its first
answer, and what an update costs the server while two of the runs train. Run it on an idle machine.
"""

import argparse
import contextlib
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from losslab import config as configuration
from losslab import machine, records

SEEDS = 5  # of a condition


def make(store: Path, count: int) -> None:
    """`count` finished runs; what a checkpoint would hold is left out."""
    chance = random.Random(0)
    os.fsync = lambda handle: None  # they need not survive a power cut
    base = configuration.to_dict(configuration.preset("tiny"))
    splits = {name: {"documents": 800, "tokens": 200_000, "bytes": 199_200} for name in ("train", "tune", "val")}
    corpus = {"name": "tales", "digest": "c0ffee123456", "tokenizer": "bytes", "vocab_size": 257, "splits": splits}
    environment = {"python": "3.11", "torch": "2.13", "device": "cpu", "dtype": "float32", "threads": 1}
    for number in range(count):
        arm, seed = divmod(number, SEEDS)
        loss = f"cross_entropy + {arm + 1}e-6*z_loss"
        config = base | {"loss": loss, "seed": seed}
        config["train"] = base["train"] | {"learning_rate": 1e-3 * (1 + arm % 4)}
        condition = configuration.digest(config | {"seed": 0})
        folder = store / f"cross_entropy-{condition}-seed{seed}"
        records.create(folder, {"version": "0.1.0", "condition": condition, "config": config, "corpus": corpus,
                                "objective": loss, "losses": []}, environment)
        nll = 1.5 + 0.01 * chance.random()
        lines = [{"step": step, "tokens": 1024 * step, "tune/nll": nll + math.exp(-step / 90)}
                 for step in range(25, 501, 25)]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        score = {"value": nll, "stderr": 0.01, "n": 800, "unit": "nats/token"}
        bits = score | {"value": nll / math.log(2), "unit": "bits/byte"}
        records.write_result(folder, {
            "status": "finished", "step": 500, "num_steps": 500, "tokens": 512_000,
            "scores": {"nll": score, "bits_per_byte": bits}, "cost": {"train_seconds": 55.0},
        })


def seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "losslab.cli", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def served_seconds(store: Path) -> float:
    """From the start of a server to the end of its first page."""
    started = time.perf_counter()
    server = subprocess.Popen([sys.executable, "-m", "losslab.cli", "serve", str(store), "--port", "0", "--json"],
                              stdout=subprocess.PIPE, text=True)
    try:
        said = "".join(iter(server.stdout.readline, "}\n")) + "}"
        with urllib.request.urlopen(json.loads(said)["address"]) as answer:
            answer.read()
        return time.perf_counter() - started
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def update_milliseconds(store: Path, updates: int = 40) -> dict[str, float]:
    """Of an update of a page, for one browser: to notice it, and to make the page that is asked for then.

    Returns:
        medians by name of the page; `processor` is the time of the processor alone, to which other work adds nothing.
    """
    from starlette.testclient import TestClient

    from losslab.serve import live
    from losslab.serve.application import application

    app = application(store)
    site = app.app.state.site
    names = [f"cross_entropy-going-seed{seed}" for seed in (0, 1)]
    base = configuration.to_dict(configuration.preset("tiny")) | {"loss": "squentropy"}
    spec = {"version": "0.1.0", "condition": "a" * 12, "corpus": {"name": "tales", "digest": "c0ffee123456",
            "tokenizer": "bytes"}, "objective": "squentropy", "losses": []}
    asked = {"list": "/", "run": f"/runs/{names[0]}", "condition": f"/conditions/{spec['condition']}"}
    with contextlib.ExitStack() as held:
        # entered, so that one loop serves all: otherwise each request starts threads, which a server does not
        pages = held.enter_context(TestClient(app, base_url="http://127.0.0.1"))
        for seed, name in enumerate(names):
            records.create(store / name, spec | {"config": base | {"seed": seed}}, {})
            held.enter_context(records.lock(store / name))
        logs = [records.Log(store / name) for name in names]
        found: dict[str, list[float]] = {}
        for update in range(updates):
            for log in logs:
                log.write(step=update + 1, tokens=1024 * (update + 1), seconds=0.1 * update, **{"tune/nll": 2.0})
            time.sleep(0.6)  # until the next look is due
            for page, address in asked.items():
                started, used = time.perf_counter(), time.process_time()
                live.state(site, live.Watch(names, everything=True))
                assert pages.get(address).status_code == 200
                found.setdefault(page, []).append(1000 * (time.perf_counter() - started))
                found.setdefault(f"{page} processor", []).append(1000 * (time.process_time() - used))
    return {name: round(statistics.median(values[5:]), 2) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--no-report", action="store_true")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "runs"
        make(store, options.runs)
        found = {"runs": options.runs, "machine": machine.describe("cpu", "float32"), "cores": os.cpu_count()}
        cold = seconds("runs", "list", str(store))
        if options.serve:
            found |= {"serve_first_page_seconds": min(served_seconds(store) for _ in range(3)),
                      "load_average": os.getloadavg()[0], "update_milliseconds": update_milliseconds(store)}
        else:
            found |= {"list_cold_seconds": cold,
                      "list_warm_seconds": min(seconds("runs", "list", str(store)) for _ in range(3))}
        if not (options.no_report or options.serve):
            found["report_seconds"] = seconds("report", str(store), "--out", f"{folder}/report.html")
    text = json.dumps(found, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
