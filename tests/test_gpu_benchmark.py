"""What a benchmark says where it cannot measure."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

FILE = Path(__file__).parents[1] / "benchmarks" / "linear_loss_gpu.py"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured_and_it_says_so():
    run = subprocess.run([sys.executable, str(FILE)], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "not measured: no GPU\n")
