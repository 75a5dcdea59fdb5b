"""What the command line says: exit codes, mistakes in words, completion, colors."""

import errno
import io
import re
import sys

import pytest
from commands import losslab, refuses
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from losslab.cli import speech
from losslab.cli.application import app
from losslab.cli.flags import seed_list

# --- exit codes --------------------------------------------------------------------------------

@pytest.mark.parametrize(("arms", "code"), [
    ({"a": ["finished", "finished"], "b": ["finished", "diverged"]}, 0),  # a finding of one seed: in the verdict
    ({"a": ["finished", "finished"], "b": ["diverged", "diverged"]}, 4),
    ({"a": ["diverged"]}, 4),
    ({"a": ["finished", "failed"], "b": ["diverged", "diverged"]}, 6),
    ({"a": ["failed"], "b": ["stopped"]}, 5),
    ({}, 0),
])  # fmt: skip
def test_the_exit_code_of_several_runs(arms, code):
    assert speech.outcome(arms) == code


def test_where_several_codes_apply_the_order_is_the_documented_one(capsys):
    assert [speech.exit_code(codes) for codes in ([4, 6, 5, 3, 2], [4, 6, 5, 3], [4, 6, 5], [4, 6], [4], [0], [])] == [
        2, 3, 5, 6, 4, 0, 0]
    assert losslab("--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "6 some runs failed; where several apply, the first of 2, 3, 5, 6, 4." in said


# --- mistakes in words -------------------------------------------------------------------------

@pytest.mark.parametrize(("error", "said"), [
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.txt"), "there is no file or folder a.txt"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", b"runs"), "runs is a folder, and a file is needed"),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), "a/b leads through a file as if it were a folder"),
    (PermissionError(errno.EACCES, "Permission denied", "x"), "x may not be read or written by you here (Permission"),
    (OSError(errno.ENOSPC, "No space left on device"), "the disk is full (No space left on device); what was written"),
    (OSError(errno.EIO, "Input/output error", "x"), "x: Input/output error"),
    (OSError(errno.EIO, "Input/output error", 5), "Input/output error"),
    (OSError("the evaluation process failed"), "the evaluation process failed"),
    (ValueError("two\n  lines"), "two lines"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "a text that was read is not UTF-8: invalid st"),
])  # fmt: skip
def test_a_mistake_is_said_in_words(error, said):
    assert speech.sentence(error).startswith(said) and "[Errno" not in speech.sentence(error)


@pytest.mark.parametrize(("arguments", "said"), [
    ("train --lr 1", "unknown flag --lr; did you mean --train.learning-rate?"),
    ("train --layers=3", "unknown flag --layers; did you mean --model.n-layer?"),
    ("compare mse --batch 3", "unknown flag --batch; did you mean --train.batch-size?"),
    ("train --eval-batch-size 3", "unknown flag --eval-batch-size; did you mean --evaluate.batch-size?"),
    ("train --train.wd 3", "unknown flag --train.wd; did you mean --train.weight-decay?"),
    ("train --dataset x", "unknown flag --dataset; did you mean --corpus?"),
    ("losses --lr 3", "unknown flag --lr; `losslab losses --help` shows its flags"),
    ("train --num-tokens 1.5", "Invalid value for --num-tokens: '1.5' is not a whole number; the nearest below is 1"),
    ("train --num-tokens 1e15", "train.num_tokens must be at most 100,000,000,000,000 (more than twice the longest "
     "training known, 40 trillion tokens), got 1,000,000,000,000,000"),
    ("train --model.n-layer 100k --dry-rum", "unknown flag --dry-rum; did you mean --dry-run?"),
    ("compare mse --model.n-layer 100k --dry-run", "model.n_layer must be at most 10,000 (ten times the deepest "
     "transformer known), got 100,000"),
    ("compare --workers 0", "--workers must be at least 1, got 0"),
    ("compare --workers -3", "--workers must be at least 1, got -3"),
    ("compare mse --margin -1", "--margin must not be negative, got -1.0"),
    ("compare --margin 0", "--margin must be more than 0, got 0: it is the smallest difference that would matter"),
    ("compare --margin 1e999", "--margin must be a finite number, got inf"),
    ("compare --margin nan", "--margin must be a finite number, got nan"),
    ("compare mse --threads -1", "--threads must not be negative, got -1"),
    ("compare --seeds 1e9", "--seeds must be at most 10,000 (replicates of one arm), got 1,000,000,000"),
    ("compare --seeds 0-9999999999", "--seeds must be at most 10,000 (replicates of one arm), got 10,000,000,000"),
    ("compare --seeds 5-3", "--seeds takes ranges such as 0-4, from the lower number on, got '5-3'"),
    ("train --train.learning-rate 1e999", "train.learning_rate must be a finite number, got inf"),
    ("train none.toml", "there is no specification none.toml; give the path of a spec.toml"),
    ("train spec.toml --resume x --lr 1", "unknown flag --lr; did you mean --train.learning-rate?"),
    ("train spec.toml --resume x --seed 1 --train.learning-rate 1", "--resume x continues with the settings of that "
     "run; leave out the specification, --seed, --train.learning-rate"),
    ("runs list --foo", "unknown flag --foo; `losslab runs list --help` shows its flags"),
    ("train --resume x --trust abc", "--trust takes the sha256 of a loss file, 64 hexadecimal digits, got 'abc'"),
    (f"train --trust {'a' * 64}", "--trust goes with --resume or a specification: a loss file that --loss names "
     "is run because you name it"),
])  # fmt: skip
def test_a_flag_that_cannot_be_is_answered_with_what_would_do(capsys, arguments, said):
    assert refuses(capsys, *arguments.split()) == f"error: {said}"


def test_hashes_to_trust_reach_the_run_that_goes_on(capsys, monkeypatch):
    from losslab import experiment

    def resume(folder, *, trust, **_):
        raise ValueError(f"{folder} trusts {trust}")

    monkeypatch.setattr(experiment, "resume", resume)
    hashes = ["A" * 64, "0" * 64]
    said = refuses(capsys, "train", "--resume", "run", "--trust", hashes[0], "--trust", hashes[1])
    assert said == f"error: run trusts {('a' * 64, '0' * 64)}"


FLAGS = ["--seeds", "--workers", "--threads", "--margin", "--num-tokens", "--model.n-layer", "--train.learning-rate"]


@settings(max_examples=20)  # each builds the whole command line
@given(st.sampled_from(FLAGS), st.text(max_size=12) | st.floats().map(str) | st.integers().map(str))
@example("--seeds", "1e999")
@example("--num-tokens", "٣")
@example("--seeds", "0-" + "9" * 60)
def test_whatever_a_flag_is_given_the_answer_is_one_sentence(flag, text):
    """Behind them stands a seed that cannot be, so that nothing is ever trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", io.StringIO())
        patch.setattr(sys, "stdout", io.StringIO())
        assert losslab("compare", "mse", f"{flag}={text}", "--train.batch-size=0") == 2
        assert sys.stderr.getvalue().count("error: ") >= 1 and "Traceback" not in sys.stderr.getvalue()


@pytest.mark.parametrize(("text", "seeds"), [
    ("3", [0, 1, 2]), ("3,5,8", [3, 5, 8]), ("0-2,7", [0, 1, 2, 7]), ("4-4", [4]), ("1k", list(range(1000))),
    ("1_0, 2e1", [10, 20]),
])  # fmt: skip
def test_seeds_are_a_number_or_a_list(text, seeds):
    assert seed_list(text) == seeds


# --- completion, colors ------------------------------------------------------------------------

def test_completion_is_installed_where_the_shell_looks(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert losslab("--install-completion", "--shell", "bash") == 0
    (script,) = tmp_path.glob(".local/share/bash-completion/completions/losslab")
    assert "compare" in script.read_text() and "--num-tokens" in script.read_text()
    assert str(script) in capsys.readouterr().err
    assert str(script) in (tmp_path / ".bashrc").read_text()


def test_help_has_no_color_where_none_is_wanted_and_keeps_to_the_width(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    colored = []
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setattr(app, "_console", Console())  # as in a new process
        assert losslab("train", "--help") == 0
        text = capsys.readouterr().out
        colored.append("\033[36m" in text)
        assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines())) == 60
    assert colored == [True, False]
