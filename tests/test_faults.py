"""A small part of benchmarks/faults.py: mutated inputs, flipped bytes, kills, each met with a sentence or the truth."""

import importlib.util
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


mutate, material, subjects, inputs, flips, kills = map(load, (
    "faults_mutate", "faults_material", "faults_subjects", "faults_inputs", "faults_flips",
    "faults_kills"))  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One of every kind of file, and the cache of the study among them."""
    folder = tmp_path_factory.mktemp("files")
    with material.cache(folder / "cache"):
        yield material.everything(folder, with_file=False)


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
    bench = flips.Flips(files / "store", files / "cache", tmp_path, seed=1)
    found = [bench.run(number) for number in range(FLIPS)]
    assert not [flip for flip in found if flip.outcome in ("silent", "traceback")]
    assert any(flip.outcome == "said" for flip in found)


@pytest.mark.slow
def test_a_killed_study_ends_in_the_same_bits(tmp_path):
    with material.cache(tmp_path / "cache"):
        outcome = kills.run(tmp_path, KILLS, 1, lambda *_: None, study=("cross_entropy", "mse", "--seeds", "1"))
    assert len(outcome.kills) == KILLS and outcome.studies
    assert (outcome.differing, outcome.failed, outcome.hangs, outcome.troubles) == (0, 0, 0, [])
