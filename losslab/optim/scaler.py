"""The factor that keeps gradients within the range of float16."""

from collections.abc import Iterable

import torch
from torch import Tensor

FIRST, LARGEST, SMALLEST = 2.0**16, 2.0**24, 2.0**-10  # powers of two, so that to multiply and divide changes no digit
PATIENCE = 2000  # updates without an overflow, after which a factor twice as large is tried


class Scaler:
    """Dynamic loss scaling (Micikevicius et al., Mixed precision training, 2018, arXiv:1710.03740).

    The objective is multiplied by `scale` before the backward pass, and its gradients are divided by it before they
    are used. An update whose gradient is not finite is left out and the factor halved; after 2,000 updates without one
    it is doubled. In another precision than float16 it is 1 and changes nothing.

    The same rule as `torch.amp.GradScaler`, whose judgement of single tensors does not know of ranks: here all of them
    see the one norm of the whole gradient.

    Args:
        dtype: of the matrix products.
    """

    def __init__(self, dtype: str):
        self.is_used = dtype == "float16"
        self.scale = FIRST if self.is_used else 1.0
        self.good_steps = 0  # since the factor changed
        self.skipped = 0  # updates so far

    @torch.no_grad()
    def unscale(self, parameters: Iterable[Tensor]) -> None:
        """Divide the gradients by the factor."""
        if self.is_used:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(1 / self.scale)

    def allows(self, is_finite: bool) -> bool:
        """Whether an update is made, by whether its gradient is finite; the factor follows.

        True for one that cannot be helped, as its caller sees: with another precision, or the smallest factor.
        """
        if not self.is_used or (not is_finite and self.scale <= SMALLEST):
            return True
        self.good_steps = self.good_steps + 1 if is_finite else 0
        if not is_finite:
            self.scale /= 2
            self.skipped += 1
        elif self.good_steps == PATIENCE:
            self.scale, self.good_steps = min(LARGEST, self.scale * 2), 0
        return is_finite

    @property
    def state(self) -> dict[str, float]:
        """What a checkpoint keeps; empty where it is not used."""
        return {"scale": self.scale, "good_steps": self.good_steps, "skipped": self.skipped} if self.is_used else {}

    @state.setter
    def state(self, saved: dict[str, float]) -> None:
        if self.is_used and saved:
            self.scale, self.good_steps, self.skipped = saved["scale"], saved["good_steps"], saved["skipped"]
