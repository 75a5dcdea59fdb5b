"""Tuning with real runs, and trials that several processes share."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from experiments import change
from experiments import place as place
from forks import forking as forking
from report_runs import write_run
from tuning import ARMS, QUICK, RATE
from tuning import stub as stub

from losslab import checkpoint, cli, records, study, tune
from losslab.cli import comparing
from losslab.config import flatten, to_dict
from losslab.corpus import Corpus
from losslab.evaluate import nll
from losslab.progress import Running, State, line
from losslab.running import workers
from losslab.tune import Range, Tuning
from losslab.tune.arms import Arm
from losslab.tune.journal import Journal
from losslab.tune.trials import Known

pytestmark = pytest.mark.usefixtures("place")


def test_trials_are_judged_on_tune_by_the_evaluator_and_never_see_val(monkeypatch, forking):
    arms, corpus = {"smoothed": ARMS["smoothed"]}, Corpus.open(QUICK.data)
    tuned = tune.tune(arms, Tuning(3, {RATE: Range()}), "study", own={"smoothed": {}}, workers=2)
    (each,) = tuned.values()
    assert [trial.settings[RATE] for trial in each.trials] == [0.0025, 0.01, 0.04]
    best = min(each.trials, key=lambda trial: trial.tune_nll)
    assert each.settings == best.settings and each.config.train.learning_rate == best.settings[RATE]
    assert 0 <= each.chosen_again <= 1 and each.to_dict()["tuning"]["method"] == "ladder"
    (run,) = best.runs
    record = records.read(run)
    model = checkpoint.load(checkpoint.newest(Path(run) / "checkpoint")).model
    expected = nll(model, corpus.documents("tune"), corpus.tokenizer)["nll"].value  # the whole split
    assert best.tune_nll == pytest.approx(expected, rel=1e-6) and record.seed == 1_000_000
    assert all(name.startswith("tune_") for name in record.scores) and len(record.result["tune_documents"]["nats"]) > 5
    monkeypatch.setattr("losslab.running.workers.Job", lambda *_, **__: pytest.fail("a finished trial is run again"))
    again = tune.tune(arms, Tuning(3, {RATE: Range()}), "study", workers=2)
    assert [each.to_dict() for each in again.values()] == [each.to_dict() for each in tuned.values()]


def test_progress_tells_a_trial_by_its_arm_and_settings():
    jobs = [SimpleNamespace(is_over=False, phase="training", tokens=40, utilization=0.0, experiment=SimpleNamespace(
        condition=name, objective="mse", num_tokens=100, config=change(QUICK, seed=seed)))
        for name, seed in (("a", 1_000_000), ("a", 1_000_001), ("b", 3))]
    told = []
    workers._Reporter(jobs, lambda *report: told.append(report), {"a": "classic"}, {"a": "0.01"}).tell(jobs)
    assert [(run.label, run.trial) for run in told[0][4]] == [("classic", "0.01, run 1"), ("classic", "0.01, run 2"),
                                                              ("mse", "")]
    assert told[0][1:3] == (120, 300)


def test_progress_counts_the_trials_of_earlier_rounds_in():
    runs = [write_run(Path("study/trials"), "mse", 1_000_000 + seed, 1.5) for seed in range(2)]
    planned = SimpleNamespace(folders=[*(run.path for run in runs), Path("study/trials/none")], experiments=[
        SimpleNamespace(condition="c", config=change(QUICK, seed=seed), num_tokens=100) for seed in (0, 1, 2)])
    known, told = Known(), []
    for _ in range(2):  # each once
        known.note(planned, {"c": "classic"}, ("finished",))
    progress = known.added_to(lambda *report: told.append(report))
    progress("checking runs", 1, 3, "runs")
    progress("training", 40, 100, "tokens", [Running("classic", 2, "training", 0.4, trial="0.01")])
    assert told[0] == ("checking runs", 1, 3, "runs", ())
    assert told[1][1:3] == (240, 300)
    assert line(State(*told[1])) == "80 % trained, 2 of 3 runs done; classic: trial 0.01: training 40 %"


def arm(loss, **options):
    return Arm("x", change(QUICK, loss=loss), **options)


def test_an_open_range_begins_at_the_value_of_the_formula_or_the_default_and_ends_where_the_loss_does(monkeypatch):
    def ends(loss, name):
        (found,) = arm(loss).opened({f"loss.{name}": Range()}).values()
        return found.low, found.high

    assert arm("focal").start("loss.gamma") == 2.0 and arm("focal(3)").start("loss.gamma") == 3.0
    assert arm("label_smoothing + poly1(0.5)").start("loss.poly1.epsilon") == 0.5
    assert ends("focal(3)", "gamma") == (3 / 16, 48.0)
    assert ends("label_smoothing(0.25)", "epsilon") == (0.015625, 1.0)  # in [0, 1]
    assert ends("generalized_cross_entropy(0.5)", "q") == (0.03125, 1.0)
    assert arm("mse").opened({"model.dropout": Range(), "train.batch_size": Range()}) == {
        "model.dropout": Range(0.00625, 0.8), "train.batch_size": Range(1, 64, whole=True)}
    with pytest.raises(ValueError, match="a positive number, and loss.window of x is 0; give low and high"):
        arm("cross_entropy + unlikelihood").opened({"loss.window": Range()})
    typed = arm("cross_entropy + unlikelihood").typed({"loss.window": Range(1.0, 9.0)})
    assert typed == {"loss.window": Range(1.0, 9.0, whole=True)}
    Path("my.py").write_text("def mine(prediction, *, width=0.5):\n    return width * prediction.nll\n")
    said = "my.py:mine(width=0.5)"
    monkeypatch.setattr("losslab.lossfile.tried", lambda text, *_: pytest.fail(text) if "=9" in text else (said,))
    assert arm("my.py", trusted=None).start("loss.width") == 0.5
    with pytest.raises(ValueError, match="has no parameter 'height'; its file has width"):
        arm("my.py").start("loss.height")


@pytest.mark.parametrize("method", ["", "random", "tpe", "halving"])
def test_own_parameters_need_no_ranges_and_every_arm_has_the_same_number_of_trials(stub, method):
    arms = {"plain": QUICK, "smoothed": change(QUICK, loss="label_smoothing(0.3)")}
    tuned = tune.tune(arms, Tuning(5, {RATE: Range()}, method=method), "study", own={"smoothed": {"epsilon": {}}})
    plain, smoothed = ([trial.settings for trial in tuned[name].trials] for name in arms)
    assert len(plain) == len(smoothed) == 5
    if not method:
        assert [each[RATE] for each in plain[:3]] == [each[RATE] for each in smoothed[:3]] == [0.0025, 0.01, 0.04]
        assert [each["loss.epsilon"] for each in smoothed[:3]] == [0.3] * 3
        assert [each["loss.epsilon"] for each in smoothed[3:]] == [0.075, pytest.approx(0.3 * 2**1.5)]  # below 1
    else:
        assert plain[0][RATE] == smoothed[0][RATE] == 0.01 and smoothed[0]["loss.epsilon"] == 0.3  # as it stands
        assert all(0.01 / 16 <= each[RATE] <= 0.16 and 0 < each["loss.epsilon"] <= 1 for each in smoothed)


def test_a_parameter_that_a_loss_does_not_have_is_said_before_anything_runs():
    with pytest.raises(ValueError, match="has no parameter 'width'"):
        tune.tune(ARMS, Tuning(3, {RATE: Range(1e-3, 1e-2)}), "study", own={"smoothed": {"width": [1.0, 2.0]}})
    assert not Path("study").exists()


def test_a_parameter_without_a_default_may_have_only_the_values_that_are_searched(monkeypatch):
    def tried(text, *_):
        if "k=" not in text:
            raise ValueError("need.py:need needs k")
        return ("need.py:need(k=2.0)",)

    Path("need.py").write_text("def need(prediction, *, k):\n    return k * prediction.nll\n")
    monkeypatch.setattr("losslab.lossfile.tried", tried)
    settings = flatten({key: value for key, value in to_dict(QUICK).items() if key in ("data", "model", "train")})
    asked = study.Study((study.Arm("need.py", space={"k": [1.0, 2.0]}),), settings=settings, seeds=(0,),
                        tune={"trials": 2})
    _, _, planned = study.prepared(asked, "runs")
    assert [each.config.loss for each in planned.experiments] == ["file('need.py', k=2.0)"]  # a grid begins amid it
    with pytest.raises(ValueError, match="need.py:need needs k"):
        study.prepared(replace(asked, arms=(study.Arm("need.py"),), tune={}), "runs")


def test_what_will_be_searched_is_said_for_people_and_programs():
    space = {RATE: Range()}
    alike, apart = (tune.told(tune.searches(ARMS, Tuning(5, space), own=own)) for own in ({}, {"smoothed": {
        "epsilon": {"low": 0.1, "high": 0.2}}}))
    (line,) = comparing._search_lines(alike)
    assert line == "learning_rate: ladder from 0.01 (first 0.0025, 0.01, 0.04); 5 trials each"
    assert comparing._search_lines(apart)[1] == (
        "smoothed: learning_rate: ladder from 0.01 (first 0.0025, 0.01, 0.04); epsilon: ladder from 0.1 to 0.2 (first "
        f"{2**0.5 / 10:g}); 5 trials")
    assert alike[1] == {"arm": "smoothed", "method": "ladder", "trials": 5,
                        "settings": {RATE: {"first": [0.0025, 0.01, 0.04]}}}
    grid = tune.told(tune.searches(ARMS, Tuning(2, {"model.dropout": (0.0, 0.1, 0.2)})))
    assert comparing._search_lines(grid) == ["model.dropout: grid of 3 values (first 0.1, 0); 2 trials each"]
    assert grid[0]["settings"]["model.dropout"]["values"] == [0.0, 0.1, 0.2]
    assert comparing._search_lines([]) == []
    with pytest.raises(ValueError, match="tuning of the arm 'plain': there is nothing to tune: the space is empty"):
        tune.searches(ARMS, Tuning(5), own={"smoothed": {"epsilon": {}}})


# --- training is replaced by a parabola -----------------------------------------------------------

@pytest.mark.parametrize("method", ["random", "tpe", "grid"])
def test_methods_of_optuna_find_the_optimum(stub, method):
    space = {RATE: (1e-3, 2e-3, 4e-3, 8e-3)} if method == "grid" else {RATE: Range(1e-4, 1e-1)}
    trials = 4 if method == "grid" else 25
    arms = ARMS if method == "grid" else {"plain": QUICK}
    tuned = tune.tune(arms, Tuning(trials, space, method=method), "study")
    assert all(len(each.trials) == trials for each in tuned.values())
    assert all(abs(math.log2(each.settings[RATE] / 0.004)) < 1 for each in tuned.values())
    lines = Path("study/trials/journal.log").read_text().splitlines()
    assert lines and all(isinstance(json.loads(line), dict) for line in lines)  # nothing that would be executed


def test_a_journal_goes_with_no_ladder_and_other_storages_are_passed_on(stub, monkeypatch):
    with pytest.raises(ValueError, match="the method ladder keeps its trials as run folders and takes no journal"):
        tune.tune(ARMS, Tuning(3, {RATE: Range()}), "study", journal="j.log")
    import optuna

    said, asked, memory = [], [], optuna.storages.InMemoryStorage()
    monkeypatch.setattr("optuna.storages.get_storage",
                        lambda url: (asked.append(url) or memory) if isinstance(url, str) else url)
    tuned = tune.tune({"plain": QUICK}, Tuning(2, {RATE: Range(1e-3, 1e-2)}, method="random"), "study",
                      journal="sqlite:///j.db", tell=said.append)
    assert asked == ["sqlite:///j.db"] and len(tuned["plain"].trials) == 2
    assert "losslab is not tested with it" in said[0]
    with pytest.raises(ValueError, match="keeps pickles in a redis storage"):
        Journal("redis://localhost", said.append)


def test_halving_says_what_it_trains_and_a_trial_is_one_setting(stub):
    said = []
    tuned = tune.tune({"plain": QUICK}, Tuning(5, {RATE: Range(1e-3, 1e-1)}, method="halving"), "study",
                      tell=said.append)["plain"]
    assert said == ["5 trials of each arm are 8 runs: 5 with 1/4 of the tokens, 2 with 1/2, 1 with all of them"]
    assert sorted(len(trial.runs) for trial in tuned.trials) == [1, 1, 1, 2, 3]
    assert len({trial.settings[RATE] for trial in tuned.trials}) == 5
    (whole,) = [trial for trial in tuned.trials if len(trial.runs) == 3]
    assert whole.settings["train.num_tokens"] == 6 * 64 and tuned.settings == {RATE: whole.settings[RATE]}
    assert whole.tune_nll == min(trial.tune_nll for trial in tuned.trials) and tuned.config.num_steps == 6


def test_another_space_in_the_same_store_is_another_search(stub):
    first = tune.tune({"plain": QUICK}, Tuning(3, {RATE: Range(1e-3, 1e-2)}, method="random"), "study")
    other = tune.tune({"plain": QUICK}, Tuning(3, {RATE: Range(1e-5, 2e-5)}, method="random"), "study")
    assert all(trial.settings[RATE] > 9e-4 for trial in first["plain"].trials)
    assert all(trial.settings[RATE] < 3e-5 for trial in other["plain"].trials)


def test_whole_numbers_are_searched_as_such_and_a_ladder_takes_positive_numbers(stub):
    tuning = Tuning.from_dict({"trials": 4, "method": "random", "space": {
        "batch_size": {"low": 4, "high": 32}, "learning_rate": {"low": 1e-3, "high": 1e-2}}})
    tuned = tune.tune({"plain": QUICK}, tuning, "study")
    assert {type(trial.settings["train.batch_size"]) for trial in tuned["plain"].trials} == {int}
    bounded = Tuning.from_dict({"trials": 3, "space": {"model.dropout": {"low": 0.0, "high": 0.5, "log": False},
                                                       "learning_rate": {"low": 1e-3, "high": 1e-2}}})
    tuned = tune.tune({"plain": change(QUICK, model={"dropout": 0.0})}, bounded, "study")["plain"]
    assert [trial.settings["model.dropout"] for trial in tuned.trials] == [0.0, 0.25, 0.5]
    for name in ("batch_size", "model.dropout", "model.bias"):
        with pytest.raises(ValueError, match="a ladder searches a positive number"):
            tune.tune({"plain": change(QUICK, model={"dropout": 0.0})}, Tuning.from_dict(
                {"trials": 3, "space": {name: {}}}), "study")


def test_the_command_searches_the_space_of_each_arm_and_prints_what_it_tried(stub, capsys):
    Path("s.toml").write_text(
        '[settings]\ndata.corpus = "text.txt"\n[[arm]]\nloss = "cross_entropy"\n[[arm]]\nloss = "label_smoothing"\n'
        'space.epsilon = [0.1, 0.2]\n[tune]\ntrials = 3\n[tune.space]\nlearning_rate = {low = 1e-3, high = 1e-2}\n')
    with pytest.raises(SystemExit) as ended:
        cli.main(["tune", "s.toml"])
    told = capsys.readouterr().out
    assert ended.value.code == 0 and told.count("chosen") >= 2
    assert sum(line.split()[2] in ("0.1", "0.2") for line in told.splitlines() if "label_smoothing" in line) == 3


@pytest.mark.slow
def test_two_processes_share_a_journal_and_one_takes_over_when_the_other_is_killed(tmp_path):
    pytest.importorskip("optuna", reason="the extra `tune` is not installed")
    spec = ('corpus = "text.txt"\n[settings]\n"model.n_layer" = 1\n"model.n_head" = 2\n"model.n_embd" = 16\n'
            '"model.num_positions" = 16\n"train.num_steps" = 200\n"train.device" = "cpu"\n"data.val_bytes" = 2000\n'
            '"data.tune_bytes" = 2000\n[[arm]]\nloss = "cross_entropy"\n[tune]\ntrials = 4\nmethod = "random"\n'
            '[tune.space."train.learning_rate"]\nlow = 0.001\nhigh = 0.01\n')
    Path("s.toml").write_text(spec)
    command = [sys.executable, "-m", "losslab.cli", "tune", "s.toml", "--store", "shared", "--workers", "1", "--stale",
               "15", "--json"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    first = subprocess.Popen(command, **options)
    while not any("state" in line for line in _journal()):
        time.sleep(0.1)
    second = subprocess.Popen(command, **options)
    while sum('"beat"' in line for line in _journal()) < 2 or len({_worker(line) for line in _journal()}) < 2:
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    out, err = second.communicate(timeout=600)
    assert second.returncode == 0, err
    (arm,) = json.loads(out)["arms"]
    assert len(arm["trials"]) == 4 and all(trial["status"] == "finished" for trial in arm["trials"])
    assert "it is taken over" in err


def _journal():
    path = Path("shared/trials/journal.log")
    return path.read_text().splitlines() if path.exists() else []


def _worker(line):
    return json.loads(line).get("worker_id") if line.endswith("}") else None
