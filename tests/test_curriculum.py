"""The order of the documents: what is admitted when, that a batch stays a pure function, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from experiments import SMALL, change, weights
from experiments import place as place
from hypothesis import given
from hypothesis import strategies as st

from losslab import checkpoint, comparison, elsewhere, experiment, records, running
from losslab.config import DataConfig, Growth, digest, identity, override, preset
from losslab.corpus import Batches, Documents, cache
from losslab.corpus.curriculum import Paced
from losslab.corpus.pacing import Curriculum, Pacing, ranking
from losslab.evaluate import nll
from losslab.experiment import Experiment, Training

LENGTH = {"curriculum": "length"}


def toy(lengths):
    """Documents of so many tokens: all tokens of number n are n + 1, and end marks are 0."""
    stream, index = [0], []
    for number, length in enumerate(lengths):
        index.append((len(stream), len(stream) + length, 0, 0, 1))
        stream += [number + 1] * length + [0]
    return Documents(np.array(stream, dtype=np.uint16), np.array(index, dtype=np.int64))


def paced(documents, pacing, *, key="digest/train/0", batch_size=4, seq_len=8, hardest_first=False, **ranks):
    difficulty = documents.index[:, 1] - documents.index[:, 0]
    order = ranking(difficulty, hardest_first=hardest_first)
    return Paced(documents, Curriculum(order, pacing), key, Growth(batch_size), seq_len=seq_len, **ranks)


# --- pacing ------------------------------------------------------------------------------------

@given(st.integers(1, 3000), st.floats(0, 1), st.floats(0, 1), st.integers(1, 12))
def test_the_share_is_the_closed_form(num_steps, start, end, stairs):
    pacing = Pacing(num_steps, start, end, stairs)
    shares = np.array([pacing.share(step) for step in range(num_steps + 1)])
    ramp = round(end * num_steps) if start < 1 else 0
    steps = np.arange(num_steps + 1)
    expected = np.where(steps < ramp, start + (1 - start) * np.floor(stairs * steps / max(ramp, 1) + 1e-9) / stairs, 1)
    assert np.allclose(shares, expected, atol=1e-12)
    stages = list(pacing.stages())
    assert [step for first, last in stages for step in range(first, last)] == list(range(ramp))
    for first, last in stages:
        assert len(set(shares[first:last])) == 1 and (last == ramp or shares[last] > shares[first] or start == 1)


def test_a_line_is_a_hundred_stairs_and_no_ramp_is_a_shuffle():
    line = Pacing.of(DataConfig(curriculum="length", pacing_start=0.2, pacing_end=0.5), 2000)
    assert max(abs(line.share(step) - min(1, 0.2 + 0.8 * step / 1000)) for step in range(2000)) < 0.8 / 100
    step = Pacing.of(DataConfig(curriculum="length", pacing="step", pacing_stairs=1, pacing_start=0.3), 100)
    assert [step.share(done) for done in (0, 49, 50)] == [0.3, 0.3, 1.0]  # what Wu, Dyer and Neyshabur call a step
    documents = toy(range(1, 60))
    plain = Batches(documents.stream, "digest/train/0", Growth(4), seq_len=8)
    for pacing in (Pacing(50, start=1.0), Pacing(50, end=0.0)):
        for done in (0, 7, 49):
            assert np.array_equal(paced(documents, pacing)(done).tokens, plain(done).tokens)


# --- batches -----------------------------------------------------------------------------------

@pytest.mark.parametrize("hardest_first", [False, True])
def test_only_the_admitted_share_is_read(hardest_first):
    rng = np.random.default_rng(0)
    lengths = rng.permutation(np.arange(1, 101))
    documents, pacing = toy(lengths), Pacing(60, start=0.3, end=0.5, stairs=5)
    batches = paced(documents, pacing, hardest_first=hardest_first)
    for step in range(pacing.ramp):
        count = round(100 * pacing.share(step))
        assert batches.num_documents(step) == count
        read = set(np.unique(batches(step).targets)) - {0}
        sizes = {int(lengths[number - 1]) for number in read}
        assert sizes <= set(range(101 - count, 101) if hardest_first else range(1, count + 1))
    plain = Batches(documents.stream, "digest/train/0", Growth(4), seq_len=8)
    assert np.array_equal(batches(pacing.ramp + 3).tokens, plain(3).tokens)  # from here on a run without a curriculum


def test_windows_are_whole_documents_in_a_row_without_padding():
    lengths = np.random.default_rng(1).integers(1, 40, size=50)
    documents = toy(lengths)
    batches = paced(documents, Pacing(40, start=0.5, end=0.5, stairs=2))
    for first, last in ((0, 10), (10, 20)):
        stage = batches._of(batches.stages.index(next(s for s in batches.stages if s.first == first)))
        rows = np.concatenate([np.concatenate(batches(step)[0:1]) for step in range(first, last)])
        ends = np.concatenate([batches(step).targets[:, -1] for step in range(first, last)])
        order = np.argsort(stage.windows)  # the windows as they stand in the stream
        stream = np.append(rows[order].ravel(), ends[order][-1])
        assert np.array_equal(rows[order][1:, 0], ends[order][:-1])  # each target once, and none is left out
        marks = np.flatnonzero(stream == 0)
        for begin, end in zip(marks[:-1], marks[1:], strict=True):
            inside = stream[begin + 1 : end]
            assert len(set(inside)) == 1 and len(inside) == lengths[inside[0] - 1]


def test_each_admitted_document_is_read_about_equally_often():
    lengths = np.full(64, 7)  # with its end mark a window each
    pacing = Pacing(200, start=0.25, end=1.0, stairs=4)
    batches, counts, groups = paced(toy(lengths), pacing, batch_size=2), np.zeros(65), []
    for step in range(200):
        np.add.at(counts, batches(step).targets.ravel(), 1 / 7)
        if step % 50 == 0:
            groups.append(range(1 + sum(map(len, groups)), 1 + batches.num_documents(step)))
        if step % 50 == 49:  # a stair has 100 windows, so about 100 documents of those that are admitted
            # a sweep may be half done, and those that joined in the middle of one may have missed it; a document is
            # cut where a stair ends
            spread = [np.ptp(counts[group]) for group in groups]
            assert spread[0] < 1.2 and all(each < 2.2 for each in spread[1:])
    assert [len(group) for group in groups] == [16, 12, 12, 12] and counts[53:].sum() == 0
    expected = [100 / 16 + 100 / 28 + 100 / 40 + 100 / 52, 100 / 28 + 100 / 40 + 100 / 52, 100 / 40 + 100 / 52]
    for group, often in zip(groups, expected, strict=False):
        assert abs(counts[group].mean() - often) < 0.6


@given(st.lists(st.integers(1, 300), min_size=2, max_size=40), st.integers(0, 99), st.sampled_from(["linear", "step"]))
def test_a_batch_is_a_pure_function_and_ranks_share_it(lengths, seed, name):
    documents = toy([*lengths, 40])
    pacing = Pacing.of(DataConfig(curriculum="length", pacing=name), 30)
    options = {"key": f"digest/train/{seed}", "batch_size": 6, "seq_len": 5}
    forward = paced(documents, pacing, **options)
    whole = [forward(step) for step in range(20)]
    order = np.random.default_rng(seed).permutation(20)
    again, ranks = paced(documents, pacing, **options), [paced(documents, pacing, rank=r, world=4, **options)
                                                         for r in range(4)]
    for step in order:
        assert np.array_equal(again(step).tokens, whole[step].tokens)
        assert np.array_equal(again(step).targets[:, :-1], whole[step].tokens[:, 1:])
        for rank, share in enumerate(ranks):
            assert np.array_equal(share(step).tokens, whole[step].tokens[rank::4])
            assert np.array_equal(share(step).targets, whole[step].targets[rank::4])


def test_a_batch_is_the_same_in_every_version():
    """A golden value: a run that is resumed under another numpy must see the same text."""
    batches = paced(toy(np.arange(1, 101)), Pacing(60, start=0.3, end=0.5, stairs=5))
    begins = [batches(step).tokens[:, 0].tolist() for step in (0, 12, 29)]
    assert begins == [[18, 25, 20, 12], [39, 13, 41, 55], [52, 73, 73, 36]]
    assert not np.array_equal(batches(0).tokens, paced(toy(np.arange(1, 101)), batches.pacing, key="other")(0).tokens)


def test_a_long_document_takes_several_places_and_a_tiny_share_fills_an_update():
    documents = toy([5000, *[3] * 20])
    batches = paced(documents, Pacing(40, start=0.0, end=0.5, stairs=1), batch_size=4, seq_len=8, hardest_first=True)
    assert batches.num_documents(0) == 1 and len(batches.starts) == -(-5001 // 128) + 20
    assert batches(0).tokens.shape == (4, 8)
    few = paced(toy([3] * 50), Pacing(40, start=0.0))
    assert few.num_documents(0) == 9  # of four tokens with the end mark: at least 33 for one update and its last target


# --- runs --------------------------------------------------------------------------------------

def paced_run(**data):
    data = {"pacing_start": 0.2, "pacing_end": 0.8, **LENGTH, **data}
    return change(data=data, train={"dtype": "float32"})


def test_a_run_that_was_stopped_ends_in_the_same_bytes(place):
    made = Experiment(paced_run())
    whole = experiment.run(made, place / "whole")
    records.create(place / "stopped", made.spec, {})
    asked = iter([False] * 11 + [True] * 50)
    assert Training(made, place / "stopped", "cpu", is_alone=lambda: next(asked)).go() == "stopped"
    said = []
    resumed = experiment.resume(place / "stopped", tell=said.append)
    assert any("continuing from step 12 of 30" in line for line in said)
    assert weights(place / "stopped") == weights(place / "whole") and resumed.scores == whole.scores
    plain = experiment.run(change(train={"dtype": "float32"}), place / "plain")
    assert plain.scores != whole.scores and plain.condition != whole.condition


def test_the_identity_has_a_curriculum_only_where_there_is_one(place):
    told = {"objective": "1.0*cross_entropy()", "corpus": "c0ffee"}
    config = preset("tiny")
    plain = identity(config, **told)
    assert not [name for name in plain if "pacing" in name or "curriculum" in name or "hardest" in name]
    ordered = override(config, {"data": {**LENGTH, "pacing": "step", "pacing_stairs": 3, "hardest_first": True}})
    assert identity(ordered, **told) == plain | {"data.curriculum": "length", "data.pacing": "step",
                                                 "data.pacing_stairs": 3, "data.hardest_first": True}
    by_nll = override(config, {"data": {"curriculum": "nll", "curriculum_model": "there"}})
    elsewhere = override(by_nll, {"data": {"curriculum_model": "elsewhere"}})
    named = [identity(each, **told, reference="ab" * 32) for each in (by_nll, elsewhere)]
    assert named[0] == named[1] == plain | {"data.curriculum": "nll", "data.curriculum_model": "ab" * 32}
    assert digest(named[0]) != digest(identity(by_nll, **told, reference="cd" * 32))


def test_documents_are_ordered_by_the_nll_of_a_model(place, monkeypatch):
    reference = experiment.run(change(train={"num_steps": 20, "dtype": "float32"}), place / "reference")
    news = []
    config = paced_run(curriculum="nll", curriculum_model="reference")
    made = Experiment(config, progress=lambda what, done, total, *more: news.append((what, done, total)))
    tokens = made.corpus.num_tokens["train"]
    assert ("nll of the documents of text.txt", tokens, tokens) in news
    loaded = checkpoint.load(checkpoint.newest("reference/checkpoint"))
    documents = made.corpus.documents("train")
    expected = [nll(loaded.model, [document], made.corpus.tokenizer)["nll"].value for document in documents]
    sorted_nll = np.array(expected)[made.curriculum.ranking]
    assert (np.diff(sorted_nll) > -1e-6).all() and sorted_nll[0] < sorted_nll[-1] - 0.01

    monkeypatch.setattr("losslab.experiment.curriculum._scored", None)  # from here on only what is kept
    shutil.copytree("reference", "moved")
    moved = Experiment(paced_run(curriculum="nll", curriculum_model="moved"))
    assert moved.condition == made.condition != Experiment(paced_run()).condition
    assert np.array_equal(moved.curriculum.ranking, made.curriculum.ranking)
    assert made.spec["reference"] == reference.result["weights"]

    (kept,) = Path(cache.root()).glob("corpora/nll-of-text-txt-*/nll.npy")
    raw = bytearray(kept.read_bytes())
    raw[-1] ^= 255
    kept.write_bytes(raw)
    monkeypatch.undo()
    news.clear()
    monkeypatch.chdir(place)
    again = Experiment(config, progress=lambda what, *more: news.append(what))
    assert any("nll.npy is not what was written" in what for what in news)
    assert np.array_equal(again.curriculum.ranking, made.curriculum.ranking)

    experiment.run(again, place / "run")
    (place / "run" / "result.json").unlink()
    shutil.rmtree("reference")
    other = change(train={"num_steps": 21, "dtype": "float32"})
    experiment.run(other, place / "reference")
    with pytest.raises(ValueError, match="cannot continue: the weights in reference, whose nll orders its documents"):
        experiment.resume(place / "run")


def test_a_curriculum_of_runs_on_other_machines_is_made_on_this_cpu(place, monkeypatch):
    experiment.run(change(train={"num_steps": 2, "dtype": "float32"}), place / "reference")
    monkeypatch.setenv("LOSSLAB_CACHE", str(place / "cache"))  # where nobody has scored these documents
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    wanted = paced_run(curriculum="nll", curriculum_model="reference")
    with elsewhere.planning_for(elsewhere.Nodes("cuda")):
        made = Experiment(override(wanted, {"train": {"device": "cuda"}}))
    assert made.config.train.device == "cuda" and len(made.curriculum.ranking) == len(made.corpus.documents("train"))


def test_a_comparison_of_curricula_says_that_they_differ(place):
    short = {"num_steps": 2, "dtype": "float32"}
    arms = [change(train=short), change(train=short, data=LENGTH)]
    plan = running.plan(arms, [0, 1], "store")
    assert len({id(made.corpus) for made in plan.experiments}) == 1
    runs = [experiment.run(made, Path("store") / str(n)) for n, made in enumerate(plan.experiments)]
    found = comparison.compare(runs)
    assert {arm.name for arm in found.arms} == {"cross_entropy (curriculum none)", "cross_entropy (curriculum length)"}
    assert any("in more than the loss: data.curriculum (none and length)" in warning for warning in found.warnings)


# --- what is refused ---------------------------------------------------------------------------

@pytest.mark.parametrize(("settings", "said"), [
    ({"curriculum": "len"}, r"data.curriculum must be length or nll, got 'len'"),
    ({**LENGTH, "pacing": "root"}, r"data.pacing must be linear or step, got 'root'"),
    ({"curriculum": "nll"}, r"orders documents by the nll of a model; give data.curriculum_model, the folder of a run"),
    ({**LENGTH, "curriculum_model": "run"}, r"data.curriculum_model \(='run'\) is for data.curriculum nll, and"),
    ({"pacing": "step"}, r"data.pacing \(='step'\) is of a curriculum, and there is none; give data.curriculum length"),
    ({"pacing_end": 0.25}, r"data.pacing_end \(=0.25\) is of a curriculum, and there is none; give"),
    ({"hardest_first": True}, r"data.hardest_first \(=True\) is of a curriculum, and there is none; give"),
    ({**LENGTH, "pacing_start": 1.5}, r"data.pacing_start must be at most 1 \(a share of the documents\), got 1.5"),
    ({**LENGTH, "pacing_end": -0.1}, r"data.pacing_end must not be negative, got -0.1"),
    ({**LENGTH, "pacing": "step", "pacing_stairs": 0}, r"data.pacing_stairs must be at least 1, got 0"),
    ({**LENGTH, "pacing_stairs": 3}, r"data.pacing_stairs \(=3\) is for data.pacing step, and data.pacing is linear;"),
])
def test_settings_that_cannot_be_are_refused_in_a_sentence(settings, said):
    with pytest.raises(ValueError, match=said) as caught:
        override(SMALL, {"data": settings})
    assert "\n" not in str(caught.value)


def test_one_document_and_another_vocabulary_are_refused(place):
    Path("one.txt").write_text("The cat sat on the mat, and then it went home. " * 400)
    with pytest.raises(ValueError, match="training text of one.txt is one document; separate documents by lines with"):
        Experiment(paced_run(corpus="one.txt"))
    with pytest.raises(ValueError, match="nowhere is not a run folder"):
        Experiment(paced_run(curriculum="nll", curriculum_model="nowhere"))
    experiment.run(change(train={"num_steps": 1}), "reference")
    with pytest.raises(ValueError, match=r"data.curriculum_model reference has the vocabulary bytes \([0-9a-f]+\) and "
                                         r"text.txt is in char \([0-9a-f]+\), so that it cannot read these documents"):
        Experiment(paced_run(curriculum="nll", curriculum_model="reference", tokenizer="char"))
