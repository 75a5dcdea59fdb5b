"""Signs of trouble: each rule against numbers made for it, quiet in healthy curves, the same after a resume."""

import json
import math

import numpy as np
import pytest
import torch
from experiments import place as place
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab import records, signals
from losslab.signals import Detector, Event, Usual, events


def curve(steps, seed, *, spikes=()):
    """Losses and norms of a healthy run: a fall to a floor with noise, and norms that vary by factors."""
    random = np.random.default_rng(seed)
    step = np.arange(1, steps + 1)
    losses = 2 + 3.5 * np.exp(-step / random.uniform(20, 200)) + random.uniform(0.01, 0.1) * random.normal(size=steps)
    norms = np.exp(random.uniform(0.1, 0.5) * random.standard_t(15, size=steps)) * (1 + 3 * np.exp(-step / 30))
    for at in spikes:
        losses[at - 1] += 3
    return losses.tolist(), norms.tolist()


def fed(detector, losses, norms, first=1):
    return [event for step, (loss, norm) in enumerate(zip(losses, norms, strict=True), first)
            for event in detector.step(step, loss, norm)]


# --- spikes ------------------------------------------------------------------------------------

@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=128, max_size=200), st.floats(-1e3, 1e3))
def test_deviations_are_those_from_a_line_through_the_last_128(values, value):
    window = np.array(values[-128:])
    slope, start = np.polyfit(np.arange(128), window, 1)
    expected = start + 128 * slope
    left = window - start - slope * np.arange(128)
    deviation = max(math.sqrt((left**2).sum() / 126), 0.5 / 6)
    found = Usual(values, lambda usual: 0.5).above(value)
    assert found[0] == pytest.approx(expected, abs=1e-6)
    assert found[1] * deviation == pytest.approx(value - expected, abs=1e-5)


def test_healthy_curves_are_quiet_and_a_spike_is_found_once():
    quiet = sum(len(fed(Detector(1000, 256, 10), *curve(1000, seed))) for seed in range(40))
    assert quiet <= 1
    (event,) = fed(Detector(1000, 256, 10), *curve(1000, 3, spikes=(500, 501, 502)))
    assert event.kind == "spike in the loss" and event.step == 500 and event.figures["deviations"] > 6
    assert not fed(Detector(1000, 256, 10), *curve(128, 3, spikes=(100,)))  # nothing is usual yet
    assert len(fed(Detector(1000, 256, 10), *curve(1000, 3, spikes=(400, 500)))) == 2


def test_a_loss_that_hardly_varies_may_rise_by_a_little():
    flat = [2.0] * 200
    assert not fed(Detector(1000, 256, 10), [*flat, 2.05], [1.0] * 201)
    assert [e.kind for e in fed(Detector(1000, 256, 10), [*flat, 2.07], [1.0] * 201)] == ["spike in the loss"]
    assert not fed(Detector(1000, 256, 10), [2.0] * 201, [*[1.0] * 200, 3.9])
    found = fed(Detector(1000, 256, 10), [2.0] * 201, [*[1.0] * 200, 4.1])
    assert [e.kind for e in found] == ["spike in the gradient"] and found[0].figures["usual"] == pytest.approx(1.0)


# --- looks at tune -----------------------------------------------------------------------------

def looked(nlls, *, batches=None, frequencies=math.inf, deviation=1.0, largest=5.0, steps=1000):
    """The events of a run with equally many steps between looks; `batches` are the nll of the batches before each."""
    detector, found = Detector(steps, 256, 10, frequencies=frequencies), []
    for number, value in enumerate(nlls, 1):
        step = number * steps // len(nlls)
        for k, nll in enumerate(([[value]] * len(nlls) if batches is None else batches)[number - 1]):
            detector.batch(10 * (100 * number + k), nll)
        found += detector.look(step, tune_nll=value, deviation=deviation, largest=largest)
    return [(event.kind, event.step) for event in found]


def test_a_plateau_is_a_fifth_of_the_run_without_one_percent_of_ln_v():
    one_percent = 0.01 * math.log(256)  # over 4 of 20 looks
    falling = [3 - 1.01 * one_percent * k / 4 for k in range(20)]
    assert looked(falling) == []
    assert looked([3 - 0.99 * one_percent * k / 4 for k in range(20)]) == [("plateau", 250)]
    assert looked(falling[:17] + [falling[16]] * 3) == []  # in its last fifth a run may stand still
    bouncing = [value + 0.3 * (k % 2) for k, value in enumerate(falling)]
    assert looked(bouncing) == []  # the best counts
    assert looked([3.0] * 20, steps=100) == [("plateau", 25)] and looked([3.0] * 20, steps=99) == []


def test_a_gap_must_be_large_and_grow_by_more_than_batches_differ():
    falling = [3.0 - 0.1 * k for k in range(20)]
    assert looked(falling, batches=[[v - 0.019 * k] for k, v in enumerate(falling)]) == [("gap", 350)]
    assert looked(falling, batches=[[v - 0.3] for v in falling]) == []  # a text that is harder throughout
    random = np.random.default_rng(0)
    for _ in range(50):
        noisy = [list(v - 0.3 + 0.05 * random.normal(size=3)) for v in falling]
        assert looked(falling, batches=noisy) == []


def test_batches_that_only_differ_by_chance_hardly_ever_make_a_gap():
    """2 of 100 runs at most: 20 looks, 2 batches before each, and no gap in truth; with 3 standard errors it is 5."""
    random = np.random.default_rng(0)
    found = [looked([2.0 - 0.02 * k for k in range(20)], batches=2.0 - 0.02 * np.arange(20)[:, None]
                    + 0.1 * random.normal(size=(20, 2))) for _ in range(400)]
    assert sum(bool([kind for kind, _ in events if kind == "gap"]) for events in found) <= 8


def test_logits_that_are_too_small_or_too_large_and_a_start_that_is_too_slow():
    falling = [3.0 - 0.1 * k for k in range(20)]
    assert looked(falling, deviation=0.049) == [("small logits", 100)]  # after a tenth of the run
    assert looked(falling, largest=101.0) == [("large logits", 50)]
    assert looked(falling, frequencies=2.75) == []
    assert looked(falling, frequencies=2.65) == [("slow start", 200)]  # at 2.7 after a fifth


# --- in a log ----------------------------------------------------------------------------------

def test_a_reader_takes_names_and_numbers_that_it_knows_and_nothing_else():
    event = Event("spike in the loss", 7, {"loss": 5.0, "usual": 2.0, "deviations": 30.0})
    line = json.loads(json.dumps({"step": 7, "tokens": 1, "seconds": 1.0, **event.numbers}))
    assert records.checks.log_line(line) and events([line]) == [event]
    assert event.sentence == ("spike in the loss at step 7: the loss is 5, 30 standard deviations above the 2 that the "
                              "128 steps before lead to")
    name = "signal/spike_in_the_loss"
    hostile = [line | {f"{name}/loss": "<script>"}, line | {f"{name}/loss": float("nan")},
               line | {f"{name}/usual": True}, line | {"step": "7"}, line | {"step": True}, line | {name: 2.0},
               {"step": 7, "signal/evil": 1.0},
               {key: value for key, value in line.items() if key != f"{name}/usual"}]
    assert events(hostile) == []
    ended = events([{"step": 9, "diverged/objective": float("nan"), "diverged/grad_norm": 3.0}])
    assert [(e.kind, e.step) for e in ended] == [("divergence", 9)]


def test_a_flood_of_signs_is_cut_short():
    said, line = [], {"step": 1} | Event("large logits", 1, {"largest": 101.0}).numbers
    teller = signals.Teller(said.append, "run-1")
    for _ in range(1000):
        teller(line)
    assert len(said) == signals.MOST_TOLD + 1 and said[-1] == "run-1: further signs are in the log of the run"
    assert said[0].startswith("run-1: large logits at step 1: a logit is 101 away from 0, beyond 100; try 1e-4*z_loss")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 399), st.integers(0, 5))
def test_a_detector_goes_on_from_a_window_and_a_log(stop, seed):
    losses, norms = curve(400, seed, spikes=(200, 205, 300))
    random = np.random.default_rng(seed)
    tune = 3 - np.cumsum(random.exponential(0.01, size=41))

    def told(detector, first, last):
        lines = []
        for step in range(first, last + 1):
            found = detector.step(step, losses[step - 1], norms[step - 1])
            if step % 10 == 0 or step in (1, first):  # a resumed run observes its first batch, too
                lines.append({"step": step, "train/nll": losses[step - 1] - 0.001 * step})
                detector.batch(step, losses[step - 1] - 0.001 * step)
            if step % 20 == 0:
                lines.append({"step": step, "tune/nll": float(tune[step // 10])})
                found += detector.look(step, tune_nll=float(tune[step // 10]))
            lines += [{"step": step, **event.numbers} for event in found]
        return lines

    straight = told(Detector(400, 256, 10), 1, 400)
    first = Detector(400, 256, 10)
    lines = told(first, 1, stop)
    again = Detector(400, 256, 10, window=json.loads(json.dumps(first.window)))
    again.replay(lines)
    assert events(lines + told(again, stop + 1, 400)) == events(straight) != []


# --- in a run ----------------------------------------------------------------------------------

def test_the_events_of_a_run_are_told_as_it_trains(place, capsys):
    from losslab.cli.speech import run_lines

    assert torch.get_num_threads() >= 1
    take = run_lines()
    take({"step": 40, "num_steps": 100, "tokens": 4000, "seconds": 1.0} | Event("gap", 40, {
        "gap": 0.25, "first": 0.125, "tune_nll": 2.0}).numbers)
    said = " ".join(capsys.readouterr().err.split())
    assert ("gap at step 40: nll on tune is 2.0000, 0.250 nats above that of the batches, and this gap grew from 0.125 "
            "over three evaluations; try more text or fewer passes over it") in said


def test_a_page_shows_the_signs_of_each_arm_and_what_to_try(tmp_path):
    from report_runs import write_run

    from losslab import comparison, report
    from losslab.report import signals as section
    from losslab.report.page import html

    runs = [write_run(tmp_path, loss, seed, 1.5 + 0.01 * seed) for loss in ("cross_entropy", "squentropy")
            for seed in (0, 1)]
    log = runs[2].path / "log.jsonl"
    line = {"step": 60, "tokens": 6144, "seconds": 2.0} | Event("plateau", 60, {
        "tune_nll": 2.25, "before": 2.26, "steps": 100}).numbers | {"signal/plateau/steps": 100.0}
    hostile = line | {"signal/<b>evil</b>": 1.0, "signal/gap": 1.0, "signal/gap/gap": float("nan")}
    log.write_text(log.read_text() + json.dumps(hostile) + "\n")
    document = report.document(comparison.compare(list(map(records.read, (run.path for run in runs)))))
    arms = {arm["name"]: arm["signals"] for arm in document["arms"]}
    assert arms["squentropy"]["runs"] == {"plateau": 1} and arms["cross_entropy"]["events"] == []
    assert arms["squentropy"]["tokens_per_parameter"] == pytest.approx(512_000 / 842_496)
    assert section.brief(document) == ["signs of trouble in squentropy: plateau in 1 of 2 runs"]
    assert [kind for kind, _ in section.advice(document)] == ["plateau"]
    (row,) = section.events(document).rows
    assert row[1:3] == ("0", "60") and row[3].endswith("2.2600 at best 100 steps before: less than 1 % of ln V gained "
                                                       "in a fifth of the run")
    page = html(document)
    assert "plateau in 1 of 2 runs" in page and "evil" not in page
    assert "signs of trouble in squentropy: plateau in 1 of 2 runs" in report.table(document)
    assert "another learning rate" in report.markdown(document)


def test_progress_shows_the_share_of_the_product_peak(capsys):
    from losslab import machine
    from losslab.cli.speech import run_lines
    from losslab.progress import Running, State, line

    two = [Running("a", 0, "training", 0.5, 0.25), Running("b", 0, "training", 0.5, 0.35)]
    assert line(State("training", 50, 100, "tokens", two, 10.0, 5.0)).startswith(
        "50 % trained, 10 tokens/s, 30 % of the product peak, 5 s left")
    for wrong in (float("nan"), 1e300, -1.0, "x", None):
        assert signals.utilization({signals.UTILIZATION: wrong}) == 0.0
    take = run_lines()
    take({"step": 1, "num_steps": 10, "tokens": 100, "seconds": 1.0, signals.UTILIZATION: 0.123, "tune/nll": 2.0})
    assert "tokens/s, 12 % of the product peak" in capsys.readouterr().err
    first = machine.product_peak("cpu", "float32", 1)
    assert 1e6 < first == machine.product_peak("cpu", "float32", 1)  # measured once
