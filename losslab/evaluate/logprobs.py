"""The log-probability that a model gives each target of a batch of windows, without all of its logits at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import numpy as np
import torch

from losslab.evaluate.windows import Windows

TILE_BYTES = 28 * 2**20  # of logits held at once: they stay in a processor's last-level cache
GPU_TILE_BYTES = 512 * 2**20
MAX_ROWS = 512  # a product gains nothing from more on a CPU


@dataclass(frozen=True)
class Tokens:
    """The scored tokens of a batch of windows, one entry each in every array."""

    document: np.ndarray  # int64, number of the document
    context: np.ndarray  # int64, tokens that the model read before it, the end mark at the beginning included
    target: np.ndarray  # int64
    is_end: np.ndarray  # bool, whether it is the end mark of its document
    nats: np.ndarray  # float64, minus the log-probability
    calibrated_nats: np.ndarray  # float64, the same at the fitted temperature
    confidence: np.ndarray  # float64, the largest probability of the row
    is_greedy: np.ndarray  # bool, whether it was the likeliest token, the first where several tie
    counts: np.ndarray | None = None  # bool, whether it counts (of an example, its answers do); None: all do

    @property
    def counted(self) -> "Tokens":
        """Those that count."""
        if self.counts is None or self.counts.all():
            return self
        return Tokens(**{field.name: getattr(self, field.name)[self.counts] for field in fields(self)})


@contextmanager
def evaluation_mode(model) -> Iterator[None]:
    """Without dropout and gradients; afterwards the model is in the mode in which it was."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def scored_tokens(model, windows: Windows, vocab_size: int, *, temperature: float = 1.0) -> Tokens:
    """The targets that count, in float32, tile by tile."""
    hidden, targets = hidden_before(model, windows, windows.scored)
    found = torch.zeros(4, len(targets))  # a column for each token
    for at, z in logit_tiles(model, hidden, vocab_size):
        found[:, at] = _of_tile(z, targets[at, None], temperature).cpu()
    log_p, calibrated, log_top, is_greedy = found.double().numpy()
    per_window = windows.scored.sum(1).numpy()
    return Tokens(
        document=np.repeat(np.array(windows.documents, dtype=np.int64), per_window),
        context=windows.scored.nonzero()[:, 1].numpy() + 1,
        target=targets.cpu().numpy(),
        is_end=windows.is_end[windows.scored].numpy(),
        nats=-log_p, calibrated_nats=-calibrated, confidence=np.exp(log_top), is_greedy=is_greedy.astype(bool),
        counts=windows.counts[windows.scored].numpy(),
    )


def _of_tile(z: torch.Tensor, targets: torch.Tensor, temperature: float) -> torch.Tensor:
    """`[4, rows]`: log-probability of the target, the same at `temperature`, that of the likeliest token, and whether
    the target is that one. Writes over `z`."""
    log_p = torch.log_softmax(z, -1, out=z)
    picked, top = log_p.gather(-1, targets)[:, 0], log_p.amax(-1)
    is_greedy = picked == top
    hits = is_greedy.nonzero()[:, 0]
    # the index of the maximum takes several times as long as its value, and only decides ties
    is_greedy[hits] = log_p[hits].argmax(-1) == targets[hits, 0]
    calibrated = picked
    if temperature != 1.0:
        calibrated = torch.log_softmax(log_p.mul_(1 / temperature), -1, out=z).gather(-1, targets)[:, 0]
    return torch.stack([picked, calibrated, top, is_greedy.to(z.dtype)])


def hidden_before(model, windows: Windows, where: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`[n, n_embd]` hidden states before the targets at `where`, bool `[windows, seq]`, and these targets `[n]`."""
    device = next(model.parameters()).device
    hidden = model(windows.tokens.to(device))[where.to(device)]
    return hidden, windows.targets[where].to(device)


def logit_tiles(model, hidden: torch.Tensor, vocab_size: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """Rows of `hidden` and their float32 logits `[rows, vocab]`, as many at a time as a cache holds."""
    on_cpu = hidden.device.type == "cpu"
    fitting = (TILE_BYTES if on_cpu else GPU_TILE_BYTES) // (4 * vocab_size)
    size = max(1, min(fitting, MAX_ROWS) if on_cpu else fitting)
    for start in range(0, len(hidden), size):
        at = slice(start, start + size)
        yield at, model.logits(hidden[at]).float()
