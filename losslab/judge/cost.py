"""What judging will cost, before it begins, and what it did cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from losslab.judge.endpoint import Spend
from losslab.judge.grading import Asking, Task
from losslab.judge.protocols import Message, Protocol

BYTES_PER_TOKEN = 4  # of English, in the vocabularies of today's large models
ASSESSMENT_TOKENS, GRADES_TOKENS = 120, 40  # answers that nobody has seen yet
WORDS_BEFORE_A_MESSAGE = 4  # tokens that a chat template adds


@dataclass(frozen=True)
class Prices:
    """Money for a million tokens, in whatever currency; None where it was not given."""

    tokens_in: float | None = None
    tokens_out: float | None = None

    def __post_init__(self):
        for value in (self.tokens_in, self.tokens_out):
            if value is not None and not 0 <= value < 1e6:
                raise ValueError(f"--price-in and --price-out are money for a million tokens, got {value}")
        if (self.tokens_in is None) != (self.tokens_out is None):
            raise ValueError("--price-in and --price-out belong together, each for a million tokens; give both")

    def of(self, tokens_in: float, tokens_out: float) -> float | None:
        """What so many tokens cost; None where prices are not known."""
        if self.tokens_in is None or self.tokens_out is None:
            return None
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


def estimate(tasks: Sequence[Task], protocol: Protocol, judge: Asking, prices: Prices) -> dict:
    """Calls, tokens and money of what is not kept yet: `calls`, `kept_calls`, `tokens_in`, `tokens_out`, `money`."""
    calls = kept = tokens_in = tokens_out = 0
    seen = set()
    for task in tasks:
        if (task.texts, task.repeat) in seen:
            continue
        seen.add((task.texts, task.repeat))
        assessed = judge.has(first := protocol.first(task.texts), task.repeat)
        second = protocol.second(task.texts, assessed.text if assessed else "x" * ASSESSMENT_TOKENS * BYTES_PER_TOKEN)
        graded = judge.has(second, task.repeat) if assessed else None
        for messages, answer, length in ((first, assessed, ASSESSMENT_TOKENS), (second, graded, GRADES_TOKENS)):
            if answer is not None:
                kept += 1
                continue
            calls, tokens_in, tokens_out = calls + 1, tokens_in + _tokens(messages), tokens_out + length
    return {"calls": calls, "kept_calls": kept, "tokens_in": tokens_in, "tokens_out": tokens_out,
            "money": prices.of(tokens_in, tokens_out)}


def spent(spend: Spend, prices: Prices) -> dict:
    """What this run paid for, and what it did not since it was kept; money is a lower bound where usage is missing."""
    return spend.to_dict() | {"money": prices.of(spend.tokens_in, spend.tokens_out),
                              "kept_money": prices.of(spend.kept_tokens_in, spend.kept_tokens_out)}


def text(found: dict, *, before: bool) -> str:
    """One sentence for people."""
    money = "" if found["money"] is None else f", {found['money']:,.{2 if found['money'] >= 1 else 4}f} in money"
    tokens = f"{found['tokens_in']:,} tokens in and {found['tokens_out']:,} out"
    kept = f"; {found['kept_calls']:,} answers are kept from before and cost nothing" if found["kept_calls"] else ""
    if before:
        return f"to ask: {found['calls']:,} calls, about {tokens}{money} (4 bytes a token){kept}"
    lost = f"; {found['tries_lost']:,} requests brought nothing" if found["tries_lost"] else ""
    unknown = f"; {found['calls_without_usage']:,} calls without a count of tokens" * bool(found["calls_without_usage"])
    return f"spent: {found['calls']:,} calls, {tokens}{money}{kept}{lost}{unknown}"


def _tokens(messages: Sequence[Message]) -> int:
    return sum(WORDS_BEFORE_A_MESSAGE + -(-len(message["content"].encode()) // BYTES_PER_TOKEN) for message in messages)
