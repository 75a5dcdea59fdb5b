"""Several texts, of unlike length, read by one model token by token: the logits after each."""

from collections.abc import Sequence

import torch
from torch import Tensor

from losslab.generate.window import window_start
from losslab.model import RaggedCache


class Reader:
    """The logits after each of several texts that grow, with the keys and values of what was read before.

    The answer is that of reading each text alone, from `window_start` on, without a cache (up to the order in which
    numbers are added). Rows need no padding on the left: each begins at place 0 and has its own positions.

    Args:
        model: `model(tokens, cache) -> hidden`, `model.logits(hidden)`, `model.config.num_positions`.
        longest: tokens of the longest text that will be read; there is room for its window from the start.
    """

    def __init__(self, model, longest: int):
        self.model, self.limit = model, model.config.num_positions
        self.device = model.lm_head.device
        self.cache = RaggedCache(max(1, min(longest, self.limit)))
        self.starts: list[int] = []  # of the window of each row
        self.lengths: list[int] = []  # tokens of it that were read

    def logits(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """`[rows, vocab]` on the CPU, after each text.

        Args:
            texts: all tokens of each row; at the second call and later each is one longer than before.
        """
        starts = [window_start(len(text), self.limit) for text in texts]
        anew = [row for row, start in enumerate(starts) if not self.starts or start != self.starts[row]]
        hidden = self._one_more(texts) if len(anew) < len(texts) else None
        if anew:
            found = self._from_the_start([texts[row][starts[row] :] for row in anew], anew, len(texts))
            if hidden is None:
                hidden = found
            else:
                hidden[anew] = found
        self.starts, self.lengths = starts, [len(text) - start for text, start in zip(texts, starts, strict=True)]
        return self.model.logits(hidden).reshape(len(texts), -1).cpu()

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all texts but these."""
        self.starts, self.lengths = ([old[row] for row in rows] for old in (self.starts, self.lengths))
        index = torch.tensor(rows, device=self.device)
        self.cache.pairs = [(keys[index], values[index]) for keys, values in self.cache.pairs]

    def _one_more(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """The hidden states of each text's last token; those of a row that is read anew mean nothing."""
        tokens = torch.tensor([[text[-1]] for text in texts], device=self.device)
        if len(set(self.lengths)) == 1:
            self.cache.even(self.lengths[0])
            return self.model(tokens, self.cache)[:, -1]
        last = self.cache.pairs[0][0].shape[2] - 1 if self.cache.pairs else self.limit - 1
        slots = torch.tensor([min(length, last) for length in self.lengths], device=self.device)
        width = min(max(self.lengths), last) + 1
        self.cache.aim(torch.arange(len(texts), device=self.device), slots, width)
        seen = torch.arange(width, device=self.device) <= slots[:, None]
        return self.model(tokens, self.cache, positions=slots[:, None], mask=seen[:, None])[:, -1]

    def _from_the_start(self, windows: list[Sequence[int]], rows: list[int], count: int) -> Tensor:
        """Read whole windows into their rows; one that several rows have is read once."""
        numbers = {window: number for number, window in enumerate(dict.fromkeys(map(tuple, windows)))}
        which = [numbers[tuple(window)] for window in windows]
        longest = max(map(len, numbers))
        # padding on the right is seen by no token before it, and the next tokens of its row take its place
        tokens = torch.tensor([[*window, *[0] * (longest - len(window))] for window in numbers], device=self.device)
        ends = torch.tensor([len(window) - 1 for window in numbers], device=self.device)
        whole = len(rows) == count
        fresh = RaggedCache(self.cache.capacity if whole else longest)
        hidden = self.model(tokens, fresh)[torch.arange(len(numbers), device=self.device), ends]
        index, places = (torch.tensor(each, device=self.device) for each in (which, rows))
        if whole:
            shared = which != list(range(count))
            self.cache.pairs = [(k[index], v[index]) for k, v in fresh.pairs] if shared else fresh.pairs
        else:
            for (keys, values), (k, v) in zip(self.cache.pairs, fresh.pairs, strict=True):
                keys[places, :, :longest], values[places, :, :longest] = k[index], v[index]
        return hidden[index]
