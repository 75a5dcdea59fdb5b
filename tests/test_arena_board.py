"""The board of the arena: verdicts over all entries, ties, seeds that are kept, scores, and rungs."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from arena_places import made as made
from arena_places import place as place

from losslab import tables
from losslab.arena import board as boards
from losslab.arena import (
    challenge,
    home,
    ladder,
    pages,
    scoring,
    tuning,
    workspace,
)
from losslab.arena.refereeing import Entry

ASKED = challenge.read("loss-laptop")


def row(name, values, *, lines=3, cost=0.01, status="finished", kind="submission"):
    runs = {seed: {"status": "finished", "scores": {metric: {"value": value, "stderr": None, "n": 1, "unit": unit}
                   for metric, value, unit in (("nll", value, "nats/token"), ("bits_per_byte", value, "bits/byte"))},
                   "cost": {"loss_seconds": cost, "train_seconds": 1.0}, "weights": "w", "tier": "bwrap"}
            for seed, value in enumerate(values, 1)}
    made = boards.row(name, Entry(name), runs, kind=kind, text="x\n" * lines)
    return made | {"status": status, "reason": "" if status == "finished" else "why"}


def test_a_board_judges_by_holm_over_all_entries_and_ties_are_ties():
    noise = np.array([0.00, 0.01, -0.01, 0.02, -0.02])
    usual = 3.0 + noise
    kept = [
        row("cross_entropy", usual, kind="baseline", lines=1), row("worse", usual + 0.10 + noise[::-1] / 20, lines=1),
        row("better", usual - 0.05 + noise[::-1] / 10),
        row("as good, longer", usual - 0.0501 + noise[[1, 0, 3, 2, 4]] / 10, lines=9),
        row("same", usual), row("gone", usual - 0.01 - noise[::-1] / 10, status="withdrawn"),
        row("lost", [], status="disqualified"),
    ]  # fmt: skip
    found = boards.computed(kept, ASKED)
    rows = {one["name"]: one for one in found["rows"]}
    assert list(rows) == ["better", "as good, longer", "cross_entropy", "same", "worse"]
    assert [one["rank"] for one in rows.values()] == [1, 1, 3, 3, 5] and found["withdrawn"] == ["gone"]
    assert {name: one["verdict"] for name, one in rows.items()} == {
        "better": "better", "as good, longer": "better", "cross_entropy": "baseline", "same": "identical",
        "worse": "worse"}
    assert found["ended"] == [{"name": "lost", "status": "disqualified", "reason": "why", "sha256": "",
                               "submitted": kept[-1]["submitted"]}]
    assert found["family"] == 6  # the withdrawn one and the lost one count
    d = usual - 0.05 + noise[::-1] / 10 - usual  # Student's interval, by hand: t(0.975, 4) = 2.776
    half = 2.7764 * d.std(ddof=1) / math.sqrt(5)
    assert rows["better"]["difference"]["low"] == pytest.approx(d.mean() - half, abs=1e-5)
    smallest = min(one["p_alone"] for one in rows.values())
    assert min(one["p_value"] for one in rows.values()) == pytest.approx(6 * smallest)
    fewer = boards.computed([one for one in kept if one["status"] == "finished"], ASKED)
    assert fewer["family"] == 4


def test_the_seeds_of_a_board_are_committed_to_and_shown_when_it_closes():
    made = home.board(ASKED)
    assert home.board(ASKED) == made  # the next one asks the same board
    secret = made.secret
    assert len(set(secret["visible"] + secret["hidden"])) == ASKED.visible_seeds + ASKED.hidden_seeds
    assert home.committed(secret) == made.commitment == boards.document(made)["commitment"]
    assert str(secret["hidden"][0]) not in json.dumps(boards.document(made))
    assert (made.path / "secret.json").stat().st_mode & 0o077 == 0
    made.close()
    shown = boards.document(home.opened(made.path))
    assert shown["closed"] and shown["secret"] == secret
    assert home.board(ASKED, fresh=True).number == 2 and home.board(ASKED).commitment != made.commitment
    (made.path / "secret.json").write_text(json.dumps(secret | {"hidden": [1, 2, 3, 4, 5]}))
    with pytest.raises(ValueError, match="is not what the board loss-laptop was committed to"):
        _ = home.opened(made.path).secret


def test_a_board_of_which_a_bit_turned_is_damaged_and_has_no_other_budget():
    path = home.board(ASKED).path / "board.json"
    for old, new in (('"tests": 3', '"tests": 7'), ('"closed": false', '"closed": true'), ('"margin"', '"nargin"')):
        whole = path.read_text()
        assert old in whole
        path.write_text(whole.replace(old, new))
        with pytest.raises(ValueError, match="board.json is damaged .* put back a copy of it$"):
            home.board(ASKED)
        path.write_text(whole)
    earlier = json.loads(path.read_text())  # as an earlier losslab wrote it
    del earlier["format"], earlier["checksum"]
    path.write_text(json.dumps(earlier))
    assert home.board(ASKED).challenge == ASKED
    earlier["challenge"]["budget"]["tests"] = None
    path.write_text(json.dumps(earlier))
    with pytest.raises(ValueError, match="budget.tests in the board must be a whole number above 0, got None"):
        home.board(ASKED)


def test_a_board_that_was_being_made_when_its_process_was_killed_is_made_anew(monkeypatch):
    write = home.files.write_whole

    def killed(path, data):
        if path.name == "board.json":
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(home.files, "write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        home.board(ASKED)
    monkeypatch.undo()
    assert home.board(ASKED, fresh=True).number == 1
    assert [path.name for path in home.folder().iterdir() if path.is_dir()] == [home.board(ASKED).path.name]


def test_a_damaged_row_is_put_back_and_not_removed():
    made = home.board(ASKED)
    boards.write_row(made, row("mine", [2.9, 3.0, 3.15]))
    path = made.path / "rows" / "mine.json"
    path.write_text(path.read_text().replace("checksum", "checksun").replace("2.9", "2.8"))
    with pytest.raises(ValueError, match="its checksum is missing.; put back a copy of it: a board counts every entry"):
        boards.document(made)


def test_a_row_that_was_bent_with_its_sum_is_a_sentence():
    made, whole = home.board(ASKED), row("mine", [2.9, 3.0])
    boards.write_row(made, row("cross_entropy", [3.0, 3.1], kind="baseline"))
    for changed, said in (
            (whole | {"runs": {"1": {"weights": "w"}}}, "a run in it has no scores"), (whole | {"runs": {}}, "no run"),
            (whole | {"lines": None}, "its lines should be a number"), (whole | {"name": 3}, "should be a text"),
            (whole | {"rungs": [{"rung": 2}]}, "a rung in it is none"), (whole | {"visible": []}, "should be a table")):
        home.files.write_sealed(made.path / "rows" / "mine.json", changed)
        with pytest.raises(ValueError, match=f"mine.json is damaged .*{said}.*put back a copy of it"):
            boards.document(made)
    boards.write_row(made, {key: value for key, value in whole.items() if key != "searched"})
    assert {one["name"] for one in boards.document(made)["rows"][:2]} == {"mine", "cross_entropy"}


def test_rows_keep_their_names_apart_and_a_withdrawn_one_stays_counted():
    made = home.board(ASKED)
    boards.write_row(made, row("cross_entropy", [3.0, 3.1, 3.2], kind="baseline"))
    boards.write_row(made, row("mine", [2.9, 3.0, 3.15]))
    assert boards.free_name(made, "mine") == "mine-2" and boards.free_name(made, "other") == "other"
    assert boards.free_name(made, "cross_entropy") == "cross_entropy-2" and boards.free_name(made, "MINE") == "MINE-2"
    assert boards.withdraw(made, "mine") and not boards.withdraw(made, "mine") and not boards.withdraw(made, "none")
    document = boards.document(made)
    assert document["withdrawn"] == ["mine"] and document["family"] == 1
    assert [one["name"] for one in document["rows"]][0] == "cross_entropy"
    assert {one["status"] for one in document["rows"][1:]} == {"not run"}  # baselines that nobody has run
    page, text = pages.html(document), pages.markdown(document)
    assert document["commitment"] in page and document["commitment"] in text and "| 1 |" in text
    assert isinstance(pages.table(document), tables.Table)


def test_a_submission_is_shown_as_text_and_nothing_else():
    made = home.board(ASKED)
    boards.write_row(made, row("cross_entropy", [3.0, 3.1, 3.2], kind="baseline"))
    boards.write_row(made, row("x", [2.9, 3.0, 3.15]) | {"source": "# <script>alert(1)</script>\x1b[2J\n"})
    document = boards.document(made)
    assert "<script>alert" not in pages.html(document) + pages.markdown(document)


def test_the_published_score_is_half_for_the_best_baseline_nothing_for_the_worst_and_one_at_the_bound():
    assert scoring.bounded_power(2.2701, 2.3377, 2.2701, 0.0) == pytest.approx(0.5)
    assert [scoring.bounded_power(value, 2.3377, 2.2701, 0.0) for value in (2.3377, 9.0, 0.0)] == [0.0, 0.0, 1.0]
    assert scoring.bounded_power(1.0, 2.0, 2.0, 0.0) is None
    rows = [{"kind": kind, "metrics": {"nll": {"value": value}}} for kind, value in (
        ("baseline", 2.3377), ("baseline", 2.2701), ("submission", 2.2701))]
    scoring.add_scores(rows, SimpleNamespace(hidden=("nll",)))
    assert [round(one["published_score"], 6) for one in rows] == [0.01, 0.5, 0.5]
    rows = [{"kind": kind, "metrics": {"piqa": {"value": value}}} for kind, value in (
        ("baseline", 0.5), ("baseline", 0.6), ("submission", 0.6), ("submission", 0.4), ("submission", 1.0))]
    scoring.add_scores(rows, SimpleNamespace(hidden=("piqa",)))  # of a benchmark more is better, and 1 is the bound
    assert [round(one["published_score"], 6) for one in rows] == [0.01, 0.5, 0.5, 0.01, 1.0]


def test_a_hidden_benchmark_that_this_host_does_not_have_is_said_before_anything_is_made(place, monkeypatch):
    (place / "x.toml").write_text('preset = "tiny"\nhidden = ["nll", "word_order", "piqa"]')
    (place / "benchmarks").mkdir()
    monkeypatch.setenv("LOSSLAB_BENCHMARKS", str(place / "benchmarks"))
    board = home.board(challenge.read("x.toml"))
    with pytest.raises(ValueError, match="the hidden metric piqa of x cannot be had here: .* has none of piqa"):
        workspace.made(board, place / "mine")
    assert not (place / "mine").exists()
    (place / "benchmarks" / "piqa.validation.jsonl").write_text(
        json.dumps({"goal": "To boil water", "sol1": "heat it", "sol2": "read it", "label": 0}))
    assert workspace.made(board, place / "mine").left()["tests"] == 3


def test_cross_entropy_is_tuned_with_as_many_trials_as_a_submitter_has_tests():
    asked = replace(challenge.read("loss-124m"), tier="plain")
    drawn = tuning.trials(home.board(asked))
    assert len(drawn) == asked.budget.tests and drawn[0] == {}
    for given in drawn[1:]:
        assert given.keys() == asked.overrides.keys()
        asked.settings(given)  # within the ranges


def test_a_ladder_tries_on_the_next_rung_what_survives_and_reports_how_the_rungs_agree(monkeypatch):
    made, seen = home.board(challenge.read("loss-open")), []

    def run(on, entry, seeds, split, *, workers=0, tell=None):
        seen.append((on.challenge.budget.tokens, on.challenge.config.model.n_embd, entry.formula))
        gain = {"cross_entropy": 0.0, "a": 0.1, "b": 0.05, "c": -0.1}[entry.formula]
        return {seed: {"status": "finished", "scores": {"nll": {"value": 3.0 - gain + seed / 1e8}}} for seed in seeds}

    monkeypatch.setattr(ladder.refereeing, "run", run)
    assert ladder.climb(made, Entry("a"), 0.01) == [] and not seen  # it did not survive the first rung
    reached = ladder.climb(made, Entry("a"), -0.01)
    assert [one["rung"] for one in reached] == [2, 3] and reached[0]["difference"]["value"] == pytest.approx(-0.1)
    assert {(tokens, width) for tokens, width, _ in seen} == {(1_000_000, 96), (10_000_000, 64)}
    assert [one["rung"] for one in ladder.climb(made, Entry("c"), -0.01)] == [2]
    rows = [{"name": name, "difference": {"value": first}, "rungs": [{"rung": 2, "difference": {"value": second}}]}
            for name, first, second in (("a", -3, -1), ("b", -2, -2), ("c", -1, -0.5))]
    (found,) = ladder.agreements(rows)
    assert found["tau"] == pytest.approx(1 / 3) and ladder.told(found) == (
        "rungs 1 and 2 order 3 entries with Kendall's tau 0.33")
    assert ladder.agreements(rows[:2]) == []
