"""Trials that several processes share through Optuna's journal, and journals that somebody else wrote."""

import json
import os
import pickle
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from experiments import place as place
from tuning import QUICK, RATE, parabola
from tuning import stub as stub

from losslab import tune
from losslab.tune import Range, Tuning, shared
from losslab.tune.arms import Arm
from losslab.tune.journal import Journal
from losslab.tune.trials import Runner

pytestmark = pytest.mark.usefixtures("place")


def test_a_trial_of_a_dead_process_is_taken_over_after_the_stated_time(stub):
    tuning, said, now = Tuning(4, {RATE: Range(1e-4, 1e-1)}, method="random"), [], [1000.0]
    runner = Runner(Path("study"), tell=said.append)
    search = tune.Search(Arm("plain", QUICK), tuning.space, {}, "random", tuning.trials)
    made = (search, runner, Journal("study/trials/journal.log", said.append), 120.0, lambda: now[0])
    dead, alive = shared._Study(*made), shared._Study(*made)
    (lost,) = dead.ask(1)
    settings = dead.settings(lost)
    now[0] += 119
    others = alive.ask(4)
    assert len(others) == 3 and said == []  # the rest of the budget; that one may still be at work
    now[0] += 2
    for trial in others:
        alive.beat(trial)
    (taken,) = alive.ask(1)
    assert alive.settings(taken) == settings
    assert said == ["trial 0 of plain has given no sign of life for more than 120 s; it is taken over"]
    for trial in [taken, *others]:
        alive.tell(trial, parabola([alive.settings(trial)], None)[0])
    assert alive.is_over and dead.is_over and len(alive.trials()) == 4


def test_a_turned_digit_in_the_settings_of_a_trial_is_said(stub, monkeypatch):
    def named(self, settings, configs, arms):
        return [replace(one, runs=(f"trials/run-{one.settings[RATE]}",)) for one in parabola(settings, configs)]

    monkeypatch.setattr(Runner, "run", named)
    tuning, said = Tuning(3, {RATE: Range(1e-4, 1e-1)}, method="random"), []
    first = tune.tune({"plain": QUICK}, tuning, "study")["plain"].trials[1].settings[RATE]
    tune.tune({"plain": QUICK}, tuning, "study", tell=said.append)
    assert not said
    path, other = Path("study/trials/journal.log"), f"{first:.12g}"[:-1] + "9"
    path.write_text(path.read_text().replace(f'"param_value_internal":{first!r}', f'"param_value_internal":{other}'))
    found = tune.tune({"plain": QUICK}, tuning, "study", tell=said.append)
    assert found["plain"].trials[1].settings[RATE] == float(other) != first
    assert f"trial 1 of plain was run as trials/run-{first}, and its settings are now those of run-{other}" in said[0]


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def lines(*changed):
    """A journal of one study with one trial at work, and what somebody has changed in it."""
    study = {"op_code": 0, "worker_id": "w", "study_name": "s", "directions": [1]}
    trial = {"op_code": 4, "worker_id": "w", "study_id": 0, "datetime_start": "2026-01-01T00:00:00.000000+00:00"}
    return [json.dumps(each) for each in (study, trial, *changed)]


HOSTILE = {
    "random bytes": (bytes(range(256)) * 9, "line 1: it is"),
    "a truncated line": ("\n".join([lines()[0], lines()[1][:30] + lines()[0], ""]), "line 2: it is"),
    "another program's JSON": ('{"model": [1, 2]}\n', "line 1: it says"),
    "no line": ('{"model": [1, 2]}', "it has no end"),
    "a list": ("[0]\n", "line 1: it is"), "deep": ("[" * 10**5 + "\n", "line 1: it is"),
    "a pickle": (b"\x80\x04" + pickle.dumps(Payload()) + b"\n", "line 1: it is"),
    "an operation that is none": (json.dumps({"op_code": 99, "worker_id": "w"}) + "\n", "line 1: it says"),
    "entries out of order": ("\n".join([lines()[1], lines()[0], lines({"op_code": 5, "worker_id": "w", "trial_id": 0,
                             "param_name": "a", "param_value_internal": 0, "distribution": "x"})[2], ""]), None),
    "a field that is missing": (json.dumps({"op_code": 0, "worker_id": "w"}) + "\n", "do not follow"),
    "a state that is none": ("\n".join([*lines({"op_code": 6, "worker_id": "w", "trial_id": 0, "state": 77,
                                               "values": None}), ""]), "do not follow"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_journal_that_is_none_is_one_sentence_stays_as_it_is_and_executes_nothing(stub, monkeypatch, name):
    content, said = HOSTILE[name]
    content = content if isinstance(content, bytes) else content.encode()
    for function in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, function, lambda *_, **__: pytest.fail("a pickle is loaded"))
    Path("j.log").write_bytes(content)
    call = partial(tune.tune, {"plain": QUICK}, Tuning(4, {RATE: Range(1e-3, 1e-2)}, method="tpe"), "study")
    if said is None:  # entries of nobody's are passed over, as by Optuna
        call(journal="j.log")
    else:
        with pytest.raises(ValueError, match=said) as caught:
            call(journal="j.log")
        assert "move it away or give another --journal" in str(caught.value) and "\n" not in str(caught.value)
    assert Path("j.log").read_bytes().startswith(content) and not Path("executed").exists()


def test_a_folder_in_the_place_of_a_journal_and_a_place_that_is_none_are_one_sentence(stub):
    Path("file").touch()
    Path("folder").mkdir()
    with pytest.raises(ValueError, match="folder is a folder, not a plain file"):
        Journal("folder", print)
    with pytest.raises(OSError, match="cannot write the journal file/j.log: .*; give a file in a writable folder"):
        Journal("file/j.log", print)


def test_what_a_journal_claims_of_trials_is_checked_and_attributes_are_never_unpickled(stub, monkeypatch):
    for function in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, function, lambda *_, **__: pytest.fail("a pickle is loaded"))
    tuning = Tuning(4, {RATE: Range(1e-3, 1e-2)}, method="tpe")
    tune.tune({"plain": QUICK}, tuning, "study")
    path, hostile = Path("study/trials/journal.log"), pickle.dumps(Payload()).hex()
    honest = path.read_text()
    worker, begun = {"worker_id": "w"}, "2026-01-01T00:00:00.000000+00:00"
    attributes = [{"op_code": 3, "study_id": 0, "system_attr": {"cma:optimizer": hostile}},
                  {"op_code": 2, "study_id": 0, "user_attr": {"sampler": hostile}},
                  {"op_code": 4, "study_id": 0, "datetime_start": None, "state": 0, "user_attrs": {"beat": "never"},
                   "system_attrs": {"fixed_params": hostile}},  # of nobody, and so taken over
                  {"op_code": 4, "study_id": 0, "datetime_start": begun, "state": 0, "user_attrs": {"beat": 1e300}}]
    path.write_text(honest + "".join(json.dumps(worker | each) + "\n" for each in attributes))
    found = tune.tune({"plain": QUICK}, replace(tuning, trials=6), "study")
    assert len(found["plain"].trials) == 6 and not Path("executed").exists()
    wild = json.dumps({"name": "FloatDistribution", "attributes": {"low": 1.0, "high": 9.0}})
    claim = {"op_code": 4, "study_id": 0, "datetime_start": begun, "datetime_complete": begun, "state": 1, "value": 0.0,
             "params": {RATE: 9.0}, "distributions": {RATE: wild}}
    path.write_text(honest + json.dumps(worker | claim) + "\n")
    with pytest.raises(ValueError, match="trial 4 of plain has settings that were not searched"):
        tune.tune({"plain": QUICK}, replace(tuning, trials=5), "study")


def test_a_line_that_a_killed_process_did_not_finish_is_left_out(stub):
    tuning, said = Tuning(3, {RATE: Range(1e-3, 1e-2)}, method="random"), []
    tune.tune({"plain": QUICK}, tuning, "study")
    path = Path("study/trials/journal.log")
    honest = path.read_bytes()
    path.write_bytes(honest + b'{"op_code": 4, "worker')
    found = tune.tune({"plain": QUICK}, replace(tuning, trials=4), "study", tell=said.append)
    assert len(found["plain"].trials) == 4 and path.read_bytes().startswith(honest + b"{")
    assert "was not finished by the process that wrote it" in said[0]


def test_two_processes_that_begin_at_the_same_moment_share_one_budget(stub, monkeypatch):
    import optuna

    def slowly(call):  # between looking and writing
        def slow(*arguments, **named):
            time.sleep(0.02)
            return call(*arguments, **named)
        return slow

    search = tune.Search(Arm("plain", QUICK), {RATE: Range(1e-3, 1e-2)}, {}, "random", 5)
    runner, together, found = Runner(Path("study")), threading.Barrier(2), []
    monkeypatch.setattr(optuna.Study, "ask", slowly(optuna.Study.ask))
    exists = optuna.Study._should_skip_enqueue
    monkeypatch.setattr(optuna.Study, "_should_skip_enqueue",
                        lambda *arguments: (exists(*arguments), time.sleep(0.02))[0])

    def begin():
        together.wait()
        study = shared._Study(search, runner, Journal("j.log", print), 120.0, time.time)
        found.extend(study.settings(trial)[RATE] for trial in study.ask(3))

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == sorted(point[RATE] for point in search.points())  # 3 and 2, each of the five once
