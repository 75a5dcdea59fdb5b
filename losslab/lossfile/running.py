"""Running a loss file: the one place that executes its text for training (`notebook.written` tries what it wrote)."""

import inspect
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from losslab import formula
from losslab.lossfile.source import LossError, Source, read
from losslab.prediction import Prediction
from losslab.words import nearest


@dataclass(frozen=True)
class Term:
    """One loss of a formula, and what is to be known of it."""

    loss: Callable[[Prediction], Tensor]
    explicit: str  # the call with every default written out
    is_whole: bool  # a loss by itself; otherwise a term to add to one
    takes_logits: bool = False  # the classic form, compute_loss(logits, targets)
    source: Source | None = None  # where it came from a file
    weight: float = 1.0

    @property
    def name(self) -> str:
        return self.source.path if self.source else self.explicit


def load(call: formula.Call, files: Mapping[str, str] | None = None) -> Term:
    """Execute the file that `call`, such as `file("my_loss.py", name="margin", power=2)`, names, and take its function.

    Raises:
        LossError: for a file that cannot be read or fails, or that defines no such function of the right arguments.
    """
    source, values = read(call, files), dict(call.keywords)
    path = source.path
    module = types.ModuleType(Path(path).stem)
    try:
        exec(compile(source.text, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise LossError(_where(path, error)) from None
    own = {name: f for name, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__}
    name = values.pop("name", None) or next((n for n in (module.__name__, "compute_loss") if n in own), None)
    public = [n for n in own if not n.startswith("_")]
    if name is None and len(public) == 1:
        name = public[0]
    if name is None or name not in own:
        if not public:
            raise LossError(f"{path} defines no function; a loss file holds one function of (prediction, *, ...)")
        asked = f"has no function {name!r}{nearest(str(name), own)}" if name else "has several functions"
        raise LossError(f"{path} {asked}; it defines {', '.join(public)}: name one as {path}:NAME")
    function = own[name]
    parameters = inspect.signature(function).parameters.values()
    required = [p for p in parameters if p.default is p.empty and p.kind is not p.KEYWORD_ONLY]
    if len(required) not in (1, 2):
        raise LossError(
            f"{path}:{name} takes {', '.join(p.name for p in required) or 'no positional argument'}; a loss is a "
            "function of (prediction, *, ...) or (logits, targets)"
        )
    takes_logits = len(required) == 2
    hyper = formula.Call(f"{path}:{name}", (), tuple(values.items()))
    loss = partial(function, **formula.bind(function, hyper, skip=len(required)))
    guarded = partial(_guarded, path, partial(_classic, path, loss) if takes_logits else loss)
    explicit, role = formula.explicit(function, hyper, skip=len(required)), getattr(module, "ROLE", "whole")
    return Term(guarded, explicit, role == "whole", takes_logits, source)


def _where(path: str, error: Exception) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    line = lines[-1] if lines else getattr(error, "lineno", None)
    return f"{path} failed{f' at line {line}' if line else ''}: {type(error).__name__}: {error}"


def _guarded(path: str, loss: Callable, prediction: Prediction) -> Tensor:
    try:
        return loss(prediction)
    except LossError:
        raise
    except (Exception, SystemExit) as error:  # a file may raise anything; its line is what helps
        raise LossError(_where(path, error)) from None


def _classic(path: str, loss: Callable, prediction: Prediction) -> Tensor:
    """Call `compute_loss(logits, targets)` with `[batch, seq, vocab]` and `[batch, seq]`, valid tokens only."""
    logits, targets, valid = prediction.logits, prediction.targets, prediction.valid
    if not bool(valid.any()):
        return logits.sum(-1)  # there is nothing to call it with; what is masked counts 0
    if not bool(valid.all()):
        value = loss(logits[valid][None].contiguous(), targets[valid][None].contiguous())
        if not torch.is_tensor(value) or value.dim() == 0:
            return value
        if value.numel() != valid.sum():
            raise LossError(
                f"{path} returned shape {list(value.shape)} for targets of shape {[1, int(valid.sum())]}; a loss gives "
                "one number per token, or their mean"
            )
        return torch.zeros_like(targets, dtype=value.dtype).masked_scatter(valid, value.reshape(-1))
    lead = (1,) * (2 - targets.dim())
    return loss(logits.contiguous().view(*lead, *logits.shape), targets.contiguous().view(*lead, *targets.shape))
