"""The head on a GPU: one tile of all rows, swept over the vocabulary by two Triton kernels.

Of the logits only a few numbers per row ever leave the multiprocessors. Their gradient is computed a few thousand
columns at a time into one buffer, which two matrix products turn into the gradients of `hidden` and `lm_head`.
docs/design/gpu.md says why.
"""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from losslab.formula import Transform
from losslab.kernels.chain import coefficients
from losslab.kernels.merge import Part
from losslab.prediction import Needs, Quantity

HOME = "cuda"  # the kind of device on which it is the fastest way
GRADIENT_IN_FORWARD = False  # no logits are kept here, so it would save nothing
BUFFER_BYTES = 64 * 2**20  # of logit gradients at a time
MIN_COLUMNS = 1024  # a narrower product leaves multiprocessors idle
TRANSFORMS = ("temperature", "softcap", "sigmoid_cap", "isru_cap")  # as numbered in the kernels
GROUP = 16  # blocks of rows that run side by side
FREE = {"max_logit", "log_s0", "target_logit", "log_z", "nll"}


class Block(NamedTuple):
    """The tile of one program."""

    n: int  # rows
    v: int  # columns
    d: int  # of the width, at a time
    warps: int
    stages: int


BLOCKS = {2: Block(128, 128, 64, 8, 3), 4: Block(64, 64, 32, 4, 3), 8: Block(32, 32, 16, 4, 2)}  # by bytes per number


def takes(device: torch.device, dtype: torch.dtype, transforms: Sequence[Transform]) -> bool:
    """Whether the kernels can do it: products of at most 32 bits, and transforms that are compiled in."""
    oldest = {torch.float32: (7, 0), torch.float16: (7, 0), torch.bfloat16: (8, 0)}
    return (
        dtype in oldest
        and (torch.version.hip is not None or torch.cuda.get_device_capability(device) >= oldest[dtype])
        and all(transform.name in TRANSFORMS for transform in transforms) and _works(device, dtype)
    )


@cache
def _works(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether three tokens come out right: a compiler or a driver may be missing, and the dense ways need neither."""
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            wrong = _error_of_three_tokens(device, dtype)
        reason = "" if wrong < 0.1 else f"they are wrong by {wrong:.3g} on three tokens"
    except Exception as error:  # of a compiler, a linker, a driver
        reason = f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0]}"
    if reason:
        warnings.warn(f"the Triton kernels do not run here ({reason}); large batches go in pieces", stacklevel=2)
    return not reason


def _error_of_three_tokens(device: torch.device, dtype: torch.dtype) -> float:
    rng = torch.Generator().manual_seed(0)
    hidden, lm_head = (torch.randn(k, 16, generator=rng).to(device, dtype) for k in (3, 5))
    targets = torch.tensor([4, 0, 4], device=device)
    head = Head(hidden, lm_head, targets, Needs({"nll"}), [], (), dtype, {})
    (tile,) = head.tiles()
    nll = tile.observe()["nll"]
    tile.descend({"nll": torch.ones_like(nll)})
    log_p = (hidden.float() @ lm_head.float().t()).log_softmax(1)
    g = log_p.exp() - F.one_hot(targets, 5)
    true = (F.nll_loss(log_p, targets, reduction="none"), g @ lm_head.float(), g.t() @ hidden.float())
    pairs = zip((nll, head.grad_hidden, head.grad_lm_head), true, strict=True)
    return torch.stack([(ours - theirs).abs().max() for ours, theirs in pairs]).max().item()  # nan stays nan


class Head:
    """The `kernels.Head` of a GPU: one tile of all rows.

    Raises:
        ValueError: for a vocabulary that 32-bit ids cannot number.
    """

    def __init__(self, hidden: Tensor, lm_head: Tensor, targets: Tensor, needs: Needs, ids: Sequence[Tensor],
                 transforms: Sequence[Transform], dtype: torch.dtype, vectors: Mapping[str, Tensor]):  # fmt: skip
        if lm_head.shape[0] >= 2**31:
            raise ValueError(f"lm_head has {lm_head.shape[0]} rows, more than 32-bit token ids can number; split it")
        self.hidden, self.lm_head = (m.detach().to(dtype).contiguous() for m in (hidden, lm_head))
        self.targets, self.needs, self.ids, self.vectors = targets, needs, ids, vectors
        self.wide = torch.promote_types(dtype, torch.float32)
        self.grad_dtype = lm_head.dtype if lm_head.dtype in (dtype, self.wide) else self.wide
        self.transforms = sum(map(_compiled, transforms), ())
        self.block = BLOCKS[self.hidden.element_size()]
        self.row_blocks = _ceil(len(hidden), self.block.n)
        self.grad_hidden: Tensor | None = None
        self.grad_lm_head: Tensor | None = None

    def tiles(self) -> Iterator["Tile"]:
        if len(self.hidden):
            yield Tile(self)

    def launch(self, name: str, parts: int, *arguments, **switches) -> None:
        """Run a kernel on every block of rows and on `parts` of the vocabulary."""
        from losslab.kernels import triton_rows

        block = self.block
        with torch.cuda.device_of(self.hidden):
            getattr(triton_rows, name)[(self.row_blocks * parts,)](
                self.hidden, self.lm_head, *arguments, **switches, TRANSFORMS=self.transforms,
                WIDE=getattr(triton_rows.tl, str(self.wide).removeprefix("torch.")),
                EVEN=self.hidden.shape[1] % block.d == 0, BLOCK_N=block.n, BLOCK_V=block.v, BLOCK_D=block.d,
                GROUP=GROUP, num_warps=block.warps, num_stages=block.stages, enable_fp_fusion=True,
            )  # fmt: skip

    def descend(self, fill: Callable[[Tensor, int, int], None], columns: int) -> None:
        """The gradients of both sides from that of the logits: `fill(buffer, first, last)` gives some columns of it."""
        (n, d), vocab = self.hidden.shape, len(self.lm_head)
        self.grad_hidden = self.hidden.new_empty((n, d), dtype=self.wide)
        self.grad_lm_head = self.hidden.new_empty((vocab, d), dtype=self.grad_dtype)
        buffer = self.hidden.new_empty((n, columns))
        for first in range(0, vocab, columns):
            last = min(vocab, first + columns)
            fill(buffer, first, last)
            g = buffer[:, : last - first]
            _multiply(g.t(), self.hidden, self.grad_lm_head[first:last], add=False)
            _multiply(g, self.lm_head[first:last], self.grad_hidden, add=first > 0)


class Tile:
    """All rows of the head: their statistics and gradient."""

    def __init__(self, head: Head):
        self.head, self.at = head, slice(0, len(head.hidden))
        self.targets, self.ids = head.targets, list(head.ids)
        self.sizes = (*head.hidden.shape, len(head.lm_head))  # n, n_embd, vocab

    def recall(self, found: Mapping[Quantity, Tensor], partials: Mapping[Quantity, Tensor]) -> None:
        """What an earlier sweep found, in the place of `observe`."""
        self.found = dict(found)

    def observe(self, also: Collection[Quantity] = ()) -> dict[Quantity, Tensor]:
        """What the loss needs, and what costs nothing or is in `also`."""
        wanted = self.head.needs.quantities | set(also)
        columns = [self.targets[:, None], *(ids.flatten(1) for ids in self.ids)]
        part, logits = self._sweep(_transposed(columns, torch.int32), wanted)
        (target_logit,), *others = logits.split([column.shape[1] for column in columns])
        part = part.joined()
        part.sums["target_logit"] = target_logit
        kept = wanted | FREE | ({"argmax"} if "max_logit" in wanted else set())
        self.found = {name: value for name, value in part.quantities().items() if name in kept}
        for place, (ids, values) in enumerate(zip(self.ids, others, strict=True)):
            self.found["logit_at", place] = values.t().reshape(ids.shape)
        return self.found

    def _sweep(self, at: Tensor, wanted: set[Quantity]) -> tuple[Part, Tensor]:
        """What each part of the vocabulary has, `[splits, n]`, and the logits of the columns `at`, `[k, n]`."""
        head, (n, _, vocab) = self.head, self.sizes
        alphas = [q[1] for q in wanted if q[0] == "power_sum"]
        more = len(alphas) + len(head.vectors)
        splits, span = self._splits(vocab)
        out = torch.zeros((5 + more, splits, n), dtype=head.wide, device=at.device)
        argmax, logits = at.new_zeros((splits, n)), torch.empty(at.shape, dtype=head.wide, device=at.device)
        head.launch(
            "statistics", splits, at, out.new_tensor(alphas), _stacked(list(head.vectors.values()), out), out, argmax,
            logits, *self.sizes, len(at), splits, span, WANTS_ARGMAX=bool(wanted & {"max_logit", "argmax"}),
            WANTS_S1="entropy" in wanted, WANTS_SUM="sum_logits" in wanted, WANTS_SQUARES="sum_squares" in wanted,
            POWERS=len(alphas), DOTS=len(head.vectors), MORE=1 << max(0, more - 1).bit_length(),
        )  # fmt: skip
        top, s0, s1, plain, squares, *rest = out
        sums = {"sum_logits": plain, "sum_squares": squares}
        sums |= {("dot", name): dot for name, dot in zip(head.vectors, rest[len(alphas) :], strict=True)}
        return Part(top, argmax, s0, s1, dict(zip(alphas, rest, strict=False)), sums), logits

    def _splits(self, vocab: int) -> tuple[int, int]:
        """How many parts of the vocabulary, so that one wave of programs fills the device, and the columns of each."""
        head, blocks = self.head, _ceil(vocab, self.head.block.v)
        wanted = max(1, 2 * _multiprocessors(head.hidden.device) // head.row_blocks)
        span = _ceil(blocks, min(blocks, wanted)) * head.block.v
        return _ceil(vocab, span), span

    def descend(self, partials: Mapping[Quantity, Tensor]) -> None:
        """Apply the derivatives of the loss by the quantities of this tile."""
        head, (n, _, vocab) = self.head, self.sizes
        c = coefficients(self.found, partials, self.targets, self.ids, head.vectors)
        zero = torch.zeros_like(self.found["log_s0"])
        numbers = [self.found["max_logit"], self.found["log_s0"], c.a0, c.a1, c.c0, c.c1]
        numbers += [a for _, a in c.powers] + [b for _, b in c.vectors]
        packed = torch.stack([zero if number is None else number for number in numbers])
        none = packed.new_empty((n, 0))
        at = _transposed([none, *(index for index, _ in c.columns)], torch.int32)
        b = _transposed([none, *(value for _, value in c.columns)], packed.dtype)
        alphas = packed.new_tensor([alpha for alpha, _ in c.powers])
        vectors = _stacked([vector for vector, _ in c.vectors], packed)

        def fill(buffer: Tensor, first: int, last: int) -> None:
            head.launch(
                "gradient", _ceil(last - first, head.block.v), at, b, alphas, vectors, packed, buffer, *self.sizes,
                len(at), first, last, buffer.shape[1], WANTS_A0=c.a0 is not None, WANTS_A1=c.a1 is not None,
                WANTS_C0=c.c0 is not None, WANTS_C1=c.c1 is not None, POWERS=len(c.powers), DOTS=len(c.vectors),
            )  # fmt: skip

        columns = max(MIN_COLUMNS, BUFFER_BYTES // (n * head.hidden.element_size()))
        head.descend(fill, min(_ceil(vocab, head.block.v), columns // head.block.v) * head.block.v)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4


def _compiled(transform: Transform) -> tuple[float, ...]:
    """Four numbers: the place in TRANSFORMS, and the parameters in the order in which the transform names them."""
    values = [float(value) for _, value in transform.parameters]
    return (TRANSFORMS.index(transform.name), *values, *[0.0] * (3 - len(values)))


def _transposed(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Columns `[n, k]` side by side, as `[sum of k, n]`: programs read a row's neighbors together."""
    return torch.cat([part.t().to(dtype) for part in parts]).contiguous()  # converted first: cat would round ids


def _stacked(vectors: Sequence[Tensor], like: Tensor) -> Tensor:
    return torch.stack([*vectors]) if vectors else like.new_empty(0)


def _multiply(a: Tensor, b: Tensor, into: Tensor, *, add: bool) -> None:
    """`into = a @ b`, or added to it, summed in float32 at least."""
    if a.is_cuda and a.dtype != into.dtype:
        torch.addmm(into, a, b, beta=int(add), out_dtype=into.dtype, out=into)
    else:  # the mixed product exists on a GPU alone
        into.addmm_(a.to(into.dtype), b.to(into.dtype), beta=int(add))
