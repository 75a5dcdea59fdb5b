"""The state of an optimizer in a checkpoint: any optimizer resumes bit-identically, another's state is refused."""

import json

import pytest
import safetensors.torch
import torch
from checkpoints import CONFIG, save, signed
from checkpoints import trained as trained

from losslab import checkpoint, optim
from losslab.config import TrainConfig
from losslab.model import initialized


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.pop("ln_f.bias/exp_avg"), "no tensor ln_f.bias/exp_avg"),
        (lambda t: t.update({"wte.weight/step": torch.zeros(2)}), r"wte.weight/step of shape \[2\]"),
        (lambda t: t.update({"wte.weight/exp_avg": torch.zeros(257, 8).half()}), "in float16"),
        (lambda t: t.update({"more/step": torch.zeros(())}), "has the tensor 'more/step'"),
        (lambda t: t.update({"wte.weight/step": torch.tensor(float("nan"))}), "has a step that is no count"),
    ],
)
def test_the_state_of_another_optimizer_is_damage(tmp_path, trained, change, sentence):
    path = save(tmp_path, trained)
    tensors = safetensors.torch.load_file(path / "optimizer.safetensors")
    change(tensors)
    safetensors.torch.save_file(tensors, path / "optimizer.safetensors")
    loaded = checkpoint.load(signed(path))
    optimizer = optim.build(loaded.model, TrainConfig(num_steps=3))
    with pytest.raises(checkpoint.Damaged, match=sentence):
        checkpoint.restore_optimizer(path, loaded.model, optimizer)
    assert not optimizer.state
    save(tmp_path, trained)
    (path / "optimizer.safetensors").unlink()
    with pytest.raises(checkpoint.Damaged, match="there is no file"):
        checkpoint.restore_optimizer(path, loaded.model, optimizer)


class Counting(torch.optim.SGD):
    """An optimizer with plain values in its state and in its groups."""

    def __init__(self, parameters, **options):
        super().__init__(parameters, **options)
        for group in self.param_groups:
            group |= {"seen": 0, "range": (0.5, None), "kind": "plain"}

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            group["seen"] += 1
            for parameter in group["params"]:
                if parameter.grad is not None:
                    kept = self.state[parameter]
                    kept["decay"] = kept.get("decay", 1.0) * 0.7
                    parameter.sub_(parameter.grad, alpha=group["lr"] * kept["decay"] / group["seen"])


def move(model, optimizer, times):
    generator = torch.Generator().manual_seed(0)
    for _ in range(times):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize("make", [
    lambda ps: torch.optim.AdamW(ps, lr=0.01, fused=True, amsgrad=True), lambda ps: torch.optim.SGD(ps, lr=0.01),
    lambda ps: torch.optim.SGD(ps, lr=0.01, momentum=0.9), lambda ps: torch.optim.NAdam(ps, lr=0.01),
    lambda ps: torch.optim.Adafactor(ps, lr=0.01), lambda ps: Counting(ps, lr=0.01),
    lambda ps: torch.optim.AdamW([{"params": [p], "lr": 0.01 * n} for n, p in enumerate(ps)]),
])
def test_any_optimizer_resumes_bit_identically(tmp_path, make):
    straight = initialized(CONFIG, 257, 0)
    optimizer = make(list(straight.parameters()))
    move(straight, optimizer, 3)
    loaded = checkpoint.load(save(tmp_path, (straight, optimizer))).model
    again = make(list(loaded.parameters()))
    for group in again.param_groups:
        group["lr"] = 7.0  # what an optimizer has been told since it was made is in its groups
    path = tmp_path / "step-00000003"
    if isinstance(again, Counting):
        (path / "optimizer.json").rename(tmp_path / "kept")
        (path / "optimizer.json").write_text("{}")
        with pytest.raises(checkpoint.Damaged, match="optimizer.json has no wte.weight/decay"):
            checkpoint.restore_optimizer(signed(path), loaded, again)
        (tmp_path / "kept").replace(path / "optimizer.json")
    checkpoint.restore_optimizer(signed(path), loaded, again)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), loaded.parameters(), strict=True))
    move(straight, optimizer, 2)
    move(loaded, again, 2)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), loaded.parameters(), strict=True))


def test_the_state_as_it_was_written_before_options_were_kept_is_read(tmp_path, trained):
    model, optimizer = trained
    path = save(tmp_path, trained)
    moments = {f"{name}/{key}": value for name, parameter in model.named_parameters()
               for key, value in optimizer.state[parameter].items()}
    safetensors.torch.save_file(moments, path / "optimizer.safetensors")
    (path / "optimizer.json").unlink()
    signed(path)
    loaded = checkpoint.load(path)
    again = optim.build(loaded.model, TrainConfig(num_steps=3, weight_decay=0.3))
    checkpoint.restore_optimizer(path, loaded.model, again)
    assert again.param_groups[0]["weight_decay"] == 0.3  # the configuration's, where the file says nothing
    for a, b in zip(model.parameters(), loaded.model.parameters(), strict=True):
        assert all(torch.equal(value, again.state[b][key]) for key, value in optimizer.state[a].items())


@pytest.mark.parametrize(("change", "sentence"), [
    ({"group:matrices/lr": True}, "has 'group:matrices/lr' True, which this optimizer does not keep"),
    ({"group:matrices/betas": [0.9]}, r"betas' \(0.9,\), which"),
    ({"group:matrices/betas": {"0": 0.9}}, "betas' {'0': 0.9}, which"),
    ({"group:others/lr": 0.1}, "has 'group:others/lr' 0.1, which"),
    ({"wte.weight/exp_avg": 0.1}, "exp_avg' 0.1, which"),
    ({"group:matrices/lr": float("inf")}, "optimizer.json"),
    ({"group:matrices/weight_decay": 0.3}, "weight_decay 0.3, and the configuration says 0.1"),
    ({"group:vectors/peak_learning_rate": 1.0}, "peak_learning_rate 1.0, and the configuration says"),
])
def test_options_of_another_optimizer_are_damage(tmp_path, trained, change, sentence):
    path = save(tmp_path, trained)
    options = json.loads((path / "optimizer.json").read_text()) | change
    (path / "optimizer.json").write_text(json.dumps(options))
    loaded = checkpoint.load(signed(path))
    with pytest.raises(checkpoint.Damaged, match=sentence):
        checkpoint.restore_optimizer(path, loaded.model, optim.build(loaded.model, TrainConfig(num_steps=3)))


def test_an_optimizer_that_keeps_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path, trained):
    model, optimizer = trained
    optimizer.param_groups[0]["history"] = [torch.zeros(2)]
    with pytest.raises(ValueError, match="the optimizer keeps group:matrices/history, a list; only tensors, numbers"):
        save(tmp_path / "new", trained)
    assert not (tmp_path / "new").exists()
