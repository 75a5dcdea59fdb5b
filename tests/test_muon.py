"""Muon: its orthogonalization, its steps next to torch's own, and which parameters it trains."""

from unittest import mock

import pytest
import torch
from experiments import change
from experiments import place as place
from torch.testing import assert_close

from losslab import checkpoint, experiment, optim, records
from losslab.config import ModelConfig, TrainConfig
from losslab.experiment import Experiment, Training
from losslab.model import GPT2
from losslab.optim import PEAK, Muon, build, orthogonalized

SMALL = ModelConfig(n_layer=1, n_head=2, n_embd=8, num_positions=4)
MUON = TrainConfig(optimizer="muon", learning_rate=0.02, embedding_rate_ratio=0.5, vector_rate_ratio=0.25)


def matrix(rows, columns, values, seed=0):
    """A matrix with these singular values, and its singular vectors."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(rows, rows, generator=generator, dtype=torch.float64))[0][:, : len(values)]
    right = torch.linalg.qr(torch.randn(columns, columns, generator=generator, dtype=torch.float64))[0]
    return left, right[:, : len(values)], left @ torch.diag(torch.tensor(values).double()) @ right[:, : len(values)].T


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (12, 4), (4, 12)])
def test_singular_values_follow_the_quintic_and_singular_vectors_stay(rows, columns):
    values = torch.tensor([5.0, 2.0, 1.0, 0.05], dtype=torch.float64)
    left, right, given = matrix(rows, columns, values.tolist())
    expected = values / values.norm()
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    assert_close(orthogonalized(given), left @ torch.diag(expected) @ right.T)
    assert ((expected > 0.65) & (expected < 1.25)).all()  # near 1, from 0.9 and from 0.009 of the norm
    assert_close(orthogonalized(7 * given), orthogonalized(given))
    assert torch.equal(orthogonalized(0 * given), 0 * given)


def steps(optimizer, layers, number=4):
    for step in range(number):
        for layer in layers:
            generator = torch.Generator().manual_seed(step)
            layer.grad = torch.randn(layer.shape, generator=generator, dtype=torch.float64).to(layer)
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_steps_are_those_of_torch_with_products_in_the_dtype_of_the_weights(dtype):
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape, dtype=dtype)) for shape in ((6, 4), (4, 6), (5, 5))]
                    for _ in range(2))
    steps(Muon(ours, 0.02, momentum=0.9, weight_decay=0.3), ours)
    with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.clone):  # the one place where torch changes the dtype
        steps(torch.optim.Muon(theirs, 0.02, momentum=0.9, weight_decay=0.3), theirs)
    tolerance = {"rtol": 1e-12, "atol": 1e-14} if dtype == torch.float64 else {}
    assert_close(ours, theirs, **tolerance)


GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"))


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_in_bfloat16_steps_are_those_of_torch(device):
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape, device=device)) for shape in ((6, 4), (4, 6))]
                    for _ in range(2))
    steps(Muon(ours, 0.02, momentum=0.9, dtype="bfloat16"), ours)
    steps(torch.optim.Muon(theirs, 0.02, momentum=0.9, weight_decay=0.0), theirs)
    assert_close(ours, theirs, rtol=0, atol=4 * 0.02 * 2**-6)  # two ways of rounding a sum
    assert not torch.equal(ours[0].cpu(), torch.ones(6, 4))


def test_queries_keys_and_values_are_orthogonalized_apart():
    fused, *apart = (torch.nn.Parameter(torch.zeros(rows, 4, dtype=torch.float64)) for rows in (12, 4, 4, 4))
    fused.grad = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for part, grad in zip(apart, fused.grad.split(4), strict=True):
        part.grad = grad
    Muon([fused], 0.1, parts=3).step()
    Muon(apart, 0.1).step()
    assert_close(fused.data, torch.cat([part.data for part in apart]), rtol=1e-12, atol=0)


def names_of(model, group):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)] for parameter in group["params"]}


def test_muon_has_the_matrices_of_the_blocks_and_each_other_group_its_own_rate():
    model = GPT2(ModelConfig(n_layer=1, n_head=2, n_embd=8, num_positions=4, tied=False), 5)
    optimizer = build(model, TrainConfig(optimizer="muon", learning_rate=0.02, head_rate_ratio=0.1,
                                         embedding_rate_ratio=2.0, vector_rate_ratio=0.5, weight_decay=0.3))
    groups = {group["name"]: group for group in optimizer.param_groups}
    assert list(groups) == ["matrices", "queries_keys_values", "embeddings", "head", "vectors"]
    assert {name: group[PEAK] for name, group in groups.items()} == {
        "matrices": 0.02, "queries_keys_values": 0.02, "embeddings": 0.04, "head": 0.002, "vectors": 0.01}
    assert names_of(model, groups["matrices"]) == {
        "h.0.attn.c_proj.weight", "h.0.mlp.c_fc.weight", "h.0.mlp.c_proj.weight"}
    assert names_of(model, groups["queries_keys_values"]) == {"h.0.attn.c_attn.weight"}
    assert names_of(model, groups["embeddings"]) == {"wte.weight", "wpe.weight"}
    assert names_of(model, groups["head"]) == {"head.weight"}
    assert {name: group["weight_decay"] for name, group in groups.items()} == dict.fromkeys(groups, 0.3) | {
        "vectors": 0.0}
    assert sum(len(group["params"]) for group in groups.values()) == len(list(model.parameters()))


def test_a_ratio_with_adamw_parts_the_embeddings_from_the_matrices_and_tied_weights_are_embeddings():
    model = GPT2(SMALL, 5)
    optimizer = build(model, TrainConfig(learning_rate=0.02, embedding_rate_ratio=2.0))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [(group["name"], group[PEAK]) for group in optimizer.param_groups] == [
        ("matrices", 0.02), ("embeddings", 0.04), ("vectors", 0.02)]
    assert names_of(model, optimizer.param_groups[1]) == {"wte.weight", "wpe.weight"}
    optim.set_learning_rates(optimizer, 50, 100, TrainConfig(learning_rate=0.02))
    first, second, _ = (group["lr"] for group in optimizer.param_groups)
    assert second == pytest.approx(2 * first)


def test_one_number_moves_the_rate_of_every_group():
    model = GPT2(SMALL, 5)
    before, after = (build(model, TrainConfig(optimizer="muon", learning_rate=rate, embedding_rate_ratio=0.3,
                                              vector_rate_ratio=2.0)) for rate in (0.02, 0.08))
    for optimizer, rate in ((before, 0.02), (after, 0.08)):
        optim.set_learning_rates(optimizer, 5, 1000, TrainConfig(optimizer="muon", learning_rate=rate))
    moved = [new["lr"] / old["lr"] for old, new in zip(before.param_groups, after.param_groups, strict=True)]
    assert moved == pytest.approx([4.0] * 4)


def test_a_run_with_muon_and_a_growing_batch_resumes_to_the_same_bits(place):
    config = change(train={
        "num_steps": 8, "optimizer": "muon", "learning_rate": 0.02, "embedding_rate_ratio": 0.3, "schedule": "wsd",
        "warmup_steps": 2, "batch_size": 6, "initial_batch_size": 2, "batch_warmup_steps": 5, "checkpoint_every": 3,
        "dtype": "float32",
    })
    whole = experiment.run(config, place / "whole")
    assert whole.result["tokens"] == (2 + 2 + 3 + 4 + 5 + 6 + 6 + 6) * 16
    assert whole.spec["config"]["train"]["optimizer"] == "muon"
    rates = {line["step"]: line["learning_rate"] for line in whole.log if "learning_rate" in line}
    assert rates == {1: 0.02 / 3, 8: optim.learning_rate(7, 8, config.train)}  # of the matrices
    made = Experiment(config)
    records.create(place / "cut", made.spec, experiment.environment(made, 1))
    stopped = Training(made, place / "cut", "cpu", is_alone=lambda: True)  # stops after one update
    assert stopped.go() == "stopped" and stopped.optimizer.state
    resumed = Training(Experiment(config), place / "cut", "cpu")
    assert resumed.step == 1 and resumed.tokens == 2 * 16
    kept = optim.state(stopped.optimizer, stopped.model)
    assert kept.keys() == optim.state(resumed.optimizer, resumed.model).keys()
    assert {"h.0.attn.c_attn.weight/momentum", "wte.weight/exp_avg", "group:embeddings/lr"} <= kept.keys()
    assert resumed.go() == "finished"
    weights = [checkpoint.load(checkpoint.newest(place / name / "checkpoint")).model.state_dict()
               for name in ("whole", "cut")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
