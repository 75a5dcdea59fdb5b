"""Texts that a model writes, several at a time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from losslab.generate.reading import Reader
from losslab.generate.sampling import Sampling
from losslab.generate.text import Text

Show = Callable[[int, str, bool], None]
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
    model, tokenizer, prompts: Sequence[Sequence[int]], sampling: Sampling, *, num_tokens: int,
    seeds: Sequence[int], stop: Sequence[str] = (), show: Show | None = None,
) -> list[Sample]:
    """One sample behind each prompt, all of them at once.

    A sample is a function of its prompt, its seed and the settings: what else is written at the same time changes the
    order in which numbers are added, and nothing else.

    Args:
        model: gives hidden states and logits; its logit transform is applied.
        tokenizer: the model's own.
        prompts: tokens, at least one each; `window_start` says what of a long one is read.
        num_tokens: the most that are drawn behind each.
        seeds: of each prompt's random numbers.
        stop: texts before which a sample ends.
        show: told (index, piece, whether it was the last) as soon as a piece of text is certain; the pieces of one
            index make its `text`.

    Raises:
        ValueError: for a model whose logits are not finite.
    """
    was_training = model.training
    model.eval()
    drafts = [_Draft(tokenizer, prompt, seed, stop) for prompt, seed in zip(prompts, seeds, strict=True)]
    try:
        _fill(model, tokenizer.eot, drafts, sampling, num_tokens, show or (lambda index, piece, ended: None))
    finally:
        model.train(was_training)
    return [draft.sample for draft in drafts]


class _Draft:
    """A sample while it is written."""

    def __init__(self, tokenizer, prompt: Sequence[int], seed: int, stop: Sequence[str]):
        self.ids, self.sample, self.text = list(prompt), Sample(), Text(tokenizer, stop)
        self.generator = torch.Generator().manual_seed(seed)

    def take(self, token: int, logits: torch.Tensor, end_mark: int) -> bool:
        """One more token, drawn from what these logits `[vocab]` say; whether more may follow."""
        self.ids.append(token)
        self.sample.tokens.append(token)
        self.sample.logprobs.append(_log_probability(logits, token))
        if token == end_mark:
            self.sample.end = END_MARK
            return False
        self.text.add(token)
        if self.text.stopped:
            self.sample.end = STOP_TEXT
        return not self.text.stopped

    def finish(self) -> None:
        self.text.finish()
        self.sample.text = self.text.whole


def _log_probability(logits: torch.Tensor, token: int) -> float:
    """exp in the model's precision, the logarithm and the differences in float64: nothing is lost at large logits."""
    peak = logits.max()
    return float(logits[token]) - float(peak) - math.log(float((logits - peak).exp_().sum()))


def _fill(model, end_mark: int, drafts: list[_Draft], sampling: Sampling, num_tokens: int, show: Show) -> None:
    active = list(range(len(drafts)))
    reader = Reader(model, max((len(draft.ids) for draft in drafts), default=0) + num_tokens)
    for left in reversed(range(num_tokens)):
        if not active:
            return
        rows, going = reader.logits([drafts[index].ids for index in active]), []
        for row, (index, logits) in enumerate(zip(active, rows, strict=True)):
            draft = drafts[index]
            goes_on = draft.take(sampling.choose(logits, draft.ids, draft.generator), logits, end_mark) and left > 0
            if goes_on:
                going.append(row)
            else:
                draft.finish()
            show(index, draft.text.news(), not goes_on)
        if going and len(going) < len(active):
            reader.keep(going)
        active = [active[row] for row in going]
    for index in active:  # where no tokens are asked for
        show(index, "", True)
