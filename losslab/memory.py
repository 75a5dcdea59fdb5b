"""What a training takes of the memory of one device, by parts, from its settings alone; it loads no torch.

Counted are the tensors that are held at once at the end of a forward pass. What is not counted: buffers of libraries,
of an evaluation on the way, and what an allocator cannot use, together a tenth or so.
"""

import math
from collections.abc import Mapping

from losslab.config import ModelConfig, TrainConfig

PARTS = ("weights", "gradients", "moments", "activations", "head")
LOGITS = "logits"  # one part more, of a loss that takes them
FULL, HALF = 4, 2  # bytes of a number
DENSE_LOGITS, TILES = 8 * 2**20, 64 * 2**20  # bytes: logits that are held whole; what the streamed head holds of others
USABLE = 0.9  # share of a device's memory that a plan may take


def plan(
    model: ModelConfig, train: TrainConfig, vocab_size: int, *, seq_len: int = 0, world: int = 1, way: str = "alone",
    rows: int = 0, takes_logits: bool = False,
) -> dict[str, int]:
    """Bytes on each device, by `PARTS`, and `logits` where the loss takes those of a whole micro-batch.

    Args:
        model: its sizes.
        train: batch, optimizer, precision, and whether activations are computed again.
        vocab_size: number of token ids.
        seq_len: tokens in a sequence; 0 means as many as the model has positions.
        world: how many ranks share the batch.
        way: `alone`, `replicated` or `sharded`.
        rows: sequences in one forward pass of one rank; 0 means as `train` says.
        takes_logits: whether the objective has a classic loss of logits and targets.

    Example:
        >>> gpt2 = ModelConfig(n_layer=12, n_head=12, n_embd=768, num_positions=1024)
        >>> found = plan(gpt2, TrainConfig(batch_size=4, dtype="bfloat16"), 50257)
        >>> {name: round(value / 1e9, 2) for name, value in found.items()}
        {'weights': 0.67, 'gradients': 0.5, 'moments': 1.0, 'activations': 1.38, 'head': 0.23}
    """
    rows = rows or own_rows(train, world)
    seq_len = seq_len or train.seq_len or model.num_positions
    tokens = rows * seq_len
    params, block = model.num_params(vocab_size), block_params(model)
    held, extra = (params, 0) if way != "sharded" else (-(-params // world), params - model.n_layer * block)
    half = train.dtype in ("bfloat16", "float16")
    moments = 2 * held
    if train.optimizer == "muon":  # one for the matrices of the blocks
        moments -= model.n_layer * 12 * model.n_embd**2 * held // params
    # parts of the others while they are needed: embeddings and head all the time, blocks one now and one on its way
    gathered = 0 if way != "sharded" else extra + 2 * block
    cast = (block if way == "sharded" else model.n_layer * 12 * model.n_embd**2) if half else 0
    return {
        "weights": FULL * (held + gathered) + HALF * cast,
        "gradients": FULL * (held + (0 if way != "sharded" else extra + block)),
        "moments": FULL * moments,
        "activations": rows * activations(model, seq_len, half=half, again=train.checkpoint_activations,
                                          fused=train.device.startswith("cuda")),
        # the gradients of both inputs, and what is between them and the loss
        "head": FULL * model.n_embd * (vocab_size + tokens) + (0 if takes_logits else logits(vocab_size, tokens)),
        **({LOGITS: logits(vocab_size, tokens, whole=True)} if takes_logits else {}),
    }


def own_rows(train: TrainConfig, world: int = 1) -> int:
    """The most sequences in one forward pass of one rank."""
    share = -(-train.batch_size // world)
    return min(share, train.micro_batch_size or share)


def block_params(model: ModelConfig) -> int:
    """The parameters of one block."""
    return (model.num_params(0) - (model.num_positions * model.n_embd if model.position_embedding == "learned" else 0)
            ) // (model.n_layer or 1)


def activations(
    model: ModelConfig, seq_len: int, *, half: bool = False, again: bool = False, fused: bool = False
) -> int:
    """Bytes that one sequence leaves for the backward pass.

    Args:
        model: its sizes and switches.
        seq_len: tokens in it.
        half: whether products are in 16 bits.
        again: whether only the inputs of the blocks are kept; one block at a time is then computed again.
        fused: whether the kernel of attention drops weights without keeping them, as on a GPU.
    """
    size = HALF if half else FULL
    kept = 2 * FULL + 14 * size  # sums of the residual stream; then norms 2, attention 4, MLP 8
    if model.position_embedding == "rotary" or model.qk_norm:  # queries and keys before and after, in float32
        kept += 2 * FULL + (3 * HALF if half else 0)
    block = seq_len * model.n_embd * kept
    if model.dropout:
        block += seq_len * 2 * model.n_embd * size
        block += 0 if fused else 3 * model.n_head * seq_len * seq_len * FULL
    stream = seq_len * model.n_embd * FULL
    return model.n_layer * stream + block + 2 * stream if again else model.n_layer * block + 2 * stream


def logits(vocab_size: int, tokens: int, *, whole: bool = False) -> int:
    """Bytes of logits, what is made of them and gradients, or of tiles where they are many and need not be whole."""
    dense = FULL * tokens * vocab_size
    return 3 * dense if whole or dense <= DENSE_LOGITS else TILES


def most_rows(available: int, parts: Mapping[str, int], rows: int) -> int:
    """How many sequences in one forward pass fit `available` bytes, by the plan of a pass with `rows`; 0 for none."""
    fixed = sum(parts[name] for name in ("weights", "gradients", "moments", "head"))
    each = (parts["activations"] + parts.get(LOGITS, 0)) / rows
    return max(0, math.floor((USABLE * available - fixed) / each))
