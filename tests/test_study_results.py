"""What a study leaves in its folder: document, page and verdict, the same by every way to them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from commands import FAST, losslab, refuses
from experiments import place as place
from experiments import untimed as untimed
from forks import forking as forking
from report_runs import write_run

from losslab import comparison, records, study
from losslab.study import Arm, Study
from losslab.tune.choice import Trial, Tuned


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Runs of two arms, as if they had been trained."""
    monkeypatch.chdir(tmp_path)
    runs = [write_run(Path("runs/rates"), loss, seed, nll + seed * more, **own)
            for loss, nll, more, own in (("cross_entropy", 1.5, 0.01, {}),
                                         ("squentropy", 1.6, 0.04, {"learning_rate": 1e-3}))
            for seed in (0, 1)]

    class Planned:
        def __init__(self, conditions, seeds, store, **options):
            self.folders = [run.path for run in runs]
            names = {run.loss: run.condition for run in runs}
            self.experiments = [type("E", (), {"condition": names[config.loss]}) for config in conditions]

    monkeypatch.setattr("losslab.study.conducting.plan", Planned)
    monkeypatch.setattr("losslab.study.comparing.plan", Planned)
    monkeypatch.setattr("losslab.study.comparing.execute", lambda *a, **b: None)
    monkeypatch.setattr("losslab.report.page.still", lambda spec: "")  # to draw takes seconds, and numbers its parts
    return runs


def test_labels_and_question_reach_the_document_the_page_and_the_folder(trained, capsys):
    Path("study.toml").write_text('question = "Is <slow> better?"\nseeds = 2\n[[arm]]\nloss = "cross_entropy"\n'
                                  '[[arm]]\nloss = "squentropy"\nlabel = "slow & steady"\n')
    assert losslab("compare", "study.toml", "--name", "rates", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == "rates" and document["question"] == "Is <slow> better?"
    assert document["baseline"] == "cross_entropy" and document["report"] == "runs/rates/report.html"
    assert {arm["name"] for arm in document["arms"]} == {"cross_entropy", "slow & steady"}
    assert "slow & steady" in document["verdict"]
    folder = Path("runs/rates")
    assert json.loads((folder / "verdict.json").read_text()) == document
    assert study.read(folder / "study.toml").question == "Is <slow> better?"
    page = (folder / "report.html").read_text()
    assert "Is &lt;slow&gt; better?" in page and "slow &amp; steady" in page
    assert "Is &lt;slow&gt; better?" in (folder / "report.md").read_text()
    assert losslab("compare", "study.toml", "--name", "rates") == 0
    assert "Is <slow> better?" in capsys.readouterr().out
    changed = refuses(capsys, "compare", "study.toml", "--name", "rates", "--margin", "0.1")
    assert "runs/rates/study.toml was begun with margin 0.002, and is now asked with 0.1" in changed
    assert changed == refuses(capsys, "compare", "study.toml", "--name", "rates", "--margin", "0.1", "--dry-run")


RATES = Study((Arm("cross_entropy"), Arm("squentropy", "slow & steady", {"train.learning_rate": 1e-3})), name="rates",
              question="Is <slow> better?", seeds=(0, 1), baseline="slow & steady", margin=0.5,
              tune={"trials": 2, "space": {"learning_rate": {}}})


def as_tuned(arms, *_, **__):
    """What tuning found, as if it had tried two rates."""
    tried = {rate: Trial({"train.learning_rate": rate}, "finished", nll, (1_000_000,), (f"trials/{rate}",))
             for rate, nll in ((1e-3, 1.5), (4e-3, 1.6))}
    return {name: Tuned(config, {"train.learning_rate": 1e-3}, tuple(tried.values()), True, 0.9, {"2": 0.1}, "ladder")
            for name, config in arms.items()}


def test_the_command_the_function_and_the_report_of_a_study_write_the_same(trained, capsys, monkeypatch):
    monkeypatch.setattr("losslab.tune.tune", as_tuned)
    monkeypatch.setattr("losslab.tune.searches", lambda *_, **__: [])
    RATES.write("study.toml")
    assert losslab("compare", "study.toml", "--store", "runs/rates") == 0
    folder, told = Path("runs/rates"), capsys.readouterr().out.partition("\n\nreport: ")[0]
    document = json.loads((folder / "verdict.json").read_text())
    page, command = (folder / "report.html").read_text(), document["command"]
    assert document["baseline"] == "slow & steady" and document["margin"] == 0.5
    assert "at the settings chosen by 2 trials each" in document["verdict"]
    assert losslab("report", "runs/rates", "--out", "page.html") == 0
    assert capsys.readouterr().out == f"{told}\n\nreport: page.html\n" and Path("page.html").read_text() == page
    assert json.loads(Path("page.json").read_text()) | {"report": "runs/rates/report.html"} == document
    for name in ("verdict.json", "report.html", "report.md"):
        (folder / name).unlink()
    study.conduct(RATES, folder, command=command)
    assert json.loads((folder / "verdict.json").read_text()) == document
    assert (folder / "report.html").read_text() == page and (folder / "report.md").is_file()
    assert losslab("report", "runs/rates", "--baseline", "cross_entropy", "--margin", "0.01", "--json") == 0
    other = json.loads(capsys.readouterr().out)
    assert other["baseline"] == "cross_entropy" and other["margin"] == 0.01 and other["arms"][0]["tuned"]


def test_arms_of_a_study_that_were_bent_with_their_sum_are_a_sentence(trained, monkeypatch):
    monkeypatch.setattr("losslab.tune.tune", as_tuned)
    monkeypatch.setattr("losslab.tune.searches", lambda *_, **__: [])
    study.conduct(RATES, "runs/rates")
    path = Path("runs/rates/arms.json")
    whole = json.loads(path.read_text())
    assert study.again("runs/rates")[0].tuned
    for bend in (lambda arm: arm["tuned"]["trials"][0].pop("settings"), lambda arm: arm["tuned"].update(tuning=None),
                 lambda arm: arm["tuned"]["trials"][0]["settings"].update({"train.learning_rate": "fast"}),
                 lambda arm: arm.update(tuned=["abc"]), lambda arm: arm.update(cost="dear"),
                 lambda arm: arm["tuned"]["tuning"].update(sensitivity={"2": []})):
        changed = json.loads(json.dumps(whole))
        bend(changed["arms"][0])
        records.files.write_sealed(path, changed)
        with pytest.raises(ValueError, match="arms.json does not hold the arms of a study; take it away, and `losslab"):
            study.again("runs/rates")


def test_an_arm_that_is_added_is_said_and_belongs_to_the_family(trained, capsys):
    one = '[[arm]]\nloss = "{}"\n'
    Path("rates.toml").write_text("seeds = 2\n" + one.format("cross_entropy") + one.format("squentropy"))
    for seed, nll in ((0, 1.55), (1, 1.5601)):
        trained.append(write_run(Path("runs/rates"), "mse", seed, nll, learning_rate=2e-3))
    before = replace(study.read("rates.toml"), name="rates")
    trained[4:], later = [], trained[4:]
    study.conduct(before, "runs/rates")
    trained += later
    capsys.readouterr()
    assert losslab("compare", "rates.toml", "--arm", "mse", "--json") == 0
    out, err = capsys.readouterr()
    assert [line for line in err.splitlines() if "now has" in line] == [
        "runs/rates/study.toml now has the arm 'mse' too: what is done is kept, only what is missing is run, and "
        "`losslab compare runs/rates/study.toml` continues with all of it"]
    condition = {run.loss: run.condition for run in trained}
    first, second = records.looks("runs/rates", trained, condition["cross_entropy"], "nll")
    assert set(first.arms) == {condition["squentropy"]}
    assert condition["mse"] in second.arms and second.level == pytest.approx(0.008)
    arms = {arm["name"]: arm for arm in json.loads(out)["arms"]}
    (look,) = arms["mse"]["looks"]
    alone = comparison.compare([run for run in trained if run.loss != "squentropy"], baseline="cross_entropy")
    assert look["look"] == 2 and look["p_holm"] == pytest.approx(2 * alone.arm("mse").difference.p_value, rel=1e-9)
    assert losslab("compare", "rates.toml", "--json") == 0  # the file still has two arms
    out, err = capsys.readouterr()
    assert {arm["name"] for arm in json.loads(out)["arms"]} == arms.keys()
    assert ("runs/rates/study.toml has the arm 'mse' besides what is asked: the study continues with all of it, as "
            in err)


GRID = """
tune = { trials = 6, space = { learning_rate = [1e-3, 2e-3] } }
[[arm]]
loss = "cross_entropy"
label = "classic"
"""


def test_what_tuning_refuses_is_refused_before_a_study_begins_and_in_a_dry_run(place, capsys):
    Path("rates.toml").write_text(GRID)
    said = "tuning of the arm 'classic': a grid of 2 points has no 6 trials; give 2 trials, or more values"
    for flags in (("--dry-run",), ()):
        assert said in refuses(capsys, "compare", "rates.toml", "--corpus", "text.txt", *flags, *FAST)
    Path("rates.toml").write_text(GRID.replace("6", "2").replace("2e-3", "-1.0"))  # a value that no run can have
    assert "tuning of the arm 'classic': train.learning_rate must" in refuses(
        capsys, "compare", "rates.toml", "--corpus", "text.txt", *FAST)
    assert not Path("runs").exists()


def test_the_report_of_a_study_without_its_arms_says_so_and_damage_is_one_sentence(trained, capsys):
    study.conduct(replace(RATES, tune={}, baseline=""), "runs/rates")
    arms = Path("runs/rates/arms.json")
    arms.write_text(arms.read_text().replace("slow", "fast"))
    assert "arms.json" in refuses(capsys, "report", "runs/rates")
    arms.unlink()
    assert losslab("report", "runs/rates", "--json") == 0
    out, err = capsys.readouterr()
    assert {arm["name"] for arm in json.loads(out)["arms"]} == {"cross_entropy", "squentropy"}
    assert err.startswith("runs/rates does not say which runs are which arm of its study")
