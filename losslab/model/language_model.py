"""What the rest of losslab uses of a model: hidden states and logits, apart."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losslab import formula
from losslab.config import ModelConfig
from losslab.formula import Transform
from losslab.kernels.products import times_transposed
from losslab.model.cache import Cache
from losslab.model.linear import Linear


class LanguageModel(nn.Module, ABC):
    """What the rest of losslab uses of a model, whatever is inside: hidden states, then logits, apart.

    The loss is computed from `model(tokens)` and `model.lm_head`, without the logits where it can; evaluation and
    generation read `model.logits(model(tokens))`. Also used are `config`, `vocab_size`, `transform_text` and what each
    `nn.Module` has. A model of another kind gives `forward`, `lm_head` and `initialize`, and `build` names it.

    Args:
        config: sizes and switches.
        vocab_size: number of token ids.
        transforms: the logit transforms, one after the other, as `formula.transforms("softcap(15)")` gives them.
    """

    def __init__(self, config: ModelConfig, vocab_size: int, transforms: Sequence[Transform] = ()):
        super().__init__()
        self.config, self.vocab_size, self.transforms = config, vocab_size, tuple(transforms)

    @abstractmethod
    def forward(
        self, tokens: Tensor, cache: Cache | None = None, *, positions: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Tokens `[batch, seq]` to hidden states `[batch, seq, n_embd]`, causally.

        Args:
            tokens: those that come after the ones in `cache`.
            cache: keys and values so far; it grows by `tokens`.
            positions: `[batch, seq]`, where a row is not one text from left to right.
            mask: bool `[batch, seq, past + seq]`, True where a token may attend; None: to itself and all before it.

        Raises:
            ValueError: for more tokens than the model has positions.
        """

    @property
    @abstractmethod
    def lm_head(self) -> Tensor:
        """`[vocab, n_embd]`, the output weights that training takes; with rows of padded ids only where they count."""

    @property
    def output_weights(self) -> Tensor:
        """`[rows, n_embd]`, the parameter behind `lm_head`, with the rows of ids that have no token."""
        return self.lm_head

    @property
    def _of_tokens(self) -> Tensor:
        """Without the rows of ids that have no token, whose probability so is 0."""
        weights = self.lm_head
        return weights if weights.shape[0] == self.vocab_size else weights[: self.vocab_size]

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """Modules that compute one after the other: ranks that share the weights have one of them whole at a time."""
        return ()

    def dropped(self, seq_len: int) -> list[tuple[int, ...]]:
        """The shapes, for one sequence, of all that dropout may set to zero, in the order of the forward pass."""
        raise ValueError(f"the dropout of a {type(self).__name__} cannot be shared by ranks; train it in one process")

    def recompute_blocks(self) -> None:
        """Keep the inputs of the blocks alone, and compute the rest again in the backward pass."""
        raise ValueError(f"a {type(self).__name__} cannot compute its activations again; leave out "
                         "train.checkpoint_activations")

    @abstractmethod
    def initialize(self) -> None:
        """Draw the weights anew, from torch's random numbers."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states `[..., n_embd]` to transformed logits `[..., vocab]`, in float32 (or float64)."""
        product = F.linear if torch.is_grad_enabled() else times_transposed
        return formula.transformed(product(hidden, self._of_tokens), self.transforms)

    def lay_out_for_one_row(self) -> None:
        """Store the weights of the head, and of layers with more outputs than inputs, column by column, on a CPU.

        A product with one row takes a fifth less time then; with several rows it may take more. Shapes and values stay,
        and results up to the order of additions. For a model that is only to write, one text at a time.
        """
        layers = [layer.weight for layer in self.modules() if isinstance(layer, Linear)]
        for weight in [self.output_weights, *layers]:
            if weight.device.type == "cpu" and weight.shape[0] > weight.shape[1]:
                weight.data = weight.data.t().contiguous().t()

    @property
    def transform_text(self) -> str:
        """The logit transforms in the words of a formula; `""` for none."""
        return formula.print_transforms(self.transforms)

    @property
    def num_params(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
