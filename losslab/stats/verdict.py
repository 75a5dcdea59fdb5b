"""The verdict: what a difference lets one say, as a sentence and as a word."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from losslab.stats.comparison import ArmResult, Difference, Terms

POWER = 0.9  # chance of showing the margin that "seeds needed" is planned for

WORDS = {
    "better": "better",
    "worse": "worse",
    "equivalent": "equivalent",
    "open": "with no difference shown",
    "identical": "identical",
    "one seed": "with one seed only",
    "no spread": "without spread",
    "diverged": "diverged",
}


def judged(arm: ArmResult, reference: ArmResult, terms: Terms, num_tests: int) -> tuple[str, str]:
    """Outcome and verdict of an arm beside that of the baseline."""
    if arm.name == reference.name:
        return ("diverged", _diverged(arm)) if arm.diverged else ("baseline", "baseline")
    if reference.diverged:
        reason = f"no verdict: the baseline {_diverged(reference)}"
        return ("diverged", f"{_diverged(arm)}; {reason}") if arm.diverged else ("baseline diverged", reason)
    if arm.diverged:
        return "diverged", f"{_diverged(arm)}: no mean and no difference"
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

    def number(x: float, sign: str = "") -> str:
        return f"{x:{sign}.{places}f}"

    half_width = (d.high - d.low) / 2
    places = max(0, 1 - math.floor(math.log10(half_width)))  # two digits of the half-width
    evidence = f"{_p_text(d, num_tests)}, {paired}"
    if d.p_holm < terms.alpha:
        outcome = "better" if (d.value > 0) == terms.higher_is_better else "worse"
        low, high = (d.low, d.high) if d.value > 0 else (-d.high, -d.low)
        sentence = (
            f"{name} is {number(abs(d.value))}{unit} {outcome} than {terms.baseline} "
            f"[{number(low)}, {number(high)}], {evidence}"
        )
        return outcome, sentence + (f"; yet equivalent within {margin}" if d.equivalent else "")
    found = f"{number(d.value, '+')}{unit} [{number(d.low)}, {number(d.high)}], {evidence}"
    if d.equivalent:
        return "equivalent", f"{name} and {terms.baseline} are equivalent within {margin}: {found}"
    more = d.seeds_needed - d.n
    if more > 0:
        outlook = f"{more} more seed{'s' * (more > 1)} would show {margin} (power {POWER:g})"
    else:
        outlook = f"{_seeds(d.n)} would show any difference from {d.detectable:.2g} up (power {POWER:g})"
    return "open", f"no difference shown between {name} and {terms.baseline}: {found}; {outlook}"


def headline(arms: Sequence[ArmResult], baseline: str) -> str:
    """One sentence for the whole comparison, arms best first; with one candidate, its verdict."""
    candidates = [arm for arm in arms if arm.name != baseline]
    if not candidates:
        return f"nothing to compare {baseline} with"
    if len(candidates) == 1:
        return candidates[0].verdict
    broken = next((arm for arm in arms if arm.name == baseline and arm.diverged), None)
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


def note(terms: Terms, num_tests: int) -> str:
    """What the intervals, p-values and seeds needed are, for the foot of a table."""
    tests = f"verdicts follow Holm's p over {num_tests} arms" if num_tests > 1 else "one test, so Holm's p is its own"
    return (
        f"{100 * (1 - terms.alpha):.4g} % t intervals over paired seeds, not adjusted for several arms; {tests}; "
        f"equivalence within {terms.margin:g} (two one-sided tests) and seeds needed (power {POWER:g}) "
        f"are for one test at alpha {terms.alpha:g}"
    )


def listed(names: Iterable) -> str:
    return ", ".join(map(str, names))


def _diverged(arm: ArmResult) -> str:
    return f"{arm.name} diverged on {len(arm.diverged)} of {_seeds(len(arm.seeds))}"


def _p_text(d: Difference, num_tests: int) -> str:
    if d.p_holm == d.p_value:
        return f"p {_p_number(d.p_value)}"
    return f"p {_p_number(d.p_holm)} by Holm over {num_tests} arms (alone p {_p_number(d.p_value)})"


def _p_number(p: float) -> str:
    if p < 0.0001:
        return "< 0.0001"
    return f"= {p:.4f}" if p < 0.1 else f"= {p:.2f}"


def _seeds(n: int) -> str:
    return f"{n} seed{'s' * (n != 1)}"
