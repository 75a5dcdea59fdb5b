"""The completions that are judged, kept by what made them: a run that is killed writes none of them again."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from losslab import __version__
from losslab.generate import Sampling as Drawn
from losslab.generate import prompt_ids, write
from losslab.judge import cache
from losslab.judge.models import Loaded
from losslab.judge.prompts import Prompt
from losslab.progress import Progress, silent

TOGETHER = 16  # completions that are written at once


@dataclass(frozen=True)
class Sampling:
    """How completions are written.

    Args:
        completions: of each prompt.
        num_tokens: the most of one completion.
        temperature: 1 in the TinyStories protocol; 0 makes all completions of a prompt the same.
        top_k: the likeliest so many; 0 for all.
        seed: of all of them.
    """

    completions: int = 10
    num_tokens: int = 200
    temperature: float = 1.0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self):
        for name, least, most in (("completions", 1, 1000), ("num_tokens", 1, 100_000), ("top_k", 0, 2**31),
                                  ("seed", 0, 2**63 - 1)):
            if not least <= (value := getattr(self, name)) <= most:
                raise ValueError(f"--{name.replace('_', '-')} must be from {least} to {most:,}, got {value}")
        if not 0 <= self.temperature <= 100:
            raise ValueError(f"--temperature must be from 0 to 100, got {self.temperature}")


def completions(
    loaded: Loaded, prompts: Sequence[Prompt], sampling: Sampling, kept: cache.Cache, *, progress: Progress = silent,
) -> list[list[str]]:
    """`[prompts][completions]`: what the model writes after each prompt, without the prompt."""
    found = []
    for number, prompt in enumerate(prompts):
        name = _key(loaded, prompt, sampling)
        texts = _kept(kept.read(name), sampling.completions)
        if texts is None:
            texts = _texts(loaded, prompt.text, sampling)
            kept.write(name, {"prompt": prompt.text, "texts": texts})
        found.append(texts)
        done, total = ((count * sampling.completions) for count in (number + 1, len(prompts)))
        progress(f"{loaded.name} writes", done, total, "completions")
    return found


def are_kept(loaded: Loaded, prompts: Sequence[Prompt], sampling: Sampling, kept: cache.Cache) -> bool:
    """Whether nothing of it would have to be written anew."""
    return all(_kept(kept.read(_key(loaded, prompt, sampling)), sampling.completions) for prompt in prompts)


def _key(loaded: Loaded, prompt: Prompt, sampling: Sampling) -> str:
    device = str(next(loaded.model.parameters()).device)
    return cache.key({"completions": asdict(sampling), "prompt": prompt.text, "weights": loaded.weights,
                      "tokenizer": loaded.tokenizer.digest, "device": device, "version": __version__})


def _texts(loaded: Loaded, prompt: str, sampling: Sampling) -> list[str]:
    """All completions of one prompt, at most `TOGETHER` at once."""
    ids, drawn = prompt_ids(loaded.tokenizer, prompt), Drawn(sampling.temperature, sampling.top_k)
    seeds = [_seed(prompt, sampling.seed, number) for number in range(sampling.completions)]
    found = []
    for begin in range(0, len(seeds), TOGETHER):
        some = seeds[begin : begin + TOGETHER]
        found += write(loaded.model, loaded.tokenizer, [ids] * len(some), drawn, num_tokens=sampling.num_tokens,
                       seeds=some)
    return [each.text for each in found]


def _seed(prompt: str, seed: int, number: int) -> int:
    """By the prompt itself: its place in the file, and the other prompts, change nothing."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{number}\0{prompt}".encode()).digest()[:7], "big")


def _kept(found: dict | None, count: int) -> list[str] | None:
    texts = (found or {}).get("texts")
    fits = isinstance(texts, list) and len(texts) == count and all(isinstance(text, str) for text in texts)
    return texts if fits else None
