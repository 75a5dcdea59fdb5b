"""float16: gradients that are scaled, updates that overflow and are left out, and a factor that a checkpoint keeps."""

import json

import pytest
import torch
from experiments import change, weights
from experiments import place as place

from losslab import checkpoint, experiment, records
from losslab.checkpoint import sums
from losslab.config import ModelConfig, TrainConfig
from losslab.model import initialized
from losslab.objective import Objective
from losslab.optim import Scaler
from losslab.training_loop import Diverged, train

OBJECTIVE = Objective.parse("cross_entropy")


def test_the_factor_halves_and_doubles_as_that_of_torch(monkeypatch):
    monkeypatch.setattr("losslab.optim.scaler.PATIENCE", 20)  # the published 2,000 take long
    scaler, reference = Scaler("float16"), torch.amp.GradScaler("cpu", growth_interval=20)
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    for step in range(70):
        weight.grad = torch.tensor([float("inf") if step in (3, 30, 31) else 1.0])
        reference.scale(torch.ones(()))  # torch makes its factor when it is first used
        reference.step(optimizer)
        reference.update()
        assert scaler.allows(bool(weight.grad.isfinite())) == (step not in (3, 30, 31))
        assert scaler.scale == reference.get_scale(), step
    assert scaler.skipped == 3 and scaler.scale == 2.0**15  # 16 - 3, and two times 20 updates


def test_without_float16_nothing_is_scaled_and_nothing_is_kept():
    scaler = Scaler("bfloat16")
    assert scaler.scale == 1.0 and scaler.state == {} and scaler.allows(False) and scaler.scale == 1.0


def batches(step):
    stream = torch.randint(31, (4, 13), generator=torch.Generator().manual_seed(step))
    return stream[:, :-1], stream[:, 1:]


def model():
    return initialized(ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=12), 31, 0)


def test_training_in_float16_follows_float32_and_leaves_overflows_out():
    curves, seen = {}, []
    for dtype in ("float32", "float16"):
        config = TrainConfig(num_steps=20, batch_size=4, learning_rate=1e-2, dtype=dtype, log_every=1)
        lines = curves[dtype] = []
        assert not isinstance(train(model(), batches, OBJECTIVE, config, lambda i, to=lines: to.append(i.nll) and None),
                              Diverged)
    assert curves["float16"] == pytest.approx(curves["float32"], abs=5e-3) and curves["float16"] != curves["float32"]

    trained, scaler = model(), Scaler("float16")
    scaler.scale = 2.0**40  # times any gradient here it is beyond 65,504
    before = [parameter.clone() for parameter in trained.parameters()]
    config = TrainConfig(num_steps=30, batch_size=4, learning_rate=1e-2, dtype="float16")

    def watch(info):
        seen.append((info.overflowed, info.skipped))
        if len(seen) == 1:
            assert all(torch.equal(a, b) for a, b in zip(before, trained.parameters(), strict=True))

    train(trained, batches, OBJECTIVE, config, watch, scaler=scaler)
    assert seen[0] == (True, True) and seen[-1] == (False, False)
    assert scaler.skipped == sum(overflowed for overflowed, _ in seen) and scaler.scale == 2.0 ** (40 - scaler.skipped)


def test_a_gradient_that_stays_infinite_ends_the_run():
    scaler = Scaler("float16")
    scaler.scale = 2.0**-10
    trained = model()
    trained.wte.weight.register_hook(lambda gradient: gradient * float("inf"))
    config = TrainConfig(num_steps=3, batch_size=4, dtype="float16")
    assert isinstance(train(trained, batches, OBJECTIVE, config, scaler=scaler), Diverged)


def test_a_run_in_float16_counts_overflows_and_continues_with_its_factor(place, monkeypatch):
    monkeypatch.setattr("losslab.optim.scaler.FIRST", 2.0**22)
    config = change(train={"dtype": "float16", "checkpoint_every": 20, "log_every": 1})
    record = experiment.run(config, place / "run")
    line = next(line for line in reversed(record.log) if "train/gradient_scale" in line)
    counted = record.result["overflowed_steps"]
    assert counted > 3 and line["train/gradient_scale"] == 2.0 ** (22 - counted)
    path = place / "run/checkpoint/step-00000020"
    assert checkpoint.load(path).scaler == {"scale": 2.0 ** (22 - counted), "good_steps": 20 - counted,
                                            "skipped": counted}
    before = weights(place / "run")
    (place / "run/result.json").unlink()
    (place / "run/checkpoint/step-00000030/manifest.json").unlink()
    assert experiment.resume(place / "run").result["overflowed_steps"] == counted
    assert weights(place / "run") == before
    assert records.read(place / "run").status == "finished"


HOSTILE = [], {"scale": 1.0}, *({"scale": scale, "good_steps": 0, "skipped": 0} for scale in (0, -1.0, True))


def test_a_factor_that_nobody_wrote_is_damage(place):
    path = experiment.run(change(train={"num_steps": 1}), place / "run").path / "checkpoint/step-00000001"
    about = json.loads((path / "model.json").read_text())
    for value in HOSTILE:
        (path / "model.json").write_text(json.dumps(about | {"scaler": value}))
        (path / "manifest.json").unlink()
        sums.sign(path)
        with pytest.raises(checkpoint.Damaged, match="model.json has scaler"):
            checkpoint.load(path)
