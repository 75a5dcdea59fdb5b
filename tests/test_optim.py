"""The optimizer's groups and first step, and the learning rate of every update."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from losslab.config import ModelConfig, TrainConfig
from losslab.model import GPT2
from losslab.optim import PEAK, build, learning_rate, set_learning_rates


def test_matrices_and_embeddings_decay_and_biases_and_norms_do_not():
    model = GPT2(ModelConfig(n_layer=1, n_head=1, n_embd=4, num_positions=4), 5)
    decayed, free = build(model, TrainConfig(weight_decay=0.3)).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert decayed["weight_decay"] == 0.3 and free["weight_decay"] == 0
    assert {names[id(p)] for p in decayed["params"]} == {
        "wte.weight", "wpe.weight", "h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight", "h.0.mlp.c_fc.weight",
        "h.0.mlp.c_proj.weight",
    }
    assert len(decayed["params"]) + len(free["params"]) == len(names)
    assert all(names[id(p)].endswith("bias") or ".ln_" in f".{names[id(p)]}" for p in free["params"])


def test_settings_reach_the_optimizer():
    optimizer = build(nn.Linear(2, 2), TrainConfig(learning_rate=0.02, betas=(0.8, 0.95)))
    assert all(group["lr"] == 0.02 and group["betas"] == (0.8, 0.95) for group in optimizer.param_groups)


def test_a_model_without_vectors_has_one_group():
    assert len(build(nn.Linear(2, 2, bias=False), TrainConfig()).param_groups) == 1


def test_the_first_step_is_decay_and_then_the_sign_of_the_gradient():
    # Adam's first step: both moments are corrected to g and g^2, so it moves by lr * g / (|g| + eps)
    layer = nn.Linear(3, 2)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = build(layer, TrainConfig(learning_rate=0.01, min_learning_rate_ratio=0.0, weight_decay=0.5))
    layer.weight.grad = torch.tensor([[1.0, -2.0, 0.5], [3.0, -0.1, 0.0]])
    layer.bias.grad = torch.tensor([4.0, -4.0])
    optimizer.step()
    assert_close(layer.weight.detach(), weight * (1 - 0.01 * 0.5) - 0.01 * layer.weight.grad.sign())
    assert_close(layer.bias.detach(), bias - 0.01 * layer.bias.grad.sign())


def test_the_second_step_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    optimizer = build(layer, TrainConfig(learning_rate=0.1, weight_decay=0.0, betas=(0.9, 0.99)))
    for gradient in (1.0, 3.0):
        layer.weight.grad = torch.tensor([[gradient]])
        optimizer.step()
    mean = (0.9 * 0.1 * 1 + 0.1 * 3) / (1 - 0.9**2)
    square = (0.99 * 0.01 * 1 + 0.01 * 9) / (1 - 0.99**2)
    assert_close(layer.weight.item(), 2.0 - 0.1 - 0.1 * mean / math.sqrt(square))


def rates(num_steps, **how):
    config = TrainConfig(**{"learning_rate": 1.0, "min_learning_rate_ratio": 0.1, "warmup_steps": 100, **how})
    return [learning_rate(step, num_steps, config) for step in range(num_steps)]


def test_warm_up_is_linear_and_then_a_cosine_falls_to_the_minimum():
    rate = rates(1100)
    assert rate[:100] == pytest.approx([(step + 1) / 101 for step in range(100)])
    assert rate[100] == 1.0 and rate[600] == pytest.approx(0.55)
    assert rate[350] == pytest.approx(0.55 + 0.45 * math.sqrt(0.5))
    assert learning_rate(1100, 1100, TrainConfig(learning_rate=1.0, min_learning_rate_ratio=0.1)) == pytest.approx(0.1)


def test_warm_up_takes_at_most_a_tenth_of_the_run():
    rate = rates(50)
    assert rate.index(max(rate)) == 5 and max(rate) == 1.0


def test_each_group_has_its_own_peak_and_the_schedule_is_a_factor_of_it():
    config = TrainConfig(learning_rate=1e-3, min_learning_rate_ratio=0.1, warmup_steps=10)
    optimizer = build(GPT2(ModelConfig(n_layer=1, n_head=1, n_embd=4, num_positions=4), 5), config)
    assert [group[PEAK] for group in optimizer.param_groups] == [1e-3, 1e-3]
    optimizer.param_groups[1][PEAK] = 0.02
    for step in (0, 9, 10, 57, 100):
        set_learning_rates(optimizer, step, 100, config)
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert first == learning_rate(step, 100, config)  # the configuration's own peak to the last bit
        assert second / 0.02 == pytest.approx(first / 1e-3, rel=1e-12)
    assert first == 1e-4 and second == pytest.approx(2e-3)
    plain = torch.optim.SGD([torch.zeros(1)], lr=5.0)  # a group that names no peak has the configuration's
    set_learning_rates(plain, 10, 100, config)
    assert plain.param_groups[0]["lr"] == 1e-3
    still = TrainConfig(learning_rate=0.0, min_learning_rate_ratio=0.0)
    assert learning_rate(50, 100, still, peak=1.0) == pytest.approx(0.5 * (1 + math.cos(math.pi * 40 / 90)))


@given(st.integers(1, 300), st.integers(0, 200), st.floats(0, 1))
def test_every_update_has_a_rate_between_the_bounds_that_rises_and_then_falls(num_steps, warmup, floor):
    rate = rates(num_steps, warmup_steps=warmup, min_learning_rate_ratio=floor)
    top = rate.index(max(rate))
    assert max(rate) == 1.0 and top <= min(warmup, num_steps // 10)
    assert rate[:top] == sorted(rate[:top]) and rate[top:] == sorted(rate[top:], reverse=True)
    assert min(rate[top:]) >= floor and rate[0] > 0
