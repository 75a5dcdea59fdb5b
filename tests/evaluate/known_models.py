"""Models whose every probability is known, and a tokenizer to feed them: what the evaluators are checked with."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from losslab.config import ModelConfig


@dataclass(frozen=True)
class Text:
    tokens: np.ndarray
    num_bytes: int
    num_words: int
    ends: bool = True


class Bytes:
    """A byte tokenizer written here, so that these tests rest on nothing but the evaluator."""


    vocab_size, eot = 257, 256
    token_bytes = np.array([1] * 256 + [0])

    def encode(self, text):
        return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)

    def decode(self, ids):
        return bytes(int(i) for i in ids).decode(errors="replace")


class Table(nn.Module):
    """A bigram model: the logits are the row of a table that the last token names."""

    def __init__(self, table, seq_len):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(table))
        self.config = ModelConfig(num_positions=seq_len)

    def forward(self, tokens):
        assert tokens.shape[1] <= self.config.num_positions
        return self.table[tokens]

    def logits(self, hidden):
        return hidden


def texts(*strings, ends=True):
    tokenizer = Bytes()
    return [Text(tokenizer.encode(s), len(s.encode()), len(s.split()), ends) for s in strings]


def count_table(text, *, order, add=1.0):
    """`[257, 257]` log-probabilities counted in a text of bytes: by the last byte (`order` 2), or by none (1)."""
    stream = np.concatenate([[256], Bytes().encode(text), [256]])
    counts = np.full((257, 257), add)
    if order == 2:
        np.add.at(counts, (stream[:-1], stream[1:]), 1)
    else:
        counts += np.bincount(stream[1:], minlength=257)
    return torch.from_numpy(np.log(counts / counts.sum(1, keepdims=True))).float()
