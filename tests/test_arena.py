"""The arena without a jail: challenges, edits, ledgers, and what no process of the host may do."""

import ast
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from arena_places import made as made
from arena_places import place as place

import losslab
from losslab import records
from losslab.arena import (
    calls,
    challenge,
    editing,
    ledger,
    memory,
    overrides,
    tiers,
    workspace,
)

ROOT = Path(losslab.__file__).parent


# --- a challenge -------------------------------------------------------------------------------

def test_the_challenges_that_come_with_losslab_are_read_and_survive_json():
    assert {"loss-laptop", "loss-124m", "loss-355m", "loss-open"} == set(challenge.names())
    for name in challenge.names():
        read = challenge.read(name)
        again = challenge.from_dict(json.loads(json.dumps(read.to_dict())))
        assert (again, again.digest) == (read, read.digest)
        assert read.baselines[0] == "cross_entropy" and read.config.num_tokens <= read.budget.tokens
        old = read.to_dict()  # as an earlier losslab would have written it, which did not know some settings yet
        later = (old, "margin"), (old["config"]["train"], "skip_spikes"), (old["budget"], "call_seconds")
        for settings, name in later:
            if settings[name] in (0.002, False, 20.0):
                del settings[name]
        assert challenge.from_dict(old).digest == read.digest
    published = challenge.read("loss-355m").config  # 13,535 updates of 512 sequences of 1,024 tokens
    assert (published.num_steps, published.tokens_per_step) == (13_535, 512 * 1024)
    assert 3.4e8 < published.model.num_params(50_257) < 3.6e8


@pytest.mark.parametrize(("line", "said"), [
    ('tier = "bwarp"', "tier in x.toml must be plain, landlock, sandlock or bwrap, got 'bwarp'; did you mean bwrap?"),
    ('baselines = ["mse"]', "the first of the baselines in x.toml must be cross_entropy"),
    ('baselines = ["cross_entropy", "my.py"]', "the baseline my.py in x.toml is a file"),
    ('hidden = ["nll", "hellasvag"]', "unknown hidden metric 'hellasvag' in x.toml; did you mean hellaswag?"),
    ('visible = ["nll", "blimp"]', "blimp in x.toml is a benchmark, and those are hidden metrics"),
    ("hidden_seeds = 1", "hidden_seeds in x.toml must be between 2 and 1000, got 1"),
    ("budget = { test = 3 }", "unknown field budget.test in x.toml; did you mean tests?"),
    ("budget = { tests = -1 }", "budget.tests in x.toml must be a whole number above 0, got -1"),
    ("overrides = { lr = [0, 1] }", "overrides in x.toml is a table of ranges for learning_rate"),
    (f"overrides = {{ learning_rate = [0, {10**400}] }}", "overrides.learning_rate in x.toml must be [lowest, highest"),
    ("[[rungs]]\npreset = 'tiny'", "rung 2 of x.toml needs tokens, a whole number above 0, got None"),
    ("colour = 3", "unknown field 'colour' in x.toml"),
    ("size = 'tiny'\npreset = 'tiny'", "preset"),
])
def test_a_challenge_that_cannot_be_is_one_sentence(line, said, place):
    (place / "x.toml").write_text(line)
    with pytest.raises(ValueError) as error:
        challenge.read(place / "x.toml")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_settings_of_a_loss_file_are_read_and_never_run():
    found = overrides.overrides_in('x = 1\nCONFIG_OVERRIDES = {"learning_rate": 1e-3, "warmup_iters": 50}\n')
    asked = challenge.read("loss-355m")
    assert asked.settings(found) == {"learning_rate": 1e-3, "warmup_steps": 50,
                                     "min_learning_rate_ratio": pytest.approx(0.03)}  # it ends where the recipe does
    assert asked.settings({"min_lr": 6e-5})["min_learning_rate_ratio"] == pytest.approx(0.2)
    assert overrides.overrides_in("def compute_loss(logits, targets): pass") == {}
    for text in ("{'a': __import__('os')}", "dict(a=1)", "{'a': 10**400}", "{'a': 'b'}", "{1: [2]}",
                 "{" + "'a':1," * 999 + "}"):
        with pytest.raises(ValueError, match="must be one literal dictionary of numbers"):
            overrides.overrides_in(f"CONFIG_OVERRIDES = {text}")
    for given, said in (({"learning_rate": 1.0}, "must be between 5e-05 and 0.0015"), ({"betas": 1}, "it may set")):
        with pytest.raises(ValueError, match=said):
            asked.settings(given)
    with pytest.raises(ValueError, match="it may set nothing"):
        challenge.read("loss-laptop").settings({"learning_rate": 1e-3})


# --- edits -------------------------------------------------------------------------------------

def test_edits_by_line_change_what_they_say_and_refuse_what_is_protected():
    text = editing.NEW_FILE.format(overrides="")
    assert editing.protected(text) == {1, 2, 3, 4}
    assert editing.insert(text, 4, "import torch").splitlines()[3:6] == [
        "# protected up to here", "import torch", "import torch.nn.functional as F"]
    assert editing.replace("a\nb\nc\n", "2", "") == "a\nc\n"
    for edit, said in ((lambda: editing.insert(text, 2, "x"), "lines 1 to 4 are protected"),
                       (lambda: editing.insert(text, 0, "x"), "lines 1 to 4 are protected"),
                       (lambda: editing.replace(text, "4-6", "x"), "would change line 4"),
                       (lambda: editing.replace(text, "9-99", "x"), "the file has 9 lines"),
                       (lambda: editing.replace(text, "7-6", "x"), "the file has 9 lines"),
                       (lambda: editing.replace(text, "all", "x"), "a number such as 4"),
                       (lambda: editing.insert(text, -1, "x"), "give 0 to 9")):
        with pytest.raises(ValueError, match=said):
            edit()


def test_a_workspace_counts_its_edits_also_those_by_hand_and_takes_them_back(made):
    first = made.read()
    made.edit("insert 9", lambda old: editing.insert(old, 9, "# one"))
    (made.place / "loss.py").write_text(first + "# two\n")
    assert made.take_up() == hashlib.sha256((first + "# two\n").encode()).hexdigest() and made.left()["actions"] == 18
    assert made.undo(2) == made.read() == first and made.left()["actions"] == 17
    with pytest.raises(ValueError, match="there are 0 edits to undo"):
        made.undo(1)
    with pytest.raises(ValueError, match="are protected"):
        made.edit("replace 1", lambda old: editing.replace(old, "1", "x"))
    assert made.left()["actions"] == 17  # a refused edit costs nothing
    for _ in range(17):
        made.edit("create", lambda old: old + "#\n")
    with pytest.raises(ValueError, match="the budget of 20 actions is spent"):
        made.edit("create", lambda old: "x")


def test_a_file_that_is_no_loss_file_is_refused_before_it_is_read(made, place):
    file = made.place / "loss.py"
    file.write_bytes(b"#" * 10_000_000)
    with pytest.raises(ValueError, match="has more than 50,000 bytes, the most that loss-laptop takes"):
        made.read()
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="is not UTF-8"):
        made.read()
    file.unlink()
    file.symlink_to(place / "host")
    with pytest.raises(ValueError, match="a symbolic link"):
        made.read()


def test_a_workspace_belongs_to_one_submitter_at_a_time_and_names_nothing_outside(made):
    with (workspace.opened(made.place), pytest.raises(records.StoreBusy, match="is in use by another losslab"),
          workspace.opened(made.place)):
        pass
    pointer = json.loads((made.place / "arena.json").read_text())
    for wrong in ({"board": "../..", "game": pointer["game"]}, {"board": pointer["board"], "game": "../x"}, {}):
        (made.place / "arena.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match="names no workspace that this host knows"), workspace.opened(made.place):
            pass
    with pytest.raises(ValueError, match="is not an empty folder"):
        workspace.made(made.board, made.place)


# --- the ledger --------------------------------------------------------------------------------

def written(folder, count=4):
    kept = ledger.Ledger(folder)
    for number in range(count):
        kept.add("edit" if number else "new", how=f"edit {number}", after="0" * 64)
    return kept


@pytest.mark.parametrize("damage", [
    lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-80]),
    lambda path: path.write_text("x"),
    lambda path: path.write_bytes(path.read_bytes().replace(b'"edit 2"', b'"edit 9"')),
    lambda path: path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:2]) + b"\n"),
])
def test_a_damaged_ledger_is_named_and_rebuilt_from_its_records(damage, place):
    kept, told = written(place / "game"), []
    damage(kept.path)
    again = ledger.Ledger(place / "game", told.append)
    assert again.entries == kept.entries and again.spent("actions") == 3
    assert len(told) == 1 and f"{kept.path} was damaged" in told[0] and "rebuilt from its 4 records" in told[0]
    assert ledger.Ledger(place / "game", told.append).entries == kept.entries and len(told) == 1


def test_a_ledger_whose_records_are_damaged_too_stops_everything(place):
    kept = written(place / "game")
    (kept.records / "000002.json").write_text("{}")
    assert ledger.Ledger(place / "game").entries == kept.entries  # one of the two is whole
    (kept.records / "000002.json").write_text("{}")
    kept.path.write_text("{}")
    with pytest.raises(ValueError, match="and so are its records: what was spent is not known"):
        ledger.Ledger(place / "game")


# --- walls that need no process ----------------------------------------------------------------

def test_the_layout_of_shared_memory_keeps_arrays_apart_and_aligned_and_it_cannot_be_cut_off():
    layout = memory.Layout(3, 5, 7)
    for places in (layout.inputs(), layout.outputs()):
        ends = sorted((first, first + count * np.dtype(dtype).itemsize) for first, count, dtype in places.values())
        assert all(first % memory.ALIGNED == 0 for first, _ in ends)
        assert all(end <= first for (_, end), (first, _) in zip(ends, ends[1:], strict=False))
    block = memory.make(layout.outputs())
    views = memory.views(block, layout.outputs(), writes=True)
    assert views["gradient"].shape == (3 * 5 * 7,) and not memory.views(
        block, layout.outputs(), writes=False)["losses"].flags.writeable
    views["length"][0] = 2**62
    views["text"][:2] = [255, 65]
    assert len(memory.text_in(views)) == memory.MOST_TEXT  # never more than there is
    views["length"][0] = -5
    assert memory.text_in(views) == ""
    if hasattr(os, "memfd_create"):
        with pytest.raises(PermissionError):
            os.ftruncate(block, 0)
    os.close(block)


def refused(program, number, first=0, architecture=0xC000003E, second=0, third=0):
    """What a filter answers: the instructions that it is made of, run here."""
    given = {calls.NUMBER: number, calls.ARCHITECTURE: architecture, calls.ARGUMENTS: first,
             calls.ARGUMENTS + 8: second, calls.ARGUMENTS + 16: third}
    value, place = 0, 0
    while True:
        code, if_true, if_false, k = np.frombuffer(program[place], np.dtype("<u2,u1,u1,<u4"))[0]
        place += 1
        match int(code):
            case calls.LOAD:
                value = given[int(k)]
            case calls.RETURN:
                return int(k)
            case calls.JUMP_EQUAL:
                place += int(if_true if value == k else if_false)
            case calls.JUMP_AT_LEAST:
                place += int(if_true if value >= k else if_false)
            case calls.JUMP_BITS:
                place += int(if_true if value & int(k) else if_false)


def test_the_filter_of_calls_refuses_processes_connections_and_other_processes_and_lets_threads_be():
    own = 4321
    for machine, architecture, column in (("x86_64", 0xC000003E, 0), ("aarch64", 0xC00000B7, 1)):
        program = calls.program(machine, own)

        def answer(number, first=0, program=program, architecture=architecture, **others):
            return refused(program, number, first, architecture, **others)

        assert all(answer(each[column]) == calls.REFUSE | 1 for each in calls.NEVER.values() if each[column])
        for name, each in calls.ITSELF.items():
            assert answer(each[column], own) == calls.ALLOW and answer(each[column], own - 1) == calls.REFUSE | 1
            assert (answer(each[column], 0) == calls.ALLOW) is (name == "prlimit64")
        assert answer(calls.CLONE[column], calls.CLONE_THREAD | 0x100) == calls.ALLOW
        assert answer(calls.CLONE[column], 17) == calls.REFUSE | 1  # a process, as fork makes one
        assert {answer(each[column]) for each in calls.UNKNOWN.values()} == {calls.REFUSE | 38}
        prctl, fcntl = (calls.VALUES[name][0][column] for name in ("prctl", "fcntl"))
        assert (answer(prctl, 1), answer(prctl, 15)) == (calls.REFUSE | 1, calls.ALLOW)
        assert [answer(fcntl, 3, second=asked) for asked in (8, 15, 1, 1033)] == [calls.REFUSE | 1] * 2 + [
            calls.ALLOW] * 2
        opened = calls.BITS["openat"][0][column]
        assert answer(opened, third=os.O_RDWR | os.O_CREAT) == calls.ALLOW
        assert answer(opened, third=os.O_TMPFILE | os.O_RDWR) == calls.REFUSE | 1
        reads = {"x86_64": 0, "aarch64": 63}[machine]
        assert answer(reads) == calls.ALLOW and refused(program, reads, 0, 0x40000003) == calls.KILL
    assert refused(calls.program("x86_64", own), calls.X32 + 41) == calls.REFUSE | 1
    assert calls.program("riscv64", own) == []


def test_only_the_process_inside_can_execute_a_submission():
    """No other file of the arena, nor the command, names what runs the text of a loss file."""
    for file in [*(ROOT / "arena").glob("*.py"), *(ROOT / "cli").glob("arena*.py")]:
        if file.name == "inside.py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not names & {"Objective", "exec", "eval", "run_path", "run_module"}, file
        assert "lossfile.load" not in file.read_text(encoding="utf-8")


def test_what_a_jail_can_read_of_losslab_knows_no_text_no_seed_and_no_evaluator(place):
    staged = tiers.stage(place)
    found = {path.relative_to(staged).parts[0].removesuffix(".py") for path in staged.rglob("*.py")}
    assert not found & {"tales", "corpus", "evaluate", "records", "experiment", "study", "tokenizer", "training_loop"}
    assert not list(staged.rglob("loss-*.toml"))
    for folder in tiers.readable(staged, "landlock")[0]:
        assert not str(ROOT).startswith(folder) or ROOT.parent.name == "site-packages"
