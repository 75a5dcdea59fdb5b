"""What lies in a folder before work begins there: study files, instruction data, models that write, a workspace."""

import contextlib
import functools
import importlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from faults_material import LOSS, SMALL, losslab

TESTS = Path(__file__).parents[1] / "tests"
SETTINGS = """
[settings]
model.n_layer = 1
model.n_embd = 16
model.n_head = 2
model.num_positions = 32
train.num_steps = 20
train.batch_size = 4
train.checkpoint_every = 10
train.device = "cpu"
train.dtype = "float32"
data.max_bytes = 60000
data.val_bytes = 4000
data.tune_bytes = 4000
evaluate.tune_tokens = 512
evaluate.sample_tokens = 8
"""
ARMS = """
[[arm]]
loss = "cross_entropy"

[[arm]]
loss = "label_smoothing(epsilon=0.1)"
label = "smoothed"
"""
TUNED = f"""question = "Is a smoothed target better at its best rate?"
preset = "tiny"
seeds = 1
margin = 0.004
{SETTINGS}{ARMS}
[tune]
trials = 3
space.train.learning_rate = {{}}
"""
SHARED = f"""preset = "tiny"
seeds = 1
{SETTINGS}
[[arm]]
loss = "cross_entropy"

[tune]
trials = 3
method = "random"
space.train.learning_rate = {{}}
"""
RACED = f"""question = "Does a smoothed target settle it early?"
preset = "tiny"
seeds = 3
race = [2, 3]
{SETTINGS}{ARMS}"""
LADDER = f"""question = "What is a smoothed target worth at two sizes?"
preset = "tiny"
seeds = 1
{re.sub("(model.n_|train.num_).*", "", SETTINGS)}{ARMS}
[ladder]
sizes = [{{n_layer = 1, n_head = 1, n_embd = 8, num_positions = 32}},
         {{n_layer = 1, n_head = 1, n_embd = 16, num_positions = 32}}]
tokens_per_param = [1]
rate = "width"
"""
CHALLENGE = f"""about = "A loss for a model of nothing"
preset = "tiny"
tier = "plain"
baselines = ["cross_entropy", "label_smoothing(0.05)"]
visible = ["nll"]
hidden = ["nll", "nll_calibrated"]
visible_seeds = 1
hidden_seeds = 2
{re.sub("train.(num|check).*|.settings.", "", SETTINGS)}

[budget]
actions = 9
tests = 2
submissions = 1
tokens = 1600
seconds = 300
call_seconds = 20.0
"""
WHOLE = f"""{CHALLENGE}
[overrides]
learning_rate = [1e-4, 1e-1]

[[rungs]]
preset = "tiny"
tokens = 3200
model.n_layer = 1
"""
STAGES = f"""question = "How well does a model of nothing write?"

[[stage]]
name = "pretrain"
kind = "train"
preset = "tiny"
seed = 3
{SETTINGS.replace("[settings]", "[stage.settings]")}
[[stage]]
name = "texts"
kind = "generate"
models = ["pretrain"]
prompts = "pretrain"
num_prompts = 2
completions = 2
num_tokens = 8

[[stage]]
name = "grades"
kind = "judge"
texts = "texts"
protocol = "tinystories"

[published]
source = "nobody"

[[published.figures]]
label = "pretrain"
measure = "perplexity"
value = 10.18
unit = "per token"
"""
PROMPTS = "Anna has apples\nBen smiles and\nThe old house\n"
GENTLER = """import torch.nn.functional as F


def compute_loss(logits, targets):
    return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), label_smoothing=0.01)
"""


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """This process in a folder, whose `host` is where the arena keeps its own."""
    before = os.environ.get("LOSSLAB_ARENA")
    os.environ["LOSSLAB_ARENA"] = str(folder / "host")
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.pop("LOSSLAB_ARENA")
        if before is not None:
            os.environ["LOSSLAB_ARENA"] = before


@contextlib.contextmanager
def quickly() -> Iterator[None]:
    """Training and measuring processes are forked, where it is not their start that is tried."""
    from losslab import processes

    forks, ordinary = of_tests("forks"), processes.subprocess

    def started(command, **options):
        is_known = any(word.startswith(("losslab.experiment", "losslab.evaluate")) for word in command)
        return (forks.Child if is_known else ordinary.Popen)(command, **options)

    processes.subprocess = SimpleNamespace(**vars(ordinary) | {"Popen": started})
    try:
        yield
    finally:
        processes.subprocess = ordinary


def losses() -> None:
    """A loss file."""
    Path("gentle.py").write_text(LOSS, encoding="utf-8")


def studies() -> None:
    """Study files and the like, which are read before anything is run."""
    for name, text in (("tuned", TUNED), ("shared", SHARED), ("raced", RACED), ("ladder", LADDER),
                       ("challenge", CHALLENGE), ("whole", WHOLE), ("stages", STAGES)):  # fmt: skip
        Path(f"{name}.toml").write_text(text, encoding="utf-8")


def instructions() -> None:
    """Instruction data in each of its forms, and prompts."""
    rows = of_tests("instruction_data")
    for name, found in (("alpaca.json", rows.alpaca(40)), ("alpaca.jsonl", rows.alpaca(40)),
                        ("chat.jsonl", rows.chats(30)), ("chat.json", rows.chats(30))):  # fmt: skip
        rows.write(Path(name), found)
    pairs = [{"prompt": f"{n} + {n} =", "response": str(2 * n)} for n in range(40)]
    rows.write(Path("pairs.jsonl"), pairs)
    rows.write(Path("prompts.jsonl"), rows.alpaca(4))
    Path("prompts.txt").write_text(PROMPTS, encoding="utf-8")


def base() -> None:
    """A run to start from, and the rows that it has not seen."""
    instructions()
    losslab("train", "--out", "base", *(word if word != "32" else "256" for word in SMALL))


def writers() -> None:
    """Two models that write, and prompts for them."""
    Path("prompts.txt").write_text(PROMPTS, encoding="utf-8")
    for seed, name in enumerate(("ours", "theirs")):
        losslab("train", "--seed", str(seed), "--out", name, *SMALL)


def workspace() -> None:
    """A workspace of a small challenge with a loss in it, and the host's own folder."""
    studies()
    losslab("arena", "new", "challenge.toml", "mine")
    (Path("mine") / "loss.py").write_text(GENTLER, encoding="utf-8")


def many() -> None:
    """A store of so many runs that an index of them is kept, one of each status among them."""
    runs = of_tests("report_runs")
    for seed in range(30):
        for loss in ("cross_entropy", "squentropy"):
            runs.write_run(Path("store"), loss, seed, 1.5 + seed / 100)
    for number, status in enumerate(("diverged", "failed", "running")):
        runs.write_run(Path("store"), "focal", number, status=status)


@functools.cache
def judge():
    """A judge on this machine, which listens as long as this process lives."""
    stub = of_tests("judge_stub")
    found = stub.Stub(stub.counts_words)
    threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return found


@functools.cache
def of_tests(name: str):
    """A module of the tests that makes small data."""
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    return importlib.import_module(name)
