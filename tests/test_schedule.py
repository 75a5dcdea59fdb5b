"""Schedules next to their closed forms, batches that grow, and what is longer than the run."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from losslab.config import ExperimentConfig, Growth, TrainConfig, override, preset
from losslab.corpus import Batches
from losslab.optim import learning_rate

COUNTS = st.integers(1, 400)


@given(COUNTS, st.floats(0, 1), st.floats(0, 1), st.sampled_from(["linear", "wsd", "wsd_sqrt"]), st.data())
def test_every_schedule_is_its_closed_form(num_steps, share, floor, schedule, data):
    share = share if schedule != "linear" else 0.4
    decay = num_steps if schedule == "linear" else round(share * num_steps)
    warmup = data.draw(st.integers(0, max(0, min(num_steps - 1, num_steps - decay))))
    if schedule == "linear":
        warmup = data.draw(st.integers(0, num_steps - 1))
        decay = num_steps - warmup
    config = TrainConfig(num_steps=num_steps, learning_rate=1.0, min_learning_rate_ratio=floor, warmup_steps=warmup,
                         schedule=schedule, decay_share=share)
    config.check_horizon(128)
    for step in range(num_steps + 1):
        if step < warmup:
            expected = (step + 1) / (warmup + 1)
        else:
            gone = max(0.0, (step - (num_steps - decay)) / decay) if decay else 0.0
            expected = floor + (1 - floor) * (1 - (math.sqrt(gone) if schedule == "wsd_sqrt" else gone))
        assert learning_rate(step, num_steps, config) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 30), st.integers(1, 5), st.integers(0, 3000))
def test_a_batch_grows_linearly_in_whole_micro_batches_and_is_counted_exactly(steps, more, first, unit, sequences):
    growth = Growth(full=(first + more) * unit, first=first * unit, steps=steps, unit=unit)
    sizes = [unit * (first + more * min(step, steps) // steps) for step in range(steps + 20)]
    assert [len(growth.rows(step)) for step in range(steps + 20)] == sizes
    assert [growth.before(step) for step in range(steps + 20)] == [sum(sizes[:step]) for step in range(steps + 20)]
    updates = growth.updates(sequences)
    assert growth.before(updates) <= sequences < growth.before(updates + 1) or (
        updates == 1 and sequences < growth.before(2))


def test_a_growth_as_long_as_any_run_is_counted_at_once():
    growth = Growth(full=2**24, first=2**10, steps=10**14, unit=2**10)
    half = growth.before(10**14 // 2)  # a line from 2**10 to nearly half of 2**24, in steps of 2**10
    assert half == pytest.approx(10**14 / 2 * (2**10 + (2**24 - 2**10) / 4 - 2**9), rel=1e-6)
    assert growth.updates(half) == 10**14 // 2


def test_batches_that_grow_read_the_same_windows_in_the_same_order():
    stream = np.arange(1000, dtype=np.uint16)
    growth = Growth(full=8, first=2, steps=4, unit=2)
    plain = Batches(stream, "key", Growth(1), seq_len=16)
    grown = Batches(stream, "key", growth, seq_len=16)
    shared = [Batches(stream, "key", growth, seq_len=16, rank=rank, world=2) for rank in range(2)]
    row = 0
    for step, size in enumerate((2, 2, 4, 6, 8, 8)):
        batch = grown(step)
        assert batch.tokens.shape == (size, 16)
        assert (batch.tokens == np.concatenate([plain(row + i).tokens for i in range(size)])).all()
        for rank, of_rank in enumerate(shared):
            assert (of_rank(step).targets == batch.targets[rank::2]).all()
        row += size


def test_the_horizon_in_tokens_counts_the_smaller_batches():
    config = override(preset("tiny"), {"train": {"num_tokens": 100_000, "initial_batch_size": 2,
                                                 "batch_warmup_steps": 30}})
    sizes = [2 + 6 * step // 30 for step in range(30)]
    expected = 30 + (100_000 // 128 - sum(sizes)) // 8
    assert config.num_steps == expected > 100_000 // (8 * 128)
    assert config.num_tokens == 128 * (sum(sizes) + 8 * (expected - 30)) <= 100_000
    assert override(preset("tiny"), {"train": {"num_tokens": 100_000}}).num_tokens == 97 * 1024


WRONG = {
    "train.optimizer must be adamw or muon, got 'moun'; did you mean muon?": {"optimizer": "moun"},
    "train.schedule must be cosine, linear, wsd or wsd_sqrt, got 'wds'; did you mean wsd?": {"schedule": "wds"},
    "train.momentum must be in [0, 1), got 1.0": {"optimizer": "muon", "momentum": 1.0},
    "train.momentum (=0.9) is Muon's, and train.optimizer is adamw; leave it out, or give train.optimizer muon":
        {"momentum": 0.9},
    "train.decay_share (=0.2) is that of wsd and wsd_sqrt, and train.schedule is cosine, which decays over the whole "
    "run; leave it out, or choose one of those": {"decay_share": 0.2},
    "the schedule wsd is longer than the run: train.warmup_steps (=100) and a decay over 40 (train.decay_share) do not "
    "fit 100 updates; give fewer, or a longer run": {"num_steps": 100, "schedule": "wsd"},
    "the schedule linear is longer than the run: train.warmup_steps (=100) do not fit 100 updates; give fewer, or a "
    "longer run": {"num_steps": 100, "schedule": "linear"},
    "train.batch_warmup_steps (=11) is longer than the run of 10 updates; give fewer, or a longer run":
        {"num_steps": 10, "batch_warmup_steps": 11, "initial_batch_size": 2},
    "train.initial_batch_size (=0) and train.batch_warmup_steps (=5) go together; give both, or neither":
        {"batch_warmup_steps": 5},
    "train.initial_batch_size (=16) must be at most train.batch_size (=8), to which it grows":
        {"batch_warmup_steps": 5, "initial_batch_size": 16},
    "train.initial_batch_size (=2) must be divisible by train.micro_batch_size (=4)":
        {"batch_warmup_steps": 5, "initial_batch_size": 2, "micro_batch_size": 4},
    "train.head_rate_ratio (=0.5) is that of output weights of their own, and model.tied makes the token embedding the "
    "output weights; leave it out, or give model.tied false": {"head_rate_ratio": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("sentence", WRONG)
def test_what_cannot_be_is_one_sentence(sentence):
    with pytest.raises(ValueError) as error:
        override(preset("tiny"), {"train": WRONG[sentence]})
    assert str(error.value) == sentence


def test_an_old_warm_up_that_is_longer_than_a_tenth_of_the_run_is_still_cut_to_it():
    config = ExperimentConfig(train=TrainConfig(num_steps=50, warmup_steps=100, learning_rate=1.0))
    assert [learning_rate(step, 50, config.train) for step in (0, 4, 5)] == [1 / 6, 5 / 6, 1.0]
