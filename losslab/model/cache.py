"""Keys and values of the tokens that a model has read, in buffers made once."""

from torch import Tensor


class Cache:
    """Keys and values of the tokens seen so far, one pair of buffers per layer: `[batch, head, capacity, head_dim]`.

    No gradient goes through it.

    Args:
        capacity: tokens that there is room for from the start. One that needs more doubles its buffers.
    """

    def __init__(self, capacity: int = 0):
        self.capacity = capacity
        self.pairs: list[tuple[Tensor, Tensor]] = []
        self.filled: list[int] = []  # tokens, by layer: a token goes through one layer after the other

    def __len__(self) -> int:
        return self.filled[0] if self.filled else 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put new ones `[batch, head, seq, head_dim]` behind the others; returns all so far, as views."""
        if layer == len(self.pairs):
            room = max(self.capacity, k.shape[2])
            self.pairs.append((_room(k, room), _room(v, room)))
            self.filled.append(0)
        start, end = self.filled[layer], self.filled[layer] + k.shape[2]
        if end > self.pairs[layer][0].shape[2]:
            self.pairs[layer] = tuple(_grown(buffer, start, max(end, 2 * start)) for buffer in self.pairs[layer])
        keys, values = self.pairs[layer]
        keys[:, :, start:end] = k
        values[:, :, start:end] = v
        self.filled[layer] = end
        return keys[:, :, :end], values[:, :, :end]


class RaggedCache(Cache):
    """The same for texts of unlike length, one a row: `aim` says where the next token of each row goes.

    A row's tokens stand from place 0 on; what stands behind its last token is another row's room, and a mask hides it.
    """

    def __init__(self, capacity: int):
        super().__init__(capacity)
        self.slots: tuple[Tensor, Tensor] | None = None
        self.width = 0

    def aim(self, rows: Tensor, slots: Tensor, width: int) -> None:
        """The next tokens, one a row, go to `slots` of `rows` (`[batch]` both); the first `width` places are used."""
        self.slots, self.width = (rows, slots), width

    def even(self, length: int) -> None:
        """Every row holds `length` tokens, and the next ones go behind them."""
        self.slots, self.filled = None, [length] * len(self.pairs)

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if self.slots is None:
            return super().extend(layer, k, v)
        rows, slots = self.slots
        keys, values = self.pairs[layer]
        keys[rows, :, slots] = k[:, :, 0]
        values[rows, :, slots] = v[:, :, 0]
        return keys[:, :, : self.width], values[:, :, : self.width]


def _room(like: Tensor, tokens: int) -> Tensor:
    """Zeros: a masked place counts nothing only if it holds a number."""
    return like.new_zeros(*like.shape[:2], tokens, like.shape[3])


def _grown(buffer: Tensor, used: int, tokens: int) -> Tensor:
    larger = _room(buffer, tokens)
    larger[:, :, :used] = buffer[:, :, :used]
    return larger
