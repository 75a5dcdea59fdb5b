"""Requests answered together, with shared beginnings and in batches, compared with each answered alone and whole."""

import numpy as np
import pytest
import torch
from forks import on_two_ranks
from torch import nn

from losslab import formula, parallel
from losslab.config import ModelConfig
from losslab.evaluate import requests as requests_module
from losslab.evaluate.beginnings import batches, rows
from losslab.evaluate.requests import Request, answers
from losslab.model import Cache, initialized

VOCAB, LIMIT = 61, 24


def gpt2(seed=0, limit=LIMIT, transform="softcap(3)"):
    """Weights far from the tiny ones of a new model, so that every token and position shows."""
    config = ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=limit)
    model = initialized(config, VOCAB, seed, formula.transforms(transform))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def alone(model, request):
    """The definition: one full sequence, float64 from the logits on."""
    both = [*request.context, *request.continuation]
    read = both[:-1][-model.config.num_positions :]
    with torch.no_grad():
        logits = model.logits(model(torch.tensor([read]))[0]).double()[-len(request.continuation) :]
    targets = torch.tensor(list(request.continuation))
    nats = torch.nn.functional.cross_entropy(logits, targets, reduction="none").numpy()
    return nats, [int(z.argmax()) == target for z, target in zip(logits, targets.tolist(), strict=True)]


def mixed(seed=0, count=60):
    """Requests of all lengths: new ones, ones that branch off earlier ones, repeated ones, some too long to fit."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        if number % 3 and made:
            whole = np.concatenate([made[-1].context, made[-1].continuation])
            keep = int(rng.integers(1, len(whole) + 1))
            whole = np.concatenate([whole[:keep], rng.integers(0, VOCAB, int(rng.integers(1, 6)))])
        else:
            whole = rng.integers(0, VOCAB, int(rng.integers(2, LIMIT + 8)))
        split = int(rng.integers(max(1, len(whole) - LIMIT), len(whole)))
        made.append(Request(whole[:split], whole[split:].tolist()))
        if number % 7 == 0:
            made.append(made[-1])
    return made


def assert_equal(model, requests, found, tolerance=1e-5):
    assert len(found) == len(requests)
    for request, answer in zip(requests, found, strict=True):
        nats, greedy = alone(model, request)
        np.testing.assert_allclose(answer.nats, nats, rtol=tolerance, atol=tolerance)
        assert answer.is_greedy.tolist() == greedy
        length = len(request.context) + len(request.continuation)
        assert answer.num_cut == max(0, length - 1 - model.config.num_positions)


class Whole(nn.Module):
    """Hides from `answers` that its model has a cache."""

    def __init__(self, model):
        super().__init__()
        self.model, self.config, self.logits = model, model.config, model.logits
        self.num_read = 0

    def forward(self, tokens):
        self.num_read += tokens.numel()
        return self.model(tokens)


@pytest.mark.parametrize("at_once", [1, 30, 200, 4096])
@pytest.mark.parametrize("kind", [gpt2, lambda: Whole(gpt2())])
def test_together_is_as_alone(kind, at_once, monkeypatch):
    monkeypatch.setattr(requests_module, "TOKENS_AT_ONCE", {"cpu": at_once})
    monkeypatch.setattr(requests_module, "LOGITS_BYTES", 4 * VOCAB * 7)
    monkeypatch.setattr(requests_module, "BLOCK", 25)
    model, requests = kind(), mixed()
    found = answers(model, requests)
    assert_equal(model, requests, found)
    assert any(answer.num_cut for answer in found)


@pytest.mark.parametrize("at_once", [1, 500])
def test_a_beginning_is_read_once_and_a_repeated_request_too(monkeypatch, at_once):
    monkeypatch.setattr(requests_module, "TOKENS_AT_ONCE", {"cpu": at_once})
    read = []
    model = gpt2()
    plain = model.forward
    monkeypatch.setattr(model, "forward", lambda tokens, cache=None, *, positions=None, mask=None: (
        read.append(tokens.numel()), plain(tokens, cache, positions=positions, mask=mask))[1])
    context = list(range(10))
    options = [Request(context, [20 + i, 30 + i, 40]) for i in range(4)]
    found = answers(model, options + options)
    assert sum(read) == 10 + 4 * 2  # the last token of a request is never read
    assert_equal(model, options, found[:4])
    assert all((a.nats == b.nats).all() for a, b in zip(found[:4], found[4:], strict=True))


def test_logits_are_computed_at_scored_places_alone(monkeypatch):
    computed, model = [], gpt2()
    plain = model.logits
    monkeypatch.setattr(model, "logits", lambda hidden: (computed.append(len(hidden)), plain(hidden))[1])
    answers(model, [Request(range(12), [letter]) for letter in range(4)])
    assert computed == [1]  # four letters after one text


def test_large_logits_lose_nothing():
    model = gpt2(transform="")
    model.wte.weight.data *= 3e3
    requests = mixed(1)
    assert_equal(model, requests, answers(model, requests), tolerance=2e-5)
    assert max(answer.nats.max() for answer in answers(model, requests)) > 1e4


class Constant(nn.Module):
    """Says the same everywhere."""

    def __init__(self, logits):
        super().__init__()
        self.row, self.config = nn.Parameter(torch.as_tensor(logits)), ModelConfig(num_positions=8)

    def forward(self, tokens):
        return torch.zeros(*tokens.shape, 1)

    def logits(self, hidden):
        return self.row.expand(*hidden.shape[:-1], -1)


def test_of_several_likeliest_tokens_the_first_is_the_greedy_one():
    answer, = answers(Constant([0.0, 2.0, 2.0, 1.0]), [Request([0], [1, 2, 3])])
    assert answer.is_greedy.tolist() == [True, False, False]
    assert answer.nats[0] == answer.nats[1] < answer.nats[2]


def test_what_was_called_impossible_costs_infinitely_much():
    answer, = answers(Constant([0.0, -np.inf]), [Request([0], [1, 0])])
    assert answer.nats.tolist() == [np.inf, 0.0]


def test_the_model_is_left_as_it_was_also_after_an_error():
    model = gpt2().train()
    answers(model, mixed(count=3))
    assert model.training
    with pytest.raises(IndexError):
        answers(model, [Request([VOCAB + 5], [0, 1])])
    assert model.training
    answers(model.eval(), mixed(count=3))
    assert not model.training


@pytest.mark.parametrize("request_", [Request([], [1]), Request([1], [])])
def test_a_request_without_tokens_is_an_error(request_):
    with pytest.raises(ValueError, match="at least one token of context and one to score"):
        answers(gpt2(), [Request([1], [2]), request_])


def test_a_continuation_may_fill_the_context_and_not_more():
    model = gpt2()
    full = Request([3, 4], [5] * LIMIT)
    assert_equal(model, [full], answers(model, [full]))
    with pytest.raises(ValueError, match="a continuation of 25 tokens does not fit a context of 24"):
        answers(model, [Request([3, 4], [5] * (LIMIT + 1))])


def test_nothing_asked_is_nothing_answered():
    assert answers(gpt2(), []) == []


def test_progress_reaches_the_end():
    told = []
    answers(gpt2(), mixed(), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(mixed()),) * 2 and told == sorted(told)


# --- layout ------------------------------------------------------------------------------------

def sequences(*texts):
    return [np.array([ord(letter) for letter in text]) for text in texts]


def test_a_row_is_the_beginning_and_then_each_branch():
    row, = rows(sequences("abcf", "abcde", "abc", "abcf"), max_tokens=99)
    assert bytes(row.tokens.tolist()) == b"abcdef" and row.num_shared == 3
    assert row.branches.tolist() == [0, 0, 0, 2, 2, 3] and row.positions.tolist() == [0, 1, 2, 3, 4, 3]
    assert sorted(row.members) == [(0, 5), (1, 3), (2, 3), (3, 5)]
    assert row.slots(5, np.arange(4)).tolist() == [0, 1, 2, 5]


def test_rows_are_shared_where_that_pays():
    assert len(rows(sequences("abcdefgh", "azyxwvut"), max_tokens=99)) == 2  # one letter of eight
    assert len(rows(sequences("abcdefgh", "abcyxwvu"), max_tokens=99)) == 1
    assert len(rows(sequences("abcdefgh", "abcyxwvu"), max_tokens=12)) == 2  # 13 letters
    assert len(rows(sequences("abcdefgh", "abcyxwvu"), max_tokens=99, shares=False)) == 2
    # a third that shortens the beginning of two would cost more than it is spared
    assert [len(row) for row in rows(sequences("abcdefgh", "abcdefgi", "abz"), max_tokens=99)] == [9, 3]


def test_batches_hold_every_row_once_within_the_budget():
    found = rows([np.arange(n) + 1000 * n for n in range(1, 40)], max_tokens=64)
    made = list(batches(found, max_tokens=64))
    assert sorted(len(row) for batch in made for row in batch) == list(range(1, 40))
    assert all(len(batch) * max(map(len, batch)) <= 64 for batch in made)
    assert len(made) < 20
    uneven = rows([np.arange(40), *(np.arange(9) + 100 * n for n in range(1, 9))], max_tokens=400)
    assert [len(batch) for batch in batches(uneven, max_tokens=120)] == [1, 8]
    assert [len(batch) for batch in batches(uneven, max_tokens=400)] == [3, 6]  # 80 tokens are not yet a batch


# --- ranks -------------------------------------------------------------------------------------

def answered():
    parallel.join("cpu")
    requests_module.TOKENS_AT_ONCE = {"cpu": 60}
    return [(one.nats, one.is_greedy) for one in answers(gpt2(), mixed())]


def test_two_ranks_get_what_one_gets(monkeypatch):
    monkeypatch.setattr(requests_module, "TOKENS_AT_ONCE", {"cpu": 60})
    wanted = answered()
    for got in on_two_ranks(answered):
        assert all(map(np.array_equal, one, other) for one, other in zip(got, wanted, strict=True))


# --- the model's part --------------------------------------------------------------------------

def test_a_mask_and_positions_say_what_the_causal_ones_do():
    model, tokens = gpt2(), torch.randint(VOCAB, (2, 9))
    causal = torch.ones(1, 9, 9, dtype=torch.bool).tril()
    with torch.no_grad():
        said = model(tokens, positions=torch.arange(9).expand(2, 9), mask=causal)
        torch.testing.assert_close(said, model(tokens))
        cache = Cache()
        model(tokens[:, :4], cache)
        rest = model(tokens[:, 4:], cache, positions=torch.arange(4, 9).expand(2, 5), mask=causal[:, 4:])
    torch.testing.assert_close(rest, said[:, 4:])
    with pytest.raises(ValueError, match="25 tokens do not fit"):
        model(tokens, positions=torch.full((2, 9), LIMIT))
