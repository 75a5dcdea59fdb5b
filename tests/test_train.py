"""The loop: what it divides by, where it stops, and that it never changes by accident."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from forks import on_two_ranks
from torch.testing import assert_close

import losslab.objective
from losslab import fused, machine, parallel
from losslab.config import IGNORE_INDEX, ModelConfig, TrainConfig
from losslab.model import initialized
from losslab.objective import Objective
from losslab.training_loop import Diverged, accumulate, train

VOCAB, SEQ = 31, 12
GOLDEN = Path(__file__).with_name("golden_curve.json")
CONFIG = ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=SEQ)


def batches(step, *, batch_size=4, masked=True):
    rng = np.random.default_rng(1000 + step)
    # a text with something to learn: each token is mostly its predecessor plus one
    stream = (rng.integers(VOCAB, size=(batch_size, 1)) + np.arange(SEQ + 1)) % VOCAB
    tokens, targets = stream[:, :-1], stream[:, 1:].copy()
    if masked:
        targets[rng.random(targets.shape) < 0.3 * np.arange(batch_size)[:, None] / batch_size] = IGNORE_INDEX
    return tokens, targets


def fresh(seed=0, **settings):
    return initialized(ModelConfig(**(vars(CONFIG) | settings)), VOCAB, seed)


def gradients(config, objective="cross_entropy"):
    model = fresh()
    total, observed, count = accumulate(
        model, batches(0), Objective.parse(objective), config, torch.device("cpu"), observe=True
    )
    return [total, *observed.values(), count], [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("objective", ["cross_entropy", "softcap(15) | squentropy + 1e-4*z_loss"])
@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_accumulated_gradients_equal_those_of_one_big_batch(objective, micro_batch_size):
    whole, expected = gradients(TrainConfig(num_steps=1, batch_size=4), objective)
    parts, found = gradients(TrainConfig(num_steps=1, batch_size=4, micro_batch_size=micro_batch_size), objective)
    assert whole == pytest.approx(parts, rel=1e-6) and whole[-1] == parts[-1] < 4 * SEQ  # some are masked, unevenly
    for a, b in zip(expected, found, strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_a_device_without_float64_gives_the_same_sums_in_float32(monkeypatch):
    expected, _ = gradients(TrainConfig(num_steps=1, batch_size=4))
    zeros = torch.zeros

    def narrow(*size, dtype=None, **named):  # as Apple's GPU, which raises
        assert dtype is not torch.float64
        return zeros(*size, dtype=dtype, **named)

    monkeypatch.setattr(machine, "widest", lambda device: torch.float32)
    monkeypatch.setattr(torch, "zeros", narrow)
    assert gradients(TrainConfig(num_steps=1, batch_size=4))[0] == pytest.approx(expected, rel=1e-6)


def test_each_valid_token_weighs_the_same():
    _, found = gradients(TrainConfig(num_steps=1, batch_size=4, micro_batch_size=1))
    model, (tokens, targets) = fresh(), batches(0)
    logits = model.logits(model(torch.as_tensor(tokens)))
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.as_tensor(targets).flatten()).backward()
    for parameter, gradient in zip(model.parameters(), found, strict=True):
        assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-7)


def test_a_step_without_a_valid_token_is_named_and_moves_nothing():
    def empty(step):
        tokens, targets = batches(step)
        return tokens, np.full_like(targets, IGNORE_INDEX) if step == 1 else targets

    model, seen = fresh(), []
    with pytest.raises(ValueError, match="step 2 has nothing to learn: every target of its batch is masked"):
        train(model, empty, Objective.parse("cross_entropy"), TrainConfig(num_steps=3),
              lambda info: seen.append([p.clone() for p in model.parameters()]) and None)
    assert len(seen) == 1
    for old, new in zip(seen[0], model.parameters(), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize("size", [0, 8 * 2**20], ids=["streamed", "dense"])
def test_targets_are_checked_once_and_where_the_batch_is_made(monkeypatch, size):
    for place in (fused, fused.sweep, losslab.objective):  # all that could make a GPU wait
        monkeypatch.setattr(place, "check_targets", None)
    monkeypatch.setattr(fused, "DENSE_BYTES", size)
    objective = Objective.parse("cross_entropy")
    objective.scored_alone = True
    outcome = train(fresh(), batches, objective, TrainConfig(num_steps=1, micro_batch_size=2))
    assert outcome.step == 1 and outcome.tokens == (batches(0)[1] >= 0).sum()
    with pytest.raises(ValueError, match=f"targets has id {VOCAB}, but vocab_size is {VOCAB}; was this corpus token"):
        train(fresh(), lambda step: (batches(0)[0], batches(0, masked=False)[1] + 1), objective,
              TrainConfig(num_steps=1))  # fmt: skip


def test_a_micro_batch_of_masked_targets_alone_is_as_if_it_were_not_there():
    tokens, targets = batches(0)
    targets[:2] = IGNORE_INDEX
    config = TrainConfig(num_steps=1, batch_size=4, micro_batch_size=2)
    found = []
    for batch in [(tokens, targets), (tokens[2:], targets[2:])]:
        model = fresh()
        accumulate(model, batch, Objective.parse("squentropy"), config, torch.device("cpu"))
        found.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def curve():
    lines = []
    config = TrainConfig(num_steps=40, batch_size=4, learning_rate=1e-2, log_every=1)
    train(fresh(), batches, Objective.parse("cross_entropy + 1e-4*z_loss"), config,
          lambda info: lines.append([info.objective, info.nll, info.grad_norm]) and None)
    return lines


def test_the_golden_curve_has_not_moved():
    # regenerate with `python tests/test_train.py`; a change that moves it shows the new file and says why.
    # Not to the last bit: other processors sum in another order, which 40 updates amplify to about 1e-5.
    golden = json.loads(GOLDEN.read_text())
    assert_close(torch.tensor(curve()), torch.tensor(golden["curve"]), rtol=2e-4, atol=1e-5)


def test_it_learns():
    lines = curve()
    assert lines[0][1] == pytest.approx(np.log(VOCAB), rel=0.02)
    assert lines[-1][1] < 0.7 * lines[0][1]


def test_two_runs_are_equal_to_the_last_bit():
    assert curve() == curve()


def test_stopping_and_going_on_is_the_same_run():
    config = TrainConfig(num_steps=12, batch_size=4)
    objective = Objective.parse("cross_entropy")
    straight = fresh(dropout=0.3)
    train(straight, batches, objective, config, seed=7)
    from losslab import optim

    halting = fresh(dropout=0.3)
    optimizer = optim.build(halting, config)
    first = train(halting, batches, objective, config, lambda info: info.step == 5, seed=7, optimizer=optimizer)
    assert first.stopped and first.step == 5
    second = train(halting, batches, objective, config, seed=7, optimizer=optimizer, start_step=5,
                   start_tokens=first.tokens)
    assert not second.stopped and second.step == 12
    for a, b in zip(straight.parameters(), halting.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_objective_that_is_not_finite_ends_the_run_before_the_update():
    model = fresh()
    config = TrainConfig(num_steps=50, learning_rate=1e8, min_learning_rate_ratio=0.0, grad_clip=0.0, warmup_steps=0)
    outcome = train(model, batches, Objective.parse("1e8*mse + cross_entropy"), config)
    assert isinstance(outcome, Diverged) and 1 < outcome.step <= 50 and np.isfinite(outcome.previous)
    assert not (np.isfinite(outcome.objective) and np.isfinite(outcome.grad_norm))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_nll_is_measured_on_logged_steps_whatever_is_trained():
    seen = []
    config = TrainConfig(num_steps=25, batch_size=4, log_every=10)
    train(fresh(), batches, Objective.parse("mse"), config, lambda info: seen.append((info.step, info.nll)) and None)
    assert [step for step, value in seen if value is not None] == [1, 10, 20, 25]
    assert seen[0][1] == pytest.approx(np.log(VOCAB), rel=0.02)  # of the untrained model, though mse is trained


@pytest.mark.parametrize("route", ["dense", "streamed"])
def test_logged_steps_tell_the_means_of_what_the_model_said(route, monkeypatch):
    monkeypatch.setattr(fused, "DENSE_BYTES", 0 if route == "streamed" else 2**20)
    seen, config = [], TrainConfig(num_steps=1, batch_size=4, micro_batch_size=2)
    train(fresh(), batches, Objective.parse("mse"), config, lambda info: seen.append(info.observed) and None)
    model, (tokens, targets) = fresh(), map(torch.as_tensor, batches(0))
    valid = targets != IGNORE_INDEX
    logits = model.logits(model(tokens))[valid]
    log_p = logits.log_softmax(-1)
    wanted = {
        "nll": -log_p.gather(-1, targets[valid][:, None]).mean(), "log_z": logits.logsumexp(-1).mean(),
        "entropy": -(log_p.exp() * log_p).sum(-1).mean(), "max_logit": logits.amax(-1).mean(),
        "p_target": log_p.exp().gather(-1, targets[valid][:, None]).mean(),
        "accuracy": (logits.argmax(-1) == targets[valid]).double().mean(),
    }
    assert seen[0] == pytest.approx({name: float(value.detach()) for name, value in wanted.items()}, rel=1e-5)


def shared():
    parallel.join("cpu")
    rank, model = parallel.rank(), fresh()
    assert parallel.any(rank == 1, "cpu") and not parallel.any(False, "cpu")  # what one rank says, all know
    assert parallel.sum(torch.tensor([1.0, rank]), "cpu").tolist() == [2.0, 1.0]

    def share(step):
        tokens, targets = batches(step)
        return tokens[rank::2], targets[rank::2]

    outcome = train(model, share, Objective.parse("cross_entropy"), TrainConfig(num_steps=5, batch_size=4))
    return outcome.tokens, [p.detach().numpy() for p in model.parameters()]


def test_two_ranks_train_the_same_model_as_one():
    alone = fresh()
    outcome = train(alone, batches, Objective.parse("cross_entropy"), TrainConfig(num_steps=5, batch_size=4))
    for tokens, parameters in on_two_ranks(shared):
        assert tokens == outcome.tokens
        for together, single in zip(parameters, alone.parameters(), strict=True):
            assert_close(torch.tensor(together), single.detach(), rtol=1e-4, atol=2e-6)


if __name__ == "__main__":
    torch.set_num_threads(1)
    GOLDEN.write_text(json.dumps({"torch": torch.__version__, "columns": ["objective", "nll", "grad_norm"],
                                  "curve": curve()}, indent=1) + "\n")
