"""The names of arms: the formula, and where two conditions share one, the settings in which they differ."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from losslab import config as configuration
from losslab.records.record import Record
from losslab.words import printable

MOST_KEYS = 3  # settings in a name; more are no name
LONGEST = 40  # characters of a setting's value


def labels(records: Iterable[Record]) -> dict[str, str]:
    """Condition -> the name of its arm.

    `cross_entropy` where one condition has this formula; `cross_entropy (learning_rate 0.002)` where several have.
    The fewest settings that tell all conditions of a formula apart are named, and the condition itself, as
    `cross_entropy #204a5f`, where three settings do not. No two names are equal.
    """
    first: dict[str, Record] = {}
    for record in records:
        first.setdefault(record.condition, record)
    groups: dict[str, list[Record]] = {}
    for record in first.values():
        groups.setdefault(record.loss, []).append(record)
    names = {}
    for formula, group in groups.items():
        formula = printable(formula)
        endings = _endings([_facts(record) for record in group]) if len(group) > 1 else [""]
        names |= {record.condition: formula + ending for record, ending in zip(group, endings, strict=True)}
    count = Counter(names.values())
    for digits in (6, None):
        shown = {c: name if count[name] == 1 else f"{name} #{c[:digits]}" for c, name in names.items()}
        if len(set(shown.values())) == len(shown):
            break
    return shown


def _facts(record: Record) -> dict[str, str]:
    """What may make a condition another one, as text."""
    facts = configuration.flatten(record.spec["config"])
    corpus = record.spec.get("corpus") or {}
    facts = {key: value for key, value in facts.items() if key not in ("loss", "seed")}
    facts |= {key: record.environment.get(key) for key in ("device", "dtype")}
    facts |= {"corpus": corpus.get("digest"), "tokenizer": corpus.get("tokenizer"),
              "source": ", ".join(str(loss.get("sha256", ""))[:6] for loss in record.spec.get("losses") or [])}
    return {key: _text(value) for key, value in facts.items()}


def _text(value) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = "none" if value in (None, "", ()) else str(value)
    text = printable(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _endings(facts: Sequence[Mapping[str, str]]) -> list[str]:
    """What tells each of some conditions apart: at each step the setting that splits them most."""
    keys = dict.fromkeys(key for one in facts for key in one)
    open_keys = [key for key in keys if len({one.get(key, "none") for one in facts}) > 1]
    last = configuration.outside() | configuration.instead()  # named only if nothing else differs
    open_keys.sort(key=last.__contains__)  # stable: otherwise in the order of the configuration
    chosen, parts = [], [()] * len(facts)
    while open_keys and len(chosen) < MOST_KEYS and len(set(parts)) < len(facts):
        tried = {key: [(*part, one.get(key, "none")) for part, one in zip(parts, facts, strict=True)]
                 for key in open_keys}
        best = max(open_keys, key=lambda key: len(set(tried[key])))
        if len(set(tried[best])) == len(set(parts)):
            break
        chosen, parts = [*chosen, best], tried[best]
        open_keys.remove(best)
    words = _short(chosen)
    told = [", ".join(f"{word} {value}" for word, value in zip(words, part, strict=True)) for part in parts]
    return [f" ({text})" if text else "" for text in told]


def _short(keys: Sequence[str]) -> list[str]:
    """The last word of each dotted name, or the whole of it where two end alike, or it ends as the seed of a run."""
    last = ["seed", *(key.rpartition(".")[2] for key in keys)]
    return [word if last.count(word) == 1 else key for word, key in zip(last[1:], keys, strict=True)]
