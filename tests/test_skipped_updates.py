"""Updates that are left out because of a spike: the same after a stop, and counted."""

import numpy as np
import pytest
from experiments import change
from experiments import place as place

from losslab import experiment, records, running
from losslab.corpus import Corpus
from losslab.experiment import Experiment, Training
from losslab.signals import events


@pytest.fixture
def corrupted(monkeypatch):
    """Every corpus gives one batch of noise, at step 181."""
    honest = Corpus.batches

    def batches(self, *args, **options):
        given = honest(self, *args, **options)
        vocab_size = self.tokenizer.vocab_size

        def one(step):
            if step != 180:
                return given(step)
            return tuple(np.random.default_rng(n).integers(200, vocab_size, size=np.shape(part))
                         for n, part in enumerate(given(step)))
        one.num_targets = given.num_targets
        return one

    monkeypatch.setattr(Corpus, "batches", batches)


def trained(folder, config, stop_at=None):
    """Train in `folder`, to the end or to a step; the status and the log."""
    made = Experiment(config)
    records.create(folder, made.spec, {})
    last = []
    training = Training(made, folder, "cpu", on_line=last.append,
                        is_alone=lambda: stop_at is not None and last and last[-1]["step"] >= stop_at)
    status = training.go()
    return status, records.read(folder).log


@pytest.mark.slow
def test_spikes_are_skipped_alike_and_said_once_by_a_run_that_was_stopped(place, corrupted):
    config = change(train={"num_steps": 220, "log_every": 1, "skip_spikes": True},
                    evaluate={"every": 20, "tune_tokens": 64, "num_samples": 0})
    status, log = trained(place / "straight", config)
    assert status == "finished"
    assert ("spike in the loss", 181) in [(event.kind, event.step) for event in events(log)]
    assert [line["train/skipped_steps"] for line in log if "train/skipped_steps" in line][178:182] == [0, 0, 1, 1]
    assert log[-1]["tokens"] == 220 * config.tokens_per_step  # those of a skipped update count
    for stop in (170, 181):
        folder = place / f"stopped-{stop}"
        assert trained(folder, config, stop)[0] == "stopped"
        assert trained(folder, config)[0] == "finished"
        again = records.read(folder).log
        assert events(again) == events(log)
        assert [line for line in again if "tune/nll" in line][-1]["tune/nll"] == \
            [line for line in log if "tune/nll" in line][-1]["tune/nll"]
        paths = [path / "checkpoint/step-00000220/model.safetensors" for path in (folder, place / "straight")]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    kept = trained(place / "kept", change(config, train={"skip_spikes": False}))[1]
    assert [event.step for event in events(kept)][0] == 181 and "train/skipped_steps" not in kept[-2]
    assert (place / "kept/checkpoint/step-00000220/model.safetensors").read_bytes() != paths[1].read_bytes()


def test_skipped_updates_since_the_last_line_of_the_log_are_counted_by_a_run_that_continues(place):
    made = Experiment(change(train={"log_every": 10, "skip_spikes": True}))
    records.create(place / "run", made.spec, {})
    asked = iter(range(1, 30))
    training = Training(made, place / "run", "cpu", is_alone=lambda: next(asked) == 15)
    losses = []  # of the updates so far; a run that left out all of them would have no optimizer's state

    def far_out(loss, norm):
        losses.extend({loss} - set(losses))
        return {"spike in the loss": (loss, 1.0, 9.0)} if losses.index(loss) >= 8 else {}

    training.detector.spikes.far_out = far_out
    assert training.go() == "stopped"
    logged = [line["train/skipped_steps"] for line in records.read(place / "run").log if "train/skipped_steps" in line]
    assert logged[-1] == 2
    assert Training(made, place / "run", "cpu").skipped == 7


def test_skipped_updates_are_counted_in_the_result_and_all_arms_skip_or_none(place, corrupted):
    config = change(train={"num_steps": 190, "skip_spikes": True}, evaluate={"num_samples": 0})
    record = experiment.run(config, place / "run")
    assert record.result["skipped_steps"] == 1
    assert Experiment(config).condition != Experiment(change(config, train={"skip_spikes": False})).condition
    arms = [config, change(config, loss="squentropy", train={"skip_spikes": False})]
    with pytest.raises(ValueError, match="train.skip_spikes is on for cross_entropy and off for another arm, and would "
                                         "decide with the losses; set it for all arms, or for none"):
        running.plan(arms, [0], place / "runs")
