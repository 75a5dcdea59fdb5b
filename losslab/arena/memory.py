"""Memory that the host and a jail share: a fixed layout, so that nothing which a jail says decides how much is read.

Two blocks. The host writes `inputs`: the targets and the logits of one micro-batch. The jail writes `outputs`: a short
text, the loss of each token, and the gradient of their sum by the logits. Both sides compute the places from the three
sizes that the host chose. The blocks cannot grow or shrink: reading behind the end of a file that was cut off would
kill the host.
"""

import fcntl
import mmap
import os
import tempfile
from dataclasses import dataclass

import numpy as np

MOST_TEXT = 4096  # bytes of what a jail says in words
ALIGNED = 64  # bytes; where an array begins must not change how its sums are ordered
SEALS = 0x1 | 0x2 | 0x4  # of fcntl: no further seals, no shrinking, no growing


@dataclass(frozen=True)
class Layout:
    """Where everything lies.

    Args:
        rows: sequences, at most.
        seq: tokens in a sequence, at most.
        vocab_size: logits of a token.
    """

    rows: int
    seq: int
    vocab_size: int

    @property
    def tokens(self) -> int:
        return self.rows * self.seq

    def inputs(self) -> dict[str, tuple[int, int, str]]:
        """Name -> first byte, number of elements, dtype."""
        return _placed({"shape": (2, "<i8"), "targets": (self.tokens, "<i8"),
                        "logits": (self.tokens * self.vocab_size, "<f4")})

    def outputs(self) -> dict[str, tuple[int, int, str]]:
        """Name -> first byte, number of elements, dtype."""
        return _placed({"length": (1, "<i8"), "text": (MOST_TEXT, "u1"), "losses": (self.tokens, "<f4"),
                        "gradient": (self.tokens * self.vocab_size, "<f4")})


def _placed(sizes: dict[str, tuple[int, str]]) -> dict[str, tuple[int, int, str]]:
    found, place = {}, 0
    for name, (count, dtype) in sizes.items():
        found[name] = place, count, dtype
        place += -(-count * np.dtype(dtype).itemsize // ALIGNED) * ALIGNED
    return found | {"": (place, 0, "u1")}


def num_bytes(places: dict[str, tuple[int, int, str]]) -> int:
    return places[""][0]


def make(places: dict[str, tuple[int, int, str]]) -> int:
    """The descriptor of a new block of this layout, filled with zeros."""
    size = num_bytes(places)
    if not hasattr(os, "memfd_create"):  # not Linux, where only the tier `plain` is to be had
        with tempfile.TemporaryFile() as file:
            block = os.dup(file.fileno())
        os.ftruncate(block, size)
        return block
    block = os.memfd_create("losslab-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(block, size)
    fcntl.fcntl(block, fcntl.F_ADD_SEALS, SEALS)
    return block


def views(block: int, places: dict[str, tuple[int, int, str]], *, writes: bool) -> dict[str, np.ndarray]:
    """The arrays of a block by name; they keep it mapped."""
    flags = mmap.PROT_READ | (mmap.PROT_WRITE if writes else 0)
    mapped = mmap.mmap(block, num_bytes(places), flags=mmap.MAP_SHARED, prot=flags)
    return {name: np.frombuffer(mapped, dtype, count, place) for name, (place, count, dtype) in places.items() if name}


def text_in(outputs: dict[str, np.ndarray]) -> str:
    """What a jail said in words; it may say anything, and it is cut to what there is room for."""
    length = min(max(0, int(outputs["length"][0])), MOST_TEXT)
    return outputs["text"][:length].tobytes().decode("utf-8", "replace")


def say(outputs: dict[str, np.ndarray], text: str) -> None:
    """In a jail: leave a text for the host."""
    raw = text.encode("utf-8", "replace")[:MOST_TEXT]
    outputs["text"][: len(raw)] = np.frombuffer(raw, "u1")
    outputs["length"][0] = len(raw)
