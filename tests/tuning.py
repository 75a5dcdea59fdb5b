"""Small arms to tune, and trials in which training is replaced by a parabola."""

import math

import pytest
from experiments import change

from losslab.tune import Trial
from losslab.tune.trials import Runner

RATE = "train.learning_rate"
QUICK = change(train={"num_steps": 6})
ARMS = {"plain": QUICK, "smoothed": change(QUICK, loss="label_smoothing")}


def parabola(settings, configs):
    return [Trial(each, "finished", math.log(each[RATE] / 0.004) ** 2, (0,), ("run",)) for each in settings]


@pytest.fixture
def stub(monkeypatch):
    pytest.importorskip("optuna", reason="the extra `tune` is not installed")
    monkeypatch.setattr(Runner, "run", lambda self, settings, configs, arms: parabola(settings, configs))
