"""Which of the runs of a store, by their columns and settings, and in which order."""

from collections.abc import Sequence

from losslab.records.index import Row
from losslab.words import nearest, printable

COLUMNS = ("status", "nll", "seed", "loss", "corpus", "digest", "condition", "tags", "run")  # all else is a setting


def values(row: Row) -> dict:
    """The columns of a run, and its settings."""
    return {"run": row.path, "loss": row.loss, "seed": row.seed, "condition": row.condition, "status": row.status,
            "nll": row.nll, "corpus": row.corpus, "digest": row.digest, "tags": list(row.tags),
            "settings": row.settings}


def value(run: dict, key: str):
    """A column or a dotted setting of a run; None where it has none."""
    return run[key] if key in COLUMNS else run["settings"].get(key)


def select(runs: Sequence[dict], filters: Sequence[str]) -> list[dict]:
    """The runs that every `KEY=VALUE` fits.

    Raises:
        ValueError: for a filter of another form, or a key that no run has.
    """
    for given in filters:
        key, equals, wanted = given.partition("=")
        if not equals:
            raise ValueError(printable(f"--filter takes KEY=VALUE, such as status=finished, got {given!r}"))
        key = column(key.strip(), runs, "--filter")
        runs = [run for run in runs if _fits(value(run, key), wanted.strip())]
    return list(runs)


def ordered(runs: Sequence[dict], key: str | None) -> list[dict]:
    """By a column, the smallest first; runs without a value come last."""
    if key is None:
        return list(runs)
    key = column(key, runs, "--sort")
    return sorted(runs, key=lambda run: _rank(value(run, key)))


def column(name: str, runs: Sequence[dict], flag: str) -> str:
    """The full name of a column or setting: `learning-rate` is `train.learning_rate` where only one ends so."""
    name = {"tag": "tags"}.get(name, name).replace("-", "_")
    settings = {id(run["settings"]): run["settings"] for run in runs}.values()
    known = dict.fromkeys([*COLUMNS, *(key for own in settings for key in own)])
    if name in known or not runs:
        return name
    ends = [key for key in known if key.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    hint = f"; it may be {' or '.join(ends)}" if ends else nearest(name, known)
    columns = "status, nll, seed, loss, corpus, condition, tag, run or a setting such as learning_rate"
    raise ValueError(printable(f"{flag} takes {columns}, got {name!r}{hint}"))


def _fits(found, wanted: str) -> bool:
    if isinstance(found, list):
        return wanted in map(str, found) or wanted == ",".join(map(str, found))
    if isinstance(found, bool):
        return wanted.lower() == str(found).lower()
    if isinstance(found, int | float):
        try:
            return float(wanted.replace("_", "")) == found
        except ValueError:
            return False
    return wanted == ("-" if found is None else found)


def _rank(found):
    if found is None or found == []:
        return 2, 0.0, ""
    if isinstance(found, int | float):
        return 0, float(found), ""
    return 1, 0.0, str(found)
