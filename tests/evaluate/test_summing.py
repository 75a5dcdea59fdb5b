"""A long evaluation: shared by processes, killed and resumed, and the same numbers in the end."""

import numpy as np
import pytest
import torch
from forks import on_two_ranks
from known_models import Bytes, Table, texts

from losslab import parallel
from losslab.config import ModelConfig
from losslab.evaluate import document_scores, sharing
from losslab.evaluate.document_scores import per_document
from losslab.evaluate.sharing import Ranks
from losslab.evaluate.summing import Summing, fingerprint
from losslab.model import initialized

WORDS = "the cat sat on the red mat while an old dog slept near a warm stove and dreamed of rain".split()
DOCUMENTS = texts(*(" ".join(WORDS[i % 7 : i % 7 + 2 + i % 11]) for i in range(23)))


def model(seed=0):
    made = initialized(ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=16), 257, seed)
    with torch.no_grad():
        made.wte.weight.mul_(20)
    return made


def table(summing=None, made=None, **rules):
    return per_document(made or model(), DOCUMENTS, Bytes(), batch_size=3, temperature=1.3, summing=summing, **rules)


def columns(rows):
    """All that was found but how long it took."""
    found = vars(rows) | rows.sums
    return {name: found[name] for name in found.keys() - {"sums", "seconds"}}


def same(a, b):
    return all(np.array_equal(value, columns(b)[name]) for name, value in columns(a).items())


def killed_after(monkeypatch, batches):
    """`scored_tokens` as it is, until it has been called so often; gives the list of calls."""
    calls, read = [], document_scores.scored_tokens

    def counting(*arguments, **options):
        if batches is not None and len(calls) == batches:
            raise KeyboardInterrupt
        calls.append(1)
        return read(*arguments, **options)

    monkeypatch.setattr(document_scores, "scored_tokens", counting)
    return calls


@pytest.mark.parametrize("at", [1, 4, 9])
def test_a_killed_evaluation_goes_on_and_ends_in_the_same_bits(tmp_path, monkeypatch, at):
    straight = table()
    summing = Summing(partial=tmp_path / "run", save_seconds=0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_after(patch, at)
        table(summing)
    assert len(list((tmp_path / "run").iterdir())) == 1
    calls = killed_after(monkeypatch, None)
    resumed = table(summing)
    whole = len(calls)
    assert same(straight, resumed) and list((tmp_path / "run").iterdir()) == []
    table()
    assert len(calls) - whole == whole + at  # the straight one reads all


def test_nothing_of_another_model_text_or_rule_is_taken_up(tmp_path, monkeypatch):
    summing = Summing(partial=tmp_path, save_seconds=0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_after(patch, 5)
        table(summing)
    assert same(table(summing, made=model(1)), table(made=model(1)))
    assert same(table(summing, stride=5), table(stride=5))
    keys = {fingerprint(model(seed), documents, rules) for seed, documents, rules in [
        (0, DOCUMENTS, {}), (1, DOCUMENTS, {}), (0, DOCUMENTS[1:], {}), (0, DOCUMENTS, {"stride": 1}),
        (0, texts("ab", "c"), {}), (0, texts("a", "bc"), {}), (0, texts("ab", "c", ends=False), {}),
    ]}  # fmt: skip
    assert len(keys) == 7


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None])
def test_a_damaged_note_is_not_believed(tmp_path, monkeypatch, damage):
    summing = Summing(partial=tmp_path, save_seconds=0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_after(patch, 5)
        table(summing)
    (note,) = tmp_path.iterdir()
    if damage is None:  # arrays of another shape, as of another program
        with open(note, "wb") as file:
            arrays = {name: np.zeros(2) for name in (*document_scores.PER_DOCUMENT, "seconds")}
            np.savez(file, done=np.array(5), **arrays)
    else:
        note.write_bytes(damage)
    assert same(table(summing), table())


def test_progress_counts_the_tokens_that_are_scored():
    said = []
    table(Summing(progress=lambda done, total: said.append((done, total))), stride=4)
    total = sum(len(document.tokens) + 1 for document in DOCUMENTS)
    assert said[-1] == (total, total) and [done for done, _ in said] == sorted({done for done, _ in said})


def together():
    parallel.join("cpu")
    return columns(table(Summing(Ranks.here())))


def test_two_ranks_find_what_one_finds():
    alone = columns(table())
    found, _ = on_two_ranks(together)
    for name, column in alone.items():
        np.testing.assert_allclose(found[name], column, rtol=1e-9, atol=0)


def fails_on(rank, at):
    """A task that one rank cannot go on with, before any sum or after one; what each rank was told, twice over."""
    parallel.join("cpu")

    def work():
        if at == "before" and parallel.rank() == rank:
            raise ValueError("no file\nblimp.jsonl, \u00fc")
        first = Ranks.here().summed(np.ones(3), "cpu")
        if at == "after" and parallel.rank() == rank:
            raise OSError("no file\nblimp.jsonl, \u00fc")
        if at == "unlike":
            return Ranks.here().summed(np.ones(1 + parallel.rank()), "cpu")
        return first

    said = []
    for _ in range(2):
        try:
            sharing.together(work, "cpu")
        except (ValueError, OSError) as error:
            said.append(str(error))
    return said, sharing.together(lambda: Ranks.here().summed(np.ones(3), "cpu"), "cpu").tolist()


@pytest.mark.parametrize("at", ["before", "after", "unlike"])
def test_where_one_rank_cannot_go_on_none_waits_for_it_and_all_are_told(at):
    for rank, (said, summed) in enumerate(on_two_ranks(fails_on, 1, at)):
        assert summed == [2.0] * 3  # and they still speak of the same things
        if at == "unlike":
            assert said == ["the ranks do not measure the same items; give all of them the same files"] * 2
        else:
            told = "no file\nblimp.jsonl, \u00fc" if rank else "no file blimp.jsonl, \u00fc (on rank 1)"
            assert said == [told] * 2


def test_the_number_of_batches_does_not_depend_on_who_reads_them():
    halves = []
    for rank in (0, 1):  # two processes that never meet: their tables add up to the whole
        summing = Summing(Ranks(rank, 2))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.distributed, "all_reduce", lambda tensor: None)
            sums = document_scores.tally(Table(torch.zeros(257, 257), 8), DOCUMENTS, Bytes(), batch_size=4,
                                         summing=summing)  # fmt: skip
        halves.append(sums["num_bytes"])
        assert (sums["num_bytes"] > 0).any()
    assert np.array_equal(halves[0] + halves[1], [document.num_bytes for document in DOCUMENTS])
