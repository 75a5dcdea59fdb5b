"""Products, with gradients and without, compared with float64."""

import pytest
import torch

from losslab.kernels import products


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_product_without_gradients_is_the_product(dtype):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 24, generator=generator).to(dtype) for n in (70, 300))
    exact = a.double() @ b.double().T
    found = products.times_transposed(a, b)
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    assert (found.double() - exact).abs().max() < {torch.bfloat16: 0.1, torch.float32: 1e-4}.get(dtype, 1e-12)
    assert torch.equal(products.times_transposed(a, b, "tanh"), torch.tanh(found)) or dtype == torch.float32


def by_float64(function, *inputs):
    """The value and the gradients of `function` of inputs in float64, against one random upstream gradient."""
    inputs = [each.detach().double().requires_grad_() for each in inputs]
    value = function(*inputs)
    upstream = torch.randn(value.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return value, torch.autograd.grad(value, inputs, upstream), upstream


@pytest.mark.skipif(not products.has_onednn(torch.zeros(1)), reason="PyTorch has no oneDNN here")
@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (24, 24)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_fast_linear_layer_is_one_with_its_gradients(shape, has_bias):
    k, n = shape
    x, weight, bias = torch.randn(3, 17, k), torch.randn(n, k), torch.randn(n)
    inputs = [each.requires_grad_() for each in ((x, weight, bias) if has_bias else (x, weight))]
    with products.numerics("fast"):
        found = products.linear(*inputs)
    assert "ByOneDNN" in type(found.grad_fn).__name__
    exact, gradients, upstream = by_float64(torch.nn.functional.linear, *inputs)
    assert (found - exact).abs().max() < 1e-4
    for own, true in zip(torch.autograd.grad(found, inputs, upstream.float()), gradients, strict=True):
        assert own.shape == true.shape and (own - true).abs().max() < 1e-4


def test_the_reference_is_what_pytorch_does():
    x, weight, bias = torch.randn(5, 24), torch.randn(8, 24), torch.randn(8)
    with products.numerics("fast"), products.numerics("reference"):
        assert torch.equal(products.linear(x, weight, bias), torch.nn.functional.linear(x, weight, bias))
    with products.numerics("fast"), torch.autocast("cpu", torch.bfloat16):  # products in bfloat16 are PyTorch's
        assert products.linear(x, weight).dtype == torch.bfloat16


def test_fast_attention_under_bfloat16_rounds_its_inputs_alone():
    q, k, v = (torch.randn(2, 3, 16, 8).bfloat16().requires_grad_() for _ in range(3))
    with torch.autocast("cpu", torch.bfloat16), products.numerics("fast"):
        found = products.attention(q, k, v, is_causal=True)
    exact, gradients, upstream = by_float64(
        lambda *qkv: torch.nn.functional.scaled_dot_product_attention(*qkv, is_causal=True), q, k, v)
    assert found.dtype == torch.float32 and (found - exact).abs().max() < 1e-5
    for own, true in zip(torch.autograd.grad(found, (q, k, v), upstream.float()), gradients, strict=True):
        assert (own - true).abs().max() < 0.01 * true.abs().max()  # rounded once, to bfloat16
