"""Documents cut into windows of the model's context, each target in exactly one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch


class Place(NamedTuple):
    """A window of one document."""

    size: int  # tokens read
    document: int
    begin: int  # first target that the window predicts, counted in the document
    scored: int  # first target that counts here; those before it counted in an earlier window


@dataclass(frozen=True)
class Windows:
    """A batch of windows: what is read, what is to be predicted, and which of that counts."""

    tokens: torch.Tensor  # int64 [windows, seq]
    targets: torch.Tensor  # int64 [windows, seq]
    scored: torch.Tensor  # bool [windows, seq]; each target of a document is scored in exactly one window
    counts: torch.Tensor  # bool [windows, seq]; those of them that count: of an example, its answers
    is_end: torch.Tensor  # bool [windows, seq]
    documents: list[int]


def plan(documents: Sequence, context_length: int, stride: int, batch_size: int) -> list[list[Place]]:
    """The batches in which documents are read: fixed by their lengths, and the same for any number of processes.

    Args:
        documents: each with `tokens` and `ends`.
        context_length: of the model.
        stride: tokens between windows; 0 means disjoint windows of the context length.
        batch_size: windows in a batch.

    Raises:
        ValueError: for a stride outside 0 to `context_length`.

    Example:
        >>> from types import SimpleNamespace
        >>> document = SimpleNamespace(tokens=range(5), ends=True)  # six targets with the end mark
        >>> [(place.begin, place.size) for place in plan([document], context_length=4, stride=0, batch_size=8)[0]]
        [(0, 4), (4, 2)]
    """
    if not 0 <= stride <= context_length:
        raise ValueError(f"evaluate.stride must be between 0 and the context length {context_length}, got {stride}")
    stride = stride or context_length
    places = []
    for index, document in enumerate(documents):
        length, done = len(document.tokens) + int(document.ends), 0  # number of targets
        while done < length:
            end = min(length, context_length if done == 0 else done + stride)
            begin = max(0, end - context_length) if stride < context_length else done
            places.append(Place(end - begin, index, begin, done))
            done = end
    places.sort(reverse=True)  # equal lengths together, so that little is padding; the order changes no sum
    return [places[first : first + batch_size] for first in range(0, len(places), batch_size)]


def build(batch: list[Place], documents: Sequence, eot: int) -> Windows:
    """The tensors of one batch; a document is read after an end mark, and padding is end marks that do not count."""
    shape = len(batch), max(place.size for place in batch)
    tokens, targets = torch.full(shape, eot), torch.full(shape, eot)
    scored, is_end, counts = (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
    needed = {place.document: documents[place.document] for place in batch}  # read from disk once
    for row, (size, index, begin, first) in enumerate(batch):
        document, last = needed[index], begin + size
        stream = np.concatenate([[eot], document.tokens[max(0, begin - 1) : last], [eot]]).astype(np.int64)
        stream = torch.from_numpy(stream[0 if begin == 0 else 1 :][: size + 1])
        tokens[row, :size], targets[row, :size] = stream[:-1], stream[1:]
        scored[row, first - begin : size] = True
        own = getattr(document, "scored", None)
        counts[row, first - begin : size] = True if own is None else torch.from_numpy(own[first:last])
        is_end[row, size - 1] = document.ends and last == len(document.tokens) + 1
    return Windows(tokens, targets, scored, counts, is_end, [place.document for place in batch])
