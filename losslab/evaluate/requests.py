"""What every task comes down to: how likely is this continuation after that context?

A text of a task may begin with nothing, as lm-evaluation-harness has it for GPT-2, or with the end mark, as the
documents that a model of losslab is trained on begin. That can move an accuracy by several hundredths, so it is a
setting, `prefix`.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from losslab.evaluate.beginnings import Row, batches, rows
from losslab.evaluate.logprobs import evaluation_mode
from losslab.evaluate.sharing import Ranks
from losslab.model import Cache

TOKENS_AT_ONCE = {"cpu": 512}  # read in one pass; on two cores 124M parameters read 2048 at once a fifth slower
TOKENS_ELSEWHERE = 16384
LOGITS_BYTES = 64 * 2**20  # of logits held at once
BLOCK = 8192  # requests laid out at once
PREFIXES = ("none", "end-of-text")


@dataclass(frozen=True)
class Request:
    """Token ids; a context has at least one, so that the first token of a continuation has something before it."""

    context: Sequence[int]  # at least one token
    continuation: Sequence[int]  # at least one token


@dataclass(frozen=True)
class Answer:
    """What the model said of one request."""

    nats: np.ndarray  # float64 [len(continuation)], minus the log-probability of each token
    is_greedy: np.ndarray  # bool [len(continuation)], whether it was the likeliest token, the first where several tie
    num_cut: int  # context tokens that did not fit, dropped from the left


def begun(tokenizer, prefix: str, context: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, int]:
    """The ids of a whole text with what stands before it, and how many of them are its context.

    Args:
        prefix: of `PREFIXES`; with `none` the end mark still stands before a text without a context, since its first
            token needs something before it (lm-evaluation-harness does the same).
        context: ids of the context alone.
        whole: ids of context and continuation, encoded as one text.
    """
    if prefix == "none" and len(context):
        return np.asarray(whole, dtype=np.int32), len(context)
    return np.concatenate([[tokenizer.eot], whole]).astype(np.int32), len(context) + 1


def request(tokenizer, context: str, continuation: str, prefix: str = "none") -> Request:
    """Both are encoded as one text, cut where the encoded context ends; the context's last spaces go over.

    Example:
        >>> from losslab import tokenizer
        >>> request(tokenizer.make("bytes"), "ab ", "c")
        Request(context=[97, 98], continuation=[32, 99])
    """
    before = tokenizer.encode(context.rstrip()) if context.strip() else np.zeros(0, dtype=np.int32)
    ids, start = begun(tokenizer, prefix, before, tokenizer.encode(context + continuation))
    return Request(ids[:start].tolist(), ids[start:].tolist())


def prefix_note(name: str, prefix: str) -> str:
    """What the page of a task says of it."""
    if prefix == "none":
        return (f"{name}: nothing stands before a text, as in lm-evaluation-harness (prefix none); only where there is "
                "no context the end mark does")
    return f"{name}: the end mark stands before every text (prefix {prefix}), which lm-evaluation-harness does not do"


def prefixed(scores: dict, prefix: str) -> dict:
    """The scores, each with the prefix in its name where it is not the harness's.

    Example:
        >>> prefixed({"accuracy": 0.5}, "end-of-text"), prefixed({"accuracy": 0.5}, "none")
        ({'accuracy_prefix_end_of_text': 0.5}, {'accuracy': 0.5})
    """
    if prefix == "none":
        return scores
    return {f"{name}_prefix_{prefix.replace('-', '_')}": score for name, score in scores.items()}


def answers(model, requests: Sequence[Request], *, progress: Callable[[int, int], None] | None = None) -> list[Answer]:
    """One answer for each request, in their order.

    What requests begin with in common is read once, through the key-value cache of a `GPT2`; any other model reads
    each different request whole. Under `torchrun` all ranks must call this: each takes every so many-th batch, and
    all get all answers, the same to the bit as one rank would.

    Args:
        model: `model(tokens) -> hidden`, `model.logits(hidden)`, `model.config.num_positions`; causal.
        progress: told (done, of all) now and then.

    Raises:
        ValueError: for an empty context or continuation, or a continuation that is longer than the model's context.

    Example:
        >>> from losslab import config, model
        >>> untrained = model.initialized(config.ModelConfig(n_layer=1, n_head=1, n_embd=8), 257, 0)
        >>> (answer,) = answers(untrained, [Request([0], [5, 6])])
        >>> bool(abs(answer.nats - np.log(257)).max() < 0.1), answer.num_cut  # about log 257 nats each
        (True, 0)
    """
    ranks, context_length, device = Ranks.here(), model.config.num_positions, next(model.parameters()).device
    for request in requests:
        _check(request, context_length)
    lengths = [len(request.continuation) for request in requests]
    ends = np.cumsum(lengths)
    nats, is_greedy = np.zeros(sum(lengths)), np.zeros(sum(lengths))
    with evaluation_mode(model):
        for first in range(0, len(requests), BLOCK):
            block = slice(first, first + BLOCK)
            for done in _answer(model, requests[block], (ends - lengths)[block], nats, is_greedy, ranks):
                if progress is not None:
                    progress(first + done, len(requests))
    nats, is_greedy = ranks.summed(nats, device), ranks.summed(is_greedy, device) > 0
    return [
        Answer(nats[end - length : end], is_greedy[end - length : end], num_cut(request, context_length))
        for request, length, end in zip(requests, lengths, ends.tolist(), strict=True)
    ]


def num_cut(request: Request, context_length: int) -> int:
    """Tokens that `answers` drops from the left: a model reads a full context, and never the last of a request.

    Example:
        >>> num_cut(Request([1, 2, 3, 4], [5]), 2)
        2
    """
    return max(0, len(request.context) + len(request.continuation) - 1 - context_length)


def _check(request: Request, context_length: int) -> None:
    if not len(request.context) or not len(request.continuation):
        raise ValueError("a request needs at least one token of context and one to score")
    if (length := len(request.continuation)) > context_length:
        raise ValueError(f"a continuation of {length} tokens does not fit a context of {context_length}")


def _answer(
    model, requests, offsets: np.ndarray, nats: np.ndarray, is_greedy: np.ndarray, ranks: Ranks
) -> Iterator[int]:
    """Fill `nats` and `is_greedy` from `offsets` on with what this rank's batches say; how many requests are done."""
    context_length, device = model.config.num_positions, next(model.parameters()).device
    at_once = TOKENS_AT_ONCE.get(device.type, TOKENS_ELSEWHERE)
    read = [
        np.concatenate([request.context, request.continuation]).astype(np.int64)[num_cut(request, context_length) : -1]
        for request in requests
    ]
    shares = {"positions", "mask"} <= inspect.signature(getattr(model, "forward", model)).parameters.keys()
    # so that the longest beginning is shared, too
    found = rows(read, max_tokens=max(at_once, 2 * context_length), shares=shares)
    every = list(batches(found, max_tokens=at_once))
    done = 0
    for turn, batch in enumerate(every):
        done += sum(len(row.members) for row in batch)
        if not ranks.takes(turn):
            continue
        hidden = (_hidden_sharing if shares else _hidden)(model, batch, device)
        slots, targets, places = [], [], []
        for number, row in enumerate(batch):
            for index, start in row.members:
                wanted = np.asarray(requests[index].continuation, dtype=np.int64)
                last = len(read[index])
                slots.append(row.slots(start, np.arange(last - len(wanted), last)) + number * hidden.shape[1])
                targets.append(wanted)
                places.append(offsets[index] + np.arange(len(wanted)))
        places = np.concatenate(places)
        nats[places], is_greedy[places] = _score(
            model, hidden.flatten(0, 1), np.concatenate(slots), np.concatenate(targets)
        )
        yield done


def _hidden(model, batch: list[Row], device) -> torch.Tensor:
    """`[rows, seq, ...]` of rows that are one sequence each; padding on the right is seen by none before it."""
    return model(torch.from_numpy(_padded([row.tokens for row in batch], 0)).to(device))


def _hidden_sharing(model, batch: list[Row], device) -> torch.Tensor:
    """`[rows, seq, n_embd]`: what all rows have a beginning for goes into the cache, the branches come after it."""
    tokens, positions, branches = (
        torch.from_numpy(_padded([getattr(row, name) for row in batch], padding)).to(device)
        for name, padding in (("tokens", 0), ("positions", 0), ("branches", -1))
    )
    cache, num_cached = Cache(tokens.shape[1]), min(row.num_shared for row in batch)
    hidden = model(tokens[:, :num_cached], cache)
    if num_cached == tokens.shape[1]:
        return hidden
    # a token attends to what is left of it, and there only to the beginning and to its own branch
    left = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=device).tril()[num_cached:]
    own = (branches[:, None] == branches[:, num_cached:, None]) | (branches[:, None] == 0)
    rest = model(tokens[:, num_cached:], cache, positions=positions[:, num_cached:], mask=left & own)
    return torch.cat([hidden, rest], dim=1)


def _padded(parts: list[np.ndarray], padding: int) -> np.ndarray:
    whole = np.full((len(parts), max(map(len, parts))), padding, dtype=np.int64)
    for row, part in zip(whole, parts, strict=True):
        row[: len(part)] = part
    return whole


def _score(model, hidden: torch.Tensor, slots: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nats of each target after its slot, and whether it is the likeliest; logits of each slot are computed once."""
    nats, is_greedy = np.empty(len(slots)), np.empty(len(slots), dtype=bool)
    different, which = np.unique(slots, return_inverse=True)
    at_once = max(1, LOGITS_BYTES // (4 * getattr(model, "vocab_size", 2**16)))
    for first in range(0, len(different), at_once):
        part = torch.from_numpy(different[first : first + at_once]).to(hidden.device)
        here = np.flatnonzero((which >= first) & (which < first + at_once))
        row = torch.from_numpy(which[here] - first).to(hidden.device)
        z = model.logits(hidden[part])
        z = z if z.dtype == torch.float64 else z.float()
        picked = z[row, torch.from_numpy(targets[here]).to(z.device)]
        peak, likeliest = z.max(-1)
        # exp in float32, the logarithm and the differences in float64: nothing is lost at large logits
        log_sum = (z - peak[:, None]).exp_().sum(-1).cpu().double().log()
        nats[here] = (log_sum[row.cpu()] + (peak[row].cpu().double() - picked.cpu().double())).numpy()
        is_greedy[here] = likeliest[row].cpu().numpy() == targets[here]
    return nats, is_greedy
