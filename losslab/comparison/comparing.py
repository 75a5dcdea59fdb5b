"""The one place where runs are grouped, judged and compared."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from losslab import records as folders
from losslab.comparison import measured
from losslab.comparison.arms import Arm, differing
from losslab.comparison.caveats import caveats, comparable
from losslab.comparison.corpora import corpus, several
from losslab.comparison.curves import gap
from losslab.records import Record
from losslab.stats import PairedComparison, unknown
from losslab.stats import compare as compare_values
from losslab.stats.looks import Look

ALPHA = 0.05
MOST_VALUES = 3  # of a fact of the environment in which runs differ
Ledger = Callable[[str, str], Sequence[Look]]
ENDED = ("finished", "diverged", "failed")  # what counts as an outcome; a run that was stopped says nothing yet


@dataclass(frozen=True)
class Comparison:
    """Conditions over the same seeds, and all that a reader should know of them."""

    runs: tuple[Record, ...]
    """One a condition and seed, with the status that counts."""
    arms: tuple[Arm, ...]
    """Best first."""
    baseline: str
    """The name of the arm that the others are compared with."""
    verdict: str
    """One sentence; it begins with `no verdict` where there is none."""
    nll: PairedComparison | None
    """The statistics that the verdict follows; None where the arms were not measured on the same tokens, or no arm
    shares an ended seed with the baseline."""
    bits_per_byte: PairedComparison | None
    """The same in bits per byte; None where the arms were not measured on the same text."""
    measure: str
    """The name of the score that is compared: `nll`, or `nll_stride_64` where evaluation windows overlap."""
    margin: float
    """The difference in nats/token that would matter."""
    warnings: tuple[str, ...]
    """What a reader must know before believing the verdict, the gravest first."""
    settings: Mapping[str, object]
    """Those that all arms share."""
    name: str = ""
    """Of the study that asked; nothing where runs are compared without one."""
    question: str = ""
    looks: Mapping[str, list[dict]] = field(default_factory=dict)
    """Name of an arm -> what each look said of it, with the level that it spent."""
    matching: Mapping[str, object] = field(default_factory=dict)
    """Where arms were matched by time or flops: `by`, and `arms` with `name`, `cost` (a multiple of the baseline's) and
    what each scored at equal tokens, `equal`, and at equal cost, `matched`."""
    tuned: Mapping[str, dict] = field(default_factory=dict)
    """Name of an arm -> what tuning tried and chose; empty where nothing was tuned."""
    published: Mapping[str, object] = field(default_factory=dict)
    """What others found, as the study has it: `source` and `figures`."""

    @property
    def new_look(self) -> Look | None:
        """What is to be noted in the ledger, its arms by condition; None where no result is new."""
        look = self.nll.new_look if self.nll else None
        return look and replace(look, arms={self.arm(name).condition: judged for name, judged in look.arms.items()})

    @property
    def alpha(self) -> float:
        return self.nll.alpha if self.nll else ALPHA

    @property
    def corpus(self) -> dict:
        """Facts of the baseline's corpus."""
        return corpus(self.arm(self.baseline).runs)

    @property
    def corpora(self) -> list[dict]:
        return several(self.runs)

    @property
    def environment(self) -> dict:
        """Every key with its value, or with a list of values where runs differ, cut short where there are many."""
        found: dict[str, dict] = {}
        for run in self.runs:
            for key, value in run.environment.items():
                found.setdefault(str(key), {})[str(value)] = value
        created = sorted(found.pop("created", {}))  # each run has its own
        told = {key: _few(list(values.values())) for key, values in found.items()}
        return told | ({"created": " to ".join(dict.fromkeys((created[0], created[-1])))} if created else {})

    def arm(self, name: str) -> Arm:
        """The arm of that name.

        Raises:
            ValueError: naming the arms that there are.
        """
        by_name = {arm.name: arm for arm in self.arms}
        if name not in by_name:
            raise unknown("arm", name, list(by_name))
        return by_name[name]

    def gap(self, arm: Arm) -> dict | None:
        """The learning curve of an arm less that of the baseline, seed by seed; None for the baseline."""
        return None if arm.name == self.baseline else gap(arm.runs, self.arm(self.baseline).runs)


def compare(
    records: Iterable[Record], *, baseline: str | None = None, margin: float = 0.002,
    requested: Mapping[str, Sequence[int]] | None = None, ledger: Ledger | None = None, planned: int = 0,
    labels: Mapping[str, str] | None = None, tuned: Mapping[str, dict] | None = None,
) -> Comparison:
    """Group runs by condition, and compare the conditions seed by seed.

    A run that finished without a finite `nll` has lost its seed: it counts as diverged where the value is infinite or
    not a number, and as failed where there is none. Of two runs of one condition and seed one that finished counts.

    Args:
        records: the runs; those of one condition are the seeds of one arm. Imported models are left out.
        baseline: the arm that others are compared with, by name or condition; `cross_entropy` where it is one, else
            the first.
        margin: the difference in nats/token that would matter.
        requested: arm -> seeds that were asked for, so that missing ones are said.
        ledger: gives the looks that there were, from the condition of the baseline and the name of the score; without
            one, looks are not counted and this is taken for the only one.
        planned: how many looks are declared to come, this one included; 0 where none are.
        labels: condition -> the name of its arm, where it is not to be its formula.
        tuned: condition -> what tuning tried for it and chose, as a document has it.

    Raises:
        ValueError: without any run, or with a baseline that is not an arm.
    """
    runs, repeated = _distinct(records)
    names = folders.labels(runs) | dict(labels or {})
    arms: dict[str, list[Record]] = {}
    for run in runs:
        arms.setdefault(names[run.condition], []).append(run)
    by_condition = {named[0].condition: name for name, named in arms.items()}
    first = folders.baseline(arms, by_condition.get(baseline, baseline) or _cross_entropy(arms))
    measure, in_bits = (folders.score_name(runs, score) for score in ("nll", "bits_per_byte"))
    same_tokens, same_text = comparable(arms)
    conditions = {name: named[0].condition for name, named in arms.items()}
    looks = None if ledger is None else _named(ledger(conditions[first], measure), conditions)
    nll = _paired(arms, first, measure, margin, "nats/token", looks, planned) if same_tokens else None
    bits_margin = margin * _bits_in_a_nat(runs, measure, in_bits)
    bits = _paired(arms, first, in_bits, bits_margin, "bits/byte") if same_text else None
    by_nll, by_bits = ({arm.name: arm for arm in found.arms} if found else {} for found in (nll, bits))
    settings, own = differing(arms)
    found = [
        Arm(name, tuple(sorted(arms[name], key=lambda run: run.seed)), own[name], by_nll.get(name), by_bits.get(name))
        for name in dict.fromkeys([*by_nll, *arms])
    ]
    verdict = nll.verdict if nll else _no_verdict(arms, first, same_tokens)
    tuned = {by_condition[condition]: told for condition, told in (tuned or {}).items() if condition in by_condition}
    warnings = (*repeated, *caveats(arms, found, requested or {}, tuned))
    return Comparison(tuple(runs), tuple(found), first, verdict, nll, bits, measure, margin, warnings, settings,
                      tuned=tuned, looks=_told([*(looks or ()), *([nll.new_look] if nll and nll.new_look else [])]))


def _told(looks: Sequence[Look]) -> dict[str, list[dict]]:
    """What each look said of each arm, as a document has it."""
    found: dict[str, list[dict]] = {}
    for number, look in enumerate(looks, 1):
        for name, judged in look.arms.items():
            told = {"look": number, "level": look.level, "seeds": list(judged.seeds), "p_holm": judged.p_holm,
                    "low": judged.low, "high": judged.high, "shown": judged.shown, "equivalent_within": judged.within}
            found.setdefault(name, []).append(told)
    return found


def _named(looks: Sequence[Look], conditions: Mapping[str, str]) -> list[Look]:
    """The looks with the names that arms have here in the place of conditions; others keep their condition."""
    names = {condition: name for name, condition in conditions.items()}
    return [replace(look, arms={names.get(key, key): judged for key, judged in look.arms.items()}) for look in looks]


def _cross_entropy(arms: Mapping[str, Sequence[Record]]) -> str | None:
    """The first arm of plain cross-entropy, whatever settings its name tells."""
    return next((name for name, runs in arms.items() if runs[0].loss == "cross_entropy"), None)


def _distinct(records: Iterable[Record]) -> tuple[list[Record], list[str]]:
    """One run a condition and seed, as it counts: the last that finished, or the last."""
    kept: dict[tuple[str, int], Record] = {}
    warnings = []
    for run in records:
        if run.status == "imported":
            warnings.append(f"{run.path} is an imported model, not a run of a loss; it is left out")
            continue
        key = (run.condition, run.seed)
        if key in kept and kept[key].path.resolve() != run.path.resolve():
            worse, better = sorted((kept[key], run), key=lambda r: r.status in ("finished", "diverged"))
            warnings.append(f"seed {run.seed} of {run.loss} was given twice; {worse.path} is left out")
            run = better
        kept[key] = run
    if not kept:
        raise ValueError("there is no run to report on; give run folders, or a store that holds some")
    return [_judged(run) for run in kept.values()], warnings


def _judged(run: Record) -> Record:
    """The run as it counts: one that finished without a finite nll, under whatever stride, has lost its seed."""
    lost = measured.lost(run, folders.score_name([run], "nll")) if run.status == "finished" else None
    return replace(run, status=lost[0], result={**run.result, "error": lost[1]}) if lost else run


def _paired(
    arms: Mapping[str, Sequence[Record]], first: str, score: str, margin: float, unit: str,
    looks: Sequence[Look] | None = None, planned: int = 0,
) -> PairedComparison | None:
    """The statistics of the arms that have an outcome on a seed of the baseline; None where there is no other."""
    outcomes = {name: {run.seed: measured.score(run, score) if run.status == "finished" else None
                       for run in runs if run.status in ENDED} for name, runs in arms.items()}
    failed = {name: [run.seed for run in runs if run.status == "failed"] for name, runs in arms.items()}
    paired = {name: seeds for name, seeds in outcomes.items() if seeds.keys() & outcomes[first].keys()}
    if len(paired) < 2:
        return None
    return compare_values(paired, first, margin=margin, alpha=ALPHA, unit=unit, failed=failed, looks=looks,
                          planned=planned)


def _no_verdict(arms: Mapping[str, Sequence[Record]], first: str, same_tokens: bool) -> str:
    if len(arms) == 1:
        return f"no verdict: {first} is the only arm"
    if not same_tokens:
        return "no verdict: these arms were not measured on the same tokens"
    return f"no verdict: no other arm shares a finished seed with the baseline {first}"


def _bits_in_a_nat(runs: Sequence[Record], measure: str, in_bits: str) -> float:
    """Bits per byte of a nat per token on this text, so that one margin serves both."""
    for run in runs:
        nll, bits = (measured.score(run, score) for score in (measure, in_bits))
        if run.status == "finished" and nll and bits:
            return bits / nll
    return 1 / math.log(2)


def _few(values: list):
    if len(values) <= MOST_VALUES + 1:
        return values[0] if len(values) == 1 else values
    return [*values[:MOST_VALUES], f"and {len(values) - MOST_VALUES:,} others"]
