"""A formula over losses: what training descends, and the name it goes by everywhere."""

import hashlib
import inspect
import math
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from losslab import formula
from losslab.config import IGNORE_INDEX, nearest
from losslab.prediction import Prediction

# stands for the vectors of any corpus while parameters are checked, on four tokens
ANY_VOCABULARY = {"unigram": torch.full((4,), 0.25), "prefix_of": torch.full((4,), -1)}
MAX_VOCAB_SIZE = 2**31 - 1  # matrix libraries and GPU tiles count columns in int32


class LossError(ValueError):
    """A loss file that cannot be read, fails, or gives something that is not a loss."""


@dataclass(frozen=True)
class Source:
    """A loss file as it was read: the run keeps this text, so that an edit cannot change a run midway."""

    path: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Term:
    weight: float
    loss: Callable[[Prediction], Tensor]
    explicit: str  # the call with every default written out, and for a file the hash of its source
    is_whole: bool  # a loss by itself; otherwise a term to add to one
    takes_logits: bool  # the classic form, compute_loss(logits, targets)
    source: Source | None = None


class Objective:
    """A weighted sum of losses over transformed logits, as its formula says."""

    def __init__(self, text: str, parsed: formula.Formula, terms: tuple[Term, ...]):
        self.text, self.terms = text, terms
        # the transform alone, in the words of the formula: it belongs to the model
        self.transform_text = " | ".join(map(str, parsed.transforms))
        self.transforms = formula.transforms(self.transform_text)
        self.scored_alone: bool | None = None  # `check` finds out

    @classmethod
    def parse(cls, text: str, files: Mapping[str, str] | None = None) -> "Objective":
        """The objective that `text` writes.

        Args:
            text: such as `"softcap(15) | cross_entropy + 1e-4*z_loss"`, or the path of a loss file.
            files: source text of loss files by the path that the formula gives them; others are read from disk.

        Raises:
            ValueError: for a formula that cannot be read, an unknown name or parameter, or a bad file.

        Example:
            >>> str(Objective.parse("label_smoothing(0.2)+ 0.1*z_loss"))
            'label_smoothing(0.2) + 0.1*z_loss'
        """
        parsed = formula.parse(text)
        for transform in formula.transforms(" | ".join(map(str, parsed.transforms))):
            transform(torch.zeros(1))  # a parameter out of range speaks up here
        terms = tuple(_term(weight, call, files or {}) for weight, call in parsed.terms)
        if not any(term.is_whole for term in terms):
            raise ValueError(f"{text!r} has no whole loss to descend, only terms; write cross_entropy + 1e-4*{parsed}")
        label = text.strip() if formula.PATH.match(text.strip()) else str(parsed)
        return cls(label, parsed, terms)

    def __str__(self) -> str:
        return self.text

    @property
    def explicit(self) -> str:
        """What identifies the objective: every default written out, every file by its hash."""
        calls = formula.parse_transforms(self.transform_text)
        transforms = [formula.explicit(f.func, call) for f, call in zip(self.transforms, calls, strict=True)]
        return " | ".join([*transforms, " + ".join(f"{t.weight!r}*{t.explicit}" for t in self.terms)])

    @property
    def sources(self) -> list[Source]:
        return [term.source for term in self.terms if term.source]

    @property
    def takes_logits(self) -> bool:
        """Whether a classic loss is in it, which wants one whole micro-batch of logits."""
        return any(term.takes_logits for term in self.terms)

    def transform(self, logits: Tensor) -> Tensor:
        """Raw logits `[..., vocab]` in, float32 (or float64) transformed logits out."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        for transform in self.transforms:
            logits = transform(logits)
        return logits

    def losses(self, prediction: Prediction) -> Tensor:
        """`[...]`, the weighted sum for each token; 0 where the target does not count."""
        total = sum(term.weight * _per_token(term, prediction) for term in self.terms)
        # where, not a product: a masked token may be infinite, and 0 * inf is nan
        return torch.where(prediction.valid, total, 0.0)

    def __call__(self, logits: Tensor, targets: Tensor, vocabulary: Mapping[str, Tensor] | None = None) -> Tensor:
        """The dense way: raw logits `[..., vocab]` and targets `[...]` in, one number a token out."""
        check_targets(targets, logits.shape[-1])
        masked = targets == IGNORE_INDEX
        if bool(masked.any()):  # before anything is computed: the derivative of a nan is nan, whatever multiplies it
            logits = logits.masked_fill(masked.unsqueeze(-1), 0.0)
        return self.losses(Prediction.dense(self.transform(logits), targets, vocabulary))

    def check(
        self, vocab_size: int, vocabulary: Mapping[str, Tensor] | None = None, device: str | torch.device = "cpu"
    ) -> bool:
        """Try the objective on the logits of an untrained model, before anything is spent on training.

        Returns:
            whether each token is scored alone, so that a batch may be cut into pieces.

        Raises:
            LossError: if a loss gives nan, the wrong shape, or nothing to differentiate.
        """
        generator = torch.Generator().manual_seed(0)
        logits = 0.1 * torch.randn(2, 3, vocab_size, generator=generator)
        targets = torch.randint(vocab_size, (2, 3), generator=generator)
        logits, targets = logits.to(device), targets.to(device)  # where the vectors of the vocabulary are
        raw = logits.requires_grad_()
        value = self(raw, targets, vocabulary)
        if not bool(value.isfinite().all()):
            bad = value[~value.isfinite()][0].item()
            raise LossError(f"{self} gives {bad} on the logits of an untrained model; check it for log(0) or 0/0")
        if not value.requires_grad:
            raise LossError(f"{self} gives no gradient: nothing it returns depends on the logits differentiably")
        (gradient,) = torch.autograd.grad(value.sum(), raw, allow_unused=True, materialize_grads=True)
        if not bool(gradient.isfinite().all()):
            raise LossError(f"{self} has a gradient that is not finite on the logits of an untrained model")
        if not bool(gradient.any()):
            raise LossError(f"{self} has a gradient of exactly zero on the logits of an untrained model")
        self.scored_alone = not self.takes_logits and self._scores_alone(logits.detach(), vocabulary)
        return self.scored_alone

    @torch.no_grad()
    def _scores_alone(self, logits: Tensor, vocabulary: Mapping[str, Tensor] | None) -> bool:
        """Whether the middle column of `[2, 3, vocab]` logits costs the same without its neighbors."""
        vocab_size = logits.shape[-1]
        targets = torch.arange(6, device=logits.device).view(2, 3) % vocab_size
        # what stands in the batch is made likely everywhere, so that a loss cannot overlook its neighbors
        likely = logits.clone()
        likely[..., targets.flatten()] += math.log(vocab_size)
        whole, alone = self(likely, targets, vocabulary), self(likely[:, 1:2], targets[:, 1:2], vocabulary)
        return torch.allclose(alone, whole[:, 1:2], rtol=1e-5, atol=1e-7)


def check_targets(targets: Tensor, vocab_size: int) -> None:
    """There are targets, and every one is an id of the vocabulary or `IGNORE_INDEX`."""
    if targets.dtype != torch.int64:
        raise ValueError(f"targets are {targets.dtype}; token ids are int64, as targets.long() makes them")
    if targets.numel() == 0:
        raise ValueError(f"targets {list(targets.shape)} holds no tokens; leave empty batches out")
    if vocab_size > MAX_VOCAB_SIZE:
        raise ValueError(
            f"a vocabulary of {vocab_size:,} is more than the int32 columns of a tile can count; the largest is "
            f"{MAX_VOCAB_SIZE:,}"
        )
    wrong = ((targets < 0) & (targets != IGNORE_INDEX)) | (targets >= vocab_size)
    if bool(wrong.any()):
        raise ValueError(
            f"targets has id {targets[wrong][0].item()}, but vocab_size is {vocab_size}; was this corpus tokenized "
            "with another vocabulary?"
        )


# --- from names to functions -------------------------------------------------------------------

def _term(weight: float, call: formula.Call, files: Mapping[str, str]) -> Term:
    if call.name == "file":
        return _file_term(weight, call, files)
    function = formula.load("losslab.losses", call.name)
    values = formula.bind(function, call)
    role = getattr(sys.modules[function.__module__], "ROLE", "whole")
    loss = partial(function, **values)
    if "losslab.losses" in function.__module__:
        loss(Prediction.dense(torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.long), ANY_VOCABULARY))  # range check
    return Term(weight, loss, formula.explicit(function, call), role == "whole", False)


def _file_term(weight: float, call: formula.Call, files: Mapping[str, str]) -> Term:
    if not call.positional:
        raise ValueError(f'{call} names no file; write file("my_loss.py")')
    path, values = str(call.positional[0]), dict(call.keywords)
    source = Source(path, files[path] if path in files else _read(path))
    module = types.ModuleType(Path(path).stem)
    try:
        exec(compile(source.text, path, "exec"), module.__dict__)  # the one place that runs a user's file
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
        asked = f"has no function {name!r}{nearest(name, own)}" if name else "has several functions"
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
    identity = f"file({source.sha256}, {formula.explicit(function, hyper, skip=len(required))})"
    return Term(weight, guarded, identity, getattr(module, "ROLE", "whole") == "whole", takes_logits, source)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LossError(f"there is no loss file {path}; give its path from the current folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LossError(f"cannot read the loss file {path}: {error}") from None


def _where(path: str, error: Exception) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    line = lines[-1] if lines else getattr(error, "lineno", None)
    return f"{path} failed{f' at line {line}' if line else ''}: {type(error).__name__}: {error}"


def _guarded(path: str, loss: Callable, prediction: Prediction) -> Tensor:
    try:
        return loss(prediction)
    except LossError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's file may raise anything; its line is what helps
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


def _per_token(term: Term, prediction: Prediction) -> Tensor:
    value, shape = term.loss(prediction), prediction.targets.shape
    if not torch.is_tensor(value):
        name = term.source.path if term.source else term.explicit
        raise LossError(f"{name} returned {type(value).__name__}, not a tensor; a loss gives one number per token")
    if term.takes_logits and value.dim() == 0:
        return value.expand(shape)  # a scalar is the mean over the valid tokens
    if term.takes_logits and value.numel() == shape.numel():
        return value.reshape(shape)
    if value.shape != shape:
        raise LossError(
            f"{term.source.path if term.source else term.explicit} returned shape {list(value.shape)} for targets of "
            f"shape {list(shape)}; a loss gives one number per token and leaves the reduction to the training loop"
        )
    return value
