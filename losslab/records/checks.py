"""What the documents of a run folder may say: a value that no run has is refused where it is read.

Fields that are not known here pass, so that a record may say more; what is said must be of its kind.
"""

import math
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType

from losslab import config as configuration
from losslab.words import printable

ENDED = ("finished", "diverged", "failed", "stopped", "imported")  # what a result may say of itself
SLACK = 1e-6  # a sum of float32 logarithms may miss its bound by its rounding


class Wrong(ValueError):
    """What a field should be, and what came."""


def spec(value: dict) -> None:
    """Raise `Wrong` where a specification does not say what every run says."""
    config = _part(value, "config", dict)
    for name in ("loss", "seed"):
        _need(name in config, f"config.{name}", "given", "nothing")
    _settings(config)
    _need(_whole(config["seed"], most=2**32 - 1), "config.seed", "a whole number from 0 to 2**32 - 1", config["seed"])
    _part(value, "condition", str)
    _need(_whole(value.get("identity", 1)), "identity", "the number of a version", value.get("identity"))
    corpus = _part(value, "corpus", dict)
    for name in ("name", "digest", "tokenizer"):
        _need(isinstance(corpus.get(name), str | None), f"corpus.{name}", "text", corpus.get(name))
        corpus.setdefault(name, None)
    for split, counts in _part(corpus, "splits", dict, {}, "corpus.").items():
        _numbers(counts, f"corpus.splits.{split}")
    for name in ("version", "objective", "start", "reference"):
        _part(value, name, str, "")
    value.setdefault("losses", [])
    for number, loss in enumerate(_part(value, "losses", list)):
        _need(isinstance(loss, dict), f"losses[{number}]", "fields with names", loss)
        for name in ("path", "sha256", "source"):
            _part(loss, name, str, prefix=f"losses[{number}].")


def environment(value: dict) -> None:
    for name, found in value.items():
        _need(_scalar(found), name, "text, a number or nothing", found)
    for name in ("threads", "world_size"):
        _need(_whole(value.get(name, 1), most=2**20), name, "a whole number", value.get(name))


def result(value: dict) -> None:
    """Raise `Wrong` where a result says what no measurement gives."""
    status = _part(value, "status", str)
    _need(status in ENDED, "status", f"one of {', '.join(ENDED)}", status)
    scores = _part(value, "scores", dict, {})
    _need(status != "finished" or "scores" in value, "scores", "given in a finished run", "nothing")
    for name, score in scores.items():
        _score(f"scores.{name}", re.sub(r"_stride_\d+$", "", name), score)
    for name in ("step", "num_steps", "tokens", "skipped_steps", "overflowed_steps"):
        _need(name not in value or _whole(value[name]), name, "a whole number from 0", value.get(name))
    ranks = _part(value, "ranks", list, [])
    _need(all(_whole(count, most=2**20) and count > 0 for count in ranks), "ranks", "a list of whole numbers from 1",
          ranks)
    for name in ("cost", "counts", "model"):
        _numbers(_part(value, name, dict, {}), name)
    for name, found in _part(value, "document_perplexity", dict, {}).items():  # of documents called impossible: nan
        _need(found is None or _number(found) and not found < 1 - SLACK, f"document_perplexity.{name}",
              "at least 1", found)
    for name in ("temperature", "floor_bits_per_byte"):
        found = value.get(name)
        _need(found is None or _number(found) and 0 <= found < math.inf, name, "a number from 0", found)
    for number, sample in enumerate(_part(value, "samples", list, [])):
        _need(isinstance(sample, dict), f"samples[{number}]", "fields with names", sample)
        for name in ("prompt", "text"):
            _part(sample, name, str, prefix=f"samples[{number}].")
    for name, found in _part(value, "diverged", dict, {}).items():
        _need(_scalar(found), f"diverged.{name}", "text or a number", found)
    _part(value, "error", str, None if status == "failed" else "")
    name = _part(value, "checkpoint", str, "")
    _need(not re.search(r"[/\\\0]", name) and name not in (".", ".."), "checkpoint", "the name of a folder", name)
    weights = _part(value, "weights", str, "0" * 64)
    _need(_hash(weights), "weights", "a sha256", weights)
    if log := _part(value, "log", dict, {}):
        _need(_whole(log.get("lines")), "log.lines", "a whole number from 0", log.get("lines"))
        _need(_hash(log.get("sha256")), "log.sha256", "a sha256", log.get("sha256"))


def log_line(value) -> bool:
    """Whether a line is of a log: numbers with names, `step` and `tokens` among them."""
    return (isinstance(value, dict) and _whole(value.get("step")) and _whole(value.get("tokens"))
            and all(_number(found) for found in value.values()))


# --- kinds -------------------------------------------------------------------------------------

def _number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value, most: int = 2**63 - 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _scalar(value) -> bool:
    return value is None or isinstance(value, str | int | float)


def _hash(value) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _need(holds: bool, field: str, should_be: str, came) -> None:
    if not holds:
        raise Wrong(printable(f"{field[:80]} should be {should_be}, and is {repr(came)[:60]}"))


def _part(value: dict, name: str, kind: type, default=None, prefix: str = ""):
    """The field `name`; without a default it must be there."""
    if name not in value and default is not None:
        return default
    found = value.get(name)
    words = {dict: "fields with names", list: "a list", str: "text"}
    if not isinstance(found, kind):
        raise Wrong(printable(f"{prefix}{name} should be {words[kind]}, and is {repr(found)[:60]}"))
    return found


def _numbers(value, field: str) -> None:
    _need(isinstance(value, dict), field, "numbers with names", value)
    for name, found in value.items():
        good = found is None or _number(found) and 0 <= found < math.inf
        _need(good, f"{field}.{name}", "a number from 0", found)


# --- scores ------------------------------------------------------------------------------------

def _bounds(name: str) -> tuple[float, float]:
    if name.startswith(("nll", "bits_per_byte")):
        return -SLACK, math.inf
    if name.endswith("perplexity"):
        return 1 - SLACK, math.inf
    if name.startswith("accuracy") or name.endswith("accuracy"):
        return 0.0, 1.0
    return -math.inf, math.inf


def _score(field: str, name: str, score) -> None:
    """A score as the evaluator writes one: infinite where a token that came had probability 0, never nan."""
    _need(isinstance(score, dict) and {"value", "stderr", "n"} <= score.keys(), field, "a value with stderr and n",
          score)
    value, error, low_high = score["value"], score["stderr"], _bounds(name)
    low, high = low_high
    _need(_number(value) and low <= value <= high, f"{field}.value", f"a number from {low:.3g} to {high:.3g}",
          value)
    infinite = _number(value) and math.isinf(value)
    _need(error is None or _number(error) and (error >= 0 or infinite), f"{field}.stderr", "nothing, or from 0", error)
    _need(_whole(score["n"]) and score["n"] > 0, f"{field}.n", "a whole number from 1", score["n"])
    _need(isinstance(score.get("unit", ""), str), f"{field}.unit", "text", score.get("unit"))


# --- settings ----------------------------------------------------------------------------------

@cache
def _known() -> dict[str, Callable[[object], bool]]:
    """Dotted setting -> whether a value is of its kind, by the kind of its default."""
    kinds = {bool: lambda v: isinstance(v, bool), str: lambda v: isinstance(v, str),
             int: lambda v: _number(v) and v == v // 1, float: lambda v: _number(v) and math.isfinite(v),
             NoneType: lambda v: v is None or _whole(v, most=2**32 - 1),
             tuple: lambda v: isinstance(v, list) and len(v) == 2 and all(_number(x) for x in v)}

    def walk(section, prefix):
        for field in fields(section):
            value = getattr(section, field.name)
            name = f"{prefix}{field.name}"
            if is_dataclass(value):
                yield name, None
                yield from walk(value, f"{name}.")
            else:
                yield name, kinds[type(value)]
    return dict(walk(configuration.ExperimentConfig(), ""))


def _settings(config: dict, prefix: str = "") -> None:
    known = _known()
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            _need(not prefix and known.get(name) is None, f"config.{name}", "one value", value)
            _settings(value, f"{name}.")
        elif name in known:
            kind = known[name]
            _need(kind is not None, f"config.{name}", "settings with names", value)
            _need(kind(value), f"config.{name}", "of the kind of this setting", value)
        else:
            flat = value if isinstance(value, list) else [value]
            _need(all(map(_scalar, flat)), f"config.{name}", "one value, or a list", value)
