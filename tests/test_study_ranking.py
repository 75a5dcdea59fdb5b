"""The best arms of a study again, and whether two studies agree, against scipy and numbers by hand."""

import json
import math
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from commands import losslab, refuses
from experiments import place as place
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from losslab import records, study
from losslab.stats.agreement import agreement


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 2), min_size=3, max_size=6))
def test_rank_agreement_is_scipys_and_its_p_counts_all_orders(pairs):
    x, y = np.array(pairs).T
    found = agreement(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found.tau is None is found.rho_p
        return
    assert found.tau == pytest.approx(stats.kendalltau(x, y).statistic) and found.exact
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    if len(set(x)) == len(set(y)) == len(x):
        assert found.tau_p == pytest.approx(stats.kendalltau(x, y, method="exact").pvalue)


def test_five_arms_in_one_order_are_one_of_120_and_many_are_scipys():
    same = agreement([1, 2, 3, 4, 5], [2, 4, 6, 8, 9])
    assert (same.tau, same.rho, same.tau_p, same.rho_p) == (1, 1, 2 / math.factorial(5), 2 / math.factorial(5))
    many = agreement(range(12), [*range(1, 12), 0])
    assert not many.exact and many.tau == pytest.approx(1 - 2 * 11 / 66)
    for wrong in (([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([1, 2, math.inf], [1, 2, 3])):
        with pytest.raises(ValueError, match="3 or more"):
            agreement(*wrong)


def ran(folder, values, recipe="modern"):
    """A study folder as it is when it was run: nll by name, None where an arm diverged."""
    folder.mkdir(parents=True)
    arms = tuple(study.Arm(loss) for loss in values)
    study.Study(arms, folder.name, size="tiny", recipe=recipe, tokenizer="bpe:1024", corpus="tales", seeds=(0, 1),
                settings={"train.num_tokens": 20_000}, race=(2, 4), tune={"trials": 3, "space": {"learning_rate": {}}},
                ).write(folder / "study.toml")
    told = [{"name": name, "scores": {} if nll is None else {"nll": {"value": nll}}} for name, nll in values.items()]
    records.write_json(folder / "verdict.json", {"name": folder.name, "baseline": "cross_entropy", "measure": "nll",
                                                 "arms": told[:2], "others": told[2:]})


def test_the_best_the_baseline_and_the_worst_are_asked_again_under_other_settings(place, capsys, tmp_path):
    values = {"cross_entropy": 2.0, "squentropy": 2.2, "brier": 1.9, "focal": 1.95, "mse": None, "spherical": 2.5}
    ran(tmp_path / "runs" / "first", values)
    folder = str(tmp_path / "runs" / "first")
    with mock.patch("losslab.cli.comparing.conduct", return_value=0) as conducted:
        assert losslab("compare", folder, "--best", "2", "--recipe", "classic", "--save", "confirm.toml") == 0
    made = study.read("confirm.toml")
    assert conducted.call_args.args == (made, Path("runs/first-best"))
    assert list(made.configs) == ["cross_entropy", "brier", "focal", "spherical"] and made.reference == "cross_entropy"
    assert (made.size, made.recipe, made.tokenizer, made.race, made.seeds) == ("tiny", "classic", "bpe:1024", (),
                                                                               (0, 1, 2, 3))
    assert made.name == "first-best" and made.tune["trials"] == 3 and made.settings == {"train.num_tokens": 20_000}
    capsys.readouterr()
    assert "of the 4 arms" in refuses(capsys, "compare", folder, "--best", "5")
    assert "--best goes with the folder of one study" in refuses(capsys, "compare", "mse", "brier", "--best", "1")
    assert "study.toml` continues with it" in refuses(capsys, "compare", folder)
    assert "study.toml" not in refuses(capsys, "compare", "mse + " * 800 + "what")
    assert "has no verdict.json" in refuses(capsys, "compare", "nowhere", "--best", "1")
    (tmp_path / "runs" / "first" / "verdict.json").write_text('{"arms": [3]}')
    assert "is not the verdict of a study" in refuses(capsys, "compare", folder, "--best", "1")


def test_two_studies_are_compared_over_the_arms_that_both_have(place, capsys, tmp_path):
    ran(tmp_path / "a", {"cross_entropy": 2.0, "brier": 1.9, "focal": 1.95, "mse": None, "spherical": 2.5})
    ran(tmp_path / "b", {"cross_entropy": 1.7, "brier": 1.8, "focal": 1.6, "spherical": 1.9, "squentropy": 3.0})
    assert losslab("agreement", str(tmp_path / "a"), str(tmp_path / "b"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(arm["name"], arm["rank"]) for arm in found["arms"]] == [
        ("brier", [1, 3]), ("focal", [2, 1]), ("cross_entropy", [3, 2]), ("spherical", [4, 4])]
    assert found["n"] == 4 and found["tau"] == pytest.approx(2 / 6) and set(found["left_out"]) == {"mse", "squentropy"}
    assert losslab("agreement", str(tmp_path / "a"), str(tmp_path / "b")) == 0
    assert "4 arms: Kendall's tau 0.33" in capsys.readouterr().out
    ran(tmp_path / "c", {"cross_entropy": 1.7, "mse": 3.0})
    assert "too few arms that finished, 1" in refuses(capsys, "agreement", str(tmp_path / "a"), str(tmp_path / "c"))
