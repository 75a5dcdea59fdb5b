"""What a number may be: how it is written, and the bounds of every setting."""

import math
import re
from decimal import Decimal

WHOLE = re.compile(r"([+-]?)(\d+(?:_\d+)*)(\.\d+)?(?:e\+?(\d{1,3}))?(k|m|g|b|t|kb|mb|gb|tb)?", re.IGNORECASE | re.ASCII)
POWERS = {"k": 3, "m": 6, "g": 9, "b": 9, "t": 12}
MAX_DIGITS = 30  # more than any setting has, and few enough that no text of digits takes time

STEPS = 10**14  # as TOKENS: an update trains one token at least
BYTES = 10**15, "a petabyte, more than all text there is"
TOKENS = 10**14, "more than twice the longest training known, 40 trillion tokens"
UPDATES = STEPS, "as many as the tokens of the longest horizon"
FLOAT32 = 1e30, "beyond it float32 overflows in a step"
SEQUENCES = 2**24, "sixteen times the batch of any training known"
CONTEXT = 2**24, "longer than any context published, 10 million tokens"
MAX_PARAMETERS = 2 * 10**11  # GPT-3 has 1.75e11, and its sizes are the largest that this model was trained at
MAX_UPDATE_TOKENS = 2**31  # of one update; GPT-3's was 2**22
TRIAL_SEEDS = 1_000_000  # from here on, seeds serve the trials of tuning and never a verdict
MAX_SEEDS, MAX_WORKERS = 10_000, 1_000
MAX_MARGIN = 100.0  # nats/token; an untrained (uniform) model has ln V, 14 at most

# lowest and highest value of every number in the configuration, and why no larger one makes sense
LIMITS: dict[str, tuple[float, float, str]] = {
    "data.val_bytes": (0, *BYTES),
    "data.tune_bytes": (0, *BYTES),
    "data.max_bytes": (0, *BYTES),
    "data.pacing_start": (0, 1, "a share of the documents"),
    "data.pacing_end": (0, 1, "a share of the run"),
    "data.pacing_stairs": (1, 1000, "more are a line, which is data.pacing linear"),
    "model.n_layer": (1, 10_000, "ten times the deepest transformer known"),
    "model.n_head": (1, 2**17, "one for each number of the widest model"),
    "model.n_embd": (1, 2**17, "several times the width of any model known"),
    "model.num_positions": (1, *CONTEXT),
    "model.vocab_multiple": (1, 2**20, "many times the padding that any device asks for"),
    "model.dropout": (0, 1, "a probability"),
    "train.seq_len": (0, *CONTEXT),
    "train.num_tokens": (0, *TOKENS),
    "train.num_steps": (0, *UPDATES),
    "train.batch_size": (1, *SEQUENCES),
    "train.micro_batch_size": (0, *SEQUENCES),
    "train.initial_batch_size": (0, *SEQUENCES),
    "train.batch_warmup_steps": (0, *UPDATES),
    "train.learning_rate": (0, *FLOAT32),
    "train.embedding_rate_ratio": (0, *FLOAT32),
    "train.head_rate_ratio": (0, *FLOAT32),
    "train.vector_rate_ratio": (0, *FLOAT32),
    "train.decay_share": (0, 1, "a share of the run"),
    "train.momentum": (0, 1, "a decay rate"),
    "train.min_learning_rate_ratio": (0, 1, "a share of the peak"),
    "train.warmup_steps": (0, *UPDATES),
    "train.weight_decay": (0, *FLOAT32),
    "train.grad_clip": (0, *FLOAT32),
    "train.log_every": (1, *UPDATES),
    "train.checkpoint_every": (0, *UPDATES),
    "evaluate.every": (0, *UPDATES),
    "evaluate.tune_tokens": (1, *TOKENS),
    "evaluate.stride": (0, *CONTEXT),
    "evaluate.batch_size": (1, *SEQUENCES),
    "evaluate.num_samples": (0, 10_000, "more texts than anybody reads"),
    "evaluate.sample_tokens": (0, 1_000_000, "several novels"),
    "evaluate.tasks_every": (0, *UPDATES),
    "evaluate.tasks_limit": (0, 10**9, "more items than any task has"),
}


def check_margin(name: str, value: float) -> float:
    """A difference that would matter, in nats/token: more than nothing.

    Raises:
        ValueError: for another one.
    """
    if value == 0:
        raise ValueError(f"{name} must be more than 0, got 0: it is the smallest difference that would matter")
    check(name, value, 0, MAX_MARGIN, "nats/token")
    return value


def check_fields(config, prefix: str = "") -> None:
    """Every number of a section within its limits.

    Raises:
        ValueError: naming the field, what it may be, and what came.
    """
    for name in config.__dataclass_fields__:
        if prefix + name in LIMITS:
            check(prefix + name, getattr(config, name), *LIMITS[prefix + name])


def check(name: str, value: float, low: float, high: float, why: str = "") -> None:
    """One number within its limits, both included.

    Raises:
        ValueError: for another value, one that is not finite, or what is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number, got {shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):  # a whole number may be too large for isfinite
        raise ValueError(f"{name} must be a finite number, got {value}")
    if value < low:
        least = "must not be negative" if low == 0 else f"must be at least {low:,}"
        raise ValueError(f"{name} {least}, got {shown(value)}")
    if value > high:
        most = f"{high:,}" if isinstance(high, int) else f"{high:g}"
        raise ValueError(f"{name} must be at most {most}{why and f' ({why})'}, got {shown(value)}")


def whole(text: str) -> int:
    """A whole number as people write it: `500_000`, `500k`, `1e6`, `2.5M`, `3B`, `20MB`; exact.

    Args:
        text: k, M, G or B, and T are powers of a thousand, large or small.

    Raises:
        ValueError: for what is no whole number, such as `1.5`, or has more than 30 digits.

    Example:
        >>> whole("2.5M"), whole("1e6"), whole("-3")
        (2500000, 1000000, -3)
    """
    text = text.strip()
    found = WHOLE.fullmatch(text) if len(text) <= 2 * MAX_DIGITS else None
    if found is None:
        raise ValueError(f"{shown(text)} is not a whole number such as 500_000, 500k, 1e6 or 2.5M")
    sign, digits, fraction, exponent, suffix = found.groups()
    power = int(exponent or 0) + POWERS.get((suffix or "").lower()[:1], 0)
    fraction = (fraction or "")[1:].rstrip("0")
    digits = digits.replace("_", "")
    if len(fraction) > power:
        raise ValueError(f"{shown(text)} is not a whole number; the nearest below is "
                         f"{int(Decimal(f'{sign}{digits}.{fraction}e{power}')):,}")
    if len(digits.lstrip("0")) + power > MAX_DIGITS:
        raise ValueError(f"{shown(text)} has more than {MAX_DIGITS} digits")
    return int(f"{sign}{digits}{fraction}{'0' * (power - len(fraction))}")


def shown(value, width: int = 60) -> str:
    """What came, for a sentence: one line, and short however long or deep it is."""
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        return f"a number of more than {MAX_DIGITS} digits"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, str | bytes):
        value = value[: 2 * width]
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number too long, or lists too deep, to be written out
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= width else f"{text[: width - 3]}..."
