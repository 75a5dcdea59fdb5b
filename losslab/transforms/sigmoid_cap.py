"""The sigmoid soft-cap on logits."""

import math

import torch


def sigmoid_cap(logits, *, A=23.0, B=5.0, C=7.5):
    r"""Logits bent smoothly into (0, A), and not the same way on both sides.

    $$z = A\,\sigma\Bigl(\frac{r + B}{C}\Bigr), \qquad
      dz/dr = \frac{z}{C}\,\Bigl(1 - \frac{z}{A}\Bigr).$$

    With $A = 2c$, $B = 0$ and $C = c/2$ it is `softcap` with cap $c$, plus $c$: the same
    probabilities, but not the same `z_loss`, since $\log Z$ is larger by $c$. A positive
    $B$ leaves negative logits a wider range than positive ones.

    Args:
        logits: `[..., vocab]`, as the head gave them.
        A: the width of the range, positive; the NanoGPT speedrun uses 23.
        B: how far the middle is moved to the left, finite; the speedrun uses 5.
        C: the scale of the bend, positive; the speedrun uses 7.5.

    Returns:
        `[..., vocab]`, of the same dtype.

    Raises:
        ValueError: for an A or C that is not positive and finite, or a B that is not finite.

    Example:
        >>> sigmoid_cap(torch.tensor([0.0, 7.5, 1e4]), A=30.0, B=0.0, C=7.5)  # 30/2, 30/(1 + 1/e), 30
        tensor([15.0000, 21.9318, 30.0000])

    Reference:
        The NanoGPT speedrun (github.com/KellerJordan/modded-nanogpt, 2025-12-26).
    """
    if not 0 < A < math.inf:
        raise ValueError(f"sigmoid_cap takes a positive A, got {A}")
    if not math.isfinite(B):
        raise ValueError(f"sigmoid_cap takes a finite B, got {B}")
    if not 0 < C < math.inf:
        raise ValueError(f"sigmoid_cap takes a positive C, got {C}")
    return A * torch.sigmoid((logits + B) / C)
