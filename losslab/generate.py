"""Sampling text from a model, with a key-value cache."""

from collections.abc import Sequence

import torch

from losslab.model import Cache, LanguageModel


def generate(
    model: LanguageModel, tokenizer, prompt: str = "", *, num_tokens: int = 200, temperature: float = 0.8,
    top_k: int = 0, seed: int = 0,
) -> str:
    """The prompt and its continuation, up to the end mark or `num_tokens` more tokens.

    Args:
        model: gives hidden states and logits; its logit transform is applied.
        tokenizer: the model's own.
        prompt: text to continue; empty starts a new document.
        temperature: divides the logits; 0 takes the most likely token each time.
        top_k: sample among the k most likely tokens only; 0 for all.
        seed: the same seed gives the same text on the same machine.

    Raises:
        ValueError: for a negative temperature or top_k, or a model whose logits are not finite.
    """
    ids = [tokenizer.eot, *(int(token) for token in tokenizer.encode(prompt))] if prompt else [tokenizer.eot]
    return prompt + continuation(
        model, tokenizer, ids, num_tokens=num_tokens, temperature=temperature, top_k=top_k, seed=seed
    )


@torch.no_grad()
def continuation(
    model: LanguageModel, tokenizer, ids: Sequence[int], *, num_tokens: int, temperature: float, top_k: int = 0,
    seed: int = 0, stop: Sequence[str] = (),
) -> str:
    """What follows `ids`, at least one token: up to the end mark, the first of the texts `stop`, or `num_tokens`."""
    if not temperature >= 0 or top_k < 0:
        raise ValueError(f"temperature and top_k must not be negative, got {temperature} and {top_k}")
    was_training, device = model.training, model.lm_head.device
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    limit = model.config.num_positions
    ids = list(ids)
    start, cache, fresh = len(ids), Cache(), ids[-(limit - 1) :] if limit > 1 else ids[-1:]
    for _ in range(num_tokens):
        if len(cache) + len(fresh) > limit:  # full: continue from the last half, re-read at new positions
            cache, fresh = Cache(), ids[-max(1, limit // 2) :]
        hidden = model(torch.tensor([fresh], device=device), cache)
        token = _pick(model.logits(hidden[0, -1]).cpu(), temperature, top_k, generator)
        if token == tokenizer.eot:
            break
        ids.append(token)
        fresh = [token]
        if stop and any(end in tokenizer.decode(ids[start:]) for end in stop):
            break
    model.train(was_training)
    text = tokenizer.decode(ids[start:])
    return text[: min((text.index(end) for end in stop if end in text), default=len(text))]


def _pick(logits: torch.Tensor, temperature: float, top_k: int, generator: torch.Generator) -> int:
    if not bool(logits.max().isfinite()):
        raise ValueError("the model gives logits that are not finite, and no token can be drawn from them; its weights "
                         "are damaged, or its training diverged")
    if temperature == 0 or not bool((logits / temperature).max().isfinite()):  # next to 0 is 0
        return int(logits.argmax())
    logits = logits / temperature
    if 0 < top_k < len(logits):
        best = logits.topk(top_k)  # by index, not by value: ties would let more than k in
        logits = torch.full_like(logits, float("-inf")).scatter(0, best.indices, best.values)
    return int(torch.multinomial(logits.softmax(-1), 1, generator=generator))
