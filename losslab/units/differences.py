"""A score, its baseline and their difference: whether they agree, and whether the standard error lets it show."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from losslab.units.checks import Check, fits, likely
from losslab.units.claims import LONGEST_NAME, Claim
from losslab.units.columns import LOWER_IS_BETTER
from losslab.units.numbers import Number, figure, overlap
from losslab.untrusted import one_line

SHARES = ("accuracy", "core")  # whose percents may be points; those of any other score are of the baseline
CORE_SEED_SD = 0.0062  # over 20 seeds of one recipe (karpathy/nanochat, pull request 807)


@dataclass(frozen=True)
class _Baseline:
    number: Number
    said: str
    stderr: float | None


def difference(row: Claim, table: Mapping[str, Sequence[Claim]]) -> Iterator[Check]:
    """The stated difference is score minus baseline, and larger than its standard error.

    Args:
        table: the rows of every claim, by its name.
    """
    score = row.score
    baseline = _baseline(row, table) if score is not None else None
    if isinstance(baseline, Check):
        yield baseline
        baseline = None
    own = row.columns.get(score)
    stated = [name for name in ("difference", "improvement") if name in row.columns]
    found = None
    if own is not None and baseline is not None:
        found = own.value - baseline.number.value
        start = f"{own.text} - {baseline.said} = {figure(found)}"
        for name in stated:
            yield _is_that(row, name, start, baseline)
    elif len(stated) == 2 and score is not None:
        yield _same_size(row)
    if stated and (found is None or row.columns[stated[0]].text[-1] != "%"):
        found, start = row.columns[stated[0]].value, f"the {stated[0]} is {row.columns[stated[0]].text}"
    error = None if found is None else _error(row, baseline)
    if error is not None and error[0] > 0:
        size, (value, said) = abs(found), error
        times = f"{start}, and {said}: {figure(size / value)} times as large"
        is_shown = size >= value * (1 - 1e-9)
        yield likely(is_shown, times if is_shown else f"{times}, which shows no difference")


def _sign(row: Claim) -> int:
    return -1 if row.score in LOWER_IS_BETTER else 1


def _is_that(row: Claim, name: str, start: str, baseline: _Baseline) -> Check:
    own, number, theirs = row.columns[row.score], row.columns[name], baseline.number
    low, high = own.low - theirs.high, own.high - theirs.low
    if name == "improvement" and _sign(row) < 0:
        low, high = -high, -low
    ranges = [] if "%" in number.text and row.score not in SHARES else [(low, high)]
    if "%" in number.text and theirs.low > 0:  # of the baseline
        ends = [x / y for x in (low, high) for y in (theirs.low, theirs.high)]
        ranges.append((min(ends), max(ends)))
    if not ranges or any(overlap(one, (number.low, number.high)) for one in ranges):
        return fits(True, f"{start}, and the {name} is {number.text}")
    is_turned = any(overlap(one, (-number.high, -number.low)) for one in ranges)
    what = "an improvement is above 0 where the score is better than the baseline"
    what = what if name == "improvement" else "a difference is the score minus the baseline"
    return fits(False, f"{start}, not {'an' if name == 'improvement' else 'a'} {name} of {number.text}"
                       + f"; {what}" * is_turned)


def _same_size(row: Claim) -> Check:
    change, gain = row.columns["difference"], row.columns["improvement"]
    low, high = sorted((_sign(row) * change.low, _sign(row) * change.high))
    return fits(overlap((low, high), (gain.low, gain.high)),
                f"a difference of {change.text} in {row.score.replace('_', ' ')} is an improvement of "
                f"{figure(_sign(row) * change.value)}, and it is given as {gain.text}")


def _baseline(row: Claim, table: Mapping[str, Sequence[Claim]]) -> _Baseline | Check | None:
    """The baseline that the row gives as a number, or that it names; or why the two cannot be compared."""
    if "baseline" in row.columns:
        error = row.columns.get("baseline_stderr")
        number = row.columns["baseline"]
        return _Baseline(number, number.text, error.value if error else None)
    name = one_line(row.words.get("baseline", ""), LONGEST_NAME)
    others = [other for other in table.get(name, []) if other is not row and row.score in other.columns] if name else []
    same = [other for other in others if other.scope == row.scope]
    if not same:
        foreign = next((other.scope for other in others if other.scope and row.scope), None)
        if foreign is None:
            return None
        return likely(False, f"the baseline {name} is of {foreign} and this row of {row.scope}: "
                             f"{row.score.replace('_', ' ')} compares only on the same text")
    number, error = same[0].columns[row.score], _own_error(same[0])
    return _Baseline(number, f"{number.text} ({name})", error)


def _own_error(row: Claim) -> float | None:
    """The standard error of the row's score, stated or, of an accuracy, computed."""
    stderr, n, own = row.columns.get("stderr"), row.columns.get("num_items") or row.columns.get("n"), row.columns
    if stderr is not None:
        return stderr.value
    p = own["accuracy"].value if row.score == "accuracy" else None
    return math.sqrt(p * (1 - p) / n.value) if p is not None and n is not None and 0 <= p <= 1 else None


def _error(row: Claim, baseline: _Baseline | None) -> tuple[float, str] | None:
    """The standard error of the difference, and how it was found."""
    own = _own_error(row)
    if "difference" in row.columns or "improvement" in row.columns:
        stderr = row.columns.get("stderr")
        own = stderr.value if stderr is not None else None
    elif baseline is not None and baseline.stderr and own:
        both = math.hypot(own, baseline.stderr)
        return both, f"its standard error is sqrt({figure(own)}^2 + {figure(baseline.stderr)}^2) = {figure(both)}"
    elif baseline is not None:
        own = own or baseline.stderr
    if own is not None:
        return own, f"its standard error is {figure(own)}"
    if (row.score == "core" or row.scope == "core" and row.score is None) and "num_seeds" not in row.columns:
        return CORE_SEED_SD, f"CORE varies by {CORE_SEED_SD:g} (sd) between seeds of one recipe"
    return None
