"""Arms x seeds in workers: pairs that match, workers that die, work that is not done twice."""

import contextlib
import itertools
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from experiments import change, small_text
from experiments import place as place
from forks import fork_children, forked
from forks import forking as forking

from losslab import processes, records, running, study
from losslab.lossfile import trial

pytestmark = pytest.mark.usefixtures("place")
QUICK = change(train={"num_steps": 12})


def arms(*losses, base=QUICK):
    return [change(base, loss=loss) for loss in losses]


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A study whose arms end in each way, with one worker killed: folder, comparison, records, what was said,
    and how far it was."""
    folder = small_text(tmp_path_factory.mktemp("study"))
    (folder / "late.py").write_text(
        "calls = 0\n"
        "def late(prediction):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    if calls > 6:\n"
        "        raise RuntimeError('no more')\n"
        "    return prediction.nll\n"
    )
    wild = change(QUICK, loss="1e8*mse + cross_entropy", train={"learning_rate": 1e8, "min_learning_rate_ratio": 0.0,
                                                              "grad_clip": 0.0, "warmup_steps": 0})
    said, told = [], []
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        fork_children(patch)
        patch.setattr(processes, "start", killing_the_first_worker())
        every = [*arms("cross_entropy", "label_smoothing(0.3)", "late.py"), wild]
        comparison = study.compare(every, [0], "runs", workers=2, tell=said.append,
                                   progress=lambda *report: told.append(report))
    return folder, comparison, comparison.runs, said, told


def killing_the_first_worker():
    """`processes.start`, with SIGKILL to the first training process as soon as it has its request."""
    start, killed = processes.start, []

    def start_and_kill(command, *given, **options):
        process = start(command, *given, **options)
        if "losslab.experiment.worker" in command and not killed:
            killed.append(process)
            process.kill()
        return process

    return start_and_kill


def test_a_killed_worker_is_started_again(studied):
    _, _, found, said, _ = studied
    assert any("killed by signal 9" in line and "starting it again" in line for line in said)
    assert {r.loss: r.status for r in found}["cross_entropy"] == "finished"


def test_a_worker_that_fails_leaves_the_others_and_says_why(studied):
    _, _, found, said, _ = studied
    status = {record.loss: record.status for record in found}
    assert status["label_smoothing(0.3)"] == "finished" and status["late.py"] == "failed"
    assert any("late.py failed at line 6: RuntimeError: no more" in line for line in said)


def test_how_far_all_runs_are_is_told_in_numbers(studied):
    *_, told = studied
    of_runs = [report for report in told if report[0] == "training"]
    done = [report[1] for report in of_runs]
    assert done[0] < 4 * 12 * QUICK.tokens_per_step and {report[2:4] for report in of_runs} == {
        (4 * 12 * QUICK.tokens_per_step, "tokens")}
    assert all(len(report[4]) == 4 and sum(run.phase not in ("waiting", "over") for run in report[4]) <= 2
               for report in of_runs)
    assert {run.phase for report in of_runs for run in report[4]} >= {"waiting", "starting", "over"}


def test_a_diverged_seed_is_counted_and_gets_no_mean(studied):
    _, comparison, found, _, _ = studied
    (wild,) = [arm for arm in comparison.arms if "mse" in arm.name]
    assert wild.difference is None and "1 of 1 diverged" in wild.status


def test_a_verdict_and_seeds_that_are_added_to_what_is_done(studied, forking):
    shutil.copytree(studied[0] / "runs", "runs")
    stamps = {path: path.stat().st_mtime_ns for path in sorted(Path("runs").glob("*/result.json"))}
    assert len(stamps) == 4
    comparison = study.compare(arms("cross_entropy", "label_smoothing(0.3)"), [0, 1], "runs", workers=2)
    found = comparison.runs
    assert [record.status for record in found] == ["finished"] * 4
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert comparison.baseline == "cross_entropy"
    (candidate,) = [arm for arm in comparison.arms if arm.difference]
    by_seed = {(r.loss, r.seed): r.scores["nll"]["value"] for r in found}
    expected = sum(by_seed["label_smoothing(0.3)", s] - by_seed["cross_entropy", s] for s in range(2)) / 2
    assert candidate.difference.value == pytest.approx(expected, rel=1e-12)
    assert "label_smoothing(0.3)" in candidate.verdict
    base = comparison.arm("cross_entropy").condition
    (look,) = records.looks("runs", found, base, "nll")  # one seed gave no verdict, so it was no look
    assert look.arms[candidate.condition].seeds == (0, 1) and look.level == pytest.approx(0.04)


def test_the_same_condition_twice_is_refused():
    with pytest.raises(ValueError, match="are the same condition"):
        study.compare(arms("label_smoothing", "label_smoothing(epsilon=0.1)"), [0], "runs")
    with pytest.raises(ValueError, match="hold one twice"):
        study.compare(arms("cross_entropy"), [0, 0], "runs")


@pytest.mark.slow
def test_an_edited_loss_file_is_never_mixed_with_old_runs():
    path = Path("mine.py")
    path.write_text("def mine(prediction):\n    return prediction.nll\n")
    before = study.compare(arms("mine.py"), [0], "runs").runs
    path.write_text("def mine(prediction):\n    return prediction.nll + 0.1 * prediction.log_z**2\n")
    after = study.compare(arms("mine.py"), [0], "runs").runs
    assert before[0].condition != after[0].condition and before[0].path != after[0].path
    assert len(records.find(["runs"])) == 2


def test_two_studies_do_not_share_a_store_at_once():
    with records.lock("runs", "store"):
        with pytest.raises(records.StoreBusy, match="store runs is in use"):
            study.compare(arms("cross_entropy"), [0], "runs")


def test_numerics_are_chosen_once_for_all_arms_and_every_check_is_told():
    told = []
    planned = running.plan([change(QUICK, train={"dtype": "float32"}), change(QUICK, loss="mse")], [0], "runs",
                           progress=lambda *report: told.append(report))
    assert told[-2:] == [("checking runs", 1, 2, "runs"), ("checking runs", 2, 2, "runs")]
    assert {e.config.train.dtype for e in planned.experiments} == {"float32"}
    assert all(e.config.train.device == "cpu" for e in planned.experiments)


def test_how_long_a_loss_file_is_being_tried_is_told(monkeypatch):
    Path("mine.py").write_text("def mine(prediction):\n    return 1.5 * prediction.nll\n")
    told, clock = [], itertools.count(0, 0.75)
    # three readings of a clock that continues by 0.75 s each, whatever the trial takes
    monkeypatch.setattr(trial, "time", SimpleNamespace(monotonic=lambda: min(next(clock), 3.0), sleep=time.sleep))
    running.plan(arms("mine.py"), [0, 1], "runs", progress=lambda *report: told.append(report))
    assert [report for report in told if "trying" in report[0]] == [
        ("trying mine.py", 2, 0, "seconds"), ("trying mine.py", 3, 0, "seconds")]


def test_an_unwritable_store_is_one_sentence():
    with open("file", "w") as file:
        file.write("not a folder")
    with pytest.raises(ValueError, match="cannot write to file"):
        study.compare(arms("cross_entropy"), [0], "file")


def stopping():
    """What is said of a study that gets SIGTERM once it trains."""
    def stop_once_it_trains(what, done, total, unit="bytes", running=()):
        if any(run.done for run in running):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(running.Stopped) as stopped:
        study.compare(arms("cross_entropy", base=change(train={"num_steps": 20000})), [0], "runs",
                      progress=stop_once_it_trains)
    return str(stopped.value)


def test_stopping_a_study_saves_every_run():
    assert forked(stopping)
    (record,) = records.find(["runs"])
    assert record.status == "stopped"
    assert list((record.path / "checkpoint").glob("step-*"))
