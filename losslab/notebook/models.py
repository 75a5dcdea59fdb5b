"""A trained model in Python: it writes, says what it expects, and is scored on a text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from losslab import records
from losslab.evaluate import nll, stored
from losslab.evaluate.likelihood import text_documents
from losslab.evaluate.logprobs import evaluation_mode
from losslab.generate import generate, prompt_ids
from losslab.model import LanguageModel
from losslab.records import Record
from losslab.stats import Score


def load(run: str | Path | Record, *, device: str = "cpu") -> "Model":
    """The model of a run, with its tokenizer.

    Args:
        run: a run folder (of a training or an import), or its record.
        device: where the weights go: `cpu`, `cuda` or `auto`.

    Raises:
        ValueError: for a folder without a run or without weights, or weights that are not those that were measured.
    """
    from losslab import machine

    record = run if isinstance(run, Record) else records.read(run)
    loaded = stored.load(record, device=machine.resolve_device(device))
    return Model(record, loaded.model, loaded.tokenizer)


class Model:
    """A trained model and its tokenizer.

    Args:
        record: the run that it is of.
        model: gives hidden states and logits; its logit transform is applied.
        tokenizer: the model's own.
    """

    def __init__(self, record: Record, model: LanguageModel, tokenizer: Any):
        self.record, self.model, self.tokenizer = record, model, tokenizer

    def generate(self, prompt: str = "", *, num_tokens: int = 200, seed: int = 0, stop: Sequence[str] = (),
                 **sampling: float) -> str:
        """The prompt and its continuation.

        Args:
            prompt: text to continue; empty starts a new document.
            num_tokens: the most that are written.
            seed: the same seed gives the same text on the same machine.
            stop: texts before which it ends.
            sampling: `temperature` (0.8), `top_k`, `top_p`, `min_p` and `repetition_penalty`.

        Raises:
            ValueError: for a setting out of range.
        """
        return generate(self.model, self.tokenizer, prompt, num_tokens=num_tokens, seed=seed, stop=stop, **sampling)

    def logits(self, text: str) -> torch.Tensor:
        """What the model expects at each place of a text: float32 `[tokens + 1, vocab]`, the transform applied.

        Row i is about the token behind the first i tokens of the text; before the first stands an end mark.

        Raises:
            ValueError: for a text that is longer than the model's context.
        """
        ids = prompt_ids(self.tokenizer, text)
        if len(ids) > (most := self.model.config.num_positions):
            raise ValueError(f"the text has {len(ids):,} tokens with its end mark, and the model's context is "
                             f"{most:,}; give a shorter text, or take nll, which reads it in windows")
        tokens = torch.tensor([ids], device=next(self.model.parameters()).device)
        with evaluation_mode(self.model):
            return self.model.logits(self.model(tokens))[0].float()

    def nll(self, text: str) -> Score:
        """Plain cross-entropy of a text as one document, in nats/token: `value`, with no error from one document.

        Raises:
            ValueError: for an empty text.
        """
        if not text:
            raise ValueError("an empty text has no tokens to score; give some text")
        return nll(self.model, text_documents([text], self.tokenizer, ends=False), self.tokenizer)["nll"]

    def __repr__(self) -> str:
        return f"<Model of {self.record.path}: {self.model.num_params:,} parameters, tokenizer {self.tokenizer.name}>"
