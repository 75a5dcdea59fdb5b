"""A model whose answers are noise, and a bundle of CORE with invented rows."""

import pytest
import torch
from torch import nn

from losslab.config import ModelConfig


@pytest.fixture
def folder(benchmark_data):
    """A bundle of all 22 tasks with invented rows."""
    return benchmark_data / "core_eval"


class Chance(nn.Module):
    """Logits that are noise, another for every token and place, but the same when asked again."""

    vocab_size = 257

    def __init__(self, scale=1.0, seq_len=4096):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.config = ModelConfig(num_positions=seq_len)
        self.noise = torch.randn(1009, 257, generator=torch.Generator().manual_seed(1))

    def forward(self, tokens):
        # by all tokens so far, so that options differ at every place
        return (tokens * torch.arange(1, tokens.shape[1] + 1)).cumsum(1) % 1009

    def logits(self, hidden):
        return self.scale * self.noise[hidden]
