"""The verdict: what a difference lets one say, as a sentence and as a word."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from losslab.stats.comparison import ArmResult, Difference, Terms
from losslab.stats.more_seeds import MOST

POWER = 0.9  # chance of showing a difference that "seeds needed" is planned for

WORDS = {
    "better": "better",
    "worse": "worse",
    "equivalent": "equivalent",
    "open": "with no difference shown",
    "identical": "identical",
    "one seed": "with one seed only",
    "no spread": "without spread",
    "spent": "with no error rate left to spend",
    "diverged": "diverged",
    "failed": "failed",
}


def firm_from(alpha: float) -> int:
    """The least number of seeds whose signs alone could show a difference at `alpha`: 6 at 0.05.

    Student's test takes the differences for normal, which a few of them cannot show. If they are only symmetric
    about zero, n of them have one sign with probability 2^(1 - n): 1/2 for two seeds, 1/16 for five, 1/32 for six.
    The error rate of the test is as large as that where differences take two values only, +x and -x, roughly.

    Example:
        >>> firm_from(0.05), firm_from(0.01)
        (6, 8)
    """
    return next(n for n in range(2, 1000) if 2.0 ** (1 - n) < alpha)


def judged(arm: ArmResult, reference: ArmResult, terms: Terms, num_tests: int) -> tuple[str, str]:
    """Outcome and verdict of an arm compared with the baseline."""
    how = "diverged" if arm.diverged else "failed"
    if arm.name == reference.name:
        return (how, _lost(arm)) if arm.lost else ("baseline", "baseline")
    if reference.lost:
        reason = f"no verdict: the baseline {_lost(reference)}"
        if arm.lost:
            return how, f"{_lost(arm)}; {reason}"
        return f"baseline {'diverged' if reference.diverged else 'failed'}", reason
    if arm.lost:
        return how, f"{_lost(arm)}: no mean and no difference"
    return _sentence(arm.name, arm.difference, terms, num_tests)


def _sentence(name: str, d: Difference, terms: Terms, num_tests: int) -> tuple[str, str]:
    unit = f" {terms.unit}" if terms.unit else ""
    margin = f"{terms.margin:g}"
    paired = f"{_seeds(d.n)} paired"
    raw = f"{name} - {terms.baseline} = {d.value:+.4g}{unit}"
    if d.identical:
        return "identical", f"{name} and {terms.baseline} are identical: every difference is exactly 0, {paired}"
    if d.n == 1:
        return "one seed", f"no verdict from one seed: {raw}"
    if d.p_value is None:
        return (
            "no spread",
            f"no verdict: {raw} on each of {_seeds(d.n)}, which leaves no spread to test",
        )

    if d.low is None:
        return "spent", (f"no verdict: {raw}, {paired}, but the looks before this one spent all of the error rate "
                         f"{terms.alpha:g}; ask again with other seeds in another store")

    def number(x: float, sign: str = "") -> str:
        return f"{x:{sign}.{places}f}"

    half_width = (d.high - d.low) / 2
    places = max(0, 1 - math.floor(math.log10(half_width))) if half_width else 5  # two digits of the half-width
    evidence = f"{_p_text(d, num_tests)}{_at(d)}, {paired}"
    found = f"{number(d.value, '+')}{unit} [{number(d.low)}, {number(d.high)}], {evidence}"
    warned = _two_seeds(d, terms)
    if d.shown:
        above = d.low > 0 if d.low > 0 or d.high < 0 else d.value > 0
        outcome = "better" if above == terms.higher_is_better else "worse"
        low, high = (d.low, d.high) if above else (-d.high, -d.low)
        sentence = (
            f"{name} is {number(d.value if above else -d.value)}{unit} {outcome} than {terms.baseline} "
            f"[{number(low)}, {number(high)}], {evidence}"
        )
        return outcome, sentence + (f"; yet equivalent within {margin}" if d.equivalent else "") + warned
    if d.equivalent:
        return "equivalent", f"{name} and {terms.baseline} are equivalent within {margin}: {found}{warned}"
    return "open", f"no difference shown between {name} and {terms.baseline}: {found}{_outlook(d, terms)}"


def _at(d: Difference) -> str:
    """Which look the p-value is of; the first look goes without saying."""
    if d.shown_at and d.shown_at < d.look:
        return f" at look {d.shown_at}"
    return f" at look {d.look} (level {d.level:.2g})" if d.look > 1 else ""


def _outlook(d: Difference, terms: Terms) -> str:
    """What the present seeds could show, and how many it takes."""
    if d.detectable is None:
        return ""
    could = f"; {_seeds(d.n)} could show {d.detectable:.2g} or more"
    if not terms.next_level:
        return f"{could}; no error rate is left for more seeds"
    if d.n == 2:
        return f"{could}; how many more it takes, 2 cannot say: run {firm_from(terms.alpha)} or more"
    plans = [(d.seeds_needed, f"{terms.margin:g}")]
    if d.value:
        plans.append((d.seeds_for_observed, f"the observed {abs(d.value):.2g}"))
    plans.sort(key=lambda plan: plan[0] or math.inf)
    if terms.looks is None:
        told = ", ".join(f"{_plan(seeds)} for {what}" for seeds, what in plans)
        return f"{could}; a fresh comparison would take {told} (power {POWER:g})"
    told = ", ".join(f"{_plan(seeds and seeds - d.n, ' more')} for {what}" for seeds, what in plans)
    return f"{could}; it takes {told} (power {POWER:g})"


def _plan(seeds: int | None, more: str = "") -> str:
    if seeds is None:
        return f"more than {MOST:,}{more} seeds"
    return f"{seeds}{more} seed{'s' * (seeds != 1)}"


def _two_seeds(d: Difference, terms: Terms) -> str:
    if d.n > 2:
        return ""
    return (
        "; CAUTION, only 2 seeds: p and interval rest on one degree of freedom and on normal differences, which 2 "
        f"cannot show; 2 signs agree by chance every second time; run {firm_from(terms.alpha)} seeds or more"
    )


def headline(arms: Sequence[ArmResult], baseline: str) -> str:
    """One sentence for the whole comparison, arms best first; with one candidate, its verdict."""
    candidates = [arm for arm in arms if arm.name != baseline]
    if not candidates:
        return f"nothing to compare {baseline} with"
    if len(candidates) == 1:
        return candidates[0].verdict
    broken = next((arm for arm in arms if arm.name == baseline and arm.lost), None)
    if broken:
        return f"no verdict: the baseline {broken.verdict}"
    counts = Counter(arm.outcome for arm in candidates)
    if set(counts) <= {"one seed", "identical"} and "one seed" in counts:
        return f"no verdict from one seed; in the order of its values: {listed(arm.name for arm in arms)}"
    tally = listed(f"{count} {WORDS[outcome]}" for outcome, count in counts.items())
    best = next((arm for arm in candidates if arm.outcome == "better"), None)
    if best:
        return f"{best.verdict} (of {len(candidates)} candidates: {tally})"
    return f"no candidate is shown to be better than {baseline} (of {len(candidates)}: {tally})"


def note(terms: Terms, num_tests: int, num_seeds: int) -> str:
    """What the intervals, p-values and seeds needed are, for the foot of a table; `num_seeds` is the most paired."""
    tests = f"verdicts follow Holm's p over {num_tests} arms" if num_tests > 1 else "one test, so Holm's p is its own"
    few = firm_from(terms.alpha)
    shaky = (
        f"; p and intervals assume normally distributed differences, since the signs of fewer than {few} differences "
        f"alone cannot give p < {terms.alpha:g}" if 2 <= num_seeds < few else ""
    )
    covers = f"{100 * (1 - terms.alpha):.4g} % t intervals over paired seeds, not adjusted for several arms"
    if terms.looks is None:
        level, plan = f"; verdicts take p below {terms.alpha:g}", "a fresh comparison"
    else:
        level = (f"; look {terms.looks}: p must be below {terms.level:.2g}, so that all looks together err in at most "
                 f"{100 * terms.alpha:.4g} %, and intervals hold over all looks")
        plan = f"the present seeds and more at the level {terms.next_level:.2g} of the next look"
    is_last = terms.looks is not None and not terms.next_level
    needed = "no look is left" if is_last else (
        f"seeds needed are for {plan}, with power {POWER:g}, averaged over what these seeds leave unknown of the "
        "spread")
    equal = f"equivalence within {terms.margin:g} by two one-sided tests at the same level"
    return f"{covers}; {tests}{level}; {equal}; {needed}{shaky}"


def listed(names: Iterable) -> str:
    return ", ".join(map(str, names))


def _lost(arm: ArmResult) -> str:
    """`X diverged on 1 of 3 seeds and failed on 1`."""
    told = f"{arm.name} {'diverged' if arm.diverged else 'failed'} on {len(arm.diverged or arm.failed)} of "
    told += _seeds(len(arm.seeds))
    return told + (f" and failed on {len(arm.failed)}" if arm.diverged and arm.failed else "")


def _p_text(d: Difference, num_tests: int) -> str:
    stands = d.shown_at is not None and d.shown_at < d.look  # then p is of an earlier look
    if d.p_holm == d.p_value or stands:
        return f"p {_p_number(d.p_holm)}"
    return f"p {_p_number(d.p_holm)} by Holm over {num_tests} arms (alone p {_p_number(d.p_value)})"


def _p_number(p: float) -> str:
    if p < 0.0001:
        return "< 0.0001"
    return f"= {p:.4f}" if p < 0.1 else f"= {p:.2f}"


def _seeds(n: int) -> str:
    return f"{n} seed{'s' * (n != 1)}"
