"""The units of a language model's score: nats, bits, bits per byte, perplexities."""

import math

LN2 = math.log(2)  # nats in a bit


def nats_to_bits(nats: float) -> float:
    """Code length in bits, `nats / ln 2`.

    Example:
        >>> nats_to_bits(math.log(8))
        3.0
    """
    return nats / LN2


def bits_to_nats(bits: float) -> float:
    """Code length in nats, `bits * ln 2`.

    Example:
        >>> round(bits_to_nats(8.0), 4)  # ln 256
        5.5452
    """
    return bits * LN2


def perplexity(nll: float) -> float:
    """Perplexity `exp(nll)` for a mean nll in nats per token: as unsure as a fair die with so many sides.

    It depends on the tokenizer. Average first, then take exp: a mean of perplexities is another, larger number.
    Beyond 709.78 nats, where a float ends, it is infinite.

    Example:
        >>> round(perplexity(math.log(50257)))  # the uniform model over GPT-2's vocabulary
        50257
        >>> round(perplexity((2 + 3 + 4) / 3), 1)  # the mean of the three perplexities would be 27.4
        20.1
    """
    try:
        return math.exp(nll)
    except OverflowError:
        return math.inf


def nll_from_perplexity(perplexity: float) -> float:
    """Mean nll in nats per token, `ln perplexity`.

    Raises:
        ValueError: for a perplexity below 1.

    Example:
        >>> round(nll_from_perplexity(29.41), 3)  # GPT-2 117M on WikiText-2, as published
        3.381
    """
    if not perplexity >= 1:
        raise ValueError(f"perplexity must be at least 1, which is certainty, got {perplexity}")
    return math.log(perplexity)


def bits_per_byte(nll_sum: float, num_bytes: int) -> float:
    """Code length of a text in bits per UTF-8 byte, `nll_sum / (ln 2 * num_bytes)`.

    What the tokenizer chose cancels, so models with different vocabularies can be compared on one text.
    It is a ratio of sums: add up nats and bytes over all documents before dividing.

    Args:
        nll_sum: nats of all scored tokens together.
        num_bytes: UTF-8 bytes of exactly the text that was scored.

    Raises:
        ValueError: for a number of bytes that is not above 0 and finite.

    Example:
        >>> bits_per_byte(10 * math.log(256), 10)  # uniform over bytes
        8.0
    """
    return nats_to_bits(nll_sum) / _positive("num_bytes", num_bytes)


def bits_per_byte_from_nll(nll: float, bytes_per_token: float) -> float:
    """Bits per byte from nats per token, where both were taken over the same text.

    Raises:
        ValueError: for a number of bytes per token that is not above 0 and finite.

    Example:
        >>> round(bits_per_byte_from_nll(1.18, 3.96), 2)  # a published TinyStories model, GPT-2's tokens
        0.43
    """
    return nats_to_bits(nll) / _positive("bytes_per_token", bytes_per_token)


def nll_from_bits_per_byte(bits_per_byte: float, bytes_per_token: float) -> float:
    """Nats per token from bits per byte, where both were taken over the same text.

    Raises:
        ValueError: for a number of bytes per token that is not above 0 and finite.

    Example:
        >>> round(nll_from_bits_per_byte(1.0, 4.0), 4)  # 4 ln 2
        2.7726
    """
    return bits_to_nats(bits_per_byte) * _positive("bytes_per_token", bytes_per_token)


def byte_perplexity(bits_per_byte: float) -> float:
    """Perplexity per UTF-8 byte, `2 ** bits_per_byte`; that of the uniform model over bytes is 256.

    Example:
        >>> byte_perplexity(8.0)
        256.0
    """
    return 2.0**bits_per_byte if bits_per_byte < 1024 else math.inf  # where a float ends


def word_perplexity(nll_sum: float, num_words: int) -> float:
    """Perplexity per word, `exp(nll_sum / num_words)`.

    The rule that counts words belongs to the number: whitespace-separated in this project, `len(text.split())`.

    Args:
        nll_sum: nats of all scored tokens together.
        num_words: words of exactly the text that was scored.

    Raises:
        ValueError: for a number of words that is not above 0 and finite.

    Example:
        >>> round(word_perplexity(2 * math.log(100), 2), 6)
        100.0
    """
    return perplexity(nll_sum / _positive("num_words", num_words))


def compression_ratio(bits_per_byte: float) -> float:
    """How many times shorter an arithmetic coder with this model makes the text, `8 / bits_per_byte`.

    Raises:
        ValueError: for bits per byte that are not above 0 and finite.

    Example:
        >>> compression_ratio(0.5)
        16.0
    """
    return 8 / _positive("bits_per_byte", bits_per_byte)


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be above 0 and finite, got {value}; was any text scored?")
    return value
