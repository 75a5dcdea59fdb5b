"""The kernels of a GPU, or their interpreter where it runs."""

import pytest
import torch

from losslab import kernels
from losslab.kernels import gpu

triton = pytest.importorskip("triton", reason="Triton is not installed here")


@triton.jit
def count(X, n):
    for _ in range(n):
        triton.language.atomic_add(X, 1)


def why_not():
    """Triton's interpreter keeps up with some versions of numpy only; this says so without any code of losslab."""
    counted = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    try:
        count[(1,)](counted, 3)
    except Exception as error:
        return f"Triton {triton.__version__} runs nothing here: {error}"
    return "" if counted.item() == 3 else f"Triton {triton.__version__} cannot count to three here"


ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
EXACT, CLOSE = (torch.float32, 2e-5) if ON_GPU else (torch.float64, 1e-10)
ALL_CAPS = "temperature(0.7) | isru_cap(9) | sigmoid_cap(A=9, B=0.5, C=4) | softcap(3) | "


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Tiles of 32 by 16 that divide nothing, two parts of the vocabulary, and a buffer of 16 columns."""
    monkeypatch.setattr(kernels, "swept_by", lambda where, dtype, transforms: gpu)
    monkeypatch.setattr(gpu, "BLOCKS", dict.fromkeys((2, 4, 8), gpu.Block(32, 16, 16, 4, 2)))
    monkeypatch.setattr(gpu, "GROUP", 3)
    monkeypatch.setattr(gpu, "MIN_COLUMNS", 16)
    monkeypatch.setattr(gpu, "BUFFER_BYTES", 0)
    monkeypatch.setattr(gpu, "_multiprocessors", lambda device: 2)
