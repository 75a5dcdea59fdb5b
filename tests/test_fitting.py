"""The memory that a run is planned for: what does not fit is refused with what would, a plan is what autograd keeps."""

import pytest
import torch
from experiments import change

from losslab import elsewhere, machine, memory
from losslab.config import TrainConfig
from losslab.experiment import fitting
from losslab.model import initialized

GPT2 = {"n_layer": 12, "n_head": 12, "n_embd": 768, "num_positions": 1024}


def gpt2(**settings):
    return change(model=GPT2 | {"dropout": 0.0}, train={"device": "cuda", "dtype": "bfloat16"} | settings)


def test_a_plan_beyond_the_memory_of_a_gpu_is_refused_with_what_would_fit(monkeypatch):
    monkeypatch.setattr(machine, "total_memory", lambda device: 16 * 10**9)
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = gpt2(batch_size=256, ranks="replicated")
    with pytest.raises(ValueError, match=r"this run does not fit its GPU: it takes about 47.* GB of 16 GB on each of 2 "
                       r"devices \(replicated; weights 668 MB, gradients 498 MB, moments 996 MB, activations .*, head "
                       r".*\), 128 sequences at a time; 33 fit; give train.micro_batch_size 32 or "
                       r"train.checkpoint_activations true or train.ranks sharded or a smaller model"):
        fitting.check(config, 50257)
    fitting.check(gpt2(batch_size=256, ranks="replicated", micro_batch_size=32), 50257)
    fitting.check(gpt2(batch_size=256, ranks="replicated", checkpoint_activations=True), 50257)


def test_runs_that_share_a_gpu_share_its_memory(monkeypatch):
    monkeypatch.setattr(machine, "total_memory", lambda device: 80 * 10**9)
    config = gpt2(batch_size=128)
    fitting.check(config, 50257)
    with elsewhere.sharing(2), pytest.raises(ValueError, match=r"it takes about 47.* GB of 40 GB for each of 2 runs on "
                                             r"one device \(weights .*; give train.micro_batch_size 64 or .* or a "
                                             r"smaller --per-device or a smaller model"):
        fitting.check(config, 50257)
    assert fitting.available("cuda") == 80 * 10**9 and elsewhere.runs_on_a_gpu() == 1


def test_the_micro_batch_that_is_advised_divides_the_batch_that_grows_too(monkeypatch):
    growing = gpt2(batch_size=16, initial_batch_size=6, batch_warmup_steps=10)
    parts = fitting.plan(growing, 50257, "alone")
    rest = sum(parts.values()) - parts["activations"]
    there = (rest + 4.5 * parts["activations"] / 16) / memory.USABLE  # 4 of the 16 sequences
    monkeypatch.setattr(machine, "total_memory", lambda device: int(there))
    with pytest.raises(ValueError, match=r"; 4 fit; give train.micro_batch_size 2 or "):
        fitting.check(growing, 50257)
    fitting.check(gpt2(batch_size=16, initial_batch_size=6, batch_warmup_steps=10, micro_batch_size=2), 50257)
    with pytest.raises(ValueError, match=r"; 4 fit; give train.micro_batch_size 4 or "):
        fitting.check(gpt2(batch_size=16), 50257)


def test_auto_takes_parts_where_replicas_do_not_fit(monkeypatch):
    assert fitting.way(gpt2(), 50257) == fitting.way(gpt2(ranks="sharded"), 50257) == "alone"
    monkeypatch.setenv("WORLD_SIZE", "8")
    for memory_bytes, way in [(16 * 10**9, "replicated"), (2 * 10**9, "sharded"), (None, "replicated")]:
        monkeypatch.setattr(machine, "total_memory", lambda device, memory_bytes=memory_bytes: memory_bytes)
        assert fitting.way(gpt2(batch_size=8), 50257) == way
    assert fitting.way(gpt2(ranks="replicated"), 50257) == "replicated"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("switches", [
    {}, {"dropout": 0.1},
    {"norm": "rms", "position_embedding": "rotary", "qk_norm": True, "activation": "relu_squared", "bias": False}])
def test_the_activations_of_a_plan_are_those_that_autograd_keeps(switches, dtype):
    config, rows, kept = change(model={"n_layer": 4, "n_head": 4, "n_embd": 64, "num_positions": 64, "dropout": 0.0}
                                | switches).model, 4, {}
    model = initialized(config, 257, 0)
    own = {parameter.data_ptr() for parameter in model.parameters()}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no place is used twice
        return tensor

    def measured():
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), machine.autocast("cpu", dtype):
            model(torch.zeros(rows, 64, dtype=torch.long))
        return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)

    half = dtype == "bfloat16"
    near = 0.15 if half else 0.02  # what autocast casts again is not counted
    assert rows * memory.activations(config, 64, half=half) == pytest.approx(measured(), rel=near)
    model.recompute_blocks()
    block = memory.activations(config, 64, half=half) / 4  # is computed again, one at a time
    assert rows * (memory.activations(config, 64, half=half, again=True) - block) == pytest.approx(measured(), rel=0.3)


def test_parts_of_the_weights_leave_room_for_more_sequences():
    config = gpt2(batch_size=64)
    whole, parts = (memory.plan(config.model, config.train, 50257, world=8, way=way)
                    for way in ("replicated", "sharded"))
    params = config.model.num_params(50257)
    assert whole["moments"] == 8 * params and parts["moments"] == 8 * -(-params // 8)
    assert sum(parts[name] for name in ("weights", "gradients", "moments")) < 0.5 * sum(
        whole[name] for name in ("weights", "gradients", "moments"))
    fits = memory.most_rows(8 * 10**9, parts, 8)
    there = memory.plan(config.model, config.train, 50257, world=8, way="sharded", rows=fits)
    more = memory.plan(config.model, config.train, 50257, world=8, way="sharded", rows=fits + 1)
    assert sum(there.values()) - there["head"] + parts["head"] <= 0.9 * 8e9
    assert sum(more.values()) - more["head"] + parts["head"] > 0.9 * 8e9
    muon = memory.plan(config.model, TrainConfig(optimizer="muon"), 50257)
    assert muon["moments"] == 8 * params - 4 * 12 * 12 * 768**2


def test_a_loss_that_takes_logits_holds_them_what_it_keeps_and_their_gradient():
    logits, targets, kept = torch.randn(64, 500, requires_grad=True), torch.zeros(64, dtype=torch.long), {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t):
        loss = torch.nn.functional.cross_entropy(logits, targets)
    loss.backward()
    held = sum(t.numel() * t.element_size() for t in (logits, logits.grad, *kept.values()))
    assert memory.logits(500, 64, whole=True) == pytest.approx(held, rel=0.01)
