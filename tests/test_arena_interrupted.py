"""Two at once in the arena, and what was broken off."""

import json
import threading

import pytest
from arena_places import made as made
from arena_places import place as place
from test_arena_game import LOSS, arena, arena_refuses
from test_arena_game import untrained as untrained

from losslab import processes, records
from losslab.arena import game, ledger, refereeing, verbs, workspace


def test_reading_does_not_wait_for_a_command_that_is_at_work(capsys, made):
    assert not arena(capsys, "show", made.place)["at_work"]
    with workspace.opened(made.place) as held:
        held.edit("insert 9", lambda old: old + "# one\n")
        shown = arena(capsys, "show", made.place)
        assert shown["at_work"] and shown["text"].endswith("# one\n") and shown["left"]["actions"] == 19
        assert [one["verb"] for one in arena(capsys, "log", made.place)["entries"]] == ["new", "edit"]
        assert "is in use by another losslab" in arena_refuses(capsys, "undo", made.place)


def test_a_reader_mends_nothing_and_takes_an_entry_that_is_being_written_for_no_damage(place):
    kept = ledger.Ledger(place / "game")
    for number in range(3):
        kept.add("edit", how=str(number))
    before = kept.path.read_bytes()
    kept.add("test", test=1)
    for seen in (before, before[:-30]):  # the record of the last entry is written, its line is not yet; damage
        kept.path.write_bytes(seen)
        assert ledger.Ledger(place / "game", mends=False).entries == kept.entries
        assert kept.path.read_bytes() == seen and len(list((place / "game").iterdir())) == 2
    (kept.records / "000001.json").unlink()
    with pytest.raises(ValueError, match="and so are its records"):
        ledger.Ledger(place / "game", mends=False)


def test_a_test_and_a_submission_that_were_broken_off_are_gone_on_with_for_free(capsys, place, untrained, monkeypatch):
    mine, run, ended = place / "mine", refereeing.run, []

    def broken(board, entry, seeds, split, **options):
        if not ended:
            ended.append(split)
            raise KeyboardInterrupt
        return run(board, entry, seeds, split, **options)

    arena(capsys, "new", "loss-laptop", mine)
    monkeypatch.setattr(refereeing, "run", broken)
    with pytest.raises(KeyboardInterrupt):
        verbs.test(mine)
    found = verbs.test(mine)
    assert (found["test"], found["status"], found["left"]["tests"], found["left"]["actions"]) == (1, "finished", 2, 19)
    ended.clear()
    with pytest.raises(KeyboardInterrupt):
        verbs.submit(mine)
    (mine / "loss.py").write_text(LOSS + "# better\n")
    assert verbs.test(mine)["test"] == 2
    with pytest.raises(ValueError, match="the submission of test 1 was broken off; .* goes on with it"):
        verbs.submit(mine, 2)
    assert verbs.submit(mine)["test"] == 1
    with pytest.raises(ValueError, match="the budget of 1 submissions is spent"):
        game.may_submit(workspace.seen(mine), 2)
    assert [one["verb"] for one in verbs.log(mine)["entries"]] == ["new", "test", "tested", "submit", "edit", "test",
                                                                   "tested", "submitted"]


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_process_of_the_host_that_is_killed_is_started_once_more(made, monkeypatch, deaths):
    started, told = [], []

    class Dead(refereeing._Run):
        def __init__(self, board, entry, seed, split, place):
            started.append(seed)
            place.parent.mkdir(parents=True, exist_ok=True)

        def ended(self):
            if len(started) <= deaths:
                return {"status": "failed", "reason": "the process of the host ended (; code -9)", "unanswered": True}
            return {"status": "finished", "reason": "", "scores": {}}

        def close(self):
            pass

    monkeypatch.setattr(refereeing, "_Run", Dead)
    found = refereeing.run(made.board, refereeing.Entry("cross_entropy"), [7], "tune", tell=told.append)
    assert started == [7, 7] and "it is started once more" in told[0]
    assert found[7]["status"] == ("finished" if deaths == 1 else "failed") and "unanswered" not in found[7]


def test_a_run_begins_when_the_worker_of_a_killed_command_has_left_its_folder(place, monkeypatch):
    monkeypatch.setattr(refereeing, "LEAVE_SECONDS", 0.3)
    with records.lock(place / "run"):
        with pytest.raises(records.StoreBusy, match="run is in use by another losslab; wait for it"):
            refereeing._left(place / "run")
        releasing = threading.Timer(0.1, (place / "run" / ".lock").unlink)
        releasing.start()
        refereeing._left(place / "run")
        releasing.join()


def test_a_worker_ends_when_its_command_was_killed(place, made):
    request = {"challenge": made.challenge.to_dict(), "formula": "cross_entropy", "files": {}, "overrides": {},
               "seed": 1, "split": "tune", "folder": str(place / "run"), "tiers": ["landlock"]}
    process = processes.start(processes.ordinary(refereeing.WORKER), json.dumps(request), place / "out", place / "said")
    try:
        process.request.close()  # as the system does when the command ends
        assert process.wait(120) == 1 and (place / "out").read_bytes() == b"" and not (place / "run").exists()
    finally:
        processes.end(process)


def test_the_tools_need_their_package_a_challenge_and_a_folder(capsys, place, monkeypatch):
    from losslab.cli import main

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        main(["arena", "serve-mcp", "loss-laptop"])
    assert ended.value.code == 3 and "[agents]" in capsys.readouterr().err
    monkeypatch.undo()
    pytest.importorskip("mcp", reason="needs the extra `agents`")
    assert "unknown challenge 'loss-labtop'" in arena_refuses(capsys, "serve-mcp", "loss-labtop")
    assert "nowhere is no folder" in arena_refuses(capsys, "serve-mcp", "loss-laptop", "--folder", "nowhere")
