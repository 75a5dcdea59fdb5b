"""What a comparison would cost: every arm timed in company, what is done counted out, trials of tuning counted in."""

import json

import pytest
from experiments import SMALL, change
from experiments import place as place

from losslab import records, running
from losslab import study as studies
from losslab.cli.training import _estimate_text
from losslab.experiment import timing
from losslab.study import Arm, Study

pytestmark = pytest.mark.usefixtures("place")
ARMS = [change(SMALL, loss=loss) for loss in ("cross_entropy", "squentropy", "label_smoothing")]
TIMES = {"cross_entropy": 0.1, "squentropy": 0.2, "label_smoothing": 0.4}


@pytest.fixture
def groups(monkeypatch):
    """The arms that are timed at once; an update takes what `TIMES` says, and nothing else takes time."""
    found = []

    def measure(experiments, *, threads):
        found.append([str(experiment.objective) for experiment in experiments])
        return [{"num_params": 1000, "start_seconds": 0.0, "step_seconds": TIMES[str(experiment.objective)],
                 **dict.fromkeys(("score_seconds", "judge_seconds", "fit_seconds", "write_seconds"), 0.0)}
                for experiment in experiments]

    monkeypatch.setattr(timing, "measure", measure)
    return found


def test_each_arm_has_its_own_cost_and_workers_share_the_runs(groups):
    planned = running.plan(ARMS, [0, 1], "runs")
    found = running.estimate(planned, workers=2, threads=1)
    assert groups == [["cross_entropy", "squentropy"], ["label_smoothing", "cross_entropy"]]  # never one alone
    one = {name: 0.5 + (30 + 9) * seconds for name, seconds in TIMES.items()}
    assert found["seconds_by_arm"] == pytest.approx(one)
    # 4.4, 8.3, 16.1, 4.4, 8.3, 16.1 in turn: one worker takes 4.4, 16.1 and 16.1, the other 8.3, 4.4 and 8.3
    assert found["seconds"] == pytest.approx(one["cross_entropy"] + 2 * one["label_smoothing"])
    assert found["runs"] == 6 and found["trials"] == found["done"] == 0 and found["tokens"] == 6 * 30 * 64


def test_trials_are_counted_in_and_runs_that_are_done_out(groups):
    planned = running.plan(ARMS[:2], [0, 1], "runs")
    for experiment, folder in list(zip(planned.experiments, planned.folders, strict=True))[:3]:
        records.create(folder, experiment.spec, {"torch": "2", "device": "cpu", "dtype": "float32", "threads": 1})
        records.write_result(folder, {"status": "diverged", "step": 3, "num_steps": 30, "tokens": 192,
                                      "diverged": {"step": 3, "value": "nan", "previous": 1.0}})
    found = running.estimate(planned, workers=1, threads=1, tuning=(5, [1] * 5))
    one = [0.5 + 39 * TIMES[name] for name in ("cross_entropy", "squentropy")]
    assert found["seconds"] == pytest.approx(5 * sum(one) + one[1])
    assert found["runs"] == 14 and found["trials"] == 10 and found["done"] == 3 and found["tokens"] == 14 * 30 * 64
    assert "runs:    14 (10 of them for 10 trials of tuning; 3 done already), each 30 steps" in _estimate_text(found)


def test_halving_counts_the_runs_that_are_really_trained_and_their_tokens(groups):
    study = Study((Arm("cross_entropy"), Arm("squentropy")), tune={
        "trials": 5, "seeds": 2, "method": "halving", "space": {"learning_rate": {}}})
    assert studies.tuning(study) == (5, [4] * 10 + [2] * 4 + [1] * 2)
    found = running.estimate(running.plan(ARMS[:2], [0], "runs"), workers=1, threads=1, tuning=studies.tuning(study))
    assert (found["runs"], found["trials"], found["tuning_runs"]) == (2 + 2 * 16, 10, 32)
    assert found["tokens"] == 2 * 64 * (30 + 10 * 7 + 4 * 15 + 2 * 30)
    steps = sum(count * (steps + 9) for count, steps in ((10, 7), (4, 15), (3, 30)))  # and 9 to time the loss alone
    assert found["seconds"] == pytest.approx(2 * 17 * 0.5 + steps * (0.1 + 0.2))
    assert "34 (32 of them for 10 trials of tuning)" in _estimate_text(found)


def test_a_real_timing_says_all_of_what_a_run_is_made(place):
    (found,) = timing.measure([running.plan(ARMS[1:2], [0], "runs").experiments[0]], threads=1)
    assert found["num_params"] == SMALL.model.num_params(257) and all(found[name] > 0 for name in timing.FOUND)
    json.dumps(found)
