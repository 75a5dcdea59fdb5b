"""The verbs of a submitter, as a program types them. What trains is replaced here, but for the slow tests."""

import io
import json
import os
import random
import subprocess
import sys

import pytest
from arena_places import place as place

from losslab.arena import game, home, refereeing
from losslab.arena.challenge import read
from losslab.arena.jail import Ended
from losslab.cli import main

LOSS = """import torch.nn.functional as F

def compute_loss(logits, targets):
    return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), label_smoothing=0.01)
"""


@pytest.fixture
def untrained(monkeypatch):
    """No jail and no training: a loss file with `bad` in it is refused, with `killed` in it is killed."""
    seen = []

    def tried(workspace, entry, tell, *, timed=True):
        if "bad" in entry.files["loss.py"]:
            raise Ended("refused", "the loss is bad")
        return {"status": "passed", "reason": "", "tier": "bwrap"}

    def run(board, entry, seeds, split, *, workers=0, tell=lambda text: None):
        seen.append((entry.formula, split, tuple(seeds)))
        if "killed" in entry.files.get("loss.py", ""):
            return {seeds[0]: {"status": "killed", "reason": "a call took more than 20 seconds", "tier": "bwrap"}}
        prefix = "tune_" if split == "tune" else ""
        gain = 0.05 if "better" in entry.files.get("loss.py", "") else 0.0
        found = {}
        for seed in seeds:
            rng = random.Random(f"{entry.digest}{seed}")
            nll = 2.0 + seed / 1e7 - gain + rng.gauss(0, 0.002)
            scores = {prefix + name: {"value": nll, "stderr": 0.1, "n": 9, "unit": unit} for name, unit in (
                ("nll", "nats/token"), ("bits_per_byte", "bits/byte"), ("nll_calibrated", "nats/token"))}
            found[seed] = {"status": "finished", "reason": "", "scores": scores, "tier": "bwrap", "calls": 300,
                           "repeated": 50, "cost": {"loss_seconds": 0.01, "train_seconds": 9.0}, "weights": str(seed)}
        return found

    monkeypatch.setattr(game, "tried", tried)
    monkeypatch.setattr(refereeing, "run", run)
    return seen


def arena(capsys, *arguments, code=0):
    """What a command prints as JSON."""
    with pytest.raises(SystemExit) as ended:
        main(["arena", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    assert (ended.value.code or 0) == code, err
    return json.loads(out)


def test_a_game_from_the_first_edit_to_the_board(capsys, place, untrained):
    mine = place / "mine"
    arena(capsys, "new", "loss-laptop", mine)
    assert (mine / "loss.py").exists() and "5 other seeds" in (mine / "program.md").read_text()
    assert arena(capsys, "show", mine)["left"] == {"actions": 20, "tests": 3, "submissions": 1}
    (mine / "loss.py").write_text(LOSS + "# better\n")
    assert arena(capsys, "check", mine)["status"] == "passed"
    found = arena(capsys, "test", mine)
    assert (found["status"], found["reason"], found["test"]) == ("finished", "", 1)
    assert found["difference"]["low"] < found["difference"]["value"] < found["difference"]["high"] < 0
    assert found["left"] == {"actions": 18, "tests": 2, "submissions": 1}  # an edit by hand, and the test
    row = arena(capsys, "submit", mine)
    assert row["status"] == "finished" and row["name"] == "mine" and row["verdict"] == "better" and row["rank"] == 1
    board = arena(capsys, "board", "loss-laptop")
    first, usual, *others = board["rows"]
    assert {"name", "difference", "p_value", "tier", "status"} <= first.keys() and first["name"] == "mine"
    assert {"value", "low", "high"} <= first["difference"].keys() and first["status"] == "finished"
    assert usual["name"] == "cross_entropy" and {one["status"] for one in others} == {"not run"}
    secret = home.board(read("loss-laptop")).secret
    assert {tuple(seeds) for _, split, seeds in untrained if split == "val"} == {tuple(secret["hidden"])}
    assert {tuple(seeds) for _, split, seeds in untrained if split == "tune"} == {tuple(secret["visible"])}
    assert "spent" in arena(capsys, "submit", mine, code=2)["reason"]
    gone = arena(capsys, "submit", mine, "--withdraw")
    board = arena(capsys, "board", "loss-laptop")
    assert gone["names"] == ["mine"] == board["withdrawn"] and board["family"] == 1
    verbs = [entry["verb"] for entry in arena(capsys, "log", mine)["entries"]]
    assert verbs == ["new", "edit", "test", "tested", "submit", "submitted", "withdraw"]


def test_what_is_refused_costs_no_test_and_what_is_killed_gets_no_row(capsys, place, untrained):
    mine = place / "mine"
    arena(capsys, "new", "loss-laptop", mine)
    (mine / "loss.py").write_text(LOSS + "# bad\n")
    found = arena(capsys, "test", mine, code=2)
    assert (found["status"], found["reason"], found["left"]["tests"]) == ("refused", "the loss is bad", 3)
    (mine / "loss.py").write_text(LOSS + "# killed\n")
    found = arena(capsys, "test", mine, code=6)
    assert found["status"] == "killed" and "20 seconds" in found["reason"] and found["left"]["tests"] == 2
    assert "cannot be submitted" in arena(capsys, "submit", mine, "--test", 1, code=2)["reason"]
    assert "there is no test 7" in arena(capsys, "submit", mine, "--test", 7, code=2)["reason"]
    assert "no test finished" in arena(capsys, "submit", mine, code=2)["reason"]
    for _ in range(2):
        assert arena(capsys, "test", mine, code=6)["status"] == "killed"
    assert "the budget of 3 tests is spent" in arena(capsys, "test", mine, code=2)["reason"]
    assert all(one["name"] != "mine" for one in arena(capsys, "board", "loss-laptop")["rows"])


def test_an_edit_out_of_range_or_of_too_many_bytes_is_refused(capsys, place):
    mine = place / "mine"
    arena(capsys, "new", "loss-laptop", mine)
    for flags, said in ((("--replace", "8-99", "--text", "x"), "the file has 9 lines"),
                        (("--replace", "1-2", "--text", "x"), "are protected"),
                        (("--create", "--text", "#" * 60_000), "more than 50,000 bytes")):
        found = arena(capsys, "edit", mine, *flags, code=2)
        assert found["status"] == "refused" and said in found["reason"]
    assert arena(capsys, "show", mine)["left"]["actions"] == 20


def test_a_new_text_may_come_from_standard_input_and_may_begin_with_a_hyphen(capsys, place, monkeypatch):
    mine = place / "mine"
    arena(capsys, "new", "loss-laptop", mine)
    monkeypatch.setattr("sys.stdin", io.StringIO("# one line\n"))
    arena(capsys, "edit", mine, "--create", "--text", "-")
    assert (mine / "loss.py").read_text() == "# one line\n"
    arena(capsys, "edit", mine, "--insert", 1, "--text", "-1 + 1")
    assert (mine / "loss.py").read_text() == "# one line\n-1 + 1\n"


def test_a_transcript_is_played_again_in_a_new_workspace(capsys, place, untrained):
    arena(capsys, "new", "loss-laptop", place / "one")
    arena(capsys, "edit", place / "one", "--insert", 9, "--text", "# better")
    arena(capsys, "test", place / "one")
    arena(capsys, "undo", place / "one")
    arena(capsys, "test", place / "one")
    (place / "log.json").write_text(json.dumps(arena(capsys, "log", place / "one")))
    found = arena(capsys, "replay", place / "log.json", place / "two")
    assert found["same"] and [one["test"] for one in found["tests"]] == [1, 2]
    assert (place / "two" / "loss.py").read_text() == (place / "one" / "loss.py").read_text()
    for entry in ({"verb": "edit"}, {"verb": "new", "text": {}, "after": ""}):
        (place / "log.json").write_text(json.dumps({"challenge": "loss-laptop", "entries": [entry]}))
        assert arena_refuses(capsys, "replay", place / "log.json", place / "three").endswith(
            "is no transcript; `losslab arena log DIR --json` prints one")


def arena_refuses(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["arena", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert ended.value.code == 2 and not out and "Traceback" not in err
    return err.strip().splitlines()[-1]


def test_a_row_of_a_board_is_verified_against_its_commitment(capsys, place, untrained):
    arena(capsys, "new", "loss-laptop", place / "mine")
    (place / "mine" / "loss.py").write_text(LOSS + "# better\n")
    arena(capsys, "test", place / "mine")
    arena(capsys, "submit", place / "mine")
    arena(capsys, "board", "loss-laptop", "--report", place / "open.html")
    assert "is not closed" in arena_refuses(capsys, "verify", "mine", "--board", place / "open.json")
    closed = arena(capsys, "board", "loss-laptop", "--close", "--report", place / "board.html")
    found = arena(capsys, "verify", "mine", "--board", place / "board.json")
    assert found["holds"] and found["identical"] and found["now"]["difference"]["value"] == pytest.approx(
        found["then"]["difference"]["value"])
    assert arena(capsys, "verify", "mine")["holds"]  # the host knows its own boards
    assert "give --board" in arena_refuses(capsys, "verify", "nobody")
    closed["secret"]["hidden"][0] += 1
    (place / "board.json").write_text(json.dumps(closed))
    assert "not those that its board was committed to" in arena_refuses(capsys, "verify", "mine", "--board",
                                                                        place / "board.json")
    assert "is closed" in arena_refuses(capsys, "submit", place / "mine")


def test_a_jail_that_cannot_be_had_starts_nothing(capsys, place, monkeypatch):
    monkeypatch.setattr("losslab.arena.jail._unfit", {})  # what is not to be had is found out once in a process
    monkeypatch.setattr("losslab.arena.tiers.missing", lambda tier: "" if tier == "plain" else "not here")
    (place / "strict.toml").write_text('tier = "bwrap"\n' + SMALL)
    arena(capsys, "new", "strict.toml", place / "mine")
    found = arena(capsys, "test", place / "mine", code=2)
    assert found["status"] == "refused" and "no jail of the tier bwrap or better is to be had" in found["reason"]
    assert "nothing was run" in found["reason"]
    assert arena(capsys, "show", place / "mine")["left"]["tests"] == 3


SMALL = """
preset = "tiny"
visible_seeds = 2
hidden_seeds = 2
baselines = ["cross_entropy"]
hidden = ["nll", "nll_calibrated", "word_order"]
[budget]
tokens = 6_000
seconds = 300
call_seconds = 20.0
[model]
n_layer = 1
n_embd = 32
[evaluate]
num_samples = 0
tune_tokens = 1024
[data]
max_bytes = 200_000
val_bytes = 9_000
tune_bytes = 9_000
"""


@pytest.mark.slow
def test_a_game_with_real_jails_and_a_row_that_holds_elsewhere(place):
    (place / "small.toml").write_text(SMALL)

    def losslab(*arguments, code=0):
        done = subprocess.run([sys.executable, "-P", "-m", "losslab.cli", "arena", *map(str, arguments), "--json"],
                              capture_output=True, text=True, env=os.environ, timeout=1200)  # fmt: skip
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    losslab("new", "small.toml", "mine")
    (place / "mine" / "loss.py").write_text(LOSS)
    assert losslab("check", "mine")["checks"]["history of the process"] == "does not matter"
    found = losslab("test", "mine")
    assert found["status"] == "finished" and found["repeated"] > 0 and found["tier"] != ""
    late = "SEEN = []\n" + LOSS.replace("    return", "    SEEN.append(1)\n    return (1 + (len(SEEN) > 30)) *")
    (place / "mine" / "loss.py").write_text(late)
    found = losslab("test", "mine", code=2)
    assert found["status"] == "refused" and "keeps something from call to call" in found["reason"]
    row = losslab("submit", "mine", "--test", 1)
    board = losslab("board", "small.toml", "--close", "--report", "board.html")
    assert row["status"] == "finished" and board["rows"][0]["status"] == "finished"
    assert 0.2 < row["metrics"]["word_order"]["value"] < 0.9 and row["metrics"]["word_order"]["n"] == 2
    os.environ["LOSSLAB_ARENA"] = str(place / "elsewhere")
    found = losslab("verify", "mine", "--board", "board.json")
    assert found["holds"] and found["identical"]
