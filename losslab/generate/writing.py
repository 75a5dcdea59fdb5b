"""Texts that a model writes, several at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from losslab.generate.reading import Reader
from losslab.generate.sampling import Sampling
from losslab.generate.text import Text

END_MARK, STOP_TEXT, FULL = "end mark", "stop text", "num_tokens"


@dataclass
class Sample:
    """What was written behind one prompt.

    `text` has neither the prompt nor the end mark nor the stop text; `tokens` are all that were drawn, the last ones of
    which may be the end mark or complete a stop text. `logprobs` are the natural logarithms of the probabilities that
    the model gave them, before the temperature and everything else in `Sampling`. `end` says why it ended: `end mark`,
    `stop text` or `num_tokens`.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    end: str = FULL


@torch.inference_mode()
def write(
    model, tokenizer, prompts: Sequence[Sequence[int]], sampling: Sampling = Sampling(), *, num_tokens: int,
    seeds: Sequence[int], stop: Sequence[str] = (), show: Callable[[int, str], None] | None = None,
) -> list[Sample]:
    """One sample behind each prompt, all of them at once.

    A sample is a function of its prompt, its seed and the settings: what else is written at the same time changes the
    order in which numbers are added, and nothing else.

    Args:
        model: gives hidden states and logits; its logit transform is applied.
        tokenizer: the model's own.
        prompts: tokens, at least one each; what of a long one is read says `window_start`.
        num_tokens: the most that are drawn behind each.
        seeds: of each prompt's random numbers.
        stop: texts before which a sample ends.
        show: told (index, piece of text) as soon as a piece is certain; the pieces of one index are its `text`.

    Raises:
        ValueError: for a model whose logits are not finite.
    """
    was_training = model.training
    model.eval()
    try:
        return _written(model, tokenizer, prompts, sampling, num_tokens, seeds, stop, show or (lambda index, piece: None))
    finally:
        model.train(was_training)


def _written(model, tokenizer, prompts, sampling, num_tokens, seeds, stop, show) -> list[Sample]:
    samples = [Sample() for _ in prompts]
    texts, generators = [Text(tokenizer, stop) for _ in prompts], [torch.Generator().manual_seed(s) for s in seeds]
    ids, active = [list(prompt) for prompt in prompts], list(range(len(prompts)))
    reader = Reader(model, max(map(len, ids), default=0) + num_tokens)
    for _ in range(num_tokens):
        if not active:
            break
        rows = reader.logits([ids[index] for index in active])
        going = []
        for row, (index, logits) in enumerate(zip(active, rows, strict=True)):
            sample, text = samples[index], texts[index]
            token = sampling.choose(logits, ids[index], generators[index])
            sample.tokens.append(token)
            sample.logprobs.append(float(logits[token].double() - logits.double().logsumexp(-1)))
            ids[index].append(token)
            if token == tokenizer.eot:
                sample.end = END_MARK
                continue
            text.add(token)
            show(index, text.news())
            if text.stopped:
                sample.end = STOP_TEXT
            else:
                going.append(row)
        if going and len(going) < len(active):
            reader.keep(going)
        active = [active[row] for row in going]
    for index, (sample, text) in enumerate(zip(samples, texts, strict=True)):
        text.finish()
        show(index, text.news())
        sample.text = text.whole
    return samples
