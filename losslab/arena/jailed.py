"""An objective whose loss and gradient come from a jail, as the training loop takes it; and what the host checks of it.

The loop, the model, the optimizer and the data know nothing of jails: the logits leave here, and numbers come back.
"""

import hashlib
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from losslab import formula
from losslab.arena.jail import Ended, Jail, Submission
from losslab.config import IGNORE_INDEX
from losslab.lossfile import Source
from losslab.objective import Outline

SHARE, LEAST = 0.02, 50  # of the calls, those that are repeated in a fresh jail
DIFFERENCES = 12  # calls of a run on which the gradient is held against the losses
STEPS = (0.03, 0.003)  # of finite differences: how far the logits of a token are moved
CLOSE = 0.05  # of what the gradient could do at most, that finite differences may be away from what it says
MOST_KEPT = 2_000_000_000  # bytes of calls that wait to be repeated


class Jailed(Outline):
    """The objective of a formula whose losses are computed elsewhere; its logit transforms are applied here.

    Args:
        parsed: the formula.
        sources: its loss files, read and not run.
        score: `(logits, targets)` -> the loss of each token, and the gradient of their sum by the logits.
    """

    takes_logits = True  # it is given one whole micro-batch
    scored_alone = False

    def __init__(self, parsed: formula.Formula, sources: Sequence[Source], score: Callable):
        super().__init__(parsed, sources, ["in a jail"] * len(sources))
        self.score = score
        self.asked: dict = {}

    @property
    def explicit(self) -> str:
        """Another condition than the same formula without a jail: numbers are rounded on the way."""
        return f"in a jail: {super().explicit}"

    def transform(self, logits: Tensor) -> Tensor:
        """Raw logits `[..., vocab]` in, float32 transformed logits out."""
        return formula.transformed(logits, self.transforms)

    def dense(self, logits: Tensor, targets: Tensor, vocabulary: Mapping | None, num_valid: int) -> Tensor:
        """Raw logits `[rows, seq, vocab]` and targets `[rows, seq]` in, one value per token out."""
        return _FromJail.apply(self.transform(logits).float(), targets, self.score)


def submission(parsed: formula.Formula, sources: Sequence[Source]) -> Submission:
    """What is computed in the jail: the terms of a formula, without its transforms."""
    return Submission(str(formula.Formula(parsed.terms, ())), {source.path: source.text for source in sources})


class _FromJail(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor, score: Callable) -> Tensor:
        losses, gradient = score(logits, targets)
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    def backward(ctx, by_losses: Tensor):
        (gradient,) = ctx.saved_tensors
        scale = by_losses.flatten()[0]
        assert bool((by_losses == scale).all()), "the gradient is that of the sum, so each token must count the same"
        return gradient * scale, None, None


class Referee:
    """Passes on the calls of one run, and holds against each other what comes back.

    Args:
        jail: that computes them.
        fresh: starts another jail with the same submission, and does not wait for it.
        num_calls: how many there will be, about.
        folder: for calls that wait to be repeated; out of reach of the jail.
        gradient: `of the loss`, or `any` for losses that stop gradients on purpose.
        rng: what the submission cannot foresee.
    """

    def __init__(self, jail: Jail, fresh: Callable[[], Jail], num_calls: int, folder: Path,
                 gradient: str = "of the loss", rng: random.Random | None = None):
        self.jail, self.fresh, self.folder, self.gradient = jail, fresh, folder, gradient
        self.rng = rng or secrets.SystemRandom()
        many = min(num_calls, max(LEAST, round(SHARE * num_calls)))
        self.sampled = set(self.rng.sample(range(num_calls), many))
        self.held = set(self.rng.sample(range(num_calls), min(num_calls, DIFFERENCES)))
        self.calls = self.repeated = self.differences = 0
        self.tiers = {jail.tier}  # of every jail of the run
        self.last, self.ahead = num_calls - 1, None  # the jail that will repeat them starts while the rest is done
        self.kept: list[tuple[int, Path, str]] = []  # number of a call, its input, digest of what it gave
        self.bytes = 0

    def __call__(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As `Jail`, with zeros where a target does not count.

        Raises:
            Ended: for a call that fails, or a gradient that is not that of the losses.
        """
        number = self.calls
        self.calls += 1
        if number == self.last:
            self.ahead = self.fresh()
        losses, gradient = self.jail(logits, targets)
        if number in self.sampled:
            self._keep(number, logits, targets, digest(losses, gradient))
        masked = targets == IGNORE_INDEX
        losses, gradient = losses.masked_fill(masked, 0.0), gradient.masked_fill(masked.unsqueeze(-1), 0.0)
        if number in self.held and self.gradient != "any":
            self.differences += 1
            if not belongs(self._kept_too, logits, targets, losses, gradient, self.rng):
                raise Ended("disqualified", f"in call {number + 1} its gradient is not that of its losses: finite "
                                            "differences give another one")
        return losses, gradient

    def finish(self) -> None:
        """Repeat the rest of the sampled calls.

        Raises:
            Ended: for one that gives other numbers in a fresh jail.
        """
        if not self.kept:
            return
        self.rng.shuffle(self.kept)
        ahead, self.ahead = self.ahead, None
        with ahead or self.fresh() as jail:
            self.tiers.add(jail.tier)
            for number, place, before in self.kept:
                with np.load(place) as saved:
                    logits, targets = torch.from_numpy(saved["logits"]), torch.from_numpy(saved["targets"])
                try:
                    after = digest(*jail(logits, targets))
                except Ended as error:
                    raise Ended("disqualified", f"call {number + 1}, repeated in a fresh jail: {error.reason}"
                                ) from None
                if after != before:
                    raise Ended("disqualified", f"call {number + 1} gives other numbers in a fresh jail: it is not a "
                                                "function of logits and targets alone")
                self.repeated += 1
                place.unlink()
        self.kept, self.bytes = [], 0

    def close(self) -> None:
        """End what was started."""
        self.jail.close()
        if self.ahead is not None:
            self.ahead.close()

    def _kept_too(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A call next to those of the training, repeated like them: it must be answered as if it were one."""
        found = self.jail(logits, targets)
        self._keep(self.calls - 1, logits, targets, digest(*found))
        return found

    def _keep(self, number: int, logits: Tensor, targets: Tensor, found: str) -> None:
        if self.bytes > MOST_KEPT:
            self.finish()
        place = self.folder / f"kept-{self.repeated + len(self.kept)}.npz"
        np.savez(place, logits=logits.detach().cpu().numpy(), targets=targets.cpu().numpy())
        self.bytes += logits.numel() * 4
        self.kept.append((number, place, found))


def digest(*tensors: Tensor) -> str:
    """Names exactly these numbers, bit for bit."""
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(np.ascontiguousarray(tensor.cpu().numpy()))
    return sha.hexdigest()


def belongs(score: Callable, logits: Tensor, targets: Tensor, losses: Tensor, gradient: Tensor,
            rng: random.Random) -> bool:
    """Whether a gradient is that of the sum of the losses, along one direction, by central differences.

    The direction of each token is half its gradient's own and half a random one: the first shows a gradient of another
    length, the second one that is turned. What is not finite is left to the training loop, which calls it divergence.

    Args:
        score: `(logits, targets)` -> losses and gradient.
        logits: `[rows, seq, vocab]`.
        targets: `[rows, seq]`.
        losses: of these logits, `[rows, seq]`.
        gradient: said to be that of their sum.
        rng: for the direction.
    """
    if not bool(losses.isfinite().all() and gradient.isfinite().all()):
        return True
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    turned = torch.randn(logits.shape, generator=generator).to(logits.device)
    way = _unit(gradient.float()) + _unit(turned)
    way = _unit(way).masked_fill((targets == IGNORE_INDEX).unsqueeze(-1), 0.0)
    valid = targets != IGNORE_INDEX
    said = float((gradient.double() * way).sum())
    most = float(gradient.double().norm(dim=-1).sum())
    rounding = 1e-7 * float(losses.double().abs().sum() + valid.sum())
    for step in STEPS:
        up, down = (score(logits + sign * step * way, targets)[0].double()[valid].sum() for sign in (1, -1))
        found = float(up - down) / (2 * step)
        if abs(found - said) <= CLOSE * most + rounding / step:
            return True
    return False


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-20)
