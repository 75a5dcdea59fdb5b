"""Lines on a terminal: how far, how fast, how long, who is at work."""

import io
import sys
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from losslab import drawing
from losslab.cli import speech
from losslab.drawing import Ticker
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
