"""One comparison for the command and the page: whatever a run holds, both say the same."""

import json
import math
from types import SimpleNamespace

import pytest
from commands import losslab
from report_runs import write_run

from losslab import comparison, records, report, study


@pytest.fixture
def done(tmp_path, monkeypatch):
    """Two arms, two seeds, and a `losslab compare` that finds them trained."""
    runs = [write_run(tmp_path / "store", loss, seed, nll + seed / 100)
            for loss, nll in (("cross_entropy", 1.5), ("squentropy", 1.6)) for seed in (0, 1)]
    planned = SimpleNamespace(folders=[run.path for run in runs], experiments=runs[::2])
    monkeypatch.setattr("losslab.study.comparing.plan", lambda *a, **b: planned)
    monkeypatch.setattr("losslab.study.comparing.execute", lambda *a, **b: None)
    return runs


@pytest.mark.parametrize(("value", "why", "code"), [
    (math.inf, "nll is infinite", 0), (math.nan, "nll is not a number", 0), (1e120, "nll is 1e+120", 0),
    (10**120, "nll is 1e+120", 0), (None, "its result has no nll", 6),
])
def test_command_and_page_agree_on_an_nll_that_is_none(done, value, why, code, monkeypatch, capsys, tmp_path):
    (lost,) = [run for run in done if run.loss == "squentropy" and run.seed == 1]
    if value is None:
        del lost.result["scores"]["nll"]
    else:
        lost.result["scores"]["nll"]["value"] = value
    monkeypatch.setattr(records, "read", {run.path: run for run in done}.get)  # a folder that holds nan is refused
    store = tmp_path / "store"
    assert losslab("compare", "cross_entropy", "squentropy", "--seeds", "2", "--store", str(store), "--json") == code
    command, page = json.loads(capsys.readouterr().out), json.loads((store / "report.json").read_text())
    how = "diverged" if code == 0 else "failed"
    assert command["verdict"] == page["verdict"] == (
        f"squentropy {how} on 1 of 2 seeds: no mean and no difference")
    assert command["arms"] == page["arms"]
    candidate = page["arms"][-1]
    assert (candidate["status"], candidate["scores"]) == (f"1 of 2 {how}", {})
    assert [run["error"] for run in candidate["runs"]] == [None, why]
    found = study.compare((), (), store)
    assert found.verdict == page["verdict"] == report.document(comparison.compare(done))["verdict"]
    assert found.arm("squentropy").nll.lost == (1,)


def test_an_arm_without_any_finite_nll_ends_the_command_as_diverged(done, monkeypatch, capsys, tmp_path):
    for run in done[2:]:
        run.result["scores"]["nll"]["value"] = math.inf
    monkeypatch.setattr(records, "read", {run.path: run for run in done}.get)
    asked = ("compare", "cross_entropy", "squentropy", "--seeds", "2", "--store", str(tmp_path / "store"))
    assert losslab(*asked) == 4
    assert "squentropy diverged on 2 of 2 seeds" in capsys.readouterr().out


def test_the_comparison_has_what_a_page_needs(done):
    found = comparison.compare(done)
    assert [arm.name for arm in found.arms] == ["cross_entropy", "squentropy"] and found.baseline == "cross_entropy"
    candidate = found.arm("squentropy")
    assert candidate.difference.value == pytest.approx(0.1) and candidate.difference.n == 2
    assert candidate.bits_per_byte.difference.value == pytest.approx(0.1 / math.log(2))
    assert candidate.scores["nll"]["value"] == pytest.approx(1.605) and candidate.cost["train_seconds"] == 55.0
    assert found.nll.looks is None and found.new_look is None
    assert found.warnings[-1] == ("all arms at learning rate 0.004 of the recipe classic; tuned separately the order "
                                  "may change")
    with pytest.raises(ValueError, match="unknown arm 'squentropi', the arms are .*did you mean squentropy"):
        found.arm("squentropi")


def test_runs_of_different_numbers_of_ranks_are_named(done):
    assert not any("ranks" in warning for warning in comparison.compare(done).warnings)
    done[1].environment["world_size"] = 4
    done[2].environment["world_size"], done[2].result["ranks"] = 4, [4, 2]  # it was stopped, and continued
    assert ("runs were trained by different numbers of ranks (1, 2 and 4): a part of a difference may be how sums "
            "round, and dropout on GPUs") in comparison.compare(done).warnings


def test_a_look_is_noted_by_condition_and_found_again(done):
    done[3].result["scores"]["nll"]["value"] += 0.001  # differences that vary
    first = comparison.judged(done, done[0].path.parent)
    candidate = first.arm("squentropy").condition
    assert list(first.new_look.arms) == [candidate] and first.nll.level == pytest.approx(0.04)
    again = comparison.judged(done, done[0].path.parent)
    assert again.new_look is None and again.verdict == first.verdict and again.nll.looks == 1
    other = comparison.judged(done, done[0].path.parent, baseline="squentropy")  # another baseline, another ledger
    assert list(other.new_look.arms) == [first.arm("cross_entropy").condition] and other.nll.looks == 1
