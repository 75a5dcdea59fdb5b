"""A small part of benchmarks/faults.py: mutated inputs, flipped bytes, kills, each met with a sentence or the truth."""

import importlib.util
import shutil
import signal
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
INPUTS, FLIPS, KILLS = 300, 40, 2


def load(name):
    """A file of the benchmarks as a module, under its own name: they import each other."""
    if name not in sys.modules:
        found = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(found)
        found.loader.exec_module(sys.modules[name])
    return sys.modules[name]


NAMES = ("mutate", "material", "places", "works", "asked", "kept", "subjects", "studies", "pages", "inputs", "flips",
         "kills")
mutate, material, places, works, _, kept, subjects, _, _, inputs, flips, kills = (load(f"faults_{name}")
                                                                                 for name in NAMES)  # fmt: skip
QUICK = ("plans", "served", "an index", "a judgement", "fine-tuning")  # what is made in seconds


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One of every kind of file that takes seconds."""
    folder = tmp_path_factory.mktemp("files")
    with material.cache(folder / "runs" / "cache"), pytest.MonkeyPatch.context() as patch:
        material.everything(folder, with_file=False)
        shutil.copytree(folder / "store", folder / "runs" / "store")
        flips.make(folder, QUICK)
        patch.setattr(inputs, "SUBJECTS", tuple(each for each in inputs.SUBJECTS if (folder / each.root).is_dir()))
        yield folder


def test_mutated_inputs_end_in_a_result_or_one_sentence(files, tmp_path):
    bench = inputs.Bench(files, tmp_path / "bench", seed=1)
    with material.cache(tmp_path / "cache"):
        found = [bench.run(number) for number in range(INPUTS)]
    assert not [finding for *_, finding in found if finding]
    outcomes = [outcome for _, outcome, _ in found]
    assert min(outcomes.count("read"), outcomes.count("refused")) > INPUTS / 10  # neither all good nor all bad


def test_a_mutation_is_named_by_seed_and_number(files, tmp_path):
    one, other = (inputs.Bench(files, tmp_path / name, seed=1).bend(17)[2].read_bytes() for name in "ab")
    assert one == other


def test_what_is_looked_for_is_found(files, tmp_path, monkeypatch):
    """The harness itself: a traceback, a hang, several lines, Python's own words, an escape sequence."""
    def raising(error):
        raise error

    for kind, read in [
        ("traceback", lambda: raising(KeyError("x"))), ("hang", signal.pause), ("refused", lambda: raising(
            ValueError("a.txt is empty; give it text"))), ("sentence", lambda: raising(ValueError("a\nb"))),
        ("sentence", lambda: raising(ValueError("Expecting value: line 1 column 1"))),
        ("terminal", lambda: subjects.check_output("a\x1b[2J")), ("read", lambda: subjects.check_output("a\n\tb")),
    ]:  # fmt: skip
        subject = inputs.Subject("any", "spec", "spec.toml", mutate.raw, lambda folder, file, read=read: read())
        monkeypatch.setattr(inputs, "SUBJECTS", (subject,))
        monkeypatch.setattr(inputs, "LIMIT_SECONDS", 0.1 if kind == "hang" else 60)
        assert inputs.Bench(files, tmp_path, seed=0).run(0)[1] == kind


def test_no_flip_changes_a_verdict_in_silence(files, tmp_path):
    bench = flips.Flips(files, tmp_path, seed=1)
    found = [bench.run(number) for number in range(FLIPS)]
    assert not [flip for flip in found if flip.outcome in ("silent", "traceback")]
    assert any(flip.outcome == "said" for flip in found)


def test_a_silent_change_is_found(tmp_path):
    """The harness itself: a file of which nobody compares a sum."""
    (tmp_path / "made" / "plain" / "cache").mkdir(parents=True)
    (tmp_path / "made" / "plain" / "note.txt").write_text("a" * 99)
    kind = kept.Kept("{}", "plain", "note.txt", lambda file, said: {"text": file.read_bytes().decode("latin-1")})
    found = flips.Flips(tmp_path / "made", tmp_path / "bench", seed=1, kept=(kind,)).run(0)
    assert (found.file, found.outcome) == ("note.txt", "silent") and "change /text: 'aaa" in found.said


def test_what_a_kill_changed_is_found():
    assert works.difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == "/a/1/b: '2' became '3'"
    assert works.difference({"a": 1}, {"a": 1, "c": 2}) == "/c: 'None' became '2'"


@pytest.mark.slow
def test_killed_work_comes_to_the_same(tmp_path):
    words = ("compare", "cross_entropy", "mse", "--seeds", "1", "--store", "store", "--workers", "2", *material.SMALL)
    small = works.Work("a study", places.losses, (words,), works.study)
    with material.cache(tmp_path / "cache"):
        outcome = kills.run(tmp_path, KILLS, 1, lambda *_: None, works=(small,))["a study"]
    assert len(outcome.kills) == KILLS and outcome.ends
    assert (outcome.differing, outcome.hangs, outcome.again, outcome.troubles) == (0, 0, 0, [])
