"""The tanh soft-cap on logits."""

import torch


def softcap(logits, *, cap=15.0):
    r"""Logits bent smoothly into (-cap, cap).

    $$z = c \tanh(r / c), \qquad dz/dr = 1 - (z/c)^2.$$

    Small logits pass unchanged, large ones saturate. For $c \to \infty$ it is the identity.

    Args:
        logits: `[..., vocab]`, as the head gave them.
        cap: the bound $c$, positive; Gemma 2 uses 30, the NanoGPT speedrun and nanochat 15.

    Returns:
        `[..., vocab]`, of the same dtype.

    Raises:
        ValueError: for a cap that is not positive.

    Example:
        >>> softcap(torch.tensor([0.0, 15.0, 1e4]), cap=15.0)  # 15 tanh 1 = 11.4239
        tensor([ 0.0000, 11.4239, 15.0000])

    Reference:
        Gemma Team, Gemma 2: Improving Open Language Models at a Practical Size, 2024.
        arXiv:2408.00118
    """
    if not cap > 0:
        raise ValueError(f"softcap takes a positive cap, got {cap}")
    return cap * torch.tanh(logits / cap)
