"""The names of arms: the formula, and where two conditions share one, the settings in which they differ."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from losslab import config as configuration
from losslab.records.record import Record
from losslab.words import printable

MOST_KEYS = 3  # settings in a name; more are no name
LONGEST = 40  # characters of a setting's value
SIZE = ("model.n_layer", "model.n_head", "model.n_embd", "model.num_positions", "train.num_tokens", "train.num_steps")


def labels(records: Iterable[Record]) -> dict[str, str]:
    """Condition -> the name of its arm.

    `cross_entropy` where one condition has this formula; `cross_entropy (learning_rate 0.002)` where several have.
    The fewest settings that tell all conditions of a formula apart are named, and the condition itself, as
    `cross_entropy #204a5f`, where three settings do not. No two names are equal.
    """
    names = {}
    for formula, group in _by_formula(records).items():
        endings = _endings([_facts(record) for record in group]) if len(group) > 1 else [""]
        names |= {record.condition: formula + ending for record, ending in zip(group, endings, strict=True)}
    count = Counter(names.values())
    for digits in (6, None):
        shown = {c: name if count[name] == 1 else f"{name} #{c[:digits]}" for c, name in names.items()}
        if len(set(shown.values())) == len(shown):
            break
    return shown


def labels_over_sizes(records: Iterable[Record]) -> tuple[dict[str, str], list[str]]:
    """Condition -> the name of its arm, where an arm has runs of many sizes and numbers of tokens, as a law takes it.

    Settings tell arms apart where they tell conditions of one size and number of tokens apart. Others may go with the
    size, as a learning rate by width does: they stay in one arm.

    Returns:
        the names, and a sentence for each arm with settings that go with its size or tokens.
    """
    names, notes = {}, []
    for formula, group in _by_formula(records).items():
        facts = [_facts(record) for record in group]
        places = [tuple(one.get(key) for key in SIZE) for one in facts]
        keys = _telling(facts, places, fewest_values=True)
        arms: dict[str, list[Mapping[str, str]]] = {}
        found = [formula + ending for ending in _told(keys, facts)]
        twice = Counter(zip(found, places, strict=True))
        for record, name, place, one in zip(group, found, places, facts, strict=True):
            if twice[name, place] > 1:  # nothing that is known tells them apart
                name = f"{name} #{record.condition[:6]}"
            names[record.condition] = name
            arms.setdefault(name, []).append(one)
        notes += [f"{name} has runs of unlike {told}, and they are one arm, since no two of one size and number of "
                  "tokens differ in that" for name, own in arms.items() if (told := _unlike(own))]
    return names, notes


def _unlike(facts: Sequence[Mapping[str, str]]) -> str:
    """Settings besides size and tokens; unlike texts are said elsewhere, as no law holds for them."""
    silent = {*SIZE, "corpus", "tokenizer", *configuration.outside(), *configuration.instead()} - {SIZE[3]}
    keys = [key for key in dict.fromkeys(key for one in facts for key in one)
            if key not in silent and len({one.get(key) for one in facts}) > 1]
    more = f" and {len(keys) - MOST_KEYS} more settings" if len(keys) > MOST_KEYS else ""
    return ", ".join(_short(keys[:MOST_KEYS])) + more


def _by_formula(records: Iterable[Record]) -> dict[str, list[Record]]:
    """One run of each condition."""
    first: dict[str, Record] = {}
    for record in records:
        first.setdefault(record.condition, record)
    groups: dict[str, list[Record]] = {}
    for record in first.values():
        groups.setdefault(printable(record.loss), []).append(record)
    return groups


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
    """What tells each of some conditions apart, in brackets."""
    return _told(_telling(facts, [()] * len(facts)), facts)


def _telling(facts: Sequence[Mapping[str, str]], parts: Sequence[tuple], *, fewest_values: bool = False) -> list[str]:
    """The fewest settings that tell conditions with equal `parts` apart: at each step the one that splits them most.

    Of settings that split them alike the first is taken, or with `fewest_values` that which varies least: a learning
    rate may differ with the arm and with the size, and what differs with the arm alone is the better name.
    """
    keys = dict.fromkeys(key for one in facts for key in one)
    values = {key: len({one.get(key, "none") for one in facts}) for key in keys}
    open_keys = [key for key in keys if values[key] > 1]
    last = configuration.outside() | configuration.instead()  # named only if nothing else differs
    open_keys.sort(key=lambda key: (key in last, values[key] if fewest_values else 0))  # stable: else as configured
    chosen = []
    while open_keys and len(chosen) < MOST_KEYS and len(set(parts)) < len(facts):
        tried = {key: [(*part, one.get(key, "none")) for part, one in zip(parts, facts, strict=True)]
                 for key in open_keys}
        best = max(open_keys, key=lambda key: len(set(tried[key])))
        if len(set(tried[best])) == len(set(parts)):
            break
        chosen, parts = [*chosen, best], tried[best]
        open_keys.remove(best)
    return chosen


def _told(keys: Sequence[str], facts: Sequence[Mapping[str, str]]) -> list[str]:
    words = _short(keys)
    told = [", ".join(f"{word} {one.get(key, 'none')}" for word, key in zip(words, keys, strict=True))
            for one in facts]
    return [f" ({text})" if text else "" for text in told]


def _short(keys: Sequence[str]) -> list[str]:
    """The last word of each dotted name, or the whole of it where two end alike, or it ends as the seed of a run."""
    last = ["seed", *(key.rpartition(".")[2] for key in keys)]
    return [word if last.count(word) == 1 else key for word, key in zip(last[1:], keys, strict=True)]
