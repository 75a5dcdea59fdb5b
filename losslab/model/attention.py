"""Causal self-attention with its switches: rotary positions, and queries and keys of one length."""

import torch
from torch import Tensor, nn

from losslab.config import ModelConfig
from losslab.kernels import products
from losslab.kernels.attention import with_dropout
from losslab.model import dropout, norms
from losslab.model.cache import Cache
from losslab.model.linear import Linear
from losslab.model.rotary import Rotation, rotate


class Attention(nn.Module):
    """Causal self-attention.

    With `qk_norm`, each head's queries and keys are divided by their root mean square, without a gain, after they were
    turned (a turn keeps the length, so before would be the same); nanochat does so too. A score is then at most the
    square root of the head's width.
    """

    PLACES = 2  # that drop something: the weights of attention, and what comes out

    def __init__(self, config: ModelConfig, place: int = 0):
        super().__init__()
        self.head_width, self.dropout, self.qk_norm = config.n_embd // config.n_head, config.dropout, config.qk_norm
        self.place = place
        self.c_attn = Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = dropout.Dropout(config.dropout, place + 1)

    def forward(
        self, x: Tensor, cache: Cache | None, layer: int, mask: Tensor | None, rotation: Rotation | None = None
    ) -> Tensor:
        batch, seq, width = x.shape
        if rotation is None and not self.qk_norm:
            q, k, v = map(self._heads, self.c_attn(x).split(width, dim=-1))
        else:  # queries and keys together: half as many small operations
            both, v = self.c_attn(x).split((2 * width, width), dim=-1)
            q, k = self._placed(self._heads(both), rotation).chunk(2, dim=1)
            v = self._heads(v)
        if cache is not None:
            k, v = cache.extend(layer, k, v)  # turned already: a key keeps its position
        p = self.dropout if self.training else 0.0
        keep = dropout.kept((*q.shape[:3], k.shape[2]), p, self.place, q.device) if p else None
        past = k.shape[2] - seq
        if mask is None and past and seq > 1:  # several new tokens behind a cache: the causal mask is no longer square
            mask = torch.ones(1, seq, past + seq, dtype=torch.bool, device=x.device).tril(past)
        if keep is not None:
            assert not past  # a model in training reads whole sequences
            y = with_dropout(q, k, v, keep, dropout.scale(p), mask)
        elif mask is not None:
            y = products.attention(q, k, v, attn_mask=mask[:, None], dropout_p=p)
        else:
            y = products.attention(q, k, v, dropout_p=p, is_causal=past == 0)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(batch, seq, width)))

    def _heads(self, x: Tensor) -> Tensor:
        """`[batch, seq, heads * head_width]` as `[batch, heads, seq, head_width]`."""
        return x.view(*x.shape[:2], -1, self.head_width).transpose(1, 2)

    def _placed(self, x: Tensor, rotation: Rotation | None) -> Tensor:
        """Queries and keys as the scores take them, in float32 where the products are in bfloat16."""
        if rotation is not None:
            x = rotate(x, rotation)
        if self.qk_norm:
            x = norms.unit(x)
        return x
