"""The weights of a checkpoint, read once, compared with what a model of these sizes has, and put into such a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from losslab import tensors, untrusted
from losslab.checkpoint.sums import Damaged
from losslab.config import ModelConfig
from losslab.formula import Transform
from losslab.model import LanguageModel, expected_shapes, unfilled


def read_weights(
    file: str | Path, *, expected: Mapping[str, tensors.Kind] | None = None
) -> tuple[dict[str, Tensor], str]:
    """The tensors of a safetensors file, and the sha256 of exactly the bytes they were read from, which is once.

    Args:
        file: a regular file; a link is refused.
        expected: dtype and shape by name; a file that holds other tensors is refused before it is read.

    Raises:
        Damaged: with one sentence, whatever is wrong with the file.
    """
    def check(entries):
        if expected is not None:
            tensors.compare(entries, expected, str(file))

    try:
        return tensors.read(file, check)
    except (ValueError, OSError) as error:
        raise Damaged(untrusted.one_line(str(error))) from None


def model_from(
    weights: Mapping[str, Tensor], config: ModelConfig, vocab_size: int, transforms: Sequence[Transform],
    source: str,
) -> LanguageModel:
    """A model of these sizes that has these weights; it takes the tensors themselves, not copies.

    Args:
        weights: the whole state of the model and nothing else, float32.
        config: with `vocab_size`, all that decides the sizes.
        transforms: the logit transforms.
        source: what the weights are called in a message.

    Raises:
        Damaged: naming the tensor that is missing, not expected, or of another shape or dtype.
        ValueError: for sizes that are no model's.
    """
    try:
        tensors.compare(weights, kinds(config, vocab_size), source)
    except ValueError as error:
        raise Damaged(str(error)) from None
    model = unfilled(config, vocab_size, transforms)
    model.load_state_dict(dict(weights), assign=True)
    return model


def kinds(config: ModelConfig, vocab_size: int) -> dict[str, tensors.Kind]:
    """What a model of these sizes has, by name: all of it float32."""
    return {name: (torch.float32, shape) for name, shape in expected_shapes(config, vocab_size).items()}
