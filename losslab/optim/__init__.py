"""The optimizer of a configuration, the learning rate of each update, and the state of any optimizer by name."""

from losslab.optim.groups import PEAK, Together, build
from losslab.optim.muon import Muon, orthogonalized
from losslab.optim.scaler import Scaler
from losslab.optim.schedule import learning_rate, set_learning_rates
from losslab.optim.state import Optimizer, State, fill, is_like, restore, state

__all__ = [
    "PEAK", "Muon", "Optimizer", "Scaler", "State", "Together", "build", "fill", "is_like", "learning_rate",
    "orthogonalized", "restore", "set_learning_rates", "state",
]  # fmt: skip
