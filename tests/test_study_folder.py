"""A study's folder: the study as it was begun continues, grows, and is not changed; and what flags make of one."""

import json
import os
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from commands import FAST, losslab, refuses
from experiments import place as place
from experiments import untimed as untimed
from forks import forking as forking
from report_runs import write_run

from losslab import formula, lossfile, study
from losslab.cli import comparing, studying
from losslab.study import Arm, Study
from losslab.study.conducting import thin
from losslab.study.folder import begin
from losslab.study.growing import difference, joined

ARMS = (Arm("cross_entropy"), Arm("squentropy", "slow", {"train.learning_rate": 1e-3}, {"square_weight": [1.0, 2.0]}))
BEGUN = Study(ARMS, name="rates", preset="tiny", settings={"train.num_tokens": 20_000}, seeds=(0, 1),
              tune={"trials": 3, "space": {"learning_rate": {}}})


@pytest.mark.parametrize(("changes", "told"), [
    ({"settings": {"train.num_tokens": 40_000}}, "train.num_tokens 20,000, and is now asked with 40,000"),
    ({"corpus": "pydoc"}, "data.corpus 'tales', and is now asked with 'pydoc'"),
    ({"margin": 0.01}, "margin 0.002, and is now asked with 0.01"),
    ({"baseline": "slow"}, "baseline 'cross_entropy', and is now asked with 'slow'"),
    ({"race": (2, 4)}, "race none, and is now asked with (2, 4)"),
    ({"arms": (ARMS[0], replace(ARMS[1], label="low"))},
     "the arm 'slow', and is now asked with it under the name 'low'"),
    ({"arms": (ARMS[0], replace(ARMS[1], settings={}))},
     "train.learning_rate 0.001 in the arm 'slow', and is now asked with 0.004"),
    ({"arms": (ARMS[0], replace(ARMS[1], loss="mse"))},
     "loss 'squentropy' in the arm 'slow', and is now asked with 'mse'"),
    ({"arms": (ARMS[0], replace(ARMS[1], space={}))},
     "space.square_weight [1.0, 2.0] in the arm 'slow', and is now asked with none"),
    ({"tune": {"trials": 3, "space": {}}}, "tune.space {'learning_rate': {}}, and is now asked with {}"),
    ({"tune": {}}, "tune.trials 3, and is now asked with none"),
])
def test_a_study_is_not_continued_with_other_settings(tmp_path, changes, told):
    begin(tmp_path, replace(BEGUN, question="Which?", seeds=(0,), margin=0.3))
    begin(tmp_path, BEGUN)  # nothing was trained: it may be anything
    assert study.read(tmp_path / "study.toml") == BEGUN
    write_run(tmp_path / "trials", "cross_entropy", 1_000_000, 1.5)
    before = (tmp_path / "study.toml").read_bytes()
    with pytest.raises(ValueError) as refused:
        begin(tmp_path, replace(BEGUN, **changes))
    assert str(refused.value) == (f"{tmp_path}/study.toml was begun with {told}; go on with the study as it was, or "
                                  "begin anew under another --name or --store")
    assert (tmp_path / "study.toml").read_bytes() == before


@pytest.mark.parametrize("changes", [
    {"seeds": (0, 1, 7)}, {"arms": (*ARMS, Arm("mse"))}, {"tune": {"trials": 9, "space": {"learning_rate": {}}}},
    {"question": "Why?"}, {"tasks": ("blimp",)}, {"final": True}, {"preset": "", "size": "tiny"},
    {"baseline": "cross_entropy"}, {"settings": {"train.num_tokens": 20_000, "evaluate.batch_size": 4}},
])
def test_seeds_arms_and_trials_may_be_added_and_the_same_may_be_said_otherwise(tmp_path, changes):
    assert not begin(tmp_path, BEGUN)
    write_run(tmp_path, "cross_entropy", 0, 1.5)
    said = begin(tmp_path, replace(BEGUN, **changes))
    added = [text for key, text in (("seeds", "seed 7"), ("arms", "the arm 'mse'"),
                                    ("tune", "6 more trials of each arm")) if key in changes]
    path = tmp_path / "study.toml"
    assert said == (f"{path} now has {added[0]} too: what is done is kept, only what is missing is run, and `losslab "
                    f"compare {path} --store {tmp_path}` continues with all of it" if added else "")
    assert study.read(tmp_path / "study.toml") == replace(BEGUN, **changes) and not difference(BEGUN, BEGUN)


@pytest.mark.parametrize(("changes", "whole", "said"), [
    ({"seeds": (1,)}, {}, "has seed 0 besides what is asked: "),
    ({"arms": ARMS[1:], "seeds": (0, 1, 7)}, {"baseline": "cross_entropy", "seeds": (0, 1, 7)},
     "has the arm 'cross_entropy' besides what is asked, and now seed 7 too: "),
    ({"arms": (*ARMS[:1], Arm("mse"))}, {"baseline": "cross_entropy", "arms": (*ARMS, Arm("mse"))},
     "has the arm 'slow' besides what is asked, and now the arm 'mse' too: "),
    ({"tune": {"trials": 2, "space": {"learning_rate": {}}}}, {},
     "has 1 more trial of each arm besides what is asked: "),
])
def test_what_is_left_out_of_a_study_stays_in_it_and_is_said(tmp_path, changes, whole, said):
    begin(tmp_path, BEGUN)
    (tmp_path / "looks.json").write_text("{}")
    path = tmp_path / "study.toml"
    assert begin(tmp_path, replace(BEGUN, **changes)) == (
        f"{path} {said}the study continues with all of it, as `losslab compare {path} --store {tmp_path}` says")
    assert study.read(path) == replace(BEGUN, **whole)


def test_arms_that_are_named_by_what_others_have_are_still_the_same():
    slow, fast = (Arm("mse", settings={"train.learning_rate": rate}) for rate in (1e-3, 2e-3))
    one, two = replace(BEGUN, arms=(ARMS[0], slow)), replace(BEGUN, arms=(ARMS[0], slow, fast))
    assert not difference(one, two) and not difference(two, one)
    assert joined(one, two) == two == replace(joined(two, one), baseline="")
    other = replace(one, settings={"train.num_tokens": 20_000, "train.weight_decay": 0.0}, arms=(Arm("mse"),))
    with pytest.raises(ValueError, match="the arm 'cross_entropy' over other settings of all arms"):
        joined(BEGUN, other)


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b"\0\xff"), lambda path: path.write_text("seeds = "), lambda path: path.touch(),
    lambda path: path.mkdir(), lambda path: os.mkfifo(path), lambda path: path.symlink_to("nowhere"),
])
def test_a_damaged_study_file_is_one_sentence_and_stays(tmp_path, damage):
    damage(tmp_path / "study.toml")
    with pytest.raises(ValueError, match=r"study.toml, the study as it was begun, cannot be read \(.*\); put back a "
                                         "copy of it, or begin anew under another --name or --store$"):
        begin(tmp_path, BEGUN)
    assert os.path.lexists(tmp_path / "study.toml")


def test_a_turned_bit_in_the_margin_of_a_study_is_said_and_no_other_verdict(tmp_path):
    begin(tmp_path, replace(BEGUN, margin=0.004))
    path = tmp_path / "study.toml"
    whole = path.read_text()
    assert study.folder.kept(tmp_path).margin == 0.004 and study.read(path).margin == 0.004
    for changed in (whole.replace("0.004", "0.006"), whole.replace("sha256", "sha257").replace("0.004", "0.006"),
                    whole.removesuffix("\n") + " "):
        path.write_text(changed)
        for read in (partial(begin, study=BEGUN), study.again, study.folder.kept):
            with pytest.raises(ValueError, match="it does not fit the checksum in its last line; take that line away "
                                                 "if you changed it yourself"):
                read(tmp_path)
    path.write_text(changed.rpartition("#")[0])  # as an earlier losslab wrote it, or after a change by hand
    assert study.folder.kept(tmp_path).margin == 0.004


def test_too_few_seeds_for_so_many_arms_is_said_before_anything_is_spent():
    six = replace(BEGUN, arms=tuple(Arm("cross_entropy", f"a{n}", {"train.learning_rate": 1e-3 * (n + 1)})
                                    for n in range(6)))
    assert thin(six).startswith("2 seeds can settle 5 candidates only where a difference is ")
    assert thin(replace(six, seeds=tuple(range(10)))) == ""


# --- from flags --------------------------------------------------------------------------------

FILE = """
name = "rates"
seeds = 2
[settings]
train.num_steps = 10
data.corpus = "pydoc"
[[arm]]
loss = "cross_entropy"
[[arm]]
loss = "mine.py"
"""
MINE = "def mine(prediction):\n    return 0.5 * prediction.nll\n"


def asked(*words, **flags):
    return studying.study(words, studying.Asked(**flags))


def test_flags_make_the_same_study_as_a_file(place):
    found, from_file = asked("cross_entropy", arm=["squentropy; train.learning-rate=2e-3; label=slow one",
                                                   "squentropy ; train.betas=[0.9, 0.95]"],
                             seeds="0-2", margin=0.01, name="s", num_tokens=5000, race="2,3", baseline="slow one")
    assert not from_file and list(found.configs) == ["cross_entropy", "slow one", "squentropy"]
    assert found.configs["slow one"].train.learning_rate == 2e-3
    assert found.configs["squentropy"].train.betas == (0.9, 0.95) and found.seeds == (0, 1, 2) and found.race == (2, 3)
    found.write("study.toml")
    again, from_file = asked("study.toml")
    assert from_file and again == found


def test_flags_over_a_file_win_and_add(place):
    Path("study.toml").write_text(FILE)
    found, _ = asked("study.toml", corpus="text.txt", num_tokens=640, seeds="3", arm=["squentropy"], name="other")
    assert list(found.configs) == ["cross_entropy", "mine.py", "squentropy"]
    config = found.configs["mine.py"]
    assert config.data.corpus == "text.txt" and config.train.num_tokens == 640 and config.train.num_steps == 0
    assert found.seeds == (0, 1, 2) and found.name == "other"
    for words, sentence in ((("study.toml", "mse"), "study.toml is a study, which has its own arms; add others by "
                                                    "--arm, or name losses alone"), (("none.toml",), "no study")):
        with pytest.raises((ValueError, OSError), match=sentence):
            asked(*words)


@pytest.mark.parametrize(("flags", "sentence"), [
    (["--arm", "mse; lr"], "--arm takes a formula and NAME=VALUE, parted by semicolons, got 'lr' in 'mse; lr'"),
    (["--arm", "; label=x"], "--arm begins with the formula of a loss, got '; label=x'"),
    (["--arm", "mse; train.lr=1"], "unknown field train.lr in the arm 'mse'; did you mean train.learning_rate?"),
    (["--arm", "cross_entropy"], "the arms 'cross_entropy' and 'cross_entropy' are the same; leave one out"),
    (["--seeds", "1_000_000-1_000_001"], "kept for trials of tuning"),
    (["--name", "a/b"], "is the name of a folder"), (["--baseline", "mse"], "the baseline 'mse' is no arm"),
    (["--trust", "ab" * 32], "--trust goes with a study file"), (["--race", "4,x"], "--race takes numbers of seeds"),
])
def test_flags_that_cannot_be_are_one_sentence(place, capsys, flags, sentence):
    assert sentence in refuses(capsys, "compare", "cross_entropy", *flags)
    assert not Path("runs").exists()


def test_a_loss_file_in_somebody_elses_study_runs_only_when_it_is_trusted(place, capsys, untimed, forking):
    Path("study.toml").write_text(FILE.replace("pydoc", "text.txt"))
    Path("mine.py").write_text(MINE)
    said = refuses(capsys, "compare", "study.toml", "--dry-run", *FAST)
    (source,) = lossfile.sources(formula.parse("mine.py"))
    assert "the loss mine.py wants to run the loss file mine.py" in said and f"--trust {source.sha256}" in said
    assert losslab("compare", "study.toml", "--dry-run", *FAST, "--trust", source.sha256, "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 4
    refuses(capsys, "compare", "study.toml", "--dry-run", *FAST)  # trusted for that once


def test_a_study_that_cannot_be_run_is_not_begun(place, capsys):
    Path("study.toml").write_text('name = "rates"\n[[arm]]\nloss = "mse"\n[[arm]]\nloss = "squentropi"\n')
    assert "did you mean squentropy?" in refuses(capsys, "compare", "study.toml", "--corpus", "text.txt", *FAST)
    assert not Path("runs/rates/study.toml").exists()


@pytest.mark.parametrize("store", [(), ("--store", "shared")])
def test_a_study_that_is_saved_and_its_file_are_one_study_in_one_folder(place, capsys, monkeypatch, store):
    begun = []
    monkeypatch.setattr(comparing, "conduct", lambda wanted, folder, **_: begun.append((wanted, folder)) or 0)
    flags = ("cross_entropy", "--arm", "squentropy; train.learning-rate=2e-3", "--seeds", "2", "--corpus", "text.txt")
    assert losslab("compare", *flags, "--save", "my rates.toml", *store) == 0
    again = capsys.readouterr().err.partition("`")[2].partition("`")[0]
    assert losslab(*shlex.split(again)[1:]) == losslab("compare", "my rates.toml", *store) == 0
    assert begun[0] == begun[1] == begun[2] and begun[0][0].name == "my-rates"
    assert begun[0][1] == Path(store[1] if store else "runs/my-rates")
    assert losslab("compare", *flags, "--save", "s.toml", "--name", "other", *store) == 0
    assert study.read("s.toml").name == "other"
    assert "--save takes a file that ends in .toml" in refuses(capsys, "compare", *flags, "--save", "s")
