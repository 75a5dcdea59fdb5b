"""Mistakes at the command line: one sentence that says what came and what would do."""

import gzip
import json
from pathlib import Path

import pytest
from commands import COMPARE, FAST, TRAIN, losslab, refuses
from experiments import place as place
from forks import forking as forking

from losslab import records
from losslab.cli import application, mistakes

pytestmark = pytest.mark.usefixtures("place")


def test_an_empty_corpus(capsys):
    Path("empty.txt").write_text("")
    assert "empty" in refuses(capsys, "train", "--corpus", "empty.txt", *FAST)


def test_a_corpus_shorter_than_one_context(capsys):
    Path("short.txt").write_text("\n<|endoftext|>\n".join(f"{n}" for n in range(12)))
    assert "fewer than one context" in refuses(capsys, "train", "--corpus", "short.txt", *FAST)


def test_a_binary_file(capsys):
    Path("bytes.txt").write_bytes(b"text\0text" * 100)
    assert "bytes.txt" in refuses(capsys, "train", "--corpus", "bytes.txt", *FAST)


def test_text_that_is_not_utf8(capsys):
    Path("latin.txt.gz").write_bytes(gzip.compress("naïve ".encode("latin-1") * 500))
    assert "UTF-8" in refuses(capsys, "train", "--corpus", "latin.txt.gz", *FAST)


def test_a_validation_split_without_a_document(capsys):
    assert "val" in refuses(capsys, "train", "--corpus", "text.txt", *FAST, "--data.val-bytes", "0")


def test_a_missing_corpus_and_an_unknown_name(capsys):
    assert "nowhere.txt" in refuses(capsys, "train", "--corpus", "nowhere.txt", *FAST)
    assert "tales" in refuses(capsys, "train", "--corpus", "tals", *FAST)


def test_an_unknown_loss_and_an_unknown_parameter(capsys):
    assert "did you mean squentropy" in refuses(capsys, *TRAIN, "--loss", "squentrpy")
    assert "did you mean epsilon" in refuses(capsys, *TRAIN, "--loss", "label_smoothing(epslon=0.1)")
    assert "[0, 1]" in refuses(capsys, *TRAIN, "--loss", "label_smoothing(1.5)")


def test_a_loss_file_that_is_not_a_loss(capsys, forking):  # the others are in test_loss_files
    Path("bad.py").write_text("def bad(prediction):\n    return prediction.nlll\n")
    says = "a prediction has no 'nlll'; did you mean nll? its quantities are argmax, dot,"
    assert says in refuses(capsys, *TRAIN, "--loss", "bad.py", "--out", "run")
    assert not Path("run").exists()  # nothing was begun


def test_a_specification_with_an_unknown_field(capsys):
    Path("spec.toml").write_text("[train]\nlearnig_rate = 1e-3\n")
    assert refuses(capsys, "train", "spec.toml") == (
        "error: unknown field train.learnig_rate in spec.toml; did you mean learning_rate?")
    Path("spec.toml").write_text('corpus = "tales"\n')
    assert refuses(capsys, "train", "spec.toml") == (
        "error: unknown field corpus in spec.toml; did you mean data.corpus?")


def test_an_unknown_flag_verb_and_preset(capsys):
    assert "learning-rate" in refuses(capsys, *TRAIN, "--train.learnig-rate", "1")
    assert 'Did you mean "compare"' in refuses(capsys, "compar")
    assert "did you mean tiny" in refuses(capsys, "train", "--preset", "tinny")


def test_a_run_folder_of_a_newer_version(capsys):
    assert losslab(*TRAIN, "--out", "run") == 0
    capsys.readouterr()
    spec = json.loads(Path("run/spec.json").read_text())
    Path("run/spec.json").write_text(json.dumps(spec | {"format": 3}))
    for command in (("runs", "show", "run"), ("train", "--resume", "run"), ("evaluate", "run"), ("report", "run")):
        assert "newer losslab" in refuses(capsys, *command)


def test_a_folder_that_is_not_a_run(capsys):
    Path("folder").mkdir()
    assert "not a run folder" in refuses(capsys, "evaluate", "folder")
    assert "does not exist" in refuses(capsys, "report", "nowhere")


def test_two_commands_on_one_store(capsys):
    with records.lock("runs", "store"):
        assert "in use by another losslab" in refuses(capsys, *COMPARE, "--seeds", "1")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root may not write to")
def test_an_unwritable_store(capsys):
    assert "cannot write to /proc/store" in refuses(capsys, *COMPARE, "--seeds", "1", "--store", "/proc/store")


def test_a_full_disk_keeps_what_was_written(capsys, monkeypatch):
    import errno

    import safetensors.torch

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", full)
        assert "No space left on device" in refuses(capsys, *TRAIN, "--out", "run")
    assert records.read("run").status == "stopped" and records.read("run").log
    assert losslab("train", "--resume", "run") == 0  # once there is space, it continues
    assert records.read("run").status == "finished"


def test_seeds_that_are_not_numbers(capsys):
    assert "takes a number, or a list such as 3,5,8 or 0-4, got 'many'" in refuses(capsys, *COMPARE, "--seeds", "many")
    assert "at least 1" in refuses(capsys, *COMPARE, "--seeds", "0")


def test_no_loss_is_said_before_anything_is_spent(capsys):
    said = "no loss is named, so cross_entropy is trained alone and there will be no verdict; name two losses to"
    assert losslab("compare", "--corpus", "nowhere.txt") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{said} compare them" and "nowhere.txt" in lines[-1]


def test_what_a_command_cannot_do_without_is_said_with_an_example(capsys):
    for typed, sentence in (
        ("noise", "`losslab noise` needs LOSS, such as `losslab noise squentropy`"),
        ("noise --seeds", "--seeds needs a value after it, such as --seeds 20; `losslab noise --help` says which"),
        ("compare mse --seeds", "--seeds needs a value after it; `losslab compare --help` says which"),
        ("runs tag runs/a", "`losslab runs tag` needs RUN and TAGS, such as `losslab runs tag runs/RUN good`"),
        ("noise a b c", "`losslab noise` has no use for 'c'; `losslab noise --help` says what it takes"),
    ):
        assert refuses(capsys, *typed.split()) == f"error: {sentence}"


def test_every_command_that_needs_something_has_an_example():
    def commands(app):
        return [app] if app.default_command else [one for name in app if not name.startswith("-")
                                                  for one in commands(app[name])]

    needed = {argument.name.lstrip("-") for command in commands(application.app)
              for argument in command.assemble_argument_collection(parse_docstring=False) if argument.required}
    assert needed and needed == mistakes.EXAMPLES.keys()
