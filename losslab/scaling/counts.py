"""N and C of a model, counted in each of the ways that laws are stated in."""

from dataclasses import asdict, dataclass

from losslab.config import ModelConfig
from losslab.scaling.law import FLOPS_PER_PARAMETER


@dataclass(frozen=True)
class Counts:
    """Parameters of a model by parts, and the compute of its training.

    At small sizes a table of 50,257 embeddings has more parameters than all blocks, so a law must say which N it means.

    Args:
        num_params: all, a tied table once.
        token_embeddings: the table that tokens are looked up in.
        position_embeddings: the table of positions.
        head: the output weights; 0 where they are the token table.
        num_params_non_embedding: the blocks and the last norm: without tables and head.
        num_params_with_head: the blocks, the last norm and the output weights, tied or not: what is multiplied.
        num_tokens: of the training.
        flops_6nd: 6 N D with N all parameters.
        flops_6nd_non_embedding: 6 N D with N without tables and head.
        flops: the exact count of the matrix products, forward and backward, attention in full.
    """

    num_params: int
    token_embeddings: int
    position_embeddings: int
    head: int
    num_params_non_embedding: int
    num_params_with_head: int
    num_tokens: int
    flops_6nd: int
    flops_6nd_non_embedding: int
    flops: int

    def to_dict(self) -> dict:
        return asdict(self)


def counts(model: ModelConfig, vocab_size: int, num_tokens: int, seq_len: int) -> Counts:
    """Count a model and its training.

    Args:
        model: its sizes.
        vocab_size: number of token ids.
        num_tokens: of the training.
        seq_len: tokens in a sequence, which attention takes in.

    Example:
        >>> gpt2 = counts(ModelConfig(n_layer=12, n_head=12, n_embd=768, num_positions=1024), 50257, 10**9, 1024)
        >>> gpt2.num_params, gpt2.num_params_non_embedding, round(gpt2.flops / gpt2.flops_6nd, 3)
        (124439808, 85056000, 1.144)
    """
    every = model.num_params(vocab_size)
    positions = model.num_positions * model.n_embd if model.position_embedding == "learned" else 0
    table = model.rows(vocab_size) * model.n_embd
    head = 0 if model.tied else table
    blocks = every - positions - table - head
    return Counts(every, table, positions, head, blocks, blocks + table, num_tokens,
                  FLOPS_PER_PARAMETER * every * num_tokens, FLOPS_PER_PARAMETER * blocks * num_tokens,
                  model.token_flops(vocab_size, seq_len) * num_tokens)
