"""Attention with dropout on a CPU, against its definition, and what the numerics `fast` draw for it."""

import dataclasses
import math

import pytest
import torch
from torch.testing import assert_close

from losslab.config import ModelConfig
from losslab.kernels import attention, products
from losslab.model import dropout, initialized

BATCH, HEADS, SEQ, WIDTH = 3, 5, 7, 4


def parts(dtype=torch.float64):
    torch.manual_seed(0)
    q, k, v, g = (torch.randn(BATCH, HEADS, SEQ, WIDTH, dtype=dtype) for _ in range(4))
    keep = torch.rand(BATCH, HEADS, SEQ, SEQ) < 0.7
    documents = torch.randint(2, (BATCH, SEQ)).cumsum(1)
    mask = (documents[:, :, None] == documents[:, None, :]).tril()
    return [x.requires_grad_() for x in (q, k, v)], g, keep, mask


def by_definition(q, k, v, keep, scale, mask):
    seen = torch.ones(SEQ, SEQ, dtype=torch.bool).tril() if mask is None else mask[:, None]
    scores = (q @ k.mT / math.sqrt(WIDTH)).masked_fill(~seen, -torch.inf)
    return (scores.softmax(-1) * keep * scale) @ v


@pytest.mark.parametrize("cache", [2**20, 2 * SEQ**2])  # all heads at once; two, two and one
@pytest.mark.parametrize("masked", [False, True])
def test_it_and_its_gradients_are_those_of_the_definition(monkeypatch, cache, masked):
    monkeypatch.setattr(attention, "CACHE", cache)
    inputs, g, keep, mask = parts()
    mask = mask if masked else None
    results = []
    for route in (attention.with_dropout, by_definition):
        y = route(*inputs, keep, 1.3, mask)
        results.append([y, *torch.autograd.grad(y, inputs, g)])
    assert_close(*results, rtol=1e-12, atol=1e-13)


def test_it_computes_in_float32_under_bfloat16():
    inputs, g, keep, mask = parts(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        y = attention.with_dropout(*inputs, keep, 1.3, mask)
    exact = by_definition(*[x.double() for x in inputs], keep, 1.3, mask)
    assert y.dtype == torch.bfloat16
    assert_close(y.double(), exact, rtol=2**-8, atol=1e-6)  # a rounding at the end, and no other


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_sixteen_bits_decide(p):
    count, generator = 400_003, torch.Generator().manual_seed(1)  # the last of its four is not used
    with products.numerics("fast"):
        keep = dropout.drawn((count,), p, generator)
        again = dropout.drawn((count,), p, torch.Generator().manual_seed(1))
        scale = dropout.scale(p)
    assert torch.equal(keep, again) and not torch.equal(keep[:-1], keep[1:])
    assert abs(1 / scale - (1 - p)) <= 2**-17
    for lane in range(4):  # each quarter of a draw has its own bits
        share = keep[lane::4].double().mean().item()
        assert abs(share - (1 - p)) < 4 * math.sqrt(p * (1 - p) / (count / 4))
    pairs = (keep[:-1] & keep[1:]).double().mean().item()
    assert abs(pairs - (1 - p) ** 2) < 4 * math.sqrt((1 - p) ** 2 / count)


def test_the_bounds_of_the_probability_are_exact():
    with products.numerics("fast"):
        assert dropout.drawn((1000,), 0.0).all() and dropout.scale(0.0) == 1.0
        assert dropout.scale(math.nextafter(1.0, 0.0)) == 2**16  # and not infinite


@pytest.mark.parametrize("numerics", ["fast", "reference"])
def test_a_model_keeps_its_mean_and_draws_anew_each_time(numerics):
    config = ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=8, dropout=0.2)
    model = initialized(config, 11, 0)
    tokens = torch.arange(8)[None]
    torch.manual_seed(3)
    with products.numerics(numerics), torch.no_grad():
        draws = torch.stack([model.drop(model.wte(tokens)) for _ in range(2000)])
        whole = [model(tokens) for _ in range(2)]
    assert not torch.equal(*whole)
    table = model.wte(tokens).detach()
    dropped = (draws == 0).double().mean().item()
    assert abs(dropped - 0.2) < 4 * math.sqrt(0.16 / draws.numel())
    kept = draws[draws != 0]
    assert_close(kept / table.expand_as(draws)[draws != 0], torch.full_like(kept, 1.25), rtol=1e-4, atol=0)


def test_with_nothing_dropped_the_model_is_the_one_without_dropout():
    config = ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=8, dropout=0.3)
    model, plain = (initialized(c, 11, 0) for c in (config, dataclasses.replace(config, dropout=0.0)))
    tokens = torch.randint(11, (2, 8))
    for module in model.modules():  # half a step of 2**-16: rounds to none
        for name in ("p", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 1e-6)
    with products.numerics("fast"):
        assert_close(model(tokens), plain(tokens), rtol=1e-5, atol=1e-6)
