"""How far each route of `linear_loss` is from the truth: every loss, transform and pair of losses.

    python benchmarks/head_errors.py

Truth is dense autograd in float64. The error of a value or gradient is max |it - truth| / max |truth|. Writes
docs/results/head-errors.csv, all of it, and head-errors.md, the worst of it. A route joins by a line in
`head_routes.ROUTES`.
"""

import argparse
import csv
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from head_routes import DTYPES, PARTS, ROUTES, STREAMED, measure, problem

from losslab import formula, machine
from losslab.objective import Objective

RESULTS = Path(__file__).parent.parent / "docs" / "results"
TRANSFORMS = {"temperature": "temperature(0.7) | ", "softcap": "softcap(15) | ", "isru_cap": "isru_cap(15) | ",
              "sigmoid_cap": "sigmoid_cap | "}  # fmt: skip
SCALES = (10, 10_000)  # about the largest logit
ALLOWANCE = 1e-6  # beyond plain float32
PLAIN = ("float32", "dense")


@dataclass
class Rule:
    """How often it was checked, and where it did not hold."""

    checked: int = 0
    broken: list[str] = field(default_factory=list)


class Line(NamedTuple):
    """One measurement, or over pairs the worst of many."""

    kind: str
    formula: str
    transform: str
    tokens: int
    vocab: int
    logits: int
    dtype: str
    route: str
    errors: tuple[float, float, float]  # of PARTS


def exceptions(found: dict[tuple[str, str], tuple]) -> list[tuple[str, str, float, float]]:
    """Route, part, its error and plain float32's, where a streamed route in float32 is further off than allowed."""
    return [(name, part, own, plain) for name in STREAMED if ("float32", name) in found
            for part, own, plain in zip(PARTS, found["float32", name], found[PLAIN], strict=True)
            if not own <= plain + ALLOWANCE]  # fmt: skip


def whole(name: str) -> str:
    """The loss itself, or what a term is added to and the term."""
    try:
        return str(Objective.parse(name))
    except ValueError:
        return f"cross_entropy + {name}"


def singles() -> Iterator[tuple[str, str, str]]:
    """Name, transform and formula of every loss behind every transform."""
    prefixes = {"": ""} | TRANSFORMS
    assert set(TRANSFORMS) == set(formula.names("losslab.transforms")), "a transform is missing here"
    for name, (transform, prefix) in itertools.product(formula.names("losslab.losses"), prefixes.items()):
        yield name, transform, prefix + whole(name)


def pairs() -> Iterator[tuple[str, str, str]]:
    """Both names and the formula of every two losses."""
    for one, other in itertools.combinations(formula.names("losslab.losses"), 2):
        yield one, other, f"{whole(one)} + {other}"


def all_lines(rule: Rule) -> Iterator[Line]:
    def lines(kind, name, transform, text, given, scale):
        found, size = measure(text, given), (given.targets.numel(), len(given.lm_head))
        rule.checked += len(PARTS) * sum(key[0] == "float32" and key[1] in STREAMED for key in found)
        for route, part, own, plain in exceptions(found):
            rule.broken.append(f"`{text}`, {size[0]} tokens, vocabulary {size[1]}, logits to {scale:,}, {route}, "
                               f"{part}: {own:.2e}, PyTorch {plain:.2e}")  # fmt: skip
        return [Line(kind, name, transform, *size, scale, *key, errors) for key, errors in found.items()]

    for scale in SCALES:
        small, large = problem(scale), problem(scale, 8, 125, 64, 5003, tile_rows=67)
        for name, transform, text in singles():
            yield from lines("loss", name, transform, text, small, scale)
            if not transform:
                yield from lines("loss", name, transform, text, large, scale)
        worst: dict[Line, tuple] = {}
        for one, other, text in pairs():
            for line, name in itertools.product(lines("pair", "", "", text, small, scale), (one, other)):
                key = line._replace(formula=name, errors=())
                worst[key] = tuple(map(max, line.errors, worst.get(key, (0.0, 0.0, 0.0))))
        yield from (key._replace(errors=errors) for key, errors in worst.items())


def rounded(seeds: int = 4, width: int = 64) -> dict[tuple[str, int], list[int]]:
    """Ordinary inputs, whose logits every library rounds its own way: how often one is off by more than the other.

    Returns:
        (route, scale) -> comparisons, those that streaming loses by more than the allowance, and those it wins.
    """
    counts: dict[tuple[str, int], list[int]] = {}
    for scale, seed in itertools.product(SCALES, range(seeds)):
        given = problem(scale, width=width, seed=seed, exact=False)
        for _, _, text in singles():
            found = measure(text, given, dtypes=("float32",))
            for name in STREAMED:
                for own, plain in zip(found.get(("float32", name), ()), found[PLAIN], strict=False):
                    count = counts.setdefault((name, scale), [0, 0, 0])
                    count[0] += 1
                    count[1] += not own <= plain + ALLOWANCE
                    count[2] += not plain <= own + ALLOWANCE
    return counts


ABOUT = [
    "Truth is dense autograd in float64 from the same float32 inputs. An error is max |a - truth| / max |truth|, of "
    "the values of all tokens, of the gradient of `hidden` and of that of `lm_head`, each token weighed by its own "
    "number; a table shows the worst of the three, the [CSV](head-errors.csv) all. *Plain* is the dense route in "
    "float32: PyTorch's own product, cross-entropy and autograd. *Streamed* forms the gradient in its one sweep, or in "
    "a second one for any upstream gradient; a loss that is not token-wise independent has only the second. bfloat16 "
    "is autocast over float32 weights. Dense in float64 is the truth itself.",
    "",
    "Every loss of the family (a term as `cross_entropy + it`), without a transform and behind each of "
    f"{', '.join(prefix.strip(' |') for prefix in TRANSFORMS.values())}, at 507 tokens, width 16, vocabulary 123 in "
    "tiles of at most 37 tokens; without a transform also at 1,000 tokens, width 64, vocabulary 5,003 in tiles of at "
    "most 67; and every pair of losses. Largest logits of about 10 and 10,000. Every fifth token is ignored: its value "
    "and gradient were exactly zero in every line, or this page would not exist. Targets repeat, and the further "
    "columns of `multi_token` and `prefix_token` repeat and coincide with the target.",
    "",
    "The gradient of `unlikelihood` jumps where a negative's probability reaches 1 - 1e-5; with logits of 10,000 "
    "float32 puts some on the other side, by whatever route.",
]
RULE = [
    "In float32 no error of a streamed route is more than plain PyTorch's + 1e-6. The inputs have few bits, so that "
    "every logit is exact in whatever order it is summed: what is compared is the arithmetic of the head. Where it "
    "does not hold, a cap was computed inside the product, on `hidden / C` that is rounded before and not after, or "
    "nearly sure rows leave of two large terms less than their rounding.",
]
LUCK = [
    "Of ordinary inputs each library rounds the logits in its own order, by up to 1e-3 where they are 10,000, and who "
    "is further off is luck. 4 draws at width 64, every loss and transform:",
]


def write_csv(lines: list[Line]) -> None:
    with open(RESULTS / "head-errors.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*Line._fields[:-1], *PARTS])
        writer.writerows([*line[:-1], *(f"{error:.2e}" for error in line.errors)] for line in lines)


def table(lines: list[Line], rows: str, columns: list[tuple[str, Callable[[Line], bool]]]) -> list[str]:
    """The worst of all three errors, by a field of the lines and by column."""
    text = [f"| {rows} | {' | '.join(title for title, _ in columns)} |", f"|{' --- |' * (1 + len(columns))}"]
    for value in dict.fromkeys(getattr(line, rows) for line in lines):
        cells = []
        for _, belongs in columns:
            errors = [max(line.errors) for line in lines if getattr(line, rows) == value and belongs(line)]
            cells.append(f"{max(errors):.1e}" if errors else "")
        text.append(f"| {value} | {' | '.join(cells)} |")
    return text


def columns(dtype: str) -> list[tuple[str, Callable[[Line], bool]]]:
    return [(f"{'plain' if (dtype, route) == PLAIN else route}, {scale:,}",
             lambda line, r=route, s=scale: (line.dtype, line.logits, line.route) == (dtype, s, r))
            for scale, route in itertools.product(SCALES, ROUTES)]  # fmt: skip


def markdown(lines: list[Line], rule: Rule, counts: dict, seconds: float) -> str:
    about = machine.describe("cpu", "float32")
    single, pair = ([line for line in lines if line.kind == kind] for kind in ("loss", "pair"))
    unstreamed = sorted({line.formula for line in single} - {x.formula for x in single if x.route in STREAMED})
    return "\n".join([
        "# Errors of the head", "",
        f"Written by `python benchmarks/head_errors.py` in {seconds:.0f} s: torch {about['torch']}, "
        f"{about['processor']}, threads: {about['threads']}.", "", *ABOUT, "",
        f"`{'`, `'.join(unstreamed)}` read the logits themselves and are not streamed.", "",
        "## The rule", "", *RULE, "",
        f"Checked {rule.checked:,} times, {len(rule.broken) or 'no'} exception{'' if len(rule.broken) == 1 else 's'}.",
        *[f"- {line}" for line in rule.broken], "", *LUCK, "",
        "| route | logits to | comparisons | streamed worse by more than 1e-6 | plain worse by more than 1e-6 |",
        f"|{' --- |' * 5}",
        *[f"| {name} | {scale:,} | {' | '.join(f'{n:,}' for n in count)} |" for (name, scale), count in counts.items()],
        "", *(part for dtype in DTYPES[1:] for part in (
            f"## {dtype}, by loss", "", *table(single, "formula", columns(dtype)), "")),
        "## All losses and transforms together", "", *table(single, "dtype", any_dtype()), "",
        f"## All {len(list(pairs()))} pairs together", "", *table(pair, "dtype", any_dtype()), "",
    ])  # fmt: skip


def any_dtype() -> list[tuple[str, Callable[[Line], bool]]]:
    return [(f"{route}, {scale:,}", lambda line, r=route, s=scale: (line.route, line.logits) == (r, s))
            for scale, route in itertools.product(SCALES, ROUTES)]  # fmt: skip


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    begun, rule, lines = time.perf_counter(), Rule(), []
    for line in all_lines(rule):
        lines.append(line)
        if len(lines) % 500 == 0:
            print(f"{len(lines)} lines, {time.perf_counter() - begun:.0f} s, {len(rule.broken)} exceptions", flush=True)
    counts = rounded()
    write_csv(lines)
    text = markdown(lines, rule, counts, time.perf_counter() - begun)
    (RESULTS / "head-errors.md").write_text(text, encoding="utf-8")
    print(*rule.broken, f"{len(lines)} lines, {len(rule.broken)} exceptions", sep="\n")


if __name__ == "__main__":
    main()
