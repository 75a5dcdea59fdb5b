"""Scores of one text against each other: each is the code length of the same text, so all pairs must agree.

A row has the numbers of one text alone (`Claim.rows`).
"""

import itertools
import math
from collections.abc import Iterator

from losslab.units import convert
from losslab.units.checks import Check, fits, likely
from losslab.units.claims import Claim
from losslab.units.columns import COLUMNS
from losslab.units.convert import CHAIN, RATIOS, UNITS
from losslab.units.numbers import Number, figure, overlap

ENDS = 0.01  # by which nats per token and bits per byte may differ, since end marks are tokens without bytes
MOST_ENDS = 0.1  # so many end marks a byte, where documents have ten bytes
MOST_BYTES_PER_TOKEN = 20  # on any text that a vocabulary was made for
BYTES = 300  # a vocabulary of at most so many tokens has bytes or characters
UNIT_OF = {"loss": UNITS["nats_per_token"]} | {name: UNITS[name] for name in UNITS if name in COLUMNS}
COUNTS = ("words", "tokens", "bytes", "characters")  # in the order of CHAIN
Range = tuple[float, float, float]  # low, value, high


def possible(row: Claim) -> Iterator[Check]:
    """Each number is one that its column can hold."""
    for name, number in row.columns.items():
        column = COLUMNS[name]
        what = said(name, number) if name in UNIT_OF else f"{name.replace('_', ' ')} {number.text}"
        is_share = column.unit == "share of items" and 1 < number.value <= 100 and "%" not in number.text
        hint = f"; written as {number.text}% it would be {number.value / 100:g}" if is_share else ""
        if number.value < column.low and number.high <= column.low:
            yield fits(False, f"{what} is below {column.low:g} (the column holds {column.range})")
        elif number.value > column.high and number.low >= column.high:
            yield fits(False, f"{what} is above {column.high:g} (the column holds {column.range}){hint}")


def agreement(row: Claim) -> Iterator[Check]:
    """Any two scores of one text are the same code length."""
    found = [(name, _nats(name, number)) for name, number in row.columns.items() if name in UNIT_OF]
    found = [(name, nats) for name, nats in found if nats is not None]
    for (name, nats), (other, other_nats) in itertools.combinations(found, 2):
        ratio = _ratio(row, UNIT_OF[name].per, UNIT_OF[other].per)
        if ratio is not None:
            yield _compared(row, name, other, nats, ratio)
        elif {UNIT_OF[name].per, UNIT_OF[other].per} == {"token", "byte"}:
            yield from _bytes_per_token(row, *((name, other) if UNIT_OF[name].per == "token" else (other, name)))
        elif (UNIT_OF[name].per, UNIT_OF[other].per) in (("byte", "character"), ("character", "byte")):
            per_byte, per_character = (nats, other_nats) if UNIT_OF[name].per == "byte" else (other_nats, nats)
            yield from _characters_per_byte(per_byte, per_character)


def said(name: str, number: Number) -> str:
    """A score with its unit, as `a perplexity of 6.23` or `0.93 bits per byte`."""
    if name == "loss":
        return f"a loss of {number.text}"
    if name.startswith("bits_"):
        return f"{number.text} {name.replace('_', ' ')}"
    return f"a {name.replace('_', ' ')} of {number.text}"


def _nats(name: str, number: Number) -> Range | None:
    """The nats over what the score is counted per; None for a value that is none (`possible` says so)."""
    unit = UNIT_OF[name]
    least = 1 if unit.kind == "power" else 0
    if number.value < least or (unit.kind == "ratio" and number.low <= 0):
        return None
    ends = [convert.code_length(max(x, least), unit).as_nats().value for x in (number.low, number.value, number.high)]
    return min(ends), ends[1], max(ends)


def _ratio(row: Claim, per: str, other: str) -> Range | None:
    """How many of `other` come on one of `per`, as far as the row says it."""
    first, last = CHAIN.index(per), CHAIN.index(other)
    if first == last:
        return 1.0, 1.0, 1.0
    if first > last:
        turned = _ratio(row, other, per)
        return turned and (1 / turned[2], 1 / turned[1], 1 / turned[0])
    counts = [row.columns.get(COUNTS[i]) for i in (first, last)]
    if None not in counts:
        return _quotient(*((one.low, one.value, one.high) for one in reversed(counts)))
    low, middle, high = 1.0, 1.0, 1.0
    for i in range(first, last):
        column = row.columns.get(RATIOS[i])
        link = (column.low, column.value, column.high) if column else None
        if link is None and last - first > 1:
            link = _ratio(row, CHAIN[i], CHAIN[i + 1])
        if link is None or link[0] <= 0:
            return None
        low, middle, high = low * link[0], middle * link[1], high * link[2]
    return low, middle, high


def _quotient(a: Range, b: Range) -> Range:
    return a[0] / b[2], a[1] / b[1], a[2] / b[0]


def _compared(row: Claim, name: str, other: str, nats: Range, ratio: Range) -> Check:
    unit, target = UNIT_OF[name], UNIT_OF[other]
    slack = 0.0 if unit.per == target.per else ENDS
    low, high = nats[0] / ratio[2] * (1 - slack), nats[2] / ratio[0] * (1 + slack)
    length = convert.code_length(row.columns[name].value, unit, row.columns[name].text)
    if unit.per != target.per:
        length = length.over(ratio[1]) if ratio[1] >= 1 else length.times(1 / ratio[1])
    computed = convert.in_unit(length, target)
    start = f"{computed.arithmetic} = {figure(computed.value)}"
    number = row.columns[other]
    theirs = _nats(other, number)
    if overlap((low, high), (theirs[0], theirs[2])):
        return fits(True, f"{start}, and it is given as {said(other, number)}")
    return fits(False, f"{start}, not {said(other, number)}{_hint(name, other, row)}")


def _hint(name: str, other: str, row: Claim) -> str:
    """What may have gone wrong where a loss and a perplexity of one text disagree."""
    if (name, other) != ("loss", "perplexity"):
        return ""
    loss, number = row.columns["loss"], row.columns["perplexity"]
    nats = math.log(number.value)
    if nats > loss.value:
        return (f"; {number.text} is a loss of {figure(nats)}, and a mean of perplexities is larger than exp of the "
                "mean loss")
    base = f" (2^{loss.text} = {figure(2**loss.value)} is of the wrong base)" if loss.value < 100 else ""
    return f"{base}; {number.text} is a loss of {figure(nats)}"


def _bytes_per_token(row: Claim, token: str, byte: str) -> Iterator[Check]:
    per_token, per_byte = _nats(token, row.columns[token]), _nats(byte, row.columns[byte])
    if per_byte[0] <= 0:
        return
    low, implied, high = _quotient(per_token, per_byte)
    both = f"{said(token, row.columns[token])} and {said(byte, row.columns[byte])}"
    start = f"{both} are {figure(implied)} bytes per token"
    if high * (1 + ENDS) < 1:
        yield fits(False, f"{start}, and a token has at least one")
    elif implied > MOST_BYTES_PER_TOKEN:
        yield likely(False, f"{start}, more than vocabularies of language have")
    elif token == "perplexity" and low <= 1 <= high and "loss" not in row.columns and not _is_of_bytes(row):
        many = figure(convert.convert(row.columns[byte].value, UNIT_OF[byte], bytes_per_token=4.39)[2].value)
        yield likely(False, f"{start}: that is the perplexity per byte, which only a model of bytes has per token "
                            f"(give its vocab_size); at 4.39 bytes per token the perplexity is {many}")
    else:
        yield fits(True, start)


def _is_of_bytes(row: Claim) -> bool:
    return "vocab_size" in row.columns and row.columns["vocab_size"].value <= BYTES


def _characters_per_byte(per_byte: Range, per_character: Range) -> Iterator[Check]:
    if per_character[0] <= 0:
        return
    low, implied, high = _quotient(per_byte, per_character)
    least, most = COLUMNS["characters_per_byte"].low, COLUMNS["characters_per_byte"].high
    yield fits(low <= most * (1 + ENDS) and high * (1 + ENDS) >= least,
               f"the scores are {figure(implied)} characters per byte, and in UTF-8 that is {least:g} to {most:g}")


def counts(row: Claim) -> Iterator[Check]:
    """Counts of one text agree with their ratios, and a token that is not an end mark has at least one byte."""
    for name, above, below in zip(RATIOS, COUNTS[1:], COUNTS[:-1], strict=True):
        pair = [row.columns.get(count) for count in (above, below)]
        if None in pair:
            continue
        low, ratio, high = _quotient(*((one.low, one.value, one.high) for one in pair))
        start = f"{figure(pair[0].value)} {above} / {figure(pair[1].value)} {below} = {figure(ratio)}"
        stated, column = row.columns.get(name), COLUMNS[name]
        if stated is not None:
            is_so = overlap((low * (1 - ENDS), high * (1 + ENDS)), (stated.low, stated.high))
            yield fits(is_so, f"{start}, {'and' if is_so else 'not'} {stated.text} {column.unit}")
        if name == "bytes_per_token" and high * (1 + MOST_ENDS) < 1:
            yield fits(False, f"{start} bytes per token, and a token has at least one")
        elif high < column.low or low > column.high:
            yield fits(False, f"{start}, and {name.replace('_', ' ')} is {column.range}")


def below_uniform(row: Claim) -> Iterator[Check]:
    """A loss above ln V, or more than 8 bits per byte, is worse than no model at all."""
    size = row.columns.get("vocab_size")
    uniform = math.log(size.value) if size and size.value >= 2 else None
    for name, number in row.columns.items():
        nats = _nats(name, number) if name in UNIT_OF else None
        if nats is None:
            continue
        low = nats[0] if "." in number.text else nats[1]
        if UNIT_OF[name].per == "token" and uniform is not None:
            start = f"ln {size.value:.0f} = {figure(uniform)} is the loss of the uniform model"
            above = f"{said(name, number)} is above the uniform model" + f" ({figure(nats[1])})" * (name != "loss")
            yield likely(low <= uniform, f"{start}, and {above}" if low > uniform else start)
        if UNIT_OF[name].per == "byte" and low > 8 * convert.LN2:
            yield likely(False, f"{said(name, number)}: more than the 8 bits per byte that storing the text takes")
