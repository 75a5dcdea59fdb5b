"""Plans: the split of a compute, its time and money, and what is counted as N and C."""

import json
import math

import pytest
from record_runs import refused

from losslab.config import ModelConfig
from losslab.model import GPT2
from losslab.scaling import plan as plans
from losslab.scaling.counts import counts
from losslab.scaling.law import NAMED

EPOCH = NAMED["epoch"]


def test_a_compute_a_size_and_a_number_of_tokens_are_one_plan():
    found = plans.plan(EPOCH, flops=1e19)
    for given in ({"num_params": found.num_params}, {"num_tokens": found.num_tokens}):
        other = plans.plan(EPOCH, **given)
        assert (other.flops, other.num_params, other.num_tokens, other.nll) == pytest.approx(
            (1e19, found.num_params, found.num_tokens, found.nll))
    assert plans.plan(EPOCH, num_params=124e6).num_params == 124e6


def test_time_and_money():
    """10^21 FLOP on 8 H100s at 40 %: 10^21 / (8 x 989.4e12 x 0.4) s, 8 devices paid for as long."""
    machine = plans.machine("H100", devices=8, utilization=0.4, price=2.0)
    found = plans.plan(EPOCH, flops=1e21, on=machine)
    assert found.seconds == pytest.approx(1e21 / (8 * 989.4e12 * 0.4))
    assert found.cost == pytest.approx(found.seconds / 3600 * 8 * 2.0)
    assert plans.plan(EPOCH, flops=1e21, on=plans.machine(None, peak=1e12)).seconds == pytest.approx(1e21 / 4e11)
    assert plans.plan(EPOCH, flops=1e21).seconds is None and plans.machine(None) is None
    assert all(one.source and 1e13 < one.peak < 1e16 for one in plans.DEVICES.values())


def test_devices_that_cannot_hold_the_model():
    """7e9 parameters take 112 GB: 2 devices of 80 GB hold them, 1 does not, and of 24 GB it takes 5."""
    def said(device, devices):
        found = plans.plan(EPOCH, num_params=7e9, on=plans.machine(device, devices=devices))
        return " ".join(plans.warnings(found))

    assert "takes 16 bytes each, 112 GB" in said("h100", 1) and "1 x h100 has 80 GB: 2 devices" in said("h100", 1)
    assert said("h100", 2) == said("l4", 5) == "" and "4 x l4 have 96 GB: 5 devices" in said("l4", 4)
    unknown = plans.machine(None, peak=1e12)
    assert unknown.memory is None and not plans.warnings(plans.plan(EPOCH, num_params=7e9, on=unknown))
    assert all(1e10 < one.memory < 1e12 for one in plans.DEVICES.values())


def test_a_decade_beyond_the_runs_is_marked_and_more_is_refused():
    low, high = EPOCH.flops
    assert [plans.plan(EPOCH, flops=c).extrapolated for c in (low, high, 9.9 * high, low / 9.9)] == [
        "", "", "outside", "outside"]
    assert "--extrapolate plans there all the same" in refused(plans.plan, EPOCH, flops=20 * high)
    far = plans.plan(EPOCH, flops=1000 * high, extrapolate=True)
    assert far.extrapolated == "far" and "3.0 decades beyond" in plans.warnings(far)[0]
    rows = plans.table(EPOCH, high)
    assert [round(math.log10(row.flops / high), 2) for row in rows] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert len(plans.table(EPOCH, 5 * high)) == 3 and len(plans.table(EPOCH, 5 * high, extrapolate=True)) == 5


def test_the_law_of_a_file(tmp_path):
    path = tmp_path / "own.json"
    law = {"E": {"value": 1.8172, "low": 1, "high": 2}, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
    path.write_text(json.dumps(law))
    own = plans.constants(str(path))
    found = plans.plan(own, flops=1e30)
    assert found.ratio == pytest.approx(plans.plan(EPOCH, flops=1e30, extrapolate=True).ratio)
    assert "does not say between which computes" in plans.warnings(found)[0]
    written = json.loads(json.dumps(own.to_dict(), allow_nan=False))
    assert written["fitted_to_flops"] is None and plans.from_document(written, "again").flops == own.flops
    path.write_text(json.dumps(law | {"fitted_from_flops": 1e10, "fitted_to_flops": 1e13}))
    assert "beyond the runs of" in refused(plans.plan, plans.constants(str(path)), flops=1e19)
    for change, sentence in (({"A": 0}, "needs it above 0"), ({"beta": None}, "has no number for beta"),
                             ({"alpha": {"value": "x"}}, "has no number for alpha"), ({"E": -1}, "needs it above 0")):
        path.write_text(json.dumps(law | change))
        assert sentence in refused(plans.constants, str(path))


def test_what_no_plan_is_made_of():
    for named, sentence in (({}, "got none"), ({"flops": 1e19, "num_params": 1e9}, "got --flops and --params"),
                            ({"flops": 1e40}, "must be at most"), ({"num_params": 0.5}, "must be at least 1"),
                            ({"num_tokens": 1e18}, "plan takes")):
        assert sentence in refused(plans.plan, EPOCH, **named)
    assert "did you mean h100?" in refused(plans.machine, "h1000")
    assert "give one of them" in refused(plans.machine, "h100", peak=1e12)
    assert "need to know the device" in refused(plans.machine, None, price=2.0)
    assert "did you mean chinchilla" in refused(plans.constants, "chinchila")
    flat = plans.from_document({"E": 1, "A": 5, "B": 5, "alpha": 1e-100, "beta": 0.3}, "flat")
    assert "has no optimum" in refused(plans.plan, flat, flops=1e19)


@pytest.mark.parametrize("settings", [{}, {"tied": False, "bias": False}, {"position_embedding": "rotary"}])
def test_parameters_are_counted_as_the_model_has_them(settings):
    config, vocab = ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=32, **settings), 101
    model = GPT2(config, vocab)
    found = counts(config, vocab, num_tokens=1000, seq_len=32)
    tables = vocab * 16
    assert found.num_params == sum(p.numel() for p in model.parameters())
    assert found.head == (0 if config.tied else tables) and found.token_embeddings == tables
    assert found.num_params_with_head == found.num_params_non_embedding + tables
    assert found.flops_6nd == 6 * found.num_params * 1000
    assert found.flops == 1000 * config.token_flops(vocab, 32)
