"""A formula over losses: what training descends, and the name it goes by everywhere."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from losslab import formula, lossfile
from losslab.config import IGNORE_INDEX
from losslab.lossfile import LossError, Source, Term
from losslab.prediction import Prediction

# stands for the vectors of any corpus while parameters are checked, on four tokens
ANY_VOCABULARY = {"unigram": torch.full((4,), 0.25), "prefix_of": torch.full((4,), -1)}
TRIED = 9, 11  # sequences and tokens on which an objective is tried: a loss that cuts off the first 3 or 8 is found out
MAX_VOCAB_SIZE = 2**31 - 1  # matrix libraries and GPU tiles count columns in int32


class Outline:
    """What is known of an objective without running any loss file: its names, its transforms, the texts of its files.

    Args:
        parsed: the formula.
        sources: its files, in the order of its terms.
        said: of each file its function with every default written out, as the process that tried it says.

    Raises:
        ValueError: for a transform that is unknown or out of range.
    """

    def __init__(self, parsed: formula.Formula, sources: Sequence[Source] = (), said: Sequence[str] = ()):
        self.parsed, self.text, self.transforms = parsed, label(parsed), formula.bound(parsed.transforms)
        self.sources, self._said = tuple(sources), tuple(said)

    def __str__(self) -> str:
        return self.text

    @property
    def takes_logits(self) -> bool:
        """Whether a loss wants one whole micro-batch of logits, as far as is known before its file is executed."""
        return False

    @property
    def said(self) -> tuple[str, ...]:
        """Of each file its function with every default written out."""
        return self._said

    @property
    def transform_text(self) -> str:
        """The transforms alone, in the words of the formula: they belong to the model."""
        return formula.print_transforms(self.transforms)

    @property
    def explicit(self) -> str:
        """What identifies the objective: every default written out, every file by its hash."""
        files = iter(zip(self.sources, self._said, strict=True))
        terms = []
        for weight, call in self.parsed.terms:
            if call.name == "file":
                source, said = next(files)
                text = f"file({source.sha256}, {said})"
            else:
                text = formula.explicit(formula.load("losslab.losses", call.name), call)
            terms.append(f"{weight!r}*{text}")
        return " | ".join([*(each.explicit for each in self.transforms), " + ".join(terms)])


class Objective(Outline):
    """A weighted sum of losses over transformed logits, as its formula says; its loss files are executed.

    Args:
        parsed: the formula.
        files: source text of loss files by the path that the formula gives them; others are read from disk.
    """

    def __init__(self, parsed: formula.Formula, files: Mapping[str, str] | None = None):
        super().__init__(parsed)
        self.terms = tuple(replace(_term(call, files), weight=weight) for weight, call in parsed.terms)
        if not any(term.is_whole for term in self.terms):
            raise ValueError(f"{self.text!r} has no whole loss to descend, only terms; write cross_entropy + 1e-4*"
                             f"{parsed}")
        self.sources = tuple(term.source for term in self.terms if term.source)
        self._said = tuple(term.explicit for term in self.terms if term.source)
        self.scored_alone: bool | None = None  # `check` finds out
        self.asked: dict = {}  # what `fused` found out about its questions, by vocabulary

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

    @property
    def takes_logits(self) -> bool:
        """Whether a classic loss is in it, which wants one whole micro-batch of logits."""
        return any(term.takes_logits for term in self.terms)

    def transform(self, logits: Tensor) -> Tensor:
        """Raw logits `[..., vocab]` in, float32 (or float64) transformed logits out."""
        return formula.transformed(logits, self.transforms)

    def losses(self, prediction: Prediction) -> Tensor:
        """`[...]`, the weighted sum for each token; 0 where the target does not count."""
        total = sum(term.weight * _per_token(term, prediction) for term in self.terms)
        # where, not a product: a masked token may be infinite, and 0 * inf is nan
        return torch.where(prediction.valid, total, 0.0)

    def __call__(self, logits: Tensor, targets: Tensor, vocabulary: Mapping[str, Tensor] | None = None) -> Tensor:
        """The dense way: raw logits `[..., vocab]` and targets `[...]` in, one value per token out."""
        return self.dense(logits, targets, vocabulary, num_valid=check_targets(targets, logits.shape[-1]))

    def dense(self, logits: Tensor, targets: Tensor, vocabulary: Mapping[str, Tensor] | None, num_valid: int) -> Tensor:
        """The same for targets that were checked, of which at most `num_valid` count."""
        if num_valid < targets.numel():  # before anything is computed: the derivative of a nan is nan, whatever follows
            logits = logits.masked_fill((targets == IGNORE_INDEX).unsqueeze(-1), 0.0)
        return self.losses(Prediction.dense(self.transform(logits), targets, vocabulary))

    def check(
        self, vocab_size: int, vocabulary: Mapping[str, Tensor] | None = None, device: str | torch.device = "cpu"
    ) -> bool:
        """Try the objective on the logits of an untrained model, before anything is spent on training.

        Returns:
            whether the loss is token-wise independent, so that a batch may be cut into pieces.

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
        # targets are made likely everywhere, so that a dependence on the neighbors shows
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


def check_targets(targets: Tensor, vocab_size: int) -> int:
    """How many targets count, once it is certain that every one is an id of the vocabulary or `IGNORE_INDEX`.

    Where the targets are on a GPU, it is waited for once.

    Raises:
        ValueError: for another id or dtype, no targets at all, or a vocabulary that cannot be counted in int32.
    """
    if targets.dtype != torch.int64:
        raise ValueError(f"targets are {targets.dtype}; token ids are int64, as targets.long() makes them")
    if targets.numel() == 0:
        raise ValueError(f"targets {list(targets.shape)} holds no tokens; leave empty batches out")
    if vocab_size > MAX_VOCAB_SIZE:
        raise ValueError(
            f"a vocabulary of {vocab_size:,} is more than the int32 columns of a tile can count; the largest is "
            f"{MAX_VOCAB_SIZE:,}"
        )
    valid = (targets >= 0) & (targets < vocab_size)
    num_valid, num_wrong = torch.stack([valid.sum(), (~valid & (targets != IGNORE_INDEX)).sum()]).tolist()
    if num_wrong:
        wrong = targets[~valid & (targets != IGNORE_INDEX)][0].item()
        raise ValueError(
            f"targets has id {wrong}, but vocab_size is {vocab_size}; was this corpus tokenized with another "
            "vocabulary?"
        )
    return num_valid


# --- names ---------------------------------------------------------------------------------------

def label(parsed: formula.Formula) -> str:
    """How a formula is printed; a single file by its path, as `my_loss.py:margin`."""
    match parsed:
        case formula.Formula(((1.0, formula.Call("file", (str(path),), keywords)),), ()):
            text = f"{path}:{keywords[0][1]}" if [key for key, _ in keywords] == ["name"] else path
            if (not keywords or text != path) and formula.PATH.match(text):
                return text
    return str(parsed)


# --- from names to functions -------------------------------------------------------------------

def _term(call: formula.Call, files: Mapping[str, str] | None) -> Term:
    if call.name == "file":
        return lossfile.load(call, files)
    function = formula.load("losslab.losses", call.name)
    loss = partial(function, **formula.bind(function, call))
    loss(Prediction.dense(torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.long), ANY_VOCABULARY))  # range check
    role = getattr(sys.modules[function.__module__], "ROLE", "whole")
    return Term(loss, formula.explicit(function, call), role == "whole")


def _per_token(term: Term, prediction: Prediction) -> Tensor:
    value, shape = term.loss(prediction), prediction.targets.shape
    if not torch.is_tensor(value):
        raise LossError(f"{term.name} returned {type(value).__name__}, not a tensor; a loss gives one number per token")
    if term.takes_logits and value.dim() == 0:
        return value.expand(shape)  # a scalar is the mean over the valid tokens
    if term.takes_logits and value.numel() == shape.numel():
        return value.reshape(shape)
    if value.shape != shape:
        raise LossError(
            f"{term.name} returned shape {list(value.shape)} for targets of "
            f"shape {list(shape)}; a loss gives one number per token and leaves the reduction to the training loop"
        )
    return value
