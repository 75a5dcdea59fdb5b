"""A padded vocabulary: masked ids have probability 0 on every route, and nothing else changes."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losslab import checkpoint, config, optim
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig, TrainConfig
from losslab.corpus.vectors import VocabularyVectors
from losslab.fused import ROUTES, linear_loss
from losslab.generate import generate
from losslab.hub.export import unpadded
from losslab.hub.layout import to_tensors
from losslab.model import initialized
from losslab.objective import Objective
from losslab.scaling.counts import counts

V = 37
PLAIN = ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=12)
PADDED = dataclasses.replace(PLAIN, vocab_multiple=16)  # 48 rows
COUNTED = dataclasses.replace(PADDED, padding="counted")
TOKENS = torch.randint(V, (3, 12), generator=torch.Generator().manual_seed(0))
TARGETS = torch.randint(V, (3, 12), generator=torch.Generator().manual_seed(1))
FORMULA = "label_smoothing(epsilon=0.1) + 0.01*z_loss + 0.1*entropy"


def untied(config):
    return dataclasses.replace(config, tied=False)


@pytest.mark.parametrize("tied", [True, False])
def test_padding_changes_no_weight_of_a_token_and_no_other(tied):
    plain, padded = (initialized(dataclasses.replace(each, tied=tied), V, seed=3).state_dict()
                     for each in (PLAIN, PADDED))
    for name, tensor in plain.items():
        is_table = name in ("wte.weight", "head.weight")
        assert padded[name].shape[0] == (48 if is_table else tensor.shape[0])
        assert torch.equal(padded[name][: tensor.shape[0]], tensor), name


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("tied", [True, False])
def test_masked_padding_gives_the_loss_and_the_gradients_of_no_padding(route, tied):
    found = []
    for each in (PLAIN, PADDED):
        model = initialized(dataclasses.replace(each, tied=tied), V, seed=3).double()
        loss = linear_loss(model(TOKENS), model.lm_head, TARGETS, Objective.parse(FORMULA), route=route).total
        loss.backward()
        found.append((loss, {name: p.grad for name, p in model.named_parameters()}))
    assert found[0][0].item() == found[1][0].item()
    for name, gradient in found[0][1].items():
        padded = found[1][1][name]
        assert_close(padded[: gradient.shape[0]], gradient, rtol=0, atol=0)
        assert not padded[gradient.shape[0] :].any()


@pytest.mark.parametrize("route", ROUTES)
def test_counted_padding_is_the_softmax_over_all_rows(route):
    model = initialized(COUNTED, V, seed=3).double()
    hidden = model(TOKENS)
    total = linear_loss(hidden, model.lm_head, TARGETS, Objective.parse("cross_entropy + 0.01*z_loss"),
                        route=route).total
    z = hidden @ model.wte.weight.T
    expected = F.cross_entropy(z.flatten(0, 1), TARGETS.flatten(), reduction="sum") + 0.01 * (
        torch.logsumexp(z, -1) ** 2).sum()
    assert z.shape[-1] == 48
    assert_close(total, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("each", [PADDED, COUNTED, untied(COUNTED)], ids=["masked", "counted", "counted, untied"])
def test_evaluation_and_generation_have_no_padded_id(each):
    tokenizer = tokenizers.make("bytes")
    vocab_size = tokenizer.vocab_size
    model = initialized(each, vocab_size, seed=3).eval()
    with torch.no_grad():
        model.output_weights[vocab_size:] = 100 * model(TOKENS)[0, -1]  # would win
        logits = model.logits(model(TOKENS))
        assert logits.shape[-1] == vocab_size
        assert_close(logits, F.linear(model(TOKENS), model.output_weights[:vocab_size]))
        model.lay_out_for_one_row()
        assert_close(model.logits(model(TOKENS)), logits)
    assert isinstance(generate(model, tokenizer, "a", num_tokens=8, seed=0), str)


def test_a_checkpoint_and_an_optimizer_know_the_padding(tmp_path):
    tokenizer = tokenizers.make("bytes")
    model = initialized(untied(PADDED), tokenizer.vocab_size, seed=3)
    groups = optim.build(model, TrainConfig(num_steps=1, head_rate_ratio=0.5)).param_groups
    assert [group["name"] for group in groups if any(p is model.head.weight for p in group["params"])] == ["head"]
    path = checkpoint.save(tmp_path / "checkpoint", model, tokenizer, step=1, tokens=1, seconds=0.0)
    loaded = checkpoint.load(path).model
    assert loaded.config == untied(PADDED)
    assert loaded.head.weight.shape == (272, 16)
    assert torch.equal(loaded.head.weight, model.head.weight)
    assert config.to_dict(loaded.config)["vocab_multiple"] == 16


def test_an_export_has_the_rows_of_tokens_alone():
    model = initialized(untied(PADDED), V, seed=3)
    found = to_tensors(model)
    assert {name: found[name].shape[0] for name in ("transformer.wte.weight", "lm_head.weight")} == {
        "transformer.wte.weight": V, "lm_head.weight": V}
    assert unpadded(model) == untied(PLAIN).num_params(V)


def test_what_is_counted_and_what_belongs_to_the_identity():
    gpt2 = ModelConfig(n_layer=12, n_head=12, n_embd=768, num_positions=1024)
    padded = dataclasses.replace(gpt2, vocab_multiple=64)
    assert padded.rows(50257) == 50304
    assert padded.num_params(50257) - gpt2.num_params(50257) == 47 * 768
    assert padded.token_flops(50257, 1024) == gpt2.token_flops(50257, 1024)
    assert dataclasses.replace(padded, padding="counted").token_flops(50257, 1024) == gpt2.token_flops(50304, 1024)
    blocks = [counts(each, 50257, 1, 1024).num_params_non_embedding for each in (padded, gpt2)]
    assert blocks[0] == blocks[1]
    base = config.preset("tiny")
    assert not [name for name in config.settings(base) if "vocab_multiple" in name or "padding" in name]
    other = config.override(base, {"model": {"vocab_multiple": 64}}, source="test")
    assert config.settings(other)["model.vocab_multiple"] == 64
    assert initialized(PADDED, V, seed=0).num_params == PADDED.num_params(V)


def test_vectors_of_a_vocabulary_reach_the_padding_where_it_counts():
    own = VocabularyVectors({"unigram": lambda: np.array([0.25, 0.75]), "prefix_of": lambda: np.array([-1, 0])})
    padded = own.padded(4)
    assert padded["unigram"].tolist() == [0.25, 0.75, 0.0, 0.0]
    assert padded["prefix_of"].tolist() == [-1, 0, -1, -1]


def test_padding_that_is_none():
    with pytest.raises(ValueError, match="model.padding counted goes with a model.vocab_multiple above 1"):
        ModelConfig(padding="counted")
    with pytest.raises(ValueError, match="model.vocab_multiple"):
        ModelConfig(vocab_multiple=0)
