"""The automatic search: what is drawn, what is tried on the rung, and what of it is tested."""

import pytest
import torch
from arena_places import place as place
from test_arena_game import SMALL, arena, arena_refuses
from test_arena_game import untrained as untrained

from losslab.arena import drawing, home, refereeing, searching, verbs
from losslab.arena.challenge import read
from losslab.objective import Objective


def test_a_file_that_was_drawn_computes_the_formula_that_it_names_within_the_declared_ranges():
    found = drawing.drawn(3, 40)
    assert found[:5] == drawing.drawn(3, 5) != drawing.drawn(4, 5)
    assert len({one.formula for one in found}) == 40 and {one.form for one in found} == {"logits", "prediction"}
    assert any("|" in one.formula for one in found) and any(" - " in one.formula for one in found)
    logits = 3 * torch.randn(2, 5, 11, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(10).view(2, 5)
    for one in found:
        assert "|" not in one.formula or one.form == "logits"
        by_name = Objective.parse(one.formula)(logits, targets)
        by_file = Objective.parse('file("loss.py")', {"loss.py": one.text})(logits, targets)
        assert torch.allclose(by_name, by_file, atol=1e-5, rtol=1e-5), one.formula
    for name, value in ((name, value) for one in found for name, value in _parameters(one.formula)):
        low, high = {**drawing.LOSSES["focal"], **drawing.TRANSFORMS["softcap"]}[name]
        assert low <= value <= high


def _parameters(formula):
    from losslab.grammar import parse

    parsed = parse(formula)
    calls = [call for _, call in parsed.terms] + list(parsed.transforms)
    return [pair for call in calls for pair in call.keywords if pair[0] in ("gamma", "cap")]


def test_the_best_on_the_rung_are_tested_and_the_budget_is_kept(capsys, place, untrained):
    found = arena(capsys, "search", "loss-laptop", place / "mine", "--candidates", 8, "--seed", 1)
    values = [one["difference"]["value"] for one in found["tried"]]
    assert len(values) == 8 and values == sorted(values) and values[0] < 0 < values[-1]
    assert [one["number"] for one in found["promoted"]] == [one["number"] for one in found["tried"][:2]]
    assert [one["test"] for one in found["promoted"]] == [1, 2] and found["left"]["tests"] == 1
    assert found["left"]["actions"] == 16  # an edit and a test, twice
    seeds = home.board(read("loss-laptop")).secret
    on_the_rung = [(split, drawn) for _, split, drawn in untrained if set(drawn) == {1, 2}]
    assert len(on_the_rung) == 9 and not {1, 2} & {*seeds["visible"], *seeds["hidden"]}
    best = drawing.drawn(1, 8)[found["promoted"][1]["number"] - 1]
    assert (place / "mine" / "loss.py").read_text() == best.text
    again = arena(capsys, "search", "loss-laptop", place / "mine", "--candidates", 8, "--seed", 1)
    assert again["promoted"] == found["promoted"] and again["left"] == found["left"]  # it was done already
    row = arena(capsys, "submit", place / "mine", "--test", 1)
    assert row["status"] == "finished"
    (mine,) = (one for one in arena(capsys, "board", "loss-laptop")["rows"] if one["name"] == "mine")
    assert mine["searched"] == 8
    assert [one["verb"] for one in arena(capsys, "log", place / "mine")["entries"]][:4] == [
        "new", "search", "searched", "edit"]


def test_what_does_not_finish_or_is_no_better_on_the_rung_is_not_tested(place, untrained, monkeypatch):
    def run(board, entry, seeds, split, **options):
        if entry.files:
            return {seeds[0]: {"status": "diverged", "reason": "why", "tier": "bwrap"}}
        return untrained_run(board, entry, seeds, split, **options)

    untrained_run, told, shown = refereeing.run, [], []
    monkeypatch.setattr(refereeing, "run", run)
    found = searching.search(read("loss-laptop"), place / "mine", searching.Search(3), tell=told.append,
                             progress=lambda *state: shown.append(state[1:4]))
    assert found["promoted"] == [] and found["left"] == {"actions": 20, "tests": 3, "submissions": 1}
    assert [one["status"] for one in found["tried"]] == ["diverged"] * 3 and "diverged, why" in told[0]
    assert shown == [(done, 4, "formulas") for done in (1, 2, 3, 4)]
    assert "nothing was tested" in found["told"][-1]


def test_a_search_that_cannot_be_is_one_sentence_and_makes_nothing(capsys, place):
    (place / "small.toml").write_text(SMALL)
    for flags, said in ((("--promote", 4), "--promote 4 needs as many tests"), (("--candidates", 0), "at least 1"),
                        (("--tokens", 300_000), "--tokens must be between 1 and 299,999"), (("--seeds", 0), "--seeds")):
        assert said in arena_refuses(capsys, "search", "loss-laptop", place / "mine", *flags)
    assert not (place / "mine").exists()
    verbs.new(read("small.toml"), place / "small")
    assert "is a workspace of small" in arena_refuses(capsys, "search", "loss-laptop", place / "small")
    (place / "full").mkdir()
    (place / "full" / "x").touch()
    assert "is not an empty folder" in arena_refuses(capsys, "search", "loss-laptop", place / "full")


@pytest.mark.slow
def test_a_search_with_real_jails(place):
    (place / "small.toml").write_text(SMALL)
    found = searching.search(read("small.toml"), place / "mine", searching.Search(2, seeds=1, promote=1, tokens=2_048))
    assert {one["status"] for one in found["tried"]} == {"finished"}
    assert all(one["status"] == "finished" for one in found["promoted"])
