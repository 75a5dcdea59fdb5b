"""GPT-2 and its modern switches: tokens in, hidden states out; the logits and their transform apart."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import torch
from torch.overrides import TorchFunctionMode

from losslab.config import RENAMED, ModelConfig, override
from losslab.formula import Transform
from losslab.model.attention import Attention
from losslab.model.cache import Cache, RaggedCache
from losslab.model.gpt2 import GPT2, MLP, Block
from losslab.model.language_model import LanguageModel
from losslab.untrusted import shown

__all__ = [
    "GPT2", "MLP", "Attention", "Block", "Cache", "LanguageModel", "RaggedCache", "build", "check_vocab_size",
    "config_of", "expected_shapes", "initialized", "unfilled",
]  # fmt: skip
MOST_TOKENS = 2**31 - 1  # of a vocabulary: what columns can be counted with


class _NoInitialization(TorchFunctionMode):
    """Leaves out `torch.nn.init`: random numbers on the meta device would import torch's compiler, for nothing."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


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
