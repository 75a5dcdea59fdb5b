"""Arms of equal cost: horizons, flops against another program's count, and the table."""

import dataclasses

import pytest
import torch
from experiments import SMALL, change
from experiments import place as place
from torch.utils.flop_counter import FlopCounterMode

from losslab.config import ModelConfig, preset
from losslab.model import initialized
from losslab.report import match as page
from losslab.study import match


def test_horizons_are_in_proportion_to_what_an_update_costs():
    arms = [change(preset("tiny"), loss=loss) for loss in ("mse", "cross_entropy", "squentropy", "focal")]
    found = match.matched(arms, "time", [0.01, 0.02, 0.03, 0.0201], baseline=1)
    assert [arm.num_steps for arm in found] == [1952, 976, 651, 976]
    assert found[1] is arms[1] and found[3] is arms[3]  # the same within what a timing knows
    assert all(abs(cost * arm.num_steps / (0.02 * 976) - 1) < 0.01 for cost, arm in
               zip([0.01, 0.02, 0.03, 0.0201], found, strict=True))
    assert found[2] == change(arms[2], train={"num_steps": 651, "num_tokens": 0})  # a schedule that ends there
    assert match.matched(arms, "tokens", []) == arms
    again = match.matched(found, "time", [0.01, 0.02, 0.03, 0.0201], baseline=1)
    assert again == found
    wide = change(arms[0], train={"batch_size": 16})  # twice the tokens an update, so half of them at equal time
    assert match.matched([arms[1], wide], "flops", [1.0, 2.0])[1].num_steps == 488
    for by, costs, sentence in (("steps", [1] * 4, "matched by tokens, time or flops, got 'steps'"),
                                ("time", [1, 2], "a cost above 0 for each of the 4 arms"),
                                ("time", [1, 0, 1, 1], "a cost above 0"), ("time", [1, 1e4, 1, 1], "costs more than")):
        with pytest.raises(ValueError, match=sentence):
            match.matched(arms, by, costs)


@pytest.mark.parametrize("switches", [
    {}, {"position_embedding": "rotary", "norm": "rms", "qk_norm": True, "activation": "relu_squared", "tied": False}])
def test_flops_are_those_that_pytorch_counts(switches):
    config = ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=8, **switches)
    model = initialized(config, 31, 0)
    tokens = torch.randint(31, (4, 8))
    with FlopCounterMode(display=False) as counted, torch.nn.attention.sdpa_kernel(
            torch.nn.attention.SDPBackend.MATH):
        model.logits(model(tokens)).logsumexp(-1).sum().backward()
    assert counted.get_total_flops() == 4 * 8 * config.token_flops(31, 8)


def test_costs_are_measured_in_turns_and_the_fastest_counts(place, monkeypatch):
    arms = [SMALL, change(loss="squentropy"), dataclasses.replace(SMALL, train=dataclasses.replace(
        SMALL.train, batch_size=8))]
    taken = iter([3.0, 5.0, 6.0, 9.0, 4.0, 2.0, 8.0, 8.0, 7.0])  # there, back, and there again
    monkeypatch.setattr(match.timing, "measure", lambda made, threads: [{"fastest_seconds": next(taken)}])
    said = []
    assert match.update_costs(arms, "time", tell=said.append) == [2.0, 4.0, 6.0]
    assert said[0] == "cross_entropy: 2e+03 ms an update"
    assert "two timings of one arm differ by 50%" in said[-1]  # 2 and 3 of the first arm
    one, same, double = match.update_costs(arms, "flops")
    assert one == same == double / 2 == 64 * SMALL.model.token_flops(257, 16)
    assert match.update_costs(arms, "tokens") == [1, 1, 1]


def test_the_table_shows_both():
    def half(nll, tokens):
        return {"tokens": tokens, "status": "finished",
                "nll": {"value": nll, "stderr": 0.001, "n": 5, "unit": "nats/token"}}

    lost = {"tokens": 500, "status": "1 of 5 diverged", "nll": None}
    shown = page.table({"by": "time", "arms": [
        {"name": "cross_entropy", "cost": 1.0, "equal": half(2.0, 1000), "matched": half(2.0, 1000)},
        {"name": "squentropy", "cost": 2.0, "equal": half(2.5, 1000), "matched": lost}]})
    assert [column.title for column in shown.columns][1:4] == [
        "time of an update / baseline's", "tokens at equal tokens", "nll at equal tokens"]
    assert shown.rows == [
        ("cross_entropy", "1.00", "1,000", "2.0000 ± 0.0010 (n=5)", "1,000", "2.0000 ± 0.0010 (n=5)"),
        ("squentropy", "2.00", "1,000", "2.5000 ± 0.0010 (n=5)", "500", "1 of 5 diverged")]


def test_a_new_arm_is_timed_and_the_others_keep_their_costs(tmp_path):
    arms = {"a": SMALL, "b": change(loss="squentropy")}
    assert match.kept(tmp_path, arms, "time", lambda: [1.0, 2.0], baseline="a") == [1.0, 2.0]
    more = {"c": change(loss="mse"), **arms}
    assert match.kept(tmp_path, more, "time", lambda: [6.0, 2.0, 9.0], baseline="a") == [3.0, 1.0, 2.0]
    assert match.kept(tmp_path, more, "time", lambda: [], baseline="a") == [3.0, 1.0, 2.0]
    other = {"a": change(loss="brier"), "b": arms["b"]}  # a baseline that was never timed: nothing is known of the rest
    assert match.kept(tmp_path, other, "time", lambda: [1.0, 5.0], baseline="a") == [1.0, 5.0]


def test_costs_are_measured_once_in_a_study(tmp_path):
    arms, measured = {"a": SMALL, "b": change(loss="squentropy")}, iter([[1.0, 2.0], [1.0, 3.0], [5.0, 5.0]])
    assert match.kept(tmp_path, arms, "time", lambda: next(measured), baseline="a") == [1.0, 2.0]
    assert match.kept(tmp_path, arms, "time", lambda: next(measured), baseline="a") == [1.0, 2.0]
    assert match.kept(tmp_path, arms, "flops", lambda: next(measured), baseline="a") == [1.0, 3.0]
    (tmp_path / "costs.json").write_text((tmp_path / "costs.json").read_text().replace("3.0", "1.0"))
    with pytest.raises(ValueError, match="costs.json is damaged"):
        match.kept(tmp_path, arms, "flops", lambda: next(measured), baseline="a")
