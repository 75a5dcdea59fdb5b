"""A judge's answer read strictly: all grades in the one line that was asked for, or a reason why there are none.

What is not that line is no grade. An answer with other words around it may quote a grade that the story asked for, so
it is counted as a failure.
"""

import json
import re
from collections.abc import Iterable

from losslab.judge.protocols import AGES, Protocol, Scale

MOST_CHARACTERS = 4000  # of an answer with grades
THOUGHT = re.compile(r"\s*<think>.*?</think>", re.S)  # models that reason write it before the answer
EMPHASIS = re.compile(r"[*`#]+")


class Unread(ValueError):
    """An answer without grades; the message says why, in a few words that are the same for the same reason."""


def grades(answer: str, protocol: Protocol) -> dict[str, int]:
    """The grade of every scale, from 1 on.

    Raises:
        Unread: for anything but one line (or one JSON object) with each grade once and in its range.

    Example:
        >>> from losslab.judge.protocols import TINYSTORIES
        >>> grades("Grammar: 8/10, Creativity: 7/10, Consistency: 7/10, Plot: 6/10, Age group: E (10-12)", TINYSTORIES)
        {'grammar': 8, 'creativity': 7, 'consistency': 7, 'plot': 6, 'age_group': 5}
    """
    answer = THOUGHT.sub("", answer, count=1).strip()
    if not answer:
        raise Unread("an empty answer")
    if len(answer) > MOST_CHARACTERS:
        raise Unread("a long text in place of grades")
    labels = {_key(scale.label): scale for scale in protocol.scales}
    labels |= {_key(scale.name): scale for scale in protocol.scales}
    found: dict[str, int] = {}
    for label, value in _fields(answer, protocol):
        scale = labels.get(_key(label))
        if scale is None:
            raise Unread("other words than the line of grades")
        if scale.name in found:
            raise Unread("a grade given twice")
        found[scale.name] = _value(value, scale)
    if missing := [scale.name for scale in protocol.scales if scale.name not in found]:
        raise Unread(f"no grade for {missing[0].replace('_', ' ')}")
    return {scale.name: found[scale.name] for scale in protocol.scales}


def _fields(answer: str, protocol: Protocol) -> Iterable[tuple[str, str]]:
    """Pairs of a label and what it is given."""
    answer = re.sub(r"^```\w*\n(.*)\n```$", r"\1", answer, flags=re.S).strip()
    if answer.startswith("{"):
        try:
            found = json.loads(answer, object_pairs_hook=list)
        except (ValueError, RecursionError):
            raise Unread("broken JSON") from None
        return [(label, str(value)) for label, value in found]
    if len(protocol.scales) == 1 and re.fullmatch(r"\W*\w\W*", answer):
        return [(protocol.scales[0].label, answer)]  # one grade needs no label
    parts = re.split(r"[,;\n]+", EMPHASIS.sub("", answer).rstrip("."))
    parts = [re.sub(r"^\s*(-|\u2022|\d+[.)])\s+", "", part).strip() for part in parts]
    pairs = [part.partition(":") for part in parts if part]
    if not all(colon for _, colon, _ in pairs):
        raise Unread("other words than the line of grades")
    return [(label, value) for label, _, value in pairs]


def _key(label: str) -> str:
    return label.strip().casefold().replace("_", " ")


def _value(text: str, scale: Scale) -> int:
    text = text.strip().rstrip(".")
    if scale.letters:
        found = re.fullmatch(r"\W*([A-Za-z])\W*(?:\(?([^()]{1,30})\)?)?", text)
        if not found or (letter := found[1].upper()) not in scale.letters or not _fits(letter, found[2], scale):
            raise Unread(f"no {scale.label.lower()} from {scale.letters[0]} to {scale.letters[-1]}")
        return scale.letters.index(letter) + 1
    found = re.fullmatch(r"([0-9]{1,3})(?:\s*(?:/|out of)\s*10)?", text)
    if not found or not 1 <= int(found[1]) <= 10:
        raise Unread(f"no {scale.label.lower()} from 1 to 10")
    return int(found[1])


def _fits(letter: str, said: str | None, scale: Scale) -> bool:
    """Whether what stands behind a letter means the same: `E (10-12)`, and not `E (4-5)`."""
    if not said:
        return True
    return scale.name == "age_group" and re.findall("[0-9]+", said) == re.findall("[0-9]+", AGES[letter])
