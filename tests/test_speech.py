"""What the command line says: lines on a terminal, exit codes, mistakes in words, and flags as people type them."""

import errno
import io
import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_cli import losslab, refuses

from losslab.cli import drawing, speech
from losslab.cli.application import app
from losslab.cli.drawing import Ticker
from losslab.cli.flags import seed_list
from losslab.progress import Running, State, duration, line
from losslab.words import shorten, width


class Terminal(io.StringIO):
    """A terminal that shows what stands on it, and remembers every line that it ever showed."""

    def isatty(self):
        return True

    @property
    def lines(self):
        """The lines, after what was cleared and written over."""
        shown = []
        for text in self.getvalue().split("\n"):
            shown.append(text.rpartition("\r\033[K")[2])
        return shown

    @property
    def drawn(self):
        return [part for text in self.getvalue().split("\n") for part in text.split("\r\033[K") if part]


@pytest.fixture
def terminal(monkeypatch):
    fake = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    for module in (drawing, speech):  # pytest puts its own standard error back
        monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=fake, stdout=io.StringIO()))
    yield fake
    if Ticker.current:
        Ticker.current.close()


AT_WORK = (Running("squentropy", 3, "training", 0.4), Running("mse", 0, "measuring"))
RUNS = (*(Running("mse", seed, "over") for seed in (1, 2, 3)), *AT_WORK,
        *(Running("brier", seed, "waiting") for seed in range(5)))  # fmt: skip
HALF = "training", 4_200_000, 10**7, "tokens", RUNS
LINE = ("42 % trained{}, 3 of 10 runs done; squentropy seed 3: training 40 %, mse seed 0: measuring").format


def test_a_line_says_how_far_how_fast_how_long_and_who_is_at_work(terminal):
    now = [100.0]
    ticker = Ticker(clock=lambda: now[0])
    ticker(*HALF)
    assert terminal.lines == [f"[########............] {LINE('')}"]
    now[0] += 100  # 8,000 tokens a second
    ticker("training", 5_000_000, 10**7, "tokens", RUNS)
    assert terminal.lines == [
        f"[##########..........] {LINE(', 8,000 tokens/s, 10 min 25 s left').replace('42 %', '50 %')}"]


def test_what_is_counted_has_a_bar_until_it_is_done_and_news_stay(terminal):
    now = [0.0]
    ticker = Ticker(clock=lambda: now[0])
    ticker("the cached corpus is damaged", 0, 0)
    ticker("tokenizing tales", 1_000_000, 9_000_000)
    now[0] = 2.0
    ticker("tokenizing tales", 3_000_000, 9_000_000)
    assert terminal.lines == ["the cached corpus is damaged",
                              "[######..............] tokenizing tales: 3.0 of 9.0 MB, 1.0 MB/s, 6 s left"]
    ticker("reading\x1b tales", 4_000_000, 0)
    assert terminal.lines[1:] == ["reading\\x1b tales: 4.0 MB"]
    ticker("piqa", 1_800, 1_800, "requests")
    assert terminal.lines[1:] == [""] and Ticker.current is None


def test_without_a_terminal_plain_lines_come_now_and_then():
    stream, now = io.StringIO(), [100.0]
    ticker = Ticker(stream, clock=lambda: now[0])
    for now[0] in (100.0, 101.0, 114.9, 115.0, 116.0):
        ticker(*HALF)
    assert stream.getvalue() == f"{LINE('')}\n{LINE('')}\n"
    many = State("training", 0, 9, "tokens", tuple(Running("mse", seed) for seed in range(99)))
    assert line(many).endswith("mse seed 3: starting, 95 more")


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 10**9), st.floats(0, 1e9), st.sampled_from(["training", "measuring"]),
       st.text(max_size=30), st.integers(20, 120))  # fmt: skip
@example(999, 1000, 0.2, "measuring", "mse", 80)
@example(1000, 1000, 0.0, "measuring", "\x1b[2J損失", 40)
def test_a_line_fits_and_claims_no_end_before_the_end(done, tokens, left, phase, label, columns):
    runs = Running(label, 1, phase, done / 1e9), Running("brier", 0, "waiting")
    state = State("training", min(done, tokens), tokens, "tokens", runs, 10.0, left)
    text = shorten(line(state), columns)
    assert width(text) <= columns and text.isprintable()
    whole = line(state)
    assert "100 %" not in whole.split(";")[0] and ", 0 s left" not in whole
    assert ("left" in whole) == ("% trained" in whole) == (state.done < tokens)


def test_measuring_has_its_own_words():
    runs = Running("mse", 0, "over"), Running("mse", 1, "measuring", 0.5)
    measuring = State("training", 500, 500, "tokens", runs, 99.0, 0.0)
    assert line(measuring) == "trained, measuring, 1 of 2 runs done; mse seed 1: measuring 50 %"
    assert line(State("training", 500, 500, "tokens", (runs[0], runs[0]))) == "trained, 2 of 2 runs done"


def test_a_line_that_stays_stands_alone_and_the_other_is_drawn_again(terminal):
    Ticker()(*HALF)
    speech.tell("failed: mse\x1b[31m")
    speech.tell("second")
    *said, last = terminal.lines
    assert said == ["failed: mse\\x1b[31m", "second"] and last.startswith("[####")
    Ticker.current.close()
    speech.tell("after")
    assert terminal.lines[2:] == ["after", ""]


def test_the_result_takes_the_line_away(terminal, capsys):
    Ticker()(*HALF)
    speech.show({"a": 1}, "a: 1", as_json=False)
    assert terminal.lines == [""] and Ticker.current is None


def test_the_width_is_the_user_s_or_the_terminal_s(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    Ticker()(*HALF)
    assert terminal.lines == ["[########............] 42 % trained, 3…"]
    assert drawing.columns(terminal) == 40
    for text, found in [("3", 20), ("many", 80), ("", 80)]:
        monkeypatch.setenv("COLUMNS", text)
        assert drawing.columns(terminal) == found
    monkeypatch.setenv("TERM", "dumb")
    assert not drawing.is_terminal(terminal)


def test_prose_is_wrapped_on_a_terminal_and_left_alone_elsewhere(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    assert speech.wrapped("word " * 20) == "word " * 20
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    lines = speech.wrapped("time: " + "word " * 20, "      ").splitlines()
    assert max(map(len, lines)) < 30 and all(text.startswith("      word") for text in lines[1:]) and len(lines) > 3


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (512, "8 min 32 s"), (3599.6, "1 h 00 min"), (3840, "1 h 04 min"),
    (172_799, "2 d 0 h"), (10**6, "11 d 14 h"), (float("inf"), "an unknown time"), (float("nan"), "an unknown time"),
])  # fmt: skip
def test_a_duration_is_said_as_people_say_it(seconds, text):
    assert duration(seconds) == text


def test_a_single_run_shows_its_curve_in_lines_that_stay(terminal):
    now = [0.0]
    take = speech.run_lines(clock=lambda: now[0])
    for step in range(10, 101, 10):
        now[0] += 1.0
        values = {"tune/nll": 3.25} if step in (50, 100) else {"train/objective": 3.5, "train/nll": 3.4}
        take({"step": step, "num_steps": 100, "tokens": step * 64, "seconds": now[0], **values})
    *said, last = terminal.lines
    line_of = "step {}/100  train/objective 3.5000  train/nll 3.4000  tune/nll 3.2500  640 tokens/s{}".format
    assert said == [line_of(50, ", 5 s left"), line_of(100, "")]
    assert last == "[####################] trained, measuring"
    assert "[################....] 80 % trained, 640 tokens/s, 2 s left" in terminal.drawn


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
    ("train --model.n-layer 100k --dry-run", "unknown flag --dry-run; `losslab train --help` shows its flags"),
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
    ("train spec.toml --resume x --seed 1 --train.learning-rate 1", "--resume x goes on with the settings of that run; "
     "leave out the specification, --seed, --train.learning-rate"),
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


@settings(max_examples=60, derandomize=True, deadline=None)
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
