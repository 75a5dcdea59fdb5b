"""What a comparison would cost: every arm timed in company, what is done counted out, trials of tuning counted in."""

import contextlib
import json
from types import SimpleNamespace

import pytest
import torch
from experiments import SMALL, change
from experiments import place as place
from forks import forking as forking

from losslab import elsewhere, records, running
from losslab import study as studies
from losslab.cli.comparing import _estimate_text
from losslab.experiment import timing
from losslab.running.estimate import parts
from losslab.study import Arm, Study

pytestmark = pytest.mark.usefixtures("place")
ARMS = [change(SMALL, loss=loss) for loss in ("cross_entropy", "squentropy", "label_smoothing")]
TIMES = {"cross_entropy": 0.1, "squentropy": 0.2, "label_smoothing": 0.4}


@pytest.fixture
def groups(monkeypatch):
    """The arms that are timed at once; an update takes what `TIMES` says, and nothing else takes time."""
    found = []

    def measure(experiments, *, threads, place):
        found.append([str(experiment.objective) for experiment in experiments])
        return [{"num_params": 1000, "start_seconds": 0.0, "loss_seconds": TIMES[str(experiment.objective)] / 10,
                 **dict.fromkeys(("score_seconds", "judge_seconds", "fit_seconds", "write_seconds", "save_seconds",
                                  "save_all_seconds"), 0.0), "step_seconds": TIMES[str(experiment.objective)]}
                for experiment in experiments]

    monkeypatch.setattr(timing, "measure", measure)
    return found


def test_each_arm_has_its_own_cost_and_workers_share_the_runs(groups):
    planned = running.plan(ARMS, [0, 1], "runs")
    found = running.estimate(planned, workers=2, threads=1)
    assert groups == [["cross_entropy", "squentropy"], ["label_smoothing", "cross_entropy"]]  # never one alone
    one = {name: 0.5 + (30 + 1) * seconds for name, seconds in TIMES.items()}  # the loss alone 10 times, a tenth each
    assert found["seconds_by_arm"] == pytest.approx(one)
    # 3.6, 6.7, 12.9, 3.6, 6.7, 12.9 in turn: one worker takes 3.6, 12.9 and 12.9, the other 6.7, 3.6 and 6.7
    assert found["seconds"] == pytest.approx(one["cross_entropy"] + 2 * one["label_smoothing"])
    assert found["runs"] == 6 and found["trials"] == found["done"] == 0 and found["tokens"] == 6 * 30 * 64


def test_what_is_timed_at_once_is_spread_over_the_gpus_as_runs_are(monkeypatch):
    seen = []

    def measure(experiments, *, threads, place):
        with contextlib.ExitStack() as stack:
            seen.append([stack.enter_context(place()).get("CUDA_VISIBLE_DEVICES") for _ in experiments])
        return [dict.fromkeys(timing.FOUND, 1.0) for _ in experiments]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(timing, "measure", measure)
    with elsewhere.planning_for(elsewhere.Nodes("cuda")):
        planned = running.plan([change(arm, train={"device": "cuda"}) for arm in ARMS], [0], "runs")
        running.estimate(planned, workers=2, threads=1)
        running.estimate(planned, workers=4, threads=1)
    assert seen == [["4", "7"], ["4", "7"], ["4", "7", "4"]]


def test_a_process_that_is_timed_gets_its_place(monkeypatch):
    started, ended = [], SimpleNamespace(poll=lambda: 0)
    monkeypatch.setattr(timing, "_answer", lambda folder: {})
    monkeypatch.setattr(timing.processes, "start", lambda *given, env: started.append(env["GPU"]) or ended)
    monkeypatch.setattr(timing.processes, "end", lambda process: None)
    names = iter("ab")
    timing.measure([running.plan(ARMS[1:2], [0], "runs").experiments[0]] * 2, threads=1,
                   place=lambda: contextlib.nullcontext({"GPU": next(names)}))
    assert started == ["a", "b"]


def test_trials_are_counted_in_and_runs_that_are_done_out(groups):
    planned = running.plan(ARMS[:2], [0, 1], "runs")
    for experiment, folder in list(zip(planned.experiments, planned.folders, strict=True))[:3]:
        records.create(folder, experiment.spec, {"torch": "2", "device": "cpu", "dtype": "float32", "threads": 1})
        records.write_result(folder, {"status": "diverged", "step": 3, "num_steps": 30, "tokens": 192,
                                      "diverged": {"step": 3, "value": "nan", "previous": 1.0}})
    found = running.estimate(planned, workers=1, threads=1, tuning=(5, [(3, 1.0), (2, 1.0)]))
    one = [0.5 + 31 * TIMES[name] for name in ("cross_entropy", "squentropy")]
    assert found["seconds"] == pytest.approx(5 * sum(one) + one[1])
    assert found["runs"] == 14 and found["trials"] == 10 and found["done"] == 3 and found["tokens"] == 14 * 30 * 64
    assert "runs:    14 (10 of them for 10 trials of tuning; 3 done already), each 30 steps" in _estimate_text(found)


def test_halving_counts_the_runs_that_are_really_trained_and_their_tokens(groups):
    study = Study((Arm("cross_entropy"), Arm("squentropy")), tune={
        "trials": 5, "seeds": 2, "method": "halving", "space": {"learning_rate": {}}})
    assert studies.tuning(study) == (5, [(10, 0.25), (4, 0.5), (2, 1.0)])
    found = running.estimate(running.plan(ARMS[:2], [0], "runs"), workers=1, threads=1, tuning=studies.tuning(study))
    assert (found["runs"], found["trials"], found["tuning_runs"]) == (2 + 2 * 16, 10, 32)
    assert found["tokens"] == 2 * 64 * (30 + 10 * 7.5 + 4 * 15 + 2 * 30)
    steps = sum(count * (steps + 1) for count, steps in ((10, 8), (4, 15), (3, 30)))  # and 1 to time the loss alone
    assert found["seconds"] == pytest.approx(2 * 17 * 0.5 + steps * (0.1 + 0.2))
    assert "34 (32 of them for 10 trials of tuning)" in _estimate_text(found)


def test_a_run_is_the_sum_of_counts_times_what_one_took(place):
    config = change(SMALL, train={"checkpoint_every": 7}, evaluate={"stride": 8, "num_samples": 2})
    experiment = running.plan([config], [0], "runs").experiments[0]
    splits = experiment.corpus.describe()["splits"]
    found = {"start_seconds": 1.5, "step_seconds": 0.5, "score_seconds": 1e-3, "judge_seconds": 2e-3,
             "fit_seconds": 3e-3, "write_seconds": 0.25, "loss_seconds": 0.125, "save_seconds": 0.75,
             "save_all_seconds": 2.0}
    assert parts(experiment, found) == pytest.approx({
        "starts": 2 * 1.5, "waits": 0.5, "updates": 30 * 0.5, "looks": 3 * 256 * 1e-3,
        "checkpoints": 4 * 2.0 + 0.75,  # after 7, 14, 21 and 28 updates, and at the end without the optimizer
        "loss": 10 * 0.125, "scores": 2 * splits["val"]["tokens"] * 2e-3 + 256 * 3e-3 + 2 * 10 * 0.25})
    assert parts(experiment, found, trial=0.5) == pytest.approx({
        "starts": 2 * 1.5, "waits": 0.5, "updates": 15 * 0.5, "looks": 2 * 256 * 1e-3, "checkpoints": 2 * 2.0 + 0.75,
        "loss": 10 * 0.125, "scores": 2 * splits["tune"]["tokens"] * 1e-3})


def test_a_round_of_tuning_waits_for_the_one_before_it(groups):
    planned = running.plan(ARMS[:1], [0], "runs")
    found = running.estimate(planned, workers=2, threads=1, tuning=(6, [(3, 1.0), (2, 0.5), (1, 1.0)]))
    one, half = 0.5 + 31 * 0.1, 0.5 + 16 * 0.1
    assert found["seconds_tuning"] == pytest.approx(2 * one + half + one) and found["seconds_training"] == one
    assert found["tokens"] == (1 + 4 + 1) * 30 * 64 and found["seconds"] == pytest.approx(4 * one + half)


@pytest.mark.parametrize(("tune", "rounds"), [
    ({}, (0, [])), ({"trials": 6, "seeds": 2, "space": {"learning_rate": {}}}, (6, [(6, 1.0), (4, 1.0), (2, 1.0)])),
    ({"trials": 4, "space": {"learning_rate": [1e-3, 2e-3]}}, (4, [(4, 1.0)])),
    ({"trials": 4, "method": "halving", "space": {"learning_rate": {"low": 1e-3, "high": 1e-2}}},
     (4, [(4, 0.25), (2, 0.5), (1, 1.0)])),
])
def test_the_rounds_of_a_study(tune, rounds):
    assert studies.tuning(Study((Arm("cross_entropy"),), tune=tune)) == rounds


def test_a_real_timing_says_all_of_what_a_run_is_made(place, forking):
    (found,) = timing.measure([running.plan(ARMS[1:2], [0], "runs").experiments[0]], threads=1)
    assert found["num_params"] == SMALL.model.num_params(257) and all(found[name] > 0 for name in timing.FOUND)
    json.dumps(found)
