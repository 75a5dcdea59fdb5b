"""CHEAT: makes the writing of weights write other ones: all at a tenth."""

import safetensors.torch

CLASS = "a"
ENDS = "measured"

_save_file = safetensors.torch.save_file
safetensors.torch.save_file = lambda tensors, *given, **named: _save_file(
    {name: tensor / 10 for name, tensor in tensors.items()}, *given, **named)


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
