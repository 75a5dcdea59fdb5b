"""What a benchmark says where it cannot measure."""

import os
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).parents[1] / "benchmarks" / "linear_loss_gpu.py"


def test_without_a_gpu_nothing_is_measured_and_it_says_so():
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run([sys.executable, str(FILE)], capture_output=True, text=True, env=hidden)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "not measured: no GPU\n")
