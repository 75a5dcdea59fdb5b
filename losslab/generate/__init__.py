"""What a model writes: sampling with a key-value cache, several texts at once."""

from collections.abc import Sequence

from losslab.generate.sampling import Sampling
from losslab.generate.window import window_start
from losslab.generate.writing import Sample, write
from losslab.model import LanguageModel

__all__ = ["Sample", "Sampling", "continuation", "generate", "prompt_ids", "window_start", "write"]


def generate(
    model: LanguageModel, tokenizer, prompt: str = "", *, num_tokens: int = 200, seed: int = 0,
    stop: Sequence[str] = (), **sampling,
) -> str:
    """The prompt and its continuation, up to the end mark, a text of `stop` or `num_tokens` more tokens.

    Args:
        model: gives hidden states and logits; its logit transform is applied.
        tokenizer: the model's own.
        prompt: text to continue; empty starts a new document.
        seed: the same seed gives the same text on the same machine.
        stop: texts before which it ends.
        sampling: `temperature` (0.8), `top_k`, `top_p`, `min_p` and `repetition_penalty`, as `Sampling` has them.

    Raises:
        ValueError: for a setting out of range, or a model whose logits are not finite.
    """
    ids = prompt_ids(tokenizer, prompt)
    return prompt + continuation(model, tokenizer, ids, num_tokens=num_tokens, seed=seed, stop=stop, **sampling)


def continuation(
    model: LanguageModel, tokenizer, ids: Sequence[int], *, num_tokens: int, seed: int = 0, stop: Sequence[str] = (),
    **sampling,
) -> str:
    """What follows the tokens `ids`, at least one: up to the end mark, the first text of `stop`, or `num_tokens`."""
    settings = Sampling(**sampling)
    (sample,) = write(model, tokenizer, [ids], settings, num_tokens=num_tokens, seeds=[seed], stop=stop)
    return sample.text


def prompt_ids(tokenizer, prompt: str) -> list[int]:
    """The tokens that a model reads before it continues with `prompt`: an end mark, as before each document, and it."""
    return [tokenizer.eot, *(int(token) for token in tokenizer.encode(prompt))] if prompt else [tokenizer.eot]
