"""Numbers as readers see them: with their error, their n and their unit."""

import math

from losslab.stats import Score

LARGE = 1e7


def number(value: float | None, digits: int = 5) -> str:
    """About `digits` significant digits, at most six of them decimals; an exponent from ten million up."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= LARGE:
        return f"{value:.2e}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(6, max(0, places))}f}"


def score(found: dict | None, *, n: bool = True) -> str:
    """`3.2785 ± 0.0004 (n=16)`; without an error where one seed shows none."""
    if not found or found.get("value") is None:
        return "–"
    if not found["stderr"]:
        text = f"{number(found['value'])} (n={found['n']})"
    elif found["value"] >= LARGE:  # the perplexity per word of an untrained model
        text = f"{found['value']:.2e} ± {found['stderr']:.1e} (n={found['n']})"
    else:
        text = str(Score.from_dict(found))
    return text if n else text.rpartition(" (n=")[0]


def ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def difference(found: dict | None) -> str:
    """`+0.0121 [+0.0098, +0.0144]`, with two digits of the interval's half-width, as in the verdict."""
    if not found or found.get("value") is None:
        return "–"
    value, low, high = found["value"], found.get("low"), found.get("high")
    if low is None or high is None or low == high:
        return f"{value:+.4g}"
    places = max(0, 1 - math.floor(math.log10((high - low) / 2)))
    return f"{value:+.{places}f} [{low:+.{places}f}, {high:+.{places}f}]"


def p_value(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def outcome(arm: dict) -> str:
    """The verdict as a word or two."""
    shown = {"open": "no difference shown", "one seed": "no verdict from one seed"}
    shown |= dict.fromkeys(("no spread", "baseline diverged", "baseline failed"), "no verdict")
    return shown.get(arm["outcome"], arm["outcome"])


def size(num_bytes: float | None) -> str:
    """`1.24 GB`, in powers of ten."""
    if num_bytes is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.3g} {unit}"
    return f"{num_bytes:.0f} bytes"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 0.1:
        return f"{number(1000 * seconds, 3)} ms"
    if seconds < 120:
        return f"{number(seconds, 3)} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plural(count: int, noun: str, many: str | None = None) -> str:
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"


def value(anything) -> str:
    """A setting as text: numbers short, lists joined."""
    if isinstance(anything, list | tuple):
        return ", ".join(map(value, anything))
    if isinstance(anything, float):
        return f"{anything:g}"
    if anything is None:
        return "unknown"
    if isinstance(anything, bool):
        return str(anything).lower()
    return f"{anything:,}" if isinstance(anything, int) else str(anything)


MOST_SEEDS = 12  # columns of a table


def seeds(document: dict) -> list[int]:
    """The seeds that the table of every seed names, at most twelve."""
    return sorted({run["seed"] for arm in document["arms"] for run in arm["runs"]})[:MOST_SEEDS]


def of_seed(arm: dict, seed: int) -> str:
    """The nll of one seed of an arm, or what became of it."""
    run = next((run for run in arm["runs"] if run["seed"] == seed), None)
    if run is None:
        return "–"
    return number(run["nll"]) if run["status"] == "finished" else run["status"]


def extent(document: dict) -> list[str]:
    """How much was spent on an arm: its seeds, tokens and parameters."""
    everyone = [*document["arms"], *document["others"]]
    counts = [len(arm["seeds"]) for arm in everyone]
    tokens = {arm["tokens"] for arm in document["arms"]} - {0}
    told = [f"{_span(counts, 'seed')} an arm"]
    if tokens:
        told.append(f"{_span(tokens, 'training token')} a run")
    if document["num_params"]:
        told.append(_span(document["num_params"], "parameter"))
    return told


def _span(counts, noun: str) -> str:
    low, high = min(counts), max(counts)
    return plural(high, noun) if low == high else f"{low:,} to {plural(high, noun)}"
