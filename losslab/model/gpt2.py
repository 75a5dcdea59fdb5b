"""GPT-2, whose parts can each be exchanged: positions, norms, activation, attention's norm, the first weights."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from losslab.config import ModelConfig
from losslab.formula import Transform
from losslab.kernels import products
from losslab.model import dropout
from losslab.model.attention import Attention
from losslab.model.cache import Cache
from losslab.model.language_model import LanguageModel
from losslab.model.linear import Linear
from losslab.model.norms import RMSNorm
from losslab.model.rotary import Rotary, Rotation

DRAWN_AT_ONCE = 2**20  # numbers
TABLES = "wte.weight", "head.weight"


def relu_squared(x: Tensor) -> Tensor:
    """The square of what is positive (So et al., 2021, arXiv:2109.08668)."""
    return _SquaredReLU.apply(x)


class _SquaredReLU(torch.autograd.Function):
    """One product forward and one backward; PyTorch's own backward pass of the two operations has three."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        positive = F.relu(x)
        y = positive * positive
        ctx.save_for_backward(positive)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor):
        positive, = ctx.saved_tensors
        return torch.mul(g, positive).mul_(2)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_tanh": partial(F.gelu, approximate="tanh"), "gelu": F.gelu, "relu_squared": relu_squared,
}  # fmt: skip


class MLP(nn.Module):
    """Two linear maps around an activation."""

    PLACES = 1  # that drop something

    def __init__(self, config: ModelConfig, place: int = 0):
        super().__init__()
        self.c_fc = Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = dropout.Dropout(config.dropout, place)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.activation(self.c_fc(x))))


class Block(nn.Module):
    PLACES = Attention.PLACES + MLP.PLACES

    def __init__(self, config: ModelConfig, place: int = 0):
        super().__init__()
        self.ln_1 = norm(config)
        self.attn = Attention(config, place)
        self.ln_2 = norm(config)
        self.mlp = MLP(config, place + Attention.PLACES)
        self.is_recomputed, self.draws = False, config.dropout > 0

    def forward(
        self, x: Tensor, cache: Cache | None, layer: int, mask: Tensor | None, rotation: Rotation | None = None
    ) -> Tensor:
        if self.is_recomputed and self.training and torch.is_grad_enabled():
            return checkpoint(self.computed, x, cache, layer, mask, rotation, use_reentrant=False,
                              context_fn=_contexts, preserve_rng_state=self.draws)
        return self.computed(x, cache, layer, mask, rotation)

    def computed(
        self, x: Tensor, cache: Cache | None, layer: int, mask: Tensor | None, rotation: Rotation | None
    ) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache, layer, mask, rotation)
        return x + self.mlp(self.ln_2(x))


def _contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
    """Of a block's forward pass, and of the second one in the backward pass, which must compute the same."""
    return nullcontext(), _again(products.as_now(), dropout.drawn_from(dropout.current()))


@contextmanager
def _again(*contexts: AbstractContextManager) -> Iterator[None]:
    with contexts[0], contexts[1]:
        yield


def _padded(module: nn.Module, rows: int) -> nn.Module:
    """With room for so many rows of weights; made first without, as every weight is drawn when it is made."""
    if rows > module.weight.shape[0]:
        module.weight = nn.Parameter(module.weight.new_zeros(rows, module.weight.shape[1]))
    return module


def norm(config: ModelConfig) -> nn.Module:
    """GPT-2's layer norm, or the root mean square alone (Zhang and Sennrich, 2019, arXiv:1910.07467) with a gain."""
    if config.norm == "rms":
        return RMSNorm(config.n_embd)
    return nn.LayerNorm(config.n_embd, bias=config.bias)


class GPT2(LanguageModel):
    """The model of the GPT-2 paper: learned positions, pre-norm blocks, GELU, tied output weights.

    Each switch of `ModelConfig` exchanges one of these. With rotary positions there is no position table, and `wpe` is
    None.
    """

    def __init__(self, config: ModelConfig, vocab_size: int, transforms: Sequence[Transform] = ()):
        super().__init__(config, vocab_size, transforms)
        rotary = config.position_embedding == "rotary"
        self.wte = _padded(nn.Embedding(vocab_size, config.n_embd), config.rows(vocab_size))
        self.wpe = None if rotary else nn.Embedding(config.num_positions, config.n_embd)
        self.rotary = Rotary(config.n_embd // config.n_head) if rotary else None
        self.drop = dropout.Dropout(config.dropout, 0)
        self.h = nn.ModuleList(Block(config, 1 + layer * Block.PLACES) for layer in range(config.n_layer))
        self.ln_f = norm(config)
        self.head = None if config.tied else _padded(nn.Linear(config.n_embd, vocab_size, bias=False),
                                                     config.rows(vocab_size))

    def initialize(self) -> None:
        """A switch changes the weights that it is about, and no others: arms of an ablation share those."""
        absent = self.config.num_positions * self.config.n_embd if self.wpe is None else 0
        _skip_draws(absent)  # with which the table would have been made
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.ones_(parameter)
                continue
            output = name.endswith("c_proj.weight")
            parameter = parameter.detach()[: self.vocab_size] if name in TABLES else parameter
            # the paper scales what enters the residual stream by its number of additions
            nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.config.n_layer if output else 1))
            if output and self.config.zero_init:
                nn.init.zeros_(parameter)
            if name == "wte.weight":
                _skip_draws(absent)
        if self.wte.weight.shape[0] > self.vocab_size:  # last, so that padding changes no other weight
            for module in (self.wte, *([] if self.head is None else [self.head])):
                nn.init.normal_(module.weight.detach()[self.vocab_size :], std=0.02)

    @property
    def blocks(self) -> nn.ModuleList:
        return self.h

    def dropped(self, seq_len: int) -> list[tuple[int, ...]]:
        along, between = (seq_len, self.config.n_embd), (self.config.n_head, seq_len, seq_len)
        return [along, *[between, along, along] * self.config.n_layer]

    def recompute_blocks(self) -> None:
        for block in self.h:
            block.is_recomputed = True

    @property
    def output_weights(self) -> Tensor:
        return self.wte.weight if self.head is None else self.head.weight

    @property
    def lm_head(self) -> Tensor:
        weights = self.output_weights  # without padded rows, their ids take no part on any route
        is_whole = self.config.padding == "counted" or weights.shape[0] == self.vocab_size
        return weights if is_whole else weights[: self.vocab_size]

    def forward(
        self, tokens: Tensor, cache: Cache | None = None, *, positions: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        past = len(cache) if cache is not None else 0
        used = past + tokens.shape[1] if positions is None else int(positions.max()) + 1
        if used > self.config.num_positions:
            raise ValueError(f"{used} tokens do not fit the model's context of {self.config.num_positions}")
        if positions is None:
            positions = torch.arange(past, used, device=tokens.device)
        x, rotation = self.wte(tokens), None
        if self.rotary is None:
            x = x + self.wpe(positions)
        else:
            rotation = self.rotary.at(positions, used, x.dtype)
        x = self.drop(x)
        for layer, block in enumerate(self.h):
            x = block(x, cache, layer, mask, rotation)
        return self.ln_f(x)

    @property
    def num_params_non_embedding(self) -> int:
        """Without the token and position tables (and without the head where it is the token table)."""
        table = 0 if self.wpe is None else self.wpe.weight.numel()
        return self.num_params - self.wte.weight.numel() - table


def _skip_draws(count: int) -> None:
    """Use up the random numbers of a table of `count` weights that this model has not, a part at a time."""
    while count > 0:  # the last part is never a small one, which torch draws in another way
        part = count if count < 2 * DRAWN_AT_ONCE else DRAWN_AT_ONCE
        torch.empty(part).normal_()
        count -= part
