"""Muon: momentum, orthogonalized by Newton-Schulz steps in the precision of the run.

Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024), https://kellerjordan.github.io/posts/muon.
`torch.optim.Muon` is the same method with its Newton-Schulz steps always in bfloat16, which is slow and coarse on a CPU
that has no products of that kind.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from losslab import parallel

COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the post: the steepest quintic at 0 whose iterates stay near 1
STEPS = 5
SMALLEST = 1e-7  # norm that is divided by: a gradient of zeros stays zeros
TOGETHER = 2**21  # numbers in one batch of matrices: many small ones share a product, large ones gain nothing by it


def orthogonalized(matrices: Tensor) -> Tensor:
    """`[..., rows, columns]`: each matrix `U S V'` with singular values near 1 in place of `S`, in its own dtype.

    Five steps `X <- a X + (b XX' + c (XX')^2) X` from `X / |X|`. Singular values above about 0.003 of the norm come to
    lie between 0.7 and 1.2; they do not converge to 1, which the post found to matter nothing.

    Example:
        >>> x = torch.tensor([[3.0, 0.0], [0.0, -0.5]], dtype=torch.float64)
        >>> [round(value, 2) for value in orthogonalized(x).diagonal().tolist()]
        [0.71, -1.04]
    """
    a, b, c = COEFFICIENTS
    rows, columns = matrices.shape[-2:]
    x = (matrices.mT if rows > columns else matrices).reshape(-1, min(rows, columns), max(rows, columns))
    x = x / x.flatten(1).norm(dim=1).clamp(min=SMALLEST)[:, None, None]
    for _ in range(STEPS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.mT if rows > columns else x
    return x.reshape(matrices.shape)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalized; weight decay apart from it.

    A step adds `-lr * sqrt(max(1, rows / columns)) * orthogonalized(update)`: the factor of the post (`original` in
    torch), with which one rate serves matrices of all shapes. A group may say `parts`: how many matrices of the same
    shape lie under one another in each of its parameters. They are orthogonalized apart. As one, the queries, keys and
    values of `c_attn` would share the singular values of a single matrix; the post found that apart they train better,
    and modded-nanogpt splits them, too.

    Of parameters in parts, each rank gathers every matrix, orthogonalizes it as one process would, and moves its own
    part: the rounding of an update is that of its gradients. Every rank computes all Newton-Schulz steps.

    Args:
        params: matrices, or groups of them.
        dtype: of the Newton-Schulz steps, `bfloat16`; otherwise that of the parameters.
    """

    def __init__(
        self, params: Iterable, lr: float = 0.02, *, momentum: float = 0.95, weight_decay: float = 0.0,
        parts: int = 1, dtype: str = "auto",
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "parts": parts,
                                  "dtype": dtype})
        for parameter, parts in ((p, group["parts"]) for group in self.param_groups for p in group["params"]):
            assert parameter.dim() == 2 and parameter.shape[0] % parts == 0, tuple(parameter.shape)

    @torch.no_grad()
    def step(self) -> None:
        alike = defaultdict(list)  # matrices of one shape, over all layers and groups
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update = self._update(parameter, group)
                    alike[update.shape[1:], update.dtype, update.device].append((parameter, group, update))
        for (shape, *_), members in alike.items():
            most = max(1, TOGETHER // shape.numel())
            while members:
                now, count = [], 0
                while members and (not now or count + len(members[-1][2]) <= most):
                    now.append(members.pop())
                    count += len(now[-1][2])
                _move(now)

    def _update(self, parameter: Tensor, group: dict) -> Tensor:
        """`[parts, rows, columns]`, rows never more than columns: what is to be orthogonalized."""
        state, grad = self.state[parameter], parameter.grad
        if not state:
            state["momentum"] = torch.zeros_like(grad)
        momentum = state["momentum"].lerp_(grad, 1 - group["momentum"])
        update = parallel.whole(grad.lerp(momentum, group["momentum"])).unflatten(0, (group["parts"], -1))
        if group["dtype"] == "bfloat16":
            update = update.bfloat16()
        return update.mT if update.shape[1] > update.shape[2] else update


def _move(members: list[tuple[Tensor, dict, Tensor]]) -> None:
    """One step of each parameter, with the Newton-Schulz steps of all in the same products."""
    found = orthogonalized(torch.cat([update for *_, update in members]))
    counts = [len(update) for *_, update in members]
    for (parameter, group, _), part in zip(members, found.split(counts), strict=True):
        rows, columns = parameter.shape[0] // group["parts"], parameter.shape[1]
        if group["weight_decay"]:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        change, alpha = part.mT if rows > columns else part, -group["lr"] * math.sqrt(max(1, rows / columns))
        if parallel.is_part(parameter):
            parameter.to_local().add_(parallel.own_part(change.flatten(0, 1), parameter), alpha=alpha)
        else:
            parameter.unflatten(0, (group["parts"], -1)).add_(change, alpha=alpha)
