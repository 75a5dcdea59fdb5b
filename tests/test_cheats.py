"""Loss files that cheat: each is an arm of a study, and none gets a score that its weights do not have.

The files are in tests/cheats: what each tries stands in its first line, how it must end in `ENDS`. docs/trust.md shows
the same as a table. They touch their run folder and the folder of their study, and what they start ends by itself.
Each arm takes three processes, so the quick study has one file that does what many do, and a few of the others.
"""

import hashlib
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from losslab import comparison, records, report
from losslab.config import DataConfig, EvaluateConfig, ModelConfig
from losslab.corpus import Corpus
from losslab.evaluate.evaluator import measure_run
from losslab.experiment.watching import Watch

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("faults_page", ROOT / "benchmarks" / "faults_page.py")
page = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page)

CHEATS = {cheat["name"]: cheat for cheat in page.cheats()}
ALONE = ["b_wider_model"]
TOGETHER = [  # what can be done at once, without one undoing the other
    "a_patched_cross_entropy", "a_patched_tensors", "a_patched_evaluator", "a_patched_subprocess",
    "a_patched_interpreter", "a_early_result", "a_exit_hook", "a_thread", "a_surviving_result", "a_surviving_weights",
    "a_surviving_log", "a_printed_answer", "a_environment_path", "a_environment", "a_module_in_working_directory",
    "a_module_in_run_folder", "a_planted_sums", "a_finer_tokenizer", "a_forged_log",
]
STARTED = [name for name, cheat in CHEATS.items() if cheat["ends"] != "refused"]
WORDS = "the cat sat on a mat and ran to see what it was that made all of them so very glad".split()
STEPS, LIMIT_SECONDS = 3, 1200
DATA = {"val_bytes": 1500, "tune_bytes": 1000}
MODEL = ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=8)
EVALUATE = EvaluateConfig(tune_tokens=64, num_samples=0)
SETTINGS = ["--model.n-layer", "1", "--model.n-head", "2", "--model.n-embd", "16", "--model.num-positions", "8",
            "--train.num-steps", str(STEPS), "--train.batch-size", "4", "--train.log-every", "1", "--train.device",
            "cpu", "--train.dtype", "float32", "--data.val-bytes", "1500", "--data.tune-bytes", "1000",
            "--evaluate.tune-tokens", "64", "--evaluate.num-samples", "0"]  # fmt: skip


def losslab(folder, *arguments):
    """The command line in a separate process, in `folder`; it may not hang."""
    return subprocess.run([sys.executable, "-P", "-m", "losslab.cli", *map(str, arguments)], cwd=folder,
                          capture_output=True, text=True, timeout=LIMIT_SECONDS, errors="replace")  # fmt: skip


def study(folder, names):
    """One study with an arm for each of these files; what the command said, and the folder."""
    rng = random.Random(0)
    sentences = [" ".join(rng.choices(WORDS, k=12)) for _ in range(300)]
    (folder / "text.txt").write_text("\n<|endoftext|>\n".join(sentences), encoding="utf-8")
    (folder / "cheats-may-write-here").touch()
    (folder / "together.py").write_text(together(), encoding="utf-8")
    for name in CHEATS:
        shutil.copy(page.CHEATS / f"{name}.py", folder)
    (folder / "store").mkdir()
    (folder / "store" / "a-file-of-the-user.txt").write_text("mine", encoding="utf-8")
    files = [f"{name}.py" for name in names]
    done = losslab(folder, "compare", "cross_entropy", *files, "--seeds", "1", "--corpus", "text.txt", "--store",
                   "store", "--workers", "2", *SETTINGS)  # fmt: skip
    return done, folder


def together():
    """The text of one loss file that does all that the files of `TOGETHER` do, each in a separate module."""
    texts = [(page.CHEATS / f"{name}.py").read_text(encoding="utf-8") for name in TOGETHER]
    each = [f"exec(compile({text!r}, 'cheat', 'exec'), {{'__name__': 'cheat'}})" for text in texts]
    return "\n".join([*each, "def loss(prediction):", "    return prediction.nll"])


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    return study(tmp_path_factory.mktemp("quick"), ["together", *ALONE])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return study(tmp_path_factory.mktemp("whole"), STARTED)


def run_of(folder, name):
    (run,) = (folder / "store").glob(f"{name.replace('_', '-')}.py-*-seed0")
    return run


def measured(folder, weights, place):
    """The scores of a copy of the weights, in this process, which has run no cheating file, by the study's settings."""
    shutil.copy(weights, place / "copy.safetensors")
    corpus = Corpus.open(DataConfig(corpus=str(folder / "text.txt"), **DATA))
    return measure_run({
        "weights": str(place / "copy.safetensors"), "model": asdict(MODEL), "vocab_size": 257, "transform": "",
        "corpus": [corpus.name, str(corpus.folder), corpus.meta["sum"]], "evaluate": asdict(EVALUATE),
        "seq_len": MODEL.num_positions, "device": "cpu",
    })  # fmt: skip


def check(name, ends, studied, place):
    done, folder = studied
    record = records.read(run_of(folder, name))
    assert record.status == {"measured": "finished"}.get(ends, ends), record.result.get("error")
    weights = record.path / "checkpoint" / f"step-{STEPS:08d}" / "model.safetensors"
    if ends == "measured":
        assert record.result["weights"] == hashlib.sha256(weights.read_bytes()).hexdigest()
        clean = measured(folder, weights, place)
        assert record.scores == clean["scores"] and record.result["temperature"] == clean["temperature"]
        assert record.result["model"]["num_params"] == clean["model"]["num_params"]
    if ends == "failed":
        sentence = record.result["error"]
        assert len(sentence) > 20 and sentence.isprintable() and not record.scores
        assert f"failed: {record.path.name}: {sentence}" in done.stderr
    if ends == "diverged":
        assert not record.scores and "not finite" in str(record.result["diverged"])


def test_the_study_goes_on_among_cheating_arms_and_says_nothing_that_a_terminal_would_obey(quick):
    done, folder = quick
    assert done.returncode == 6 and "Traceback" not in done.stderr  # some arms failed
    assert not [letter for letter in done.stdout + done.stderr if not letter.isprintable() and letter != "\n"]
    assert (folder / "store" / "a-file-of-the-user.txt").read_text(encoding="utf-8") == "mine"
    honest = next(run for run in records.find([folder / "store"]) if run.loss == "cross_entropy")
    assert honest.status == "finished"
    assert report.document(comparison.compare(records.find([folder / "store"])))["baseline"] == "cross_entropy"


@pytest.mark.parametrize("name", ["together", *ALONE])
def test_a_cheat(name, quick, tmp_path):
    check(name, "measured" if name == "together" else CHEATS[name]["ends"], quick, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", STARTED)
def test_every_cheat(name, whole, tmp_path):
    check(name, CHEATS[name]["ends"], whole, tmp_path)


@pytest.mark.slow
def test_the_whole_study_says_no_traceback(whole):
    test_the_study_goes_on_among_cheating_arms_and_says_nothing_that_a_terminal_would_obey(whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CHEATS.keys() - STARTED))
def test_a_cheat_that_is_not_started(name, whole):
    _, folder = whole
    done = losslab(folder, "train", "--loss", f"{name}.py", "--corpus", "text.txt", "--out", "refused", *SETTINGS)
    assert done.returncode == 2 and not (folder / "refused").exists()
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith(f"error: trying {name}.py gave no usable answer")


# --- what the parent is told -------------------------------------------------------------------

def test_a_line_of_the_log_that_no_number_holds_is_left_out(tmp_path):
    (tmp_path / "log.jsonl").touch()
    watched = Watch(tmp_path, tmp_path / "said")
    lines = [{"step": 10**400, "tokens": 1, "seconds": 1}, {"step": 1, "tokens": float("nan"), "seconds": 1},
             {"step": 1, "tokens": 8, "seconds": 0.5, "nll": 10**30, "text": "9"}]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert list(watched.new_lines()) == [{"step": 1, "tokens": 8, "seconds": 0.5}]


@pytest.mark.parametrize("damage", [
    shutil.rmtree, lambda run: (run / "result.json").mkdir(), lambda run: os.mkfifo(run / "result.json"),
    lambda run: (run / "environment.json").write_text("{}"), lambda run: (run / "spec.json").unlink(),
])
def test_after_training_the_documents_of_a_run_are_put_back_whatever_it_did_to_them(damage, tmp_path):
    spec = {"condition": "c", "config": {"loss": "mse", "seed": 1}, "corpus": {}}
    run = records.create(tmp_path / "run", spec, {"device": "cpu"})
    before = records.read(run)
    damage(run)
    records.restore(run, spec, {"device": "cpu"})
    after = records.read(run)
    assert (after.spec, after.environment, after.result) == (before.spec, before.environment, {})


# --- the table ---------------------------------------------------------------------------------

def test_there_are_forty_cheats_in_three_classes_and_the_page_shows_each():
    assert len(CHEATS) >= 40 and {cheat["class"] for cheat in CHEATS.values()} == set(page.CLASSES)
    assert all(name.startswith(f"{cheat['class']}_") and cheat["ends"] in page.ENDS for name, cheat in CHEATS.items())
    assert page.cheats_table() in page.PAGE.read_text(encoding="utf-8")
