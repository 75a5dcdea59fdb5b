"""What is tried before a test is spent: that a file is a loss, computed in a jail on invented logits."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from losslab.arena.jail import Ended, Failed, Jail
from losslab.arena.jailed import belongs, digest
from losslab.config import IGNORE_INDEX

ROWS, SEQ = 4, 16  # of the invented micro-batch
OTHERS = 24  # calls with other numbers, after which the first is repeated
SCALES = (0.1, 3.0)  # standard deviation of logits: of an untrained model, of a trained one
CLOSE = 1e-4  # of the largest gradient: what another order of summing may move
REPEATS = 7


def check(jail: Jail, fresh: Callable[[], Jail], seed: int, gradient: str) -> dict[str, str]:
    """Try a loss; what was shown, a sentence for each.

    Args:
        jail: with room for `ROWS` sequences of `SEQ` tokens.
        fresh: starts another with the same submission.
        seed: of the invented numbers, which the submission cannot know.
        gradient: as in `Challenge`.

    Raises:
        Ended: for the first thing that a loss does not do.
    """
    try:
        return _checked(jail, fresh, Invented(jail.layout.vocab_size, seed), gradient)
    except Failed as error:
        raise Ended("refused", error.reason) from None


def _checked(jail: Jail, fresh: Callable[[], Jail], invented: "Invented", gradient: str) -> dict[str, str]:
    told = {}
    for scale in SCALES:
        logits, targets = invented.batch(scale)
        losses, given = jail(logits, targets)
        _finite(losses, given, scale)
        first = digest(losses, given)
        if digest(*jail(logits, targets)) != first:
            _refuse("gives other numbers for the same logits and targets; a loss is a function of them alone")
        told["same numbers twice"] = "yes"
        if gradient != "any" and not belongs(jail, logits, targets, losses, given, invented.rng):
            _refuse("has a gradient that is not that of its losses, by finite differences (a challenge with gradient = "
                    '"any" takes losses that stop gradients)')
        told["gradient of the losses"] = "yes" if gradient != "any" else "not asked"
        _permuted(jail, logits, targets, losses, given, invented)
        told["order of the batch"] = "does not matter"
        _causal(jail, logits, targets, losses, given, invented)
        told["later tokens"] = "move nothing earlier"
        _masked(jail, logits, targets)
        told["masked targets"] = "cost nothing"
    for _ in range(OTHERS):
        jail(*invented.batch(1.0))
    if digest(*jail(logits, targets)) != first:
        _refuse("gives other numbers after other calls; it keeps something from call to call")
    with fresh() as other:
        if digest(*other(logits, targets)) != first:
            _refuse("gives other numbers in a fresh process; it depends on the history of its process")
    told["history of the process"] = "does not matter"
    return told


class Invented:
    """Logits and targets that nobody trained."""

    def __init__(self, vocab_size: int, seed: int, rows: int = ROWS, seq: int = SEQ):
        import random

        self.rng = random.Random(seed)
        self.generator = torch.Generator().manual_seed(self.rng.getrandbits(62))
        self.shape, self.vocab_size = (rows, seq), vocab_size

    def batch(self, scale: float) -> tuple[Tensor, Tensor]:
        logits = scale * torch.randn(*self.shape, self.vocab_size, generator=self.generator)
        return logits, torch.randint(self.vocab_size, self.shape, generator=self.generator)


def _refuse(what: str):
    raise Ended("refused", f"the loss {what}")


def _finite(losses: Tensor, gradient: Tensor, scale: float) -> None:
    for name, found in (("value", losses), ("gradient", gradient)):
        if not bool(found.isfinite().all()):
            _refuse(f"has a {name} that is not finite on logits of standard deviation {scale:g}; look for log(0), 0/0 "
                    "or exp of a large number")
    if not bool(gradient.any()):
        _refuse(f"has a gradient of exactly zero on logits of standard deviation {scale:g}")


def _permuted(jail: Jail, logits: Tensor, targets: Tensor, losses: Tensor, gradient: Tensor, invented: Invented):
    order = torch.randperm(len(targets), generator=invented.generator)
    moved, turned = jail(logits[order], targets[order])
    if not (_close(moved, losses[order]) and _close(turned, gradient[order])):
        _refuse("gives a sequence other numbers where the sequences of a batch stand in another order")


def _causal(jail: Jail, logits: Tensor, targets: Tensor, losses: Tensor, gradient: Tensor, invented: Invented):
    """What comes after a token moves neither its loss nor its gradient.

    A loss that is one number for all tokens has no loss of a token, so that its gradient alone is looked at.
    """
    others, came = invented.batch(1.0)
    has_rows = bool((losses != losses.flatten()[0]).any())
    for last in (0, targets.shape[1] // 2, targets.shape[1] - 2):
        changed, later = logits.clone(), targets.clone()
        changed[:, last + 1:], later[:, last + 1:] = others[:, last + 1:], came[:, last + 1:]
        moved, turned = jail(changed, later)
        if not _close(turned[:, : last + 1], gradient[:, : last + 1]) or (
                has_rows and not _close(moved[:, : last + 1], losses[:, : last + 1])):
            _refuse("is not causal: other logits and tokens later in a sequence change what an earlier token is told")


def _masked(jail: Jail, logits: Tensor, targets: Tensor) -> None:
    some = targets.clone()
    some[:, ::3] = IGNORE_INDEX
    losses, gradient = jail(logits, some)
    if not bool(losses.isfinite().all() and gradient.isfinite().all()) or bool(gradient[:, ::3].any()):
        _refuse("gives a gradient, or no finite number, where a target does not count")


def _close(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= CLOSE * expected.abs().max())


# --- what it costs and does --------------------------------------------------------------------

def seconds(jails: list[Jail], rows: int, seq: int, seed: int) -> list[float]:
    """Of a call of each, the best of several in turn; what other processes take from this one only ever adds."""
    invented = Invented(jails[0].layout.vocab_size, seed, rows, seq)
    logits, targets = invented.batch(1.0)
    best = [float("inf")] * len(jails)
    for _ in range(REPEATS + 1):
        for place, jail in enumerate(jails):
            started = time.perf_counter()
            jail(logits, targets)
            best[place] = min(best[place], time.perf_counter() - started)
    return best


def anatomy(jail: Jail, seed: int) -> dict[str, float]:
    """How the gradient of a loss is related to that of cross-entropy, on logits of a trained model's size."""
    logits, targets = Invented(jail.layout.vocab_size, seed).batch(SCALES[1])
    losses, gradient = jail(logits, targets)
    plain = torch.softmax(logits, -1)
    plain.scatter_add_(-1, targets.unsqueeze(-1), -torch.ones(*targets.shape, 1))
    lengths = gradient.norm(dim=-1), plain.norm(dim=-1)
    cosine = (gradient * plain).sum(-1) / (lengths[0] * lengths[1]).clamp_min(1e-20)
    return {"loss": float(losses.mean()), "gradient_ratio": float((lengths[0] / lengths[1]).median()),
            "gradient_cosine": float(cosine.median())}
