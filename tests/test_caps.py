"""Caps that join a matrix product, compared with the transforms that they stand for."""

import pytest
import torch
import torch.nn.functional as F

from losslab import formula
from losslab.kernels import caps

TEXTS = ["softcap(15)", "softcap(0.5)", "sigmoid_cap(A=23, B=5, C=7.5)", "sigmoid_cap(A=30, B=0, C=7.5)", "isru_cap(4)",
         "temperature(0.7)"]  # fmt: skip


def inputs(dtype, scale=1.0):
    rng = torch.Generator().manual_seed(3)
    return [(scale * torch.randn(*shape, generator=rng)).to(dtype) for shape in ((7, 12), (61, 12), (7, 61))]


def both(text, x, lm_head, g):
    """Value and gradient, ours and by autograd."""
    transforms = formula.transforms(text)
    z, pull = caps.product(transforms, x.dtype)(x, lm_head)
    ours = z.clone(), pull(g.clone()).clone()
    raw = F.linear(x, lm_head).requires_grad_()
    true = transforms[0](raw)
    return ours, (true.detach(), torch.autograd.grad(true, raw, g)[0])


@pytest.mark.parametrize("text", TEXTS)
def test_a_known_cap_is_its_transform(text):
    (only,) = formula.transforms(text)
    assert caps.product((only,), torch.float32).func is caps.KNOWN[only.name]  # and not through autograd
    for scale in (0.3, 3.0, 30.0):
        for one, other in zip(*both(text, *inputs(torch.float64, scale)), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("text", TEXTS)
def test_in_float32_it_is_as_exact_as_autograd(text):
    for scale in (0.3, 1.0, 30.0):
        x, lm_head, g = inputs(torch.float32, scale)
        ours, plain = both(text, x, lm_head, g)
        _, truth = both(text, x.double(), lm_head.double(), g.double())
        for one, other, true in zip(ours, plain, truth, strict=True):
            assert (one - true).abs().max() <= 2 * (other - true).abs().max() + 3e-7 * true.abs().max(), scale


@pytest.mark.parametrize("text", ["softcap(1)", "sigmoid_cap(A=2, B=0, C=0.5)"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_row_in_the_saturated_region_of_a_cap_is_computed_as_pytorch_does(text, sign):
    x, lm_head, g = inputs(torch.float32)
    lm_head = lm_head.abs()
    x[2] = sign * 3 * x[2].abs()  # every logit of this row is saturated
    ours, plain = both(text, x, lm_head, g)
    row = caps.times_transposed(x[2:3], lm_head).requires_grad_()
    exact = formula.transforms(text)[0](row)
    # x/c is rounded before the product in the other rows, by some 1e-7 of a logit
    torch.testing.assert_close(ours[0][2], exact.detach()[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(ours[1][2], torch.autograd.grad(exact, row, g[2:3])[0][0], rtol=1e-4, atol=0)


def test_two_transforms_and_one_without_a_kernel_go_through_autograd(tmp_path):
    for text in ("softcap(15) | softcap(3)", ""):
        assert caps.product(formula.transforms(text), torch.float32).func not in caps.KNOWN.values()
    x, lm_head, g = inputs(torch.float64)
    transforms = formula.transforms("temperature(2) | softcap(3)")
    z, pull = caps.product(transforms, x.dtype)(x, lm_head)
    raw = F.linear(x, lm_head).requires_grad_()
    true = transforms[1](transforms[0](raw))
    torch.testing.assert_close(z, true.detach())
    z.zero_()  # a tile is overwritten; the way back must not notice
    torch.testing.assert_close(pull(g), torch.autograd.grad(true, raw, g)[0])
