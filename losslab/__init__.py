"""losslab: does this training loss make a better language model?

What a program uses stands here, and is loaded when it is first asked for, so that `import losslab` takes no time:

    losslab.compare        train every condition with every seed, and say whether the differences are real
    losslab.train          the training loop: a model, batches and an objective
    losslab.evaluate       the evaluators, with `losslab.evaluate.nll(model, documents, tokenizer)`
    losslab.Objective      a weighted sum of losses, from its formula
    losslab.Prediction     what a model said about each token; what a loss is written over
    losslab.linear_loss    hidden states and head to the objective, without holding the logits

`compare`, `train` and `linear_loss` are functions, and no module has one of these names, so it makes no difference what
was imported before.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers, which do not ask __getattr__
    from losslab import evaluate as evaluate
    from losslab.fused import linear_loss as linear_loss
    from losslab.objective import Objective as Objective
    from losslab.prediction import Prediction as Prediction
    from losslab.study import compare as compare
    from losslab.training_loop import train as train

__version__ = "0.1.0"

_PLACES = {
    "compare": "losslab.study", "train": "losslab.training_loop", "Objective": "losslab.objective",
    "Prediction": "losslab.prediction", "linear_loss": "losslab.fused",
}  # fmt: skip
__all__ = ["evaluate", *_PLACES]


def __getattr__(name: str):
    # torch takes a second to import; `import losslab` and `losslab --help` do not wait for it
    if name == "evaluate":
        return importlib.import_module("losslab.evaluate")
    if name not in _PLACES:
        raise AttributeError(f"module 'losslab' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
