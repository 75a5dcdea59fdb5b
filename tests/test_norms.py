"""The parts of a modern model that have their own gradients, and Muon's steps of many matrices in one product."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losslab.model.gpt2 import relu_squared
from losslab.model.norms import EPSILON, RMSNorm, unit
from losslab.model.rotary import Rotary, rotate
from losslab.optim import Muon, muon

ROTATION = Rotary(4).at(torch.arange(3), 3, torch.float64)


def norm(x, weight):
    made = RMSNorm(4).double()
    return torch.func.functional_call(made, {"weight": weight}, x)


PARTS = {  # each with the same in PyTorch's own operations
    "norm": (norm, lambda x, weight: F.rms_norm(x, (4,), weight, EPSILON)),
    "unit": (lambda x, weight: unit(x), lambda x, weight: F.rms_norm(x, (4,), None, EPSILON)),
    "rotate": (lambda x, weight: rotate(x, ROTATION), lambda x, weight: torch.view_as_real(
        torch.complex(x[..., :2], x[..., 2:]) * torch.complex(*ROTATION)).transpose(-1, -2).flatten(-2)),
    "relu_squared": (lambda x, weight: relu_squared(x), lambda x, weight: x.clamp(min=0) ** 2),
}


@pytest.mark.parametrize("part", PARTS)
def test_values_and_gradients_are_those_of_plain_operations(part):
    ours, plain = PARTS[part]
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(2, 5, 3, 8, generator=generator, dtype=torch.float64)
    weight = torch.rand(4, generator=generator, dtype=torch.float64, requires_grad=True)
    for x in (wide[..., ::2], wide[:, :, :, :4].transpose(1, 2)[:, :3, :3], 0 * wide[..., :4]):  # strided, and zeros
        x = x.detach().requires_grad_()
        upstream = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        found, expected = ours(x, weight), plain(x, weight)
        assert_close(found, expected, rtol=1e-12, atol=1e-14)
        grads = [torch.autograd.grad(y, (x, weight), upstream, allow_unused=True) for y in (found, expected)]
        assert_close(*grads, rtol=1e-11, atol=1e-12)


def test_under_bfloat16_a_part_is_as_exact_as_plain_operations():
    x = torch.randn(2, 4, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    rotation = Rotary(4).at(torch.arange(3), 3, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        rotated = rotate(x, rotation)
    assert rotated.dtype == torch.float32
    assert_close(rotated, rotate(x.double(), ROTATION).float(), rtol=1e-5, atol=1e-5)
    assert relu_squared(x).dtype == torch.bfloat16


@pytest.mark.parametrize("together", [1, 40, 2**21])
def test_matrices_that_share_a_product_move_as_each_alone(monkeypatch, together):
    monkeypatch.setattr(muon, "TOGETHER", together)
    shapes = [(4, 4), (8, 4), (4, 8), (4, 4), (12, 4), (4, 8)]
    generator = torch.Generator().manual_seed(0)
    many, alone = ([torch.nn.Parameter(torch.ones(shape, dtype=torch.float64)) for shape in shapes] for _ in range(2))
    for first, second in zip(many, alone, strict=True):
        first.grad = second.grad = torch.randn(first.shape, generator=generator, dtype=torch.float64)
    groups = [{"params": [p for p in many if len(p) != 12]}, {"params": [many[4]], "parts": 3, "lr": 0.5}]
    Muon(groups, 0.1, weight_decay=0.2).step()
    for parameter in alone:
        own = {"lr": 0.5, "parts": 3} if len(parameter) == 12 else {"lr": 0.1}
        Muon([parameter], weight_decay=0.2, **own).step()
    assert_close(many, alone, rtol=1e-12, atol=1e-14)
