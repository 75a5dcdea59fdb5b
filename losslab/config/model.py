"""The settings of a model: its sizes and switches, and what follows from them without building it."""

from dataclasses import dataclass

from losslab.config.numbers import MAX_PARAMETERS, check_fields, shown

CHOICES: dict[str, tuple[str, ...]] = {  # the first is GPT-2's
    "position_embedding": ("learned", "rotary"),
    "norm": ("layer", "rms"),
    "activation": ("gelu_tanh", "gelu", "relu_squared"),
    "padding": ("masked", "counted"),
}
# what no published GPT-2 has; the exact gelu is nanoGPT's
SWITCHED: dict[str, object] = {
    "position_embedding": "rotary", "norm": "rms", "qk_norm": True, "activation": "relu_squared"}


@dataclass(frozen=True)
class ModelConfig:
    n_layer: int = 4
    """Transformer blocks."""
    n_head: int = 4
    """Attention heads in a block."""
    n_embd: int = 128
    """Width of the residual stream."""
    num_positions: int = 128
    """The longest text in tokens that the model reads: the rows of its position table, or the farthest rotation."""
    dropout: float = 0.0
    """Probability of dropping an activation while training."""
    bias: bool = True
    """Whether linear layers and layer norms have biases, as GPT-2's do."""
    tied: bool = True
    """Whether the output weights are the token embedding, as GPT-2's are."""
    init_seed: int | None = None
    """Seed of the initial weights; that of the run unless given."""
    activation: str = "gelu_tanh"
    """Between a block's two maps: `gelu_tanh` is GPT-2's, `gelu` the exact one, nanoGPT's; or `relu_squared`."""
    position_embedding: str = "learned"
    """How a token tells its place: `learned`, a table that is added, or `rotary`: queries and keys turn with it."""
    norm: str = "layer"
    """`layer`, which is GPT-2's, or `rms`, which takes no mean away and has a gain but no bias."""
    qk_norm: bool = False
    """Whether each head's queries and keys are divided by their root mean square, without a gain."""
    zero_init: bool = False
    """Whether the output projections of attention and MLP begin at zero, so that each block begins as the identity."""
    vocab_multiple: int = 1
    """The rows of token table and output weights are padded to a multiple of this; 64 makes GPT-2's 50,257 a 50,304."""
    padding: str = "masked"
    """Ids without a token have probability 0 where `masked`; `counted` as in nanoGPT, they take part in the softmax of
    training, and so in entropy, z-loss and smoothing. Evaluation, generation and export never have them."""

    def __post_init__(self):
        check_fields(self, "model.")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"model.n_embd (={self.n_embd}) must be divisible by model.n_head (={self.n_head})"
            )
        if self.dropout >= 1:
            raise ValueError(f"model.dropout must be in [0, 1), got {self.dropout}")
        for name, known in CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"model.{name} must be {', '.join(known[:-1])} or {known[-1]}, got {shown(value)}")
        if self.padding == "counted" and self.vocab_multiple == 1:
            raise ValueError("model.padding counted goes with a model.vocab_multiple above 1, such as 64; with 1 there "
                             "are no ids without a token")
        if self.position_embedding == "rotary" and (width := self.n_embd // self.n_head) % 2:
            raise ValueError(
                f"model.position_embedding rotary turns pairs of numbers, and a head of model.n_embd (={self.n_embd}) "
                f"/ model.n_head (={self.n_head}) has {width}; choose an even width of a head, or learned positions"
            )
        if (count := self.num_params(0)) > MAX_PARAMETERS:
            raise ValueError(
                f"a model with model.n_layer {self.n_layer:,}, model.n_embd {self.n_embd:,} and "
                f"model.num_positions {self.num_positions:,} has {count:.2g} parameters, more than the "
                f"{MAX_PARAMETERS:.0e} that are allowed"
            )

    @property
    def switches(self) -> dict[str, object]:
        """What makes the model another function than a GPT-2, by the name of the setting; nothing for one of those.

        Example:
            >>> ModelConfig(norm="rms", bias=False).switches, ModelConfig(activation="gelu", zero_init=True).switches
            ({'norm': 'rms'}, {})
        """
        return {name: value for name, value in SWITCHED.items() if getattr(self, name) == value}

    def rows(self, vocab_size: int) -> int:
        """Rows of the token table and of the output weights, padding among them.

        Example:
            >>> ModelConfig(vocab_multiple=64).rows(50257), ModelConfig().rows(50257)
            (50304, 50257)
        """
        return -(-vocab_size // self.vocab_multiple) * self.vocab_multiple

    def num_params(self, vocab_size: int) -> int:
        """How many parameters a model of these sizes has, without building it; padding of the vocabulary counts.

        Example:
            >>> ModelConfig(n_layer=12, n_head=12, n_embd=768, num_positions=1024).num_params(50257)  # GPT-2
            124439808
        """
        width, biases = self.n_embd, 1 if self.bias else 0
        norm = width * (1 + biases) if self.norm == "layer" else width
        attention = 4 * width * width + 4 * width * biases  # queries, keys and values, then their way out
        mlp = 8 * width * width + 5 * width * biases
        positions = self.num_positions if self.position_embedding == "learned" else 0
        tables = (self.rows(vocab_size) * (1 if self.tied else 2) + positions) * width
        return tables + self.n_layer * (2 * norm + attention + mlp) + norm

    def token_flops(self, vocab_size: int, seq_len: int) -> int:
        """Floating-point operations of the matrix products for one token in training, forward and backward.

        The products of the blocks, of attention (in full, as is usual, though half of it is masked) and of the head,
        times three for forward and backward. Left out: what is done element by element, norms, rotations and losses
        among it, and the logits that the fused head computes a second time.

        Args:
            vocab_size: number of token ids.
            seq_len: tokens in a sequence, which attention takes in.

        Example:
            >>> gpt2 = ModelConfig(n_layer=12, n_head=12, n_embd=768, num_positions=1024)
            >>> gpt2.token_flops(50257, 1024)  # 6 x 123.5 million, and 12 x 12 x 768 x 1024
            854438400
        """
        columns = self.rows(vocab_size) if self.padding == "counted" else vocab_size
        weights = 12 * self.n_layer * self.n_embd**2 + columns * self.n_embd
        return 6 * weights + 12 * self.n_layer * self.n_embd * seq_len
