"""Several documents in a row: where each token stands in its own, and which tokens it may attend to."""

import torch
from torch import Tensor

from losslab.config import IGNORE_INDEX


def placed(segments: Tensor) -> dict[str, Tensor]:
    """What a model is told of rows in which documents stand: they attend to themselves alone, each from position 0.

    Args:
        segments: `[batch, seq]`, the document of each token; those of a document stand together.

    Returns:
        `positions` `[batch, seq]` and `mask` `[batch, seq, seq]`, as `LanguageModel.forward` takes them.

    Example:
        >>> placed(torch.tensor([[0, 0, 1]]))
        {'positions': tensor([[0, 1, 0]]), 'mask': tensor([[[ True, False, False],
                 [ True,  True, False],
                 [False, False,  True]]])}
    """
    return {"positions": positions(segments),
            "mask": (segments.unsqueeze(-1) == segments.unsqueeze(-2)).tril_()}  # fmt: skip


def positions(segments: Tensor) -> Tensor:
    """`[batch, seq]`: how many tokens of its document stand before each."""
    here = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    begins = torch.cat([torch.ones_like(segments[:, :1], dtype=torch.bool), segments[:, 1:] != segments[:, :-1]], 1)
    return here - here.where(begins, 0).cummax(1).values


def apart(hidden: Tensor, targets: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    """Each document in its own row, for losses that look at the other tokens of a row.

    Args:
        hidden: `[batch, seq, n_embd]`.
        targets: `[batch, seq]`.
        segments: `[batch, seq]`, negative where a row is only filled up.

    Returns:
        `[documents, longest, n_embd]` and `[documents, longest]`, filled up with zeros and `IGNORE_INDEX`.
    """
    inside, place = segments >= 0, positions(segments)
    document = ((place == 0) & inside).flatten().cumsum(0).view_as(segments) - 1
    at = document[inside], place[inside]
    shape = (int(document.max()) + 1, int(place[inside].max()) + 1)
    rows = hidden.new_zeros(*shape, hidden.shape[-1]).index_put(at, hidden[inside])
    return rows, targets.new_full(shape, IGNORE_INDEX).index_put(at, targets[inside])
