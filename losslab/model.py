"""GPT-2: tokens in, hidden states out; the logits and their transform apart."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from losslab import formula
from losslab.config import RENAMED, ModelConfig, override
from losslab.formula import Transform
from losslab.kernels import products
from losslab.untrusted import shown

MOST_TOKENS = 2**31 - 1  # of a vocabulary: what columns can be counted with


class Linear(nn.Linear):
    """A linear layer whose products are those of the numerics."""

    def forward(self, x: Tensor) -> Tensor:
        return products.linear(x, self.weight, self.bias)


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.n_head, self.dropout = config.n_head, config.dropout
        self.c_attn = Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, cache: "Cache | None", layer: int, mask: Tensor | None) -> Tensor:
        batch, seq, width = x.shape
        q, k, v = (
            part.view(batch, seq, self.n_head, width // self.n_head).transpose(1, 2)  # [batch, head, seq, head_dim]
            for part in self.c_attn(x).split(width, dim=-1)
        )
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        dropout = self.dropout if self.training else 0.0
        past = k.shape[2] - seq
        if mask is None and past and seq > 1:  # several new tokens behind a cache: the causal mask is no longer square
            mask = torch.ones(1, seq, past + seq, dtype=torch.bool, device=x.device).tril(past)
        if mask is not None:
            y = products.attention(q, k, v, attn_mask=mask[:, None], dropout_p=dropout)
        else:
            y = products.attention(q, k, v, dropout_p=dropout, is_causal=past == 0)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(batch, seq, width)))


class MLP(nn.Module):
    """Two linear maps around a GELU."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.c_fc = Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)
        self.approximate = "tanh" if config.activation == "gelu_tanh" else "none"

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate=self.approximate)))


class Block(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cache: "Cache | None", layer: int, mask: Tensor | None) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache, layer, mask)
        return x + self.mlp(self.ln_2(x))


class Cache:
    """Keys and values of the tokens seen so far, one pair per layer: `[batch, head, seq, head_dim]`."""

    def __init__(self):
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        return self.pairs[0][0].shape[2] if self.pairs else 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if layer == len(self.pairs):
            self.pairs.append((k, v))
        else:
            old_k, old_v = self.pairs[layer]
            self.pairs[layer] = torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)
        return self.pairs[layer]


class _NoInitialization(TorchFunctionMode):
    """Leaves out `torch.nn.init`: random numbers on the meta device would import torch's compiler, for nothing."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


class LanguageModel(nn.Module, ABC):
    """What the rest of losslab uses of a model, whatever is inside: hidden states, then logits, apart.

    The loss is computed from `model(tokens)` and `model.lm_head`, without the logits where it can; evaluation and
    generation read `model.logits(model(tokens))`. Also used are `config`, `vocab_size`, `transform_text` and what each
    `nn.Module` has. A model of another kind gives `forward`, `lm_head` and `initialize`, and `build` names it.

    Args:
        config: sizes and switches.
        vocab_size: number of token ids.
        transforms: the logit transforms, one after the other, as `formula.transforms("softcap(15)")` gives them.
    """

    def __init__(self, config: ModelConfig, vocab_size: int, transforms: Sequence[Transform] = ()):
        super().__init__()
        self.config, self.vocab_size, self.transforms = config, vocab_size, tuple(transforms)

    @abstractmethod
    def forward(
        self, tokens: Tensor, cache: "Cache | None" = None, *, positions: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Tokens `[batch, seq]` to hidden states `[batch, seq, n_embd]`, causally.

        Args:
            tokens: those that come after the ones in `cache`.
            cache: keys and values so far; it grows by `tokens`.
            positions: `[batch, seq]`, where a row is not one text from left to right.
            mask: bool `[batch, seq, past + seq]`, True where a token may attend; None: to itself and all before it.

        Raises:
            ValueError: for more tokens than the model has positions.
        """

    @property
    @abstractmethod
    def lm_head(self) -> Tensor:
        """`[vocab, n_embd]`, the output weights."""

    @abstractmethod
    def initialize(self) -> None:
        """Draw the weights anew, from torch's random numbers."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states `[..., n_embd]` to transformed logits `[..., vocab]`, in float32 (or float64)."""
        product = F.linear if torch.is_grad_enabled() else products.times_transposed
        return formula.transformed(product(hidden, self.lm_head), self.transforms)

    @property
    def transform_text(self) -> str:
        """The logit transforms in the words of a formula; `""` for none."""
        return formula.print_transforms(self.transforms)

    @property
    def num_params(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


class GPT2(LanguageModel):
    """The model of the GPT-2 paper: learned positions, pre-norm blocks, GELU, tied output weights."""

    def __init__(self, config: ModelConfig, vocab_size: int, transforms: Sequence[Transform] = ()):
        super().__init__(config, vocab_size, transforms)
        self.wte = nn.Embedding(vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.num_positions, config.n_embd)
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.head = None if config.tied else nn.Linear(config.n_embd, vocab_size, bias=False)

    def initialize(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.ones_(parameter)
            else:
                # the paper scales what enters the residual stream by its number of additions
                depth = 2 * self.config.n_layer if name.endswith("c_proj.weight") else 1
                nn.init.normal_(parameter, std=0.02 / math.sqrt(depth))

    @property
    def lm_head(self) -> Tensor:
        return self.wte.weight if self.head is None else self.head.weight

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
        x = self.drop(self.wte(tokens) + self.wpe(positions))
        for layer, block in enumerate(self.h):
            x = block(x, cache, layer, mask)
        return self.ln_f(x)

    @property
    def num_params_non_embedding(self) -> int:
        """Without the token and position tables (and without the head where it is the token table)."""
        return self.num_params - self.wte.weight.numel() - self.wpe.weight.numel()


def build(config: ModelConfig, vocab_size: int, transforms: Sequence[Transform] = ()) -> LanguageModel:
    """The model that a configuration describes, its weights not yet drawn; nothing else in losslab names its class."""
    return GPT2(config, vocab_size, transforms)


def initialized(
    config: ModelConfig, vocab_size: int, seed: int, transforms: Sequence[Transform] = ()
) -> LanguageModel:
    """A new model whose weights are a function of (config, vocab_size, seed) alone, whatever the loss."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(config, vocab_size, transforms)
        model.initialize()
    return model


def unfilled(config: ModelConfig, vocab_size: int, transforms: Sequence[Transform] = ()) -> LanguageModel:
    """A model without memory for its weights, which take their place with `load_state_dict(..., assign=True)`."""
    with torch.device("meta"), _NoInitialization():
        return build(config, vocab_size, transforms)


def config_of(values: Mapping[str, object], source: str) -> ModelConfig:
    """The configuration that a file describes, checked; a field that it leaves out has its default.

    Raises:
        ValueError: for an unknown field, a value out of range or of another kind (a text is no number here).
    """
    values = {RENAMED.get(name, name): value for name, value in values.items()}
    for field in fields(ModelConfig):
        value, kind = values.get(field.name, field.default), type(field.default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ValueError(f"{source} has {field.name} {shown(value)}; it is a value like {field.default!r}")
    return override(ModelConfig(), dict(values), source=source)


def check_vocab_size(vocab_size: int) -> None:
    """An error unless there can be so many tokens."""
    if not 1 <= vocab_size <= MOST_TOKENS:
        raise ValueError(f"a model has a vocab_size between 1 and {MOST_TOKENS:,}, got {vocab_size}")


def expected_shapes(config: ModelConfig, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in the state of such a model, without building it: one block stands for all.

    Raises:
        ValueError: for sizes that are no model's.
    """
    check_vocab_size(vocab_size)
    state = unfilled(replace(config, n_layer=1), vocab_size).state_dict()
    shapes = {}
    for name, tensor in state.items():
        layers = range(config.n_layer) if name.startswith("h.0.") else (0,)
        shapes |= {name.replace("h.0.", f"h.{layer}.", 1): tuple(tensor.shape) for layer in layers}
    return shapes
