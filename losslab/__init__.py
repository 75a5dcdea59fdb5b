"""losslab: does this training loss make a better language model?

What a program uses stands here, and is loaded when it is first asked for, so that `import losslab` takes no time. For a
notebook or a script:

    losslab.compare        train losses with several seeds, and say whether the differences are real: a `Comparison`
    losslab.Arm            a loss of a comparison with a label and settings of its own
    losslab.runs           the runs of a store: records with their scores and curves
    losslab.load           the model of a run: it generates, gives logits, and scores a text
    losslab.inspect        what a loss is: an `Anatomy`
    losslab.loss_file      a Python function as a loss file, to be used in a formula

For a program of its own:

    losslab.train          the training loop: a model, batches and an objective
    losslab.evaluate       the evaluators, with `losslab.evaluate.nll(model, documents, tokenizer)`
    losslab.Objective      a weighted sum of losses, from its formula
    losslab.Prediction     what a model said about each token; what a loss is written over
    losslab.linear_loss    hidden states and head to the objective, without holding the logits

No module has the name of one of these functions, so it makes no difference what was imported before.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers, which do not ask __getattr__
    from losslab import evaluate as evaluate
    from losslab.fused import linear_loss as linear_loss
    from losslab.notebook.compared import Comparison as Comparison
    from losslab.notebook.comparing import compare as compare
    from losslab.notebook.functions import loss_file as loss_file
    from losslab.notebook.inspected import Anatomy as Anatomy
    from losslab.notebook.inspected import inspect as inspect
    from losslab.notebook.models import Model as Model
    from losslab.notebook.models import load as load
    from losslab.notebook.stored import Runs as Runs
    from losslab.notebook.stored import runs as runs
    from losslab.objective import Objective as Objective
    from losslab.prediction import Prediction as Prediction
    from losslab.study import Arm as Arm
    from losslab.training_loop import train as train

__version__ = "0.1.0"

_PLACES = {
    "compare": "losslab.notebook.comparing", "Comparison": "losslab.notebook.compared", "Arm": "losslab.study",
    "runs": "losslab.notebook.stored", "Runs": "losslab.notebook.stored", "load": "losslab.notebook.models",
    "Model": "losslab.notebook.models", "inspect": "losslab.notebook.inspected",
    "Anatomy": "losslab.notebook.inspected", "loss_file": "losslab.notebook.functions",
    "train": "losslab.training_loop", "Objective": "losslab.objective", "Prediction": "losslab.prediction",
    "linear_loss": "losslab.fused",
}  # fmt: skip
__all__ = ["evaluate", *_PLACES]


def __getattr__(name: str) -> Any:
    # torch takes a second to import; `import losslab` and `losslab --help` do not wait for it
    if name == "evaluate":
        return importlib.import_module("losslab.evaluate")
    if name not in _PLACES:
        raise AttributeError(f"module 'losslab' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
