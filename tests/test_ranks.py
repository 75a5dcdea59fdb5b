"""Several ranks train what one process trains, as replicas and in parts: losses, gradients, weights, dropout."""

import dataclasses

import numpy as np
import pytest
import torch
from forks import on_ranks

from losslab import fused, optim, parallel
from losslab.config import IGNORE_INDEX, ModelConfig, TrainConfig
from losslab.model import initialized
from losslab.objective import Objective
from losslab.training_loop import over_ranks, train

VOCAB, SEQ, ROWS, STEPS = 31, 12, 5, 50
CONFIG = ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=SEQ)
CAPPED = "softcap(15) | squentropy + 1e-4*z_loss"
CASES = {  # the model, the training, the objective, and bytes of logits up to which the head is dense
    "tied and plain": ({}, {}, "cross_entropy", 2**23),
    "untied, capped, in micro-batches, streamed": ({"tied": False}, {"micro_batch_size": 1}, CAPPED, 0),
    "capped, streamed, activations computed again": ({}, {"checkpoint_activations": True}, CAPPED, 0),
    "dropout": ({"dropout": 0.3}, {}, "cross_entropy", 2**23),
    "documents in a row, dropout in micro-batches": (
        {"dropout": 0.3}, {"micro_batch_size": 2, "batch_size": 6, "packed": True, "numerics": "fast"},
        "cross_entropy + 0.1*unlikelihood", 2**23),
}  # fmt: skip
MUON = {"muon": ({"norm": "rms", "bias": False, "tied": False}, {"optimizer": "muon"}, "cross_entropy", 2**23)}


def batch(step, rows, packed):
    """Rows of this rank, of which some tokens are masked, in one row all; perhaps with two documents in each."""
    rng = np.random.default_rng(1000 + step)
    stream = (rng.integers(VOCAB, size=(rows, 1)) + np.arange(SEQ + 1)) % VOCAB
    tokens, targets = stream[:, :-1], stream[:, 1:].copy()
    targets[rng.random(targets.shape) < 0.3 * np.arange(rows)[:, None] / rows] = IGNORE_INDEX
    targets[3] = IGNORE_INDEX
    own = slice(parallel.rank(), None, parallel.world_size())
    documents = np.broadcast_to(np.arange(SEQ) >= SEQ // 3, tokens.shape).astype(np.int64)
    return (tokens[own], targets[own], documents[own]) if packed else (tokens[own], targets[own])


def trained(way, case, dtype="float64", steps=STEPS):
    """Of every update the objective and the whole gradient, and the weights at the end."""
    switches, settings, objective, fused.DENSE_BYTES = case
    settings = dict(settings)
    packed = settings.pop("packed", False)
    config = TrainConfig(**{"num_steps": steps, "batch_size": ROWS, "learning_rate": 1e-2} | settings)
    model = initialized(dataclasses.replace(CONFIG, **switches), VOCAB, 0).to(getattr(torch, dtype))
    if config.checkpoint_activations:
        model.recompute_blocks()
    spread = over_ranks(model, way, "cpu")
    optimizer, losses, gradients = optim.build(model, config), [], []
    step = optimizer.step

    def watched():
        gradients.append(torch.cat([parallel.whole(p.grad).flatten().clone() for p in model.parameters()]))
        step()

    optimizer.step = watched
    train(spread, lambda step: batch(step, config.batch_size, packed), Objective.parse(objective), config,
          lambda info: losses.append(info.objective) and None, optimizer=optimizer, seed=3)
    weights = torch.cat([parameter.detach().flatten() for parameter in spread.whole().parameters()])
    return np.array(losses), torch.stack(gradients).numpy(), weights.numpy()


def on_some_ranks(cases, dtype, steps):
    parallel.join("cpu")
    return {(name, way): trained(way, case, dtype, steps) for name, case in cases.items()
            for way in ("replicated", "sharded")}


def compared(world, cases, dtype, steps, rtol, what=3):
    """Each case alone and on ranks, whose losses, gradients and weights (`what` of them) must be those of one process
    to `rtol`, and equal to each other."""
    first, *others = on_ranks(world, on_some_ranks, cases, dtype, steps, seconds=900)
    for (name, way), found in first.items():
        alone = trained("alone", cases[name], dtype, steps)
        assert alone[1].any() and len(alone[0]) == steps
        for here, there in list(zip(alone, found, strict=True))[:what]:
            close = np.abs(here - there).max() / np.abs(here).max()
            assert close <= rtol, (name, way, close)
        for other in others:  # to the last bit, or the ranks would drift apart
            assert all(np.array_equal(a, b) for a, b in zip(found, other[name, way], strict=True))


def test_two_ranks_compute_what_one_process_computes():
    names = "untied, capped, in micro-batches, streamed", "documents in a row, dropout in micro-batches"
    compared(2, {name: CASES[name] for name in names}, "float64", 2, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_losses_gradients_and_weights_of_fifty_updates_are_those_of_one_process(world):
    compared(world, CASES, "float64", STEPS, 1e-10)


@pytest.mark.slow
def test_a_first_update_in_float32_is_that_of_one_process():
    compared(4, CASES, "float32", 1, 1e-6, what=2)  # AdamW divides by gradients that are almost zero


@pytest.mark.slow
def test_muon_of_matrices_in_parts_is_muon_of_whole_ones():
    compared(4, MUON, "float64", 10, 1e-10)
