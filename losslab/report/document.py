"""Run records -> one JSON-able document: everything that a page, a table or a program is told of a comparison."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from losslab import records as folders
from losslab.records import Record
from losslab.report import arms as told
from losslab.report import readings
from losslab.report.caveats import caveats, comparable, damaged_logs, differing
from losslab.report.corpora import corpus, several
from losslab.stats import Comparison, compare

FORMAT = 1
ALPHA = 0.05
MOST_DRAWN = 20  # arms in charts and in full; more are listed
MOST_VALUES = 3  # of a fact of the environment in which runs differ
ENDED = ("finished", "diverged", "failed")  # what counts as an outcome; a run that was stopped says nothing yet


def document(
    records: Iterable[Record], *, baseline: str | None = None, margin: float = 0.002, command: str | None = None,
    requested: Mapping[str, Sequence[int]] | None = None, looks: Sequence[Sequence[int]] | None = None,
) -> dict:
    """Group runs by condition, compare the conditions, and write down all that a reader should know.

    Args:
        records: the runs; those of one condition are the seeds of one arm.
        baseline: the arm that others are compared with; `cross_entropy` where it is one, else the first.
        margin: the difference in nats/token that would matter.
        command: what was typed, to be repeated.
        requested: arm -> seeds that were asked for, so that missing ones are said.
        looks: the seeds of each earlier look at these arms; a verdict from more seeds says that they were added.

    Returns:
        Plain dictionaries, lists, strings, finite numbers and None. `arms` are ordered best first: at most 20 of
        them, the baseline always among them, in full; `others` are the rest, with scores and verdicts alone. The
        statistics are those of all.

    Raises:
        ValueError: without any run, or with a baseline that is not an arm.
    """
    runs, repeated = _distinct(records)
    names = folders.labels(runs)
    arms: dict[str, list[Record]] = {}
    for run in runs:
        arms.setdefault(names[run.condition], []).append(run)
    first = folders.baseline(arms, baseline or _cross_entropy(arms))
    measure = {score: readings.score_name(runs, score) for score in ("nll", "bits_per_byte")}
    same_tokens, same_text = comparable(arms)
    looks = looks or ()
    by_nll = _compare(arms, first, measure["nll"], margin, "nats/token", looks) if same_tokens else None
    bits_margin = margin * _bits_in_a_nat(runs, measure)
    by_bits = _compare(arms, first, measure["bits_per_byte"], bits_margin, "bits/byte", looks) if same_text else None
    shared, differences = differing(arms)
    nll_of, bits_of = ({arm.name: arm for arm in found.arms} if found else {} for found in (by_nll, by_bits))
    order = list(dict.fromkeys([*nll_of, *arms]))
    drawn = dict.fromkeys(_drawn(order, first))
    described = [told.described(name, arms, first, nll_of.get(name), bits_of.get(name), differences[name])
                 for name in drawn]
    others = [told.brief(name, arms[name], False, nll_of.get(name)) for name in order if name not in drawn]
    same = arms[first]  # facts of the model and the text are those of the baseline's runs
    whole = {
        "format": FORMAT,
        "baseline": first,
        "corpus": corpus(same),
        "corpora": several(runs),
        "verdict": by_nll.verdict if by_nll else _no_verdict(arms, first, same_tokens),
        "note": by_nll.note if by_nll else None,
        "measure": measure["nll"],
        "margin": margin,
        "alpha": by_nll.alpha if by_nll else ALPHA,
        "noise_band": by_nll.noise_band if by_nll else None,
        "looks": list(by_nll.looks) if by_nll else [],
        "warnings": [*repeated, *caveats(arms, [*described, *others], first, requested, by_nll),
                     *damaged_logs({name: arms[name] for name in drawn})],
        "arms": described,
        "others": others,
        "settings": shared,
        "model": next((run.result["model"] for run in same if run.result.get("model")), {}),
        "num_params": sorted({readings.num_params(run) for run in runs} - {None}),
        "counts": next((counts for counts in map(readings.counts, same) if counts), {}),
        "environment": _environment(runs),
        "losses": _sources(runs),
        "command": command,
        "version": runs[0].spec.get("version"),
    }
    return _finite(whole)


def _cross_entropy(arms: Mapping[str, Sequence[Record]]) -> str | None:
    """The first arm of plain cross-entropy, whatever settings its name tells."""
    return next((name for name, runs in arms.items() if runs[0].loss == "cross_entropy"), None)


def _drawn(order: Sequence[str], first: str) -> list[str]:
    """The names that are drawn, best first: the baseline always."""
    best = [name for name in order if name != first][: MOST_DRAWN - 1]
    kept = {*best, first}
    return [name for name in order if name in kept]


def _distinct(records: Iterable[Record]) -> tuple[list[Record], list[str]]:
    """One run a condition and seed: the last that finished, or the last."""
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
    lost = readings.lost(run, readings.score_name([run], "nll")) if run.status == "finished" else None
    return replace(run, status=lost[0], result={**run.result, "error": lost[1]}) if lost else run


def _compare(
    arms: Mapping[str, Sequence[Record]], first: str, score: str, margin: float, unit: str,
    looks: Sequence[Sequence[int]],
) -> Comparison | None:
    """The comparison of the arms that have an outcome on a seed of the baseline; None where there is no other."""
    outcomes = {name: {run.seed: readings.reading(run, score) if run.status == "finished" else None
                       for run in runs if run.status in ENDED} for name, runs in arms.items()}
    failed = {name: [run.seed for run in runs if run.status == "failed"] for name, runs in arms.items()}
    paired = {name: seeds for name, seeds in outcomes.items() if seeds.keys() & outcomes[first].keys()}
    if len(paired) < 2:
        return None
    return compare(paired, first, margin=margin, alpha=ALPHA, unit=unit, failed=failed, looks=looks)


def _no_verdict(arms: Mapping[str, Sequence[Record]], first: str, same_tokens: bool) -> str:
    if len(arms) == 1:
        return f"no verdict: {first} is the only arm"
    if not same_tokens:
        return "no verdict: these arms were not measured on the same tokens"
    return f"no verdict: no other arm shares a finished seed with the baseline {first}"


def _bits_in_a_nat(runs: Sequence[Record], measure: Mapping[str, str]) -> float:
    """Bits per byte of a nat per token on this text, so that one margin serves both."""
    for run in runs:
        if run.status != "finished":
            continue
        nll, bits = (readings.reading(run, measure[score]) for score in ("nll", "bits_per_byte"))
        if nll and bits:
            return bits / nll
    return 1 / math.log(2)


def _environment(runs: Sequence[Record]) -> dict:
    """Every key with its value, or with a list of values where runs differ, cut short where there are many."""
    found: dict[str, dict] = {}
    for run in runs:
        for key, value in run.environment.items():
            found.setdefault(str(key), {})[str(value)] = value
    created = sorted(found.pop("created", {}))  # each run has its own
    told = {key: _few(list(values.values())) for key, values in found.items()}
    return told | ({"created": " to ".join(dict.fromkeys((created[0], created[-1])))} if created else {})


def _few(values: list):
    if len(values) <= MOST_VALUES + 1:
        return values[0] if len(values) == 1 else values
    return [*values[:MOST_VALUES], f"and {len(values) - MOST_VALUES:,} others"]


def _sources(runs: Sequence[Record]) -> list[dict]:
    return list({loss["sha256"]: loss for run in runs for loss in run.spec.get("losses", [])}.values())


def _finite(value):
    """`value` with None for what JSON has no word for: infinities and not-a-number."""
    if isinstance(value, Mapping):
        return {_finite(str(key)): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):  # half a character of a file's name cannot be written as UTF-8
        return value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, bool | int | float):
        return value
    return _finite(value.item()) if hasattr(value, "item") else _finite(str(value))
