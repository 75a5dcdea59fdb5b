"""A temperature on logits."""

import math


def temperature(logits, *, temperature=1.0):
    r"""Logits divided by a temperature.

    $$z = r / T, \qquad dz/dr = 1 / T.$$

    $T > 1$ flattens what the model predicts, $T < 1$ sharpens it, and $T = 1$ is the identity.
    It is part of the model, and training can undo it: what it changes is how fast
    logits move compared with the other weights.

    Args:
        logits: `[..., vocab]`, as the head gave them.
        temperature: the divisor $T$, positive.

    Returns:
        `[..., vocab]`, of the same dtype.

    Raises:
        ValueError: for a temperature that is not positive and finite.

    Example:
        >>> import torch
        >>> temperature(torch.tensor([0.0, 3.0]), temperature=2.0)  # 3/2
        tensor([0.0000, 1.5000])

    Reference:
        Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015.
        arXiv:1503.02531
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature takes a positive temperature, got {temperature}")
    return logits / temperature
