"""Products without gradients, compared with float64."""

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
