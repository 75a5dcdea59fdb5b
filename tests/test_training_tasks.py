"""Tasks that are measured while a run is trained."""

import json

import pytest
from experiments import SMALL, change, weights
from experiments import place as place

from losslab import experiment

LOOKING = {"tasks": "likelihood, blimp", "tasks_every": 10, "tasks_limit": 2, "benchmarks": "benchmarks"}


def test_tasks_are_logged_while_training_and_change_nothing_else(place):
    (place / "benchmarks").mkdir()
    rows = [{"sentence_good": f"The {n} cats sat.", "sentence_bad": f"The {n} cat sit.", "UID": "u",
             "linguistics_term": "t"} for n in range(5)]
    (place / "benchmarks" / "blimp.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = {"corpus": "text.txt", "val_bytes": 2_000, "tune_bytes": 2_000}
    config = change(data=data, model={"num_positions": 32})
    looking = experiment.run(change(config, evaluate=LOOKING), place / "looking")
    plain = experiment.run(config, place / "plain")
    assert weights(place / "looking") == weights(place / "plain") and looking.condition == plain.condition
    assert looking.scores == plain.scores
    lines = [line for line in looking.log if "task/blimp/accuracy" in line]
    assert [line["step"] for line in lines] == [10, 20, 30]
    assert [line["step"] for line in looking.log if "task/likelihood/bits_per_byte" in line] == [10, 20, 30]
    assert all(0 <= line["task/blimp/accuracy"] <= 1 for line in lines)
    assert not any(key.startswith("task/") for line in plain.log for key in line)
    assert not any("task/likelihood/nll_calibrated" in line for line in looking.log)  # the text is `tune`


@pytest.mark.slow
def test_a_task_that_cannot_be_run_is_said_once_and_the_run_goes_on(place):
    said = []
    record = experiment.run(change(evaluate=LOOKING | {"benchmarks": "nowhere"}), place / "run", tell=said.append)
    assert record.status == "finished" and any("task/likelihood/nll" in line for line in record.log)
    assert len([line for line in said if "the task blimp is left out of this run: nowhere has none" in line]) == 1


@pytest.mark.slow
def test_a_task_that_fails_leaves_the_model_in_training(place, monkeypatch):
    def broken(name, model, *arguments):
        model.eval()
        raise ValueError("broken")

    plain = experiment.run(SMALL, place / "plain")
    monkeypatch.setattr(experiment.training.tasks, "run", broken)
    looking = experiment.run(change(evaluate=LOOKING), place / "looking")  # dropout is 0.1
    assert weights(place / "looking") == weights(place / "plain") and looking.scores == plain.scores


def test_an_unknown_task_is_found_before_anything_is_spent(place):
    with pytest.raises(ValueError, match="unknown task 'blimpp'; did you mean blimp"):
        experiment.run(change(evaluate={"tasks": "blimpp", "tasks_every": 5}), place / "run")
    assert not (place / "run").exists()
