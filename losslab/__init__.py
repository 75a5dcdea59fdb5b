"""losslab: does this training loss make a better language model?"""

import importlib
import sys
import types

__version__ = "0.1.0"

_PLACES = {
    "compare": "losslab.study",
    "train": "losslab.train",
    "evaluate": "losslab.evaluate",
    "Objective": "losslab.objective",
    "Prediction": "losslab.prediction",
    "linear_loss": "losslab.fused",
}
__all__ = list(_PLACES)


def __getattr__(name: str):
    # torch takes a second to import; `import losslab` and `losslab --help` do not wait for it
    if name not in _PLACES:
        raise AttributeError(f"module 'losslab' has no attribute {name!r}")
    module = importlib.import_module(_PLACES[name])
    return getattr(module, name, module)


class _House(types.ModuleType):
    def __setattr__(self, name: str, value):
        # importing the room `train` binds its name here; the door of that name still leads to the function in it
        super().__setattr__(name, getattr(value, name, value) if name in _PLACES else value)


sys.modules[__name__].__class__ = _House
