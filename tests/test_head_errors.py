"""The rule of the published table of errors, on a sample of it: losslab's head in float32 is no further from the truth
than plain PyTorch in float32 is, plus 1e-6 of the largest entry."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from losslab import formula, fused
from losslab.config import IGNORE_INDEX
from losslab.kernels import cpu
from losslab.kernels.rows import Rows
from losslab.objective import Objective
from losslab.prediction import Needs, Prediction

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def load(name):
    """A file of the benchmarks as a module, under its own name: they import each other."""
    found = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    sys.modules[name] = importlib.util.module_from_spec(found)
    found.loader.exec_module(sys.modules[name])
    return sys.modules[name]


routes, table = load("head_routes"), load("head_errors")

# exact logits of about 10 and 10,000; 501 tokens in tiles of 37, and a vocabulary that nothing divides
PROBLEMS = {scale: routes.problem(scale) for scale in table.SCALES}
SAMPLE = [*(text for _, transform, text in table.singles() if not transform), "softcap(15) | cross_entropy",
          "isru_cap(15) | squentropy", "temperature(0.7) | cross_entropy", "brier + token_scaled",
          "generalized_cross_entropy + power", "multi_token + unlikelihood"]  # fmt: skip


@pytest.mark.parametrize("scale", table.SCALES)
@pytest.mark.parametrize("text", SAMPLE)
def test_streaming_in_float32_is_no_worse_than_plain_pytorch(text, scale):
    found = routes.measure(text, PROBLEMS[scale], dtypes=("float32",))
    assert not table.exceptions(found)
    assert ("float32", "streamed in two sweeps") in found or text in ("entmax15", "margin_distillation")


def test_a_long_sum_over_the_vocabulary_keeps_its_digits():
    given = routes.problem(10, 4, 65, 64, 5003, tile_rows=67)
    for text in ("cross_entropy", "brier", "cross_entropy + max_z_loss"):
        assert not table.exceptions(routes.measure(text, given, dtypes=("float32",)))


@pytest.mark.parametrize("width", [64, 200])
def test_heavy_entries_stay_out_of_the_long_sum(width):
    rng = torch.Generator().manual_seed(0)
    hidden, lm_head = torch.randn(67, width, generator=rng), torch.randn(5003, width, generator=rng)
    g = torch.randn(67, 5003, generator=rng).mul(2).softmax(1)
    targets, others = torch.full((67,), 3), torch.arange(67)  # early columns, and once the same one
    g[:, 3] -= 1
    g[torch.arange(67), others] += 3
    truth = g.double() @ lm_head.double(), g.double().t() @ hidden.double()
    head = cpu.Head(hidden, lm_head, targets, Needs(), [], (), torch.float32, {})
    head.descend(slice(0, 67), g, (targets, others))
    for one, true in zip((head.grad_hidden, head.grad_lm_head), truth, strict=True):
        assert (one - true).abs().max() <= 2.5e-7 * true.abs().max()


def test_a_sure_row_keeps_what_little_is_left_of_its_target():
    z = torch.zeros(4, 40)
    z[:, 7] = torch.tensor([8.0, 12.0, 14.0, 15.0])
    targets, nll = torch.full((4,), 7), torch.tensor([0.9, 0.37, 2.1, 0.9])
    rows = Rows(z.clone(), targets, [], {}, torch.empty(0, 40))
    p = z.softmax(1)[:, 7]
    rows.observe({"nll"})
    assert torch.allclose(rows.gradient({"nll": nll})[:, 7], nll * (p - 1), rtol=1e-6, atol=0)


def test_the_problem_is_what_the_table_says_of_it():
    given = PROBLEMS[10_000]
    logits = given.hidden @ given.lm_head.T
    assert torch.equal(logits.double(), given.hidden.double() @ given.lm_head.double().T)  # exact, in any order
    assert 5_000 < logits.abs().max() < 20_000
    tokens = given.targets.numel()
    assert tokens % given.tile_rows and given.targets.shape[1] % given.tile_rows and (given.targets < 0).any()
    repeated = given.targets[0, 11:15]
    assert (repeated == repeated[0]).all() and given.vocabulary["prefix_of"][0] == 0  # columns meet


def test_many_tiles_are_made_and_the_constants_come_back(monkeypatch):
    tiles, tile = [], cpu.Tile
    monkeypatch.setattr(cpu, "Tile", lambda head, at: tiles.append(at) or tile(head, at))
    before = cpu.MAX_ROWS, fused.CHUNK_BYTES
    routes.evaluate(routes.ROUTES["streamed"], Objective.parse("cross_entropy"), PROBLEMS[10], "float32")
    assert len(tiles) >= 10 and (cpu.MAX_ROWS, fused.CHUNK_BYTES) == before
    assert tiles[-1].stop == (PROBLEMS[10].targets != IGNORE_INDEX).sum()


def test_an_error_beyond_the_allowance_is_an_exception():
    found = {("float32", "dense"): (1e-7, 1e-7, 1e-7), ("float32", "streamed"): (1.2e-6, 1e-7, float("nan"))}
    assert [(name, part) for name, part, *_ in table.exceptions(found)] == [
        ("streamed", "value"), ("streamed", "grad_lm_head")
    ]


def test_an_ignored_token_that_says_anything_is_an_error(monkeypatch):
    leaking = {"dense": routes.ROUTES["dense"], "streamed": lambda *given: _leak(*routes.ROUTES["dense"](*given))}
    monkeypatch.setattr(routes, "ROUTES", leaking)
    with pytest.raises(AssertionError, match="cross_entropy by streamed in float32: ignored, not zero"):
        routes.measure("cross_entropy", PROBLEMS[10], dtypes=("float32",))


def _leak(total, losses):
    return total, losses + 1e-30


# --- what the sweep sees -----------------------------------------------------------------------

@pytest.mark.parametrize("vocab_size", [1, 5, 127, 128, 129, 256, 1000])
def test_the_largest_is_the_first_where_several_tie(vocab_size):
    z = torch.randn(50, vocab_size).mul(2).round()
    for name, wanted in zip(("max_logit", "argmax"), z.max(1), strict=True):
        assert torch.equal(observed(z)[name], wanted)
    z[3, vocab_size // 2] = torch.nan
    assert observed(z)["max_logit"][3].isnan()


def observed(z):
    targets = torch.zeros(len(z), dtype=torch.long)
    return Rows(z.clone(), targets, [], {}, torch.empty(0, z.shape[1])).observe(set())


@pytest.mark.parametrize("text", ["cross_entropy", "squentropy", "mile", "cross_entropy - 0.1*entropy",
                                  "softcap(3) | brier"])  # fmt: skip
def test_what_is_observed_is_true_and_changes_nothing(text):
    given, objective = PROBLEMS[10], Objective.parse(text)

    def run(observe):
        hidden, lm_head = (x.clone().requires_grad_() for x in (given.hidden, given.lm_head))
        with routes.small_pieces(given):
            total, _, statistics = fused.linear_loss(hidden, lm_head, given.targets, objective, route="streamed",
                                                     observe=observe)  # fmt: skip
        grads = torch.autograd.grad(total, (hidden, lm_head))
        with torch.no_grad():
            hidden.fill_(torch.nan)  # what the sweep saw is kept, and not looked for again
        return total, *grads, statistics

    *plain, _ = run(())
    *watched, statistics = run(("entropy", "is_correct"))
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))  # to the last bit
    prediction = Prediction.dense(objective.transform(given.hidden @ given.lm_head.T), given.targets)
    for name in ("nll", "log_z", "entropy", "max_logit"):
        wanted = getattr(prediction, name).where(prediction.valid, 0.0)
        torch.testing.assert_close(getattr(statistics, name), wanted, rtol=1e-5, atol=2e-6)
    assert torch.equal(statistics.is_correct, (prediction.argmax == prediction.targets) & prediction.valid)
    torch.testing.assert_close(statistics.p_target, torch.exp(-prediction.nll).where(prediction.valid, 0.0))


def test_every_loss_and_transform_is_in_the_table():
    rows = list(table.singles())
    assert {name for name, _, _ in rows} == set(formula.names("losslab.losses"))
    assert {transform for _, transform, _ in rows} == {"", *formula.names("losslab.transforms")}
    number = len(formula.names("losslab.losses"))
    assert len(list(table.pairs())) == number * (number - 1) // 2
