"""Device, numerics, threads and memory."""

import math
import os

import pytest
import torch

from losslab import machine
from losslab.running import workers


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_is_the_best_device_present(without_gpu, monkeypatch):
    assert machine.resolve_device("auto") == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert machine.resolve_device("auto") == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert machine.resolve_device("auto") == "cuda"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="train.device is cuda:2, but this machine has 2 of them"):
        machine.resolve_device("cuda:2")
    assert machine.resolve_device("cuda:1") == "cuda:1" and machine.resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_an_error_with_a_remedy(without_gpu, device):
    with pytest.raises(ValueError, match=f"train.device is {device}, but this machine has none; use cpu or auto"):
        machine.resolve_device(device)


def test_sums_are_kept_in_float64_where_the_device_has_it():
    found = [machine.widest(torch.device(name)) for name in ("cpu", "cuda", "cuda:1", "mps", "mps:0")]
    assert found == [torch.float64] * 3 + [torch.float32] * 2


def test_numerics_follow_capability(monkeypatch):
    for amx, avx512, foreign, dtype in ((False, False, True, "float32"), (False, True, False, "float32"),
                                        (False, True, True, "bfloat16"), (True, True, False, "bfloat16")):
        monkeypatch.setattr(machine, "_has", {"amx_tile": amx, "avx512_bf16": avx512}.get)
        monkeypatch.setattr(machine, "is_foreign", lambda foreign=foreign: foreign)
        assert machine.resolve_dtype("auto", "cpu") == dtype and machine.resolve_dtype("auto", "mps") == "float32"
    for supported, dtype in [(True, "bfloat16"), (False, "float16")]:
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, s=supported: s)
        assert machine.resolve_dtype("auto", "cuda:0") == dtype


@pytest.mark.parametrize(("vendor", "kind", "numerics"), [
    ("AuthenticAMD", "x86_64", "fast"), ("GenuineIntel", "x86_64", "reference"), ("", "aarch64", "reference"),
    ("Intel64 Family 6 Model 85 Stepping 7, GenuineIntel", "AMD64", "reference")])  # as Windows names it
def test_products_follow_the_processor(vendor, kind, numerics, monkeypatch):
    monkeypatch.setattr(machine, "_cpuinfo", lambda key: "")
    monkeypatch.setattr(machine.platform, "processor", lambda: vendor)
    monkeypatch.setattr(machine.platform, "machine", lambda: kind)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert machine.resolve_numerics("auto", "cpu", "float32") == numerics
    assert machine.resolve_numerics("auto", "cpu", "bfloat16") == "fast"  # whoever made it
    assert machine.resolve_numerics("auto", "cuda", "bfloat16") == "reference"
    assert machine.resolve_numerics("reference", "cpu", "bfloat16") == "reference"


def test_fast_products_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match="fast is for a CPU, and train.device is cuda; leave it at auto"):
        machine.resolve_numerics("fast", "cuda", "bfloat16")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_numerics_that_are_asked_for_are_used(dtype):
    assert machine.resolve_dtype(dtype, "cpu") == dtype == machine.resolve_dtype(dtype, "cuda")


def test_the_probe_for_bfloat16_answers_even_where_torch_has_none(monkeypatch):
    assert machine.is_good_at_bfloat16() in (True, False)
    for name in ("amx_tile", "avx512_bf16"):
        monkeypatch.delattr(torch.cpu, f"_is_{name}_supported", raising=False)
    assert machine.is_good_at_bfloat16() is False


@pytest.mark.parametrize(("dtype", "wanted"), [
    ("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_matrix_products_run_in_the_chosen_precision(dtype, wanted):
    a = torch.randn(3, 3)
    with machine.autocast("cpu", dtype):
        product = a @ a
    assert product.dtype == wanted and (a @ a).dtype == torch.float32


def test_threads_are_set_or_left():
    before = torch.get_num_threads()
    try:
        assert machine.set_threads(0) == before
        assert machine.set_threads(2) == 2 == torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    for threads in (-1, 100_000):
        with pytest.raises(ValueError, match=f"threads must be between 0 and 1,024, got {threads}"):
            machine.set_threads(threads)


@pytest.fixture
def container(monkeypatch, tmp_path):
    """A machine of 8 cores, whose container says what is written."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    return lambda name, text: (tmp_path / name).write_text(text)


def test_cores_are_those_that_a_container_may_use(container):
    assert machine.cores() == 8
    for text, cores in [("max 100000\n", 8), ("150000 100000\n", 2), ("1000 100000\n", 1), ("9900000 100000", 8)]:
        container("cpu.max", text)
        assert machine.cores() == cores


def test_a_busy_machine_is_said_with_the_remedy(container, monkeypatch):
    def said(load, *threads):
        monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
        return machine.busy(*threads)

    assert said(0.6) is None and said(4.0, 4) is None and said(4.0, 2, 2) is None
    assert said(6.0) == (
        "this machine is busy: its load is 6.0 on 8 cores, and this adds 8 threads; --threads 1 may be faster")
    assert said(6.0, 1, 4).endswith("and this adds 4 threads; --workers 1 may be faster")
    assert said(9.0, 1) == "this machine is busy: its load is 9.0 on 8 cores, and this adds 1 thread"
    assert said(8.0, 4, 2, 7.5) is None and said(8.0, 4, 2, 5.0).startswith("this machine is busy: its load is 8.0 on")


def test_the_load_of_runs_that_ended_here_is_not_of_others(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(workers.time, "monotonic", lambda: now)
    own = workers._OwnLoad()
    assert own.left() == 0
    own.ended(2, lasted=1000)
    assert own.left() == pytest.approx(2)
    now += 60
    assert own.left() == pytest.approx(2 / math.e)
    own.ended(2, lasted=60)  # the mean of the load over these 60 seconds, exponentially weighted
    assert own.left() == pytest.approx(2 / math.e + 2 * (1 - 1 / math.e))
    now += 600
    own.ended(2, lasted=5)
    assert own.left() == pytest.approx(2 * 5 / 60, rel=0.05)


def test_a_model_that_cannot_fit_is_refused_before_it_is_built(container, monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 24 * 10**9 // 4096}.get)
    machine.check_fits(10**9)  # 16 GB
    with pytest.raises(ValueError) as raised:
        machine.check_fits(1_200_000_000_000)
    assert str(raised.value) == (
        "a model of 1,200,000,000,000 parameters needs 19.2 TB for weights, gradients and optimizer alone, and this "
        "machine has 24 GB; take fewer layers or a smaller width")
    container("memory.max", "8000000000")
    with pytest.raises(ValueError, match="needs 16 GB .* and this machine has 8 GB"):
        machine.check_fits(10**9)
    container("memory.max", "max")
    assert machine.total_memory() == 24 * 10**9 // 4096 * 4096


def test_peak_memory_is_in_bytes_of_this_process():
    assert 50 * 2**20 < machine.peak_memory_bytes("cpu") < 2**42  # torch alone is more than 50 MiB


def test_a_record_says_what_the_machine_was():
    about = machine.describe("cpu", "float32")
    assert about["device"] == "cpu" and about["dtype"] == "float32" and about["torch"] == torch.__version__
    assert about["threads"] == torch.get_num_threads() and about["world_size"] == 1
    assert all(about[name] for name in ("python", "platform", "processor"))
