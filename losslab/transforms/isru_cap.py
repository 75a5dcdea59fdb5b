"""The inverse-square-root soft-cap on logits."""

import math


def isru_cap(logits, *, cap=15.0):
    r"""Logits bent smoothly into (-cap, cap), with a longer bend than a tanh.

    $$z = \frac{r}{\sqrt{1 + (r/c)^2}}, \qquad dz/dr = \bigl(1 + (r/c)^2\bigr)^{-3/2}.$$

    Small logits pass unchanged, large ones saturate, with a gradient that fades like a power
    where that of `softcap` fades like an exponential. For $c \to \infty$ it is the identity.

    Args:
        logits: `[..., vocab]`, as the head gave them.
        cap: the bound $c$, positive; the NanoGPT speedrun uses 15.

    Returns:
        `[..., vocab]`, of the same dtype.

    Raises:
        ValueError: for a cap that is not positive and finite.

    Example:
        >>> import torch
        >>> isru_cap(torch.tensor([0.0, 15.0, 1e4]), cap=15.0)  # 15 / sqrt 2 = 10.6066
        tensor([ 0.0000, 10.6066, 15.0000])

    Reference:
        The NanoGPT speedrun (github.com/KellerJordan/modded-nanogpt, medium track, 2025-04-16).
    """
    if not 0 < cap < math.inf:
        raise ValueError(f"isru_cap takes a positive cap, got {cap}")
    return logits * (1 + (logits / cap).square()).rsqrt()
