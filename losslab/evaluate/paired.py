"""Two models on the same items: what each item says of a score, and the difference with its error over items."""

import math
from collections.abc import Mapping

import numpy as np

from losslab.evaluate.core import SHORT, STANDARD
from losslab.stats import paired_p, ratio_score, t_interval

ALPHA = 0.05
NATS = {"nll": "nats/token", "nll_per_word": "nats/word", "bits_per_byte": "bits/byte"}
Rows = Mapping[str, list]  # `ids`, `numerators`, `denominators`: a score is the ratio of their sums


def outcomes(result: dict) -> dict[str, Rows]:
    """Score -> the items that it is made of, for scores that can be paired over items; `part: score` of a part.

    Args:
        result: of a task, with its items.
    """
    found, items = {}, [item for item in result.get("items", []) if "skipped" not in item]
    for name in result["scores"]:
        if (rows := _rows(name, items)) is not None:
            found[name] = rows
    if items and "nats" in items[0] and "passage" in items[0]:
        found["nll_per_word"] = _table([item["passage"] for item in items], [item["nats"] for item in items])
    for part in result.get("parts", []):
        found |= {f"{part['name']}: {name}": rows for name, rows in outcomes(part).items() if name == "accuracy"}
    return found


def _rows(name: str, items: list[dict]) -> Rows | None:
    if not items:
        return None
    first = items[0]
    if "paradigm" in first:  # BLiMP: pairs of one paradigm resemble each other, so paradigms are drawn
        groups: dict[str, list] = {}
        for item in items:
            groups.setdefault(item["paradigm"], []).append(item["right"])
        return _table(list(groups), list(map(sum, groups.values())), list(map(len, groups.values())))
    if "document" in first:
        return _of_documents(name, items)
    ids = [item.get("index", item.get("passage")) for item in items]
    if name.startswith("accuracy") and "picked" in first:
        normalizer = name.removeprefix("accuracy").removeprefix("_").partition("_prefix_")[0] or "per_own_token"
        if normalizer in first["picked"]:
            return _table(ids, [int(item["picked"][normalizer] == item["gold"]) for item in items])
    for key in ("correct", "right"):
        if name.startswith("accuracy") and key in first:
            return _table(ids, [int(item[key]) for item in items])
    return None


def _of_documents(name: str, items: list[dict]) -> Rows | None:
    ids = [f"{item['document']} of {item['bytes']} bytes, {item['words']} words" for item in items]
    if name.startswith("bits_per_byte") and "with_eot" not in name:
        return _table(ids, [item["nats"] / math.log(2) for item in items], [item["bytes"] for item in items])
    if name.startswith("nll_without_eot"):
        return _table(ids, [item["nats"] for item in items], [item["tokens"] for item in items])
    if name == "nll" or name.startswith("nll_stride_"):
        ends = [int(item["end_nats"] > 0) for item in items]
        return _table(ids, [item["nats"] + item["end_nats"] for item in items],
                      [item["tokens"] + end for item, end in zip(items, ends, strict=True)])
    return None


def _table(ids: list, numerators: list, denominators: list | None = None) -> Rows:
    return {"ids": ids, "numerators": numerators, "denominators": denominators or [1] * len(ids)}


def difference(candidate: Rows, baseline: Rows) -> dict:
    r"""Candidate - baseline of a ratio of sums over the same items, by a paired t over items.

    With $d_i$ the difference of item i and $b_i$ what both divide by, the difference is
    $D = \sum_i d_i / \sum_i b_i$; each item stands for $D + n (d_i - D b_i) / \sum b$, whose mean is $D$ and whose
    standard error is that of the ratio (`stats.ratio_score`).

    Returns:
        `value`, `stderr`, `low`, `high` (95 %), `p_value`, `n` (items) and `identical`; or `why`, a sentence, where
        they cannot be paired.

    Example:
        >>> one = {"ids": [1, 2, 3], "numerators": [2.0, 4.0, 6.0], "denominators": [1, 1, 1]}
        >>> other = one | {"numerators": [1.0, 2.0, 3.0]}
        >>> found = difference(one, other)
        >>> found["value"], found["n"], found["low"] < 0 < found["high"]
        (2.0, 3, True)
    """
    if candidate["ids"] != baseline["ids"]:
        return {"why": "measured on other items"}
    if candidate["denominators"] != baseline["denominators"]:
        return {"why": "counted over other tokens"}
    d = np.subtract(candidate["numerators"], baseline["numerators"])
    b = np.array(baseline["denominators"], dtype=float)
    if not np.isfinite(d).all():
        return {"why": "infinite"}
    score = ratio_score(d, b)
    found = {"value": score.value, "stderr": score.stderr, "n": score.n, "identical": not d.any()}
    if found["identical"] or not score.stderr:
        return found | {"low": None, "high": None, "p_value": None}
    x = score.value + len(d) * (d - score.value * b) / b.sum()
    low, high = t_interval(x, ALPHA)
    return found | {"low": low, "high": high, "p_value": paired_p(x)}


def core_difference(candidate: Mapping[str, Rows], baseline: Mapping[str, Rows], name: str) -> dict:
    """Of a mean of centered accuracies (`core_v1`, `core_v2`, `short_seven`), as if its tasks asked different items."""
    labels = SHORT if name == "short_seven" else tuple(STANDARD)
    version = "v2" if name.endswith("v2") else "v1"
    values, variances, items = [], [], 0
    for label in labels:
        rows = [outcome.get(f"{label}: accuracy") for outcome in (candidate, baseline)]
        if None in rows or "why" in (found := difference(*rows)):
            return {"why": f"{label} was measured on other items"}
        rest = 1 - getattr(STANDARD[label], version) / 100
        values.append(found["value"] / rest)
        variances.append(((found["stderr"] or 0.0) / rest) ** 2)
        items += found["n"]
    value, stderr = sum(values) / len(labels), math.sqrt(sum(variances)) / len(labels)
    found = {"value": value, "stderr": stderr, "n": items, "identical": not any(values) and not stderr}
    if not stderr:
        return found | {"low": None, "high": None, "p_value": None}
    half = 1.959964 * stderr  # thousands of items: the normal distribution
    return found | {"low": value - half, "high": value + half, "p_value": math.erfc(abs(value) / stderr / math.sqrt(2))}
