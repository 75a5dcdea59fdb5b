"""`losslab scaling fit FOLDER`: which runs of a folder are read, as which arms; and the folder of a ladder."""

import csv
import json

import pytest
from commands import losslab, refuses
from ladders import FILE, WORTH
from ladders import trained as trained
from reading import commands
from record_runs import RESULT, refused, spec, write_run
from scaling_tables import LAW

from losslab import config, records
from losslab.cli import scaling_runs


def write(folder, seed=0, size=1, tokens=1000, *, score="nll", value=None, status="finished", **train):
    """A run of a model as wide as `size`, with other settings for the training."""
    width, made = 16 * size, spec(seed=seed, num_tokens=tokens, learning_rate=0.001)
    made["config"]["model"] |= {"n_embd": width, "n_head": 1}
    made["config"]["train"] |= train
    made["condition"] = config.digest([made["config"] | {"seed": 0}])
    records.create(folder, made, {"device": "cpu"})
    value = float(LAW.nll(1000 * width, tokens)) if value is None else value
    records.write_result(folder, RESULT | {
        "status": status, "tokens": tokens, "model": {"num_params": 1000 * width},
        "scores": {score: RESULT["scores"]["nll"] | {"value": value}}})


def each_size(folder, name, seeds=(0, 1), **train):
    for size in (1, 2, 4):
        for ratio in (10, 40):
            for seed in seeds:
                own = {key: value(size) if callable(value) else value for key, value in train.items()}
                write(folder / f"{name}{size}-{ratio}-{seed}", seed, size, 16_000 * size * ratio, **own)


def read(folder, form="law"):
    said = []
    return scaling_runs.read(folder, None, None, form, said.append), said


def test_arms_are_settings_that_differ_at_one_size(tmp_path, capsys):
    plain, decayed = (f"cross_entropy (weight_decay {decay})" for decay in ("0", "0.1"))
    for decay in (0.0, 0.1):  # one loss, and two arms
        each_size(tmp_path, f"decay{decay}-", weight_decay=decay)
    found, said = read(tmp_path)
    assert {name: len(own) for name, own in found.by_arm().items()} == {plain: 12, decayed: 12}
    assert found.baseline == plain and not found.notes and not said
    [note] = read(tmp_path, "compute")[0].notes
    assert f"2 arms ({plain}, {decayed}), and --form compute fits all of them together" in note
    assert losslab("scaling", "fit", str(tmp_path), "--resamples", "0", "--json") == 0
    fitted = json.loads(capsys.readouterr().out)
    assert fitted["baseline"] == plain
    assert [rung["value"] for rung in fitted["multipliers"][0]["rungs"]] == pytest.approx([1.0] * 6)


def test_settings_that_go_with_the_size_are_one_arm_and_said(tmp_path):
    each_size(tmp_path, "one", [0], learning_rate=lambda size: 0.01 / size)
    found, _ = read(tmp_path)
    assert not found.arms and len(found) == 6
    assert found.notes == ("cross_entropy has runs of unlike learning_rate, and they are one arm, since no two of one "
                           "size and number of tokens differ in that",)
    each_size(tmp_path, "two", [0], learning_rate=lambda size: 0.01 / size, weight_decay=0.5)
    found, _ = read(tmp_path)
    assert {*found.arms} == {"cross_entropy (weight_decay 0.1)", "cross_entropy (weight_decay 0.5)"}
    assert len(found.notes) == 2 and all("unlike learning_rate" in note for note in found.notes)


def test_what_nothing_tells_apart_has_the_name_of_its_condition(tmp_path):
    runs = [write_run(tmp_path / name, condition=name * 12) for name in "ab"]
    assert records.labels_over_sizes(runs)[0] == {"a" * 12: "cross_entropy #aaaaaa", "b" * 12: "cross_entropy #bbbbbb"}


def test_runs_with_a_stride_count_and_each_that_does_not_is_said_for_what_it_is(tmp_path):
    each_size(tmp_path, "run", [0], score="nll_stride_64")
    write(tmp_path / "diverged", 7, status="diverged")
    write(tmp_path / "odd", 8, value=float("inf"))
    write(tmp_path / "other", 9, score="accuracy", value=0.5)
    write_run(tmp_path / "begun", seed=5, result=None)
    found, said = read(tmp_path)
    assert len(found) == 6 and not found.notes
    assert said == [
        f"note: 2 of 10 runs of {tmp_path} have not finished (1 stopped, 1 diverged), and are left out",
        f"note: 2 of 10 runs of {tmp_path} finished without a finite nll, or do not say their parameters and tokens, "
        "and are left out"]
    write(tmp_path / "plain", 6)
    assert "these runs have 2 kinds of nll" in read(tmp_path)[0].notes[-1]


def test_a_folder_without_runs_that_ended(tmp_path):
    (tmp_path / "empty/rungs/1x8-10").mkdir(parents=True)
    (tmp_path / "empty/ladder.csv").write_text("a file is no folder to look into")
    assert "holds no run; give the folder of a ladder" in refused(read, tmp_path / "empty")
    write_run(tmp_path / "begun/run", result=None)
    assert "none of the 1 runs of" in refused(read, tmp_path / "begun")


# --- ladders -------------------------------------------------------------------------------------

COMMAND = ("scaling", "fit", "runs/ladder")


def climbed(place, text=FILE):
    """A ladder whose runs are written down, without its fit."""
    (place / "steps.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("losslab.ladder.document._fit", lambda *arguments: ({"warnings": []}, []))
        patch.setattr("losslab.report.ladder.write", lambda document, path: path)
        patch.setattr("losslab.report.ladder.text", lambda document: "")
        assert losslab("ladder", "steps.toml", "--store", "runs/ladder") == 0


def test_the_command_of_the_page_fits_the_folder_of_a_ladder(trained, capsys):
    assert list(COMMAND) in commands("scaling.md")
    climbed(trained, "baseline = 'squentropy'\n" + FILE + "params = 'with_head'\n")
    capsys.readouterr()
    assert losslab(*COMMAND, "--resamples", "0", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["baseline"] == "squentropy" and list(found["arms"]) == ["cross_entropy"]
    [one] = found["multipliers"]
    assert [rung["value"] for rung in one["rungs"]] == pytest.approx([1 / WORTH] * 6, rel=0.1)
    with open("runs/ladder/ladder.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["arm"] == "squentropy"]
    assert {point["num_params"] for point in found["points"]} == {float(row["num_params_with_head"]) for row in rows}
    assert found["num_points"] == len(rows) == 18
    assert not any("rungs of this ladder" in warning for warning in found["warnings"])


def test_a_ladder_that_is_climbed_now_has_the_rungs_that_are_done(trained, capsys):
    climbed(trained)
    table = trained / "runs/ladder/ladder.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(line for line in lines if ",1x32" not in line))
    found, _ = read(trained / "runs/ladder")
    assert len(found) == 24 and found.baseline == "cross_entropy"
    assert found.notes == ("4 of the 6 rungs of this ladder are in its table; the same `losslab ladder` continues "
                           "it",)
    table.write_text("".join(line for line in lines if not line.startswith("squentropy")))
    assert not read(trained / "runs/ladder")[0].arms  # of one arm there is one law
    capsys.readouterr()
    assert "go with a table, such as runs/ladder/ladder.csv" in refuses(capsys, *COMMAND, "--arms", "arm")
    table.unlink()
    assert "no rung of the ladder runs/ladder is done" in refuses(capsys, *COMMAND)
    (trained / "runs/ladder/ladder.toml").write_text("arm = 3")
    assert "the ladder as it was begun, cannot be read" in refuses(capsys, *COMMAND)
