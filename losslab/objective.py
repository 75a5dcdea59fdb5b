"""A formula over losses: what training descends, and the name it goes by everywhere."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from losslab import formula, lossfile
from losslab.config import IGNORE_INDEX
from losslab.lossfile import LossError, Source
from losslab.prediction import Prediction

# stands for the vectors of any corpus while parameters are checked, on four tokens
ANY_VOCABULARY = {"unigram": torch.full((4,), 0.25), "prefix_of": torch.full((4,), -1)}
TRIED = 9, 11  # sequences and tokens that an objective is tried on: a loss that keeps 3 or 8 rows of a batch is found
MAX_VOCAB_SIZE = 2**31 - 1  # matrix libraries and GPU tiles count columns in int32


@dataclass(frozen=True)
class Term:
    weight: float
    loss: Callable[[Prediction], Tensor]
    explicit: str  # the call with every default written out, and for a file the hash of its source
    is_whole: bool  # a loss by itself; otherwise a term to add to one
    takes_logits: bool  # the classic form, compute_loss(logits, targets)
    source: Source | None = None
    call: str = ""  # of a file: its function, with every default written out


@dataclass(frozen=True)
class Outline:
    """What is known of an objective without running any loss file: its names, and the texts of its files."""

    text: str
    transform_text: str
    explicit: str
    sources: tuple[Source, ...] = ()

    @classmethod
    def of(cls, parsed: formula.Formula, sources: Sequence[Source], said: Sequence[str]) -> "Outline":
        """The outline of a formula whose files were tried elsewhere.

        Args:
            parsed: the formula.
            sources: its files, in the order of its terms.
            said: what the process that tried them says of each: its function, with every default written out.
        """
        files = iter(zip(sources, said, strict=True))
        calls = [_of_file(*next(files)) if call.name == "file" else
                 formula.explicit(formula.load("losslab.losses", call.name), call) for _, call in parsed.terms]
        return cls(label(parsed), _transform_text(parsed), _explicit(parsed, calls), tuple(sources))

    def __str__(self) -> str:
        return self.text


class Objective:
    """A weighted sum of losses over transformed logits, as its formula says."""

    def __init__(self, parsed: formula.Formula, files: Mapping[str, str] | None = None):
        """The objective of a formula; its loss files are executed.

        Args:
            parsed: the formula.
            files: source text of loss files by the path that the formula gives them; others are read from disk.
        """
        self.parsed, self.text, self.transform_text = parsed, label(parsed), _transform_text(parsed)
        self.transforms = formula.transforms(self.transform_text)
        for transform in self.transforms:
            transform(torch.zeros(1))  # a parameter out of range speaks up here
        self.terms = tuple(_term(weight, call, files or {}) for weight, call in parsed.terms)
        if not any(term.is_whole for term in self.terms):
            raise ValueError(f"{self.text!r} has no whole loss to descend, only terms; write cross_entropy + 1e-4*"
                             f"{parsed}")
        self.scored_alone: bool | None = None  # `check` finds out

    @classmethod
    def parse(cls, text: str, files: Mapping[str, str] | None = None) -> "Objective":
        """The objective that `text` writes.

        Args:
            text: such as `"softcap(15) | cross_entropy + 1e-4*z_loss"`, or the path of a loss file, which is executed.
            files: source text of loss files by the path that the formula gives them; others are read from disk.

        Raises:
            ValueError: for a formula that cannot be read, an unknown name or parameter, or a bad file.

        Example:
            >>> str(Objective.parse("label_smoothing(0.2)+ 0.1*z_loss"))
            'label_smoothing(0.2) + 0.1*z_loss'
        """
        return cls(formula.parse(text), files)

    def __str__(self) -> str:
        return self.text

    @property
    def explicit(self) -> str:
        """What identifies the objective: every default written out, every file by its hash."""
        return _explicit(self.parsed, [term.explicit for term in self.terms])

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(term.source for term in self.terms if term.source)

    @property
    def outline(self) -> Outline:
        return Outline(self.text, self.transform_text, self.explicit, self.sources)

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
        logits = 0.1 * torch.randn(*TRIED, vocab_size, generator=generator)
        targets = torch.randint(vocab_size, TRIED, generator=generator)
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
        self.scored_alone = not self.takes_logits and self._scores_alone(vocab_size, vocabulary, logits.device)
        return self.scored_alone

    @torch.no_grad()
    def _scores_alone(self, vocab_size: int, vocabulary: Mapping[str, Tensor] | None, device: torch.device) -> bool:
        """Whether the middle column of `[2, 3, vocab]` logits costs the same without its neighbors.

        Compared in float64 to 1e-12, so that a neighbor is seen however little it counts: behind a soft-cap, or in a
        large vocabulary, the weights of `mile` differ by less than float32 can tell. A file that cannot compute in
        float64, or does not, is compared in its own precision.
        """
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(2, 3, vocab_size, generator=generator, dtype=torch.float64)
        targets = torch.arange(6).view(2, 3) % vocab_size
        # what stands in the batch is made likely everywhere, so that a loss cannot overlook its neighbors
        logits[..., targets.flatten()] += math.log(vocab_size)
        targets = targets.to(device)
        for dtype in (torch.float64, torch.float32)[device.type == "mps":]:  # which has no float64
            given = logits.to(device, dtype)
            try:
                whole, alone = self(given, targets, vocabulary), self(given[:, 1:2], targets[:, 1:2], vocabulary)
            except LossError:
                continue
            close = 1e-12 if whole.dtype == torch.float64 else 1e-6
            return torch.allclose(alone, whole[:, 1:2], rtol=close, atol=close * float(whole.abs().max()))
        return False


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


# --- names ---------------------------------------------------------------------------------------

def label(parsed: formula.Formula) -> str:
    """How a formula is printed; a single file by its path, as `my_loss.py:margin`."""
    match parsed:
        case formula.Formula(((1.0, formula.Call("file", (str(path),), keywords)),), ()):
            text = f"{path}:{keywords[0][1]}" if [key for key, _ in keywords] == ["name"] else path
            if (not keywords or text != path) and formula.PATH.match(text):
                return text
    return str(parsed)


def _transform_text(parsed: formula.Formula) -> str:
    """The transforms alone, in the words of the formula: they belong to the model."""
    return " | ".join(map(str, parsed.transforms))


def _explicit(parsed: formula.Formula, calls: Sequence[str]) -> str:
    transforms = [formula.explicit(formula.load("losslab.transforms", call.name), call) for call in parsed.transforms]
    weights = [weight for weight, _ in parsed.terms]
    terms = " + ".join(f"{weight!r}*{call}" for weight, call in zip(weights, calls, strict=True))
    return " | ".join([*transforms, terms])


def _of_file(source: Source, call: str) -> str:
    return f"file({source.sha256}, {call})"


# --- from names to functions -------------------------------------------------------------------

def _term(weight: float, call: formula.Call, files: Mapping[str, str]) -> Term:
    if call.name == "file":
        found = lossfile.load(call, files)
        explicit = _of_file(found.source, found.explicit)
        return Term(weight, found.loss, explicit, found.is_whole, found.takes_logits, found.source,
                    found.explicit)
    function = formula.load("losslab.losses", call.name)
    values = formula.bind(function, call)
    role = getattr(sys.modules[function.__module__], "ROLE", "whole")
    loss = partial(function, **values)
    if "losslab.losses" in function.__module__:
        loss(Prediction.dense(torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.long), ANY_VOCABULARY))  # range check
    return Term(weight, loss, formula.explicit(function, call), role == "whole", False)


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
