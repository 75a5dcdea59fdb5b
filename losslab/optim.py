"""The optimizer and the learning-rate schedule."""

import math

import torch
from torch import nn

from losslab.config import TrainConfig


def adamw(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and embeddings, and leaves biases and norms alone."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def learning_rate(step: int, num_steps: int, config: TrainConfig) -> float:
    """Learning rate of update `step` (from 0): linear warm-up, then a cosine to the minimum.

    Example:
        >>> config = TrainConfig(learning_rate=1.0, min_learning_rate=0.1, warmup_steps=10)
        >>> [round(learning_rate(step, 1000, config), 4) for step in (0, 9, 10, 505, 1000)]
        [0.0909, 0.9091, 1.0, 0.55, 0.1]
    """
    warmup = min(config.warmup_steps, num_steps // 10)
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, num_steps - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.min_learning_rate + cosine * (config.learning_rate - config.min_learning_rate)
