"""Task scores side by side: runs as arms and seeds, and the differences, paired over seeds or over items."""

import dataclasses
import math
from collections.abc import Callable, Sequence

from losslab import records
from losslab.config import Errors
from losslab.evaluate import stored
from losslab.evaluate.paired import ALPHA, NATS, core_difference, difference
from losslab.evaluate.tasks import Settings
from losslab.records import Record
from losslab.stats import Score, holm, mean_score
from losslab.stats import compare as compare_seeds

# of a task's scores those that are questions; the other normalizers and perplexities are on the pages of single runs;
# the last two are names of lm-evaluation-harness
QUESTIONS = ("nll", "nll_per_word", "bits_per_byte", "accuracy", "accuracy_sum", "accuracy_per_character", "core_v1",
             "core_v2", "short_seven", "pages_bits_per_byte", "stream_bits_per_byte",
             "acc", "acc_norm")  # fmt: skip
MARGINS = {"nats/token": 0.002, "nats/word": 0.01, "bits/byte": 0.001}  # what would matter; of accuracies 0.01


def evaluate(
    found: Sequence[Record], names: Sequence[str], settings: Callable[[Record], Settings], *,
    baseline: str | None = None, device: str = "cpu", tell: Callable[[str], None] = lambda line: None,
) -> dict:
    """Run tasks of several runs, and compare their conditions.

    Where two conditions have two seeds in common, differences are paired over seeds (`stats.compare`, Holm over arms);
    otherwise each condition has one run, and they are paired over items. Perplexities are never averaged: their
    logarithms are.

    Args:
        found: runs; one that is not finished counts as a seed without a value.
        names: of tasks.
        settings: of each run; the same but for its corpus.
        baseline: the arm that others are compared with; `cross_entropy` where it is one, else the first.

    Returns:
        JSON-able: `arms` (name, runs, seeds), `baseline`, `paired_over`, `scores` (task, score, unit, values by arm,
        differences by arm), `failures`, `notes`, `is_evidence`.

    Raises:
        ValueError: for two runs of one condition and seed, an unknown baseline, or weights that are not the record's.
    """
    arms = _arms(found)
    first = records.baseline(arms, baseline)
    runs, failures = {}, []
    for members in arms.values():
        for record in members.values():
            if record.status in ("finished", "imported"):
                runs[record.path] = _run(record, names, settings(record), device, failures, tell)
            elif record.status != "diverged":
                failures.append({"run": str(record.path), "task": "every task",
                                 "error": f"its training is {record.status}, and only finished runs are compared"})
    over = "seeds" if _share_seeds(arms, first) else "items"
    scores = [one for name in names for one in _scores(name, arms, runs, first, over)]
    results = [task["result"] for tasks in runs.values() for task in tasks.values()]
    return {
        "arms": [_about(name, members, runs) for name, members in arms.items()], "baseline": first,
        "paired_over": over, "scores": scores, "failures": failures, "notes": _notes(names, scores, over, arms),
        "is_evidence": bool(results) and not failures and all(result["is_evidence"] for result in results),
    }


def _arms(found: Sequence[Record]) -> dict[str, dict[int, Record]]:
    """Arm -> seed -> run."""
    labels, arms = records.labels(found), {}
    for record in found:
        members = arms.setdefault(labels[record.condition], {})
        if record.seed in members:
            raise ValueError(f"{members[record.seed].path} and {record.path} are the same condition and seed; give one")
        members[record.seed] = record
    return arms


def _share_seeds(arms: dict, baseline: str) -> bool:
    return any(len(members.keys() & arms[baseline].keys()) > 1 for name, members in arms.items() if name != baseline)


def _run(record: Record, names, settings: Settings, device: str, failures: list, tell) -> dict[str, dict]:
    """Task -> what one run scored; what cannot be run is named, and the others are run."""
    found = {}
    stored.find(record, tell)  # weights of another run stop everything
    for name in names:
        try:
            found[name] = stored.run(name, record, settings, device=device)
            tell(f"{record.path}: {name}" + (" (measured before)" if found[name]["is_stored"] else ""))
        except (*Errors, ModuleNotFoundError) as error:
            tell(f"error: {record.path}: {name}: {error}")
            failures.append({"run": str(record.path), "task": name, "error": str(error)})
    return found


def _about(name: str, members: dict[int, Record], runs: dict) -> dict:
    rows = []
    for seed, record in members.items():
        tasks = list(runs.get(record.path, {}).values())
        rows.append({
            "run": str(record.path), "seed": seed, "status": record.status,
            "weights": tasks[0]["weights"] if tasks else None, **(tasks[0]["about"] if tasks else {}),
            "stored": [task["result"]["name"] for task in tasks if task["is_stored"]],
        })
    return {"name": name, "runs": rows}


def _scores(task: str, arms: dict, runs: dict, baseline: str, over: str) -> list[dict]:
    """One entry a score of a task: values of all arms, and differences from the baseline."""
    measured = {
        arm: {seed: _with_logarithms(runs[record.path][task]) if task in runs.get(record.path, {}) else None
              for seed, record in members.items()}
        for arm, members in arms.items()
    }
    names = {name: score["unit"] for seeds in measured.values() for one in seeds.values() if one is not None
             for name, score in one["scores"].items() if _base(name) in QUESTIONS}
    found = []
    for name, unit in names.items():
        values = {arm: {seed: one and one["scores"].get(name) for seed, one in seeds.items()}
                  for arm, seeds in measured.items()}
        of_rows = {arm: next(iter(seeds.values())) for arm, seeds in measured.items()}
        entry = {"task": task, "score": name, "unit": unit, "higher_is_better": unit not in NATS.values(),
                 "values": {arm: _mean(seeds, unit) for arm, seeds in values.items()}}
        found.append(entry | (_over_seeds(values, measured, name, entry, baseline, arms) if over == "seeds"
                              else _over_items(of_rows, name, entry, baseline)))
    return found


def _base(name: str) -> str:
    return name.partition("_prefix_")[0].partition("_stride_")[0]


def _with_logarithms(task: dict) -> dict:
    """Scores and outcomes of a run's task; a perplexity per word becomes its nats, which can be averaged."""
    scores = dict(task["result"]["scores"])
    for name in [name for name in scores if name.startswith("perplexity") and task["result"]["name"] == "lambada"]:
        old = scores.pop(name)
        if old["value"] > 0 and math.isfinite(old["value"]):
            stderr = None if old["stderr"] is None else old["stderr"] / old["value"]
            new = f"nll_per_word{name.removeprefix('perplexity')}"
            scores[new] = Score(math.log(old["value"]), stderr, old["n"], "nats/word").to_dict()
    return {"scores": scores, "outcomes": task["outcomes"]}


def _mean(seeds: dict, unit: str) -> dict | None:
    """The score of an arm's one run, or the mean over its seeds; None where a seed has none."""
    # a mean of the other seeds would be biased
    found = list(seeds.values())
    if any(score is None for score in found):
        return None
    return found[0] if len(found) == 1 else mean_score([score["value"] for score in found], unit).to_dict()


# --- differences -------------------------------------------------------------------------------

def _over_seeds(values: dict, measured: dict, name: str, entry: dict, baseline: str, arms: dict) -> dict:
    outcome = {arm: {seed: score["value"] if score and math.isfinite(score["value"]) else None
                     for seed, score in seeds.items()} for arm, seeds in values.items()}
    other = _on_other_items(measured, name, baseline)
    kept = {arm: seeds for arm, seeds in outcome.items()
            if arm == baseline or (arm not in other and seeds.keys() & outcome[baseline].keys())}
    why = {arm: "they were measured on other items" if arm in other else "they have no seed in common"
           for arm in outcome if arm not in kept}
    found = {arm: {"outcome": "not paired", "verdict": f"not compared: {arm} and {baseline}: {reason}"}
             for arm, reason in why.items()}
    if len(kept) < 2:
        return {"differences": found, "note": ""}
    comparison = compare_seeds(kept, baseline, margin=MARGINS.get(entry["unit"], 0.01), alpha=ALPHA,
                               unit=entry["unit"], higher_is_better=entry["higher_is_better"],
                               failed={arm: [seed for seed, value in kept[arm].items() if value is None
                                             and values[arm][seed] is None and arms[arm][seed].status != "diverged"]
                                       for arm in kept})
    for arm in comparison.arms:
        if arm.name != baseline:
            numbers = dataclasses.asdict(arm.difference) if arm.difference else {}
            found[arm.name] = numbers | {"outcome": arm.outcome, "verdict": arm.verdict}
    return {"differences": found, "note": comparison.note}


def _on_other_items(measured: dict, name: str, baseline: str) -> set[str]:
    """Arms of which a run was measured on other items than those of the baseline."""
    ids = {arm: {tuple(one["outcomes"][name]["ids"]) for one in seeds.values() if one and name in one["outcomes"]}
           for arm, seeds in measured.items()}
    return {arm for arm, found in ids.items() if found and ids[baseline] and found | ids[baseline] != ids[baseline]}


def _over_items(measured: dict, name: str, entry: dict, baseline: str) -> dict:
    found = {}
    for arm, one in measured.items():
        if arm != baseline:
            found[arm] = _pair(one, measured[baseline], name)
    tested = [arm for arm in found if found[arm].get("p_value") is not None]
    for arm, p in zip(tested, holm([found[arm]["p_value"] for arm in tested]), strict=True):
        found[arm]["p_holm"] = p
    for arm, numbers in found.items():
        found[arm] = numbers | _judged(arm, baseline, numbers, entry, len(tested))
    return {"differences": found, "note": "paired t over items; it says nothing of other seeds"}


def _pair(candidate: dict | None, baseline: dict | None, name: str) -> dict:
    if candidate is None or baseline is None:
        return {"why": "one of them has no score"}
    if name in ("core_v1", "core_v2", "short_seven"):
        return core_difference(candidate["outcomes"], baseline["outcomes"], name)
    plain = name if name in candidate["outcomes"] else _base(name)
    rows = [one["outcomes"].get(plain) for one in (candidate, baseline)]
    return {"why": "its items are not kept"} if None in rows else difference(*rows)


def _judged(arm: str, baseline: str, d: dict, entry: dict, num_tests: int) -> dict:
    """The outcome as a word, and a sentence."""
    if "why" in d:
        return {"outcome": "not paired", "verdict": f"not compared: {arm} and {baseline}: {d['why']}"}
    if d["identical"]:
        return {"outcome": "identical", "verdict": f"{arm} and {baseline} are identical on each of {d['n']:,} items"}
    if d["p_value"] is None:
        return {"outcome": "no spread", "verdict": f"no verdict: {arm} - {baseline} = {d['value']:+.4g} without spread"}
    places = max(0, 1 - math.floor(math.log10((d["high"] - d["low"]) / 2)))
    low, high = f"{d['low']:+.{places}f}", f"{d['high']:+.{places}f}"
    how = f"p = {d['p_holm']:.2g}" + (f" by Holm over {num_tests} arms" if num_tests > 1 else "")
    said = f"{d['value']:+.{places}f} {entry['unit']} [{low}, {high}], {how}, {d['n']:,} items paired, one run per arm"
    if d["p_holm"] >= ALPHA:
        return {"outcome": "open", "verdict": f"no difference shown between {arm} and {baseline}: {said}"}
    outcome = "better" if (d["value"] > 0) == entry["higher_is_better"] else "worse"
    return {"outcome": outcome, "verdict": f"this run of {arm} is {outcome} than this run of {baseline}: {said}"}


def _notes(names: Sequence[str], scores: list[dict], over: str, arms: dict) -> list[str]:
    notes = []
    if len(arms) > 1 and len(scores) > 1:
        notes.append(f"{len(scores)} scores ({', '.join(names)}) are {len(scores)} questions: p is corrected over arms "
                     f"(Holm) and not over scores, so where nothing differs, {ALPHA * len(scores):.2g} of them would "
                     "look different on average")
    if len(arms) > 1:
        notes.append("differences are paired over seeds: n counts seeds" if over == "seeds" else
                     "differences are paired over items, of one run per arm: they say whether these models differ on "
                     "items of this kind, not whether two losses do; for that, give runs of several seeds of each")
    if any(one["unit"].startswith("nats") for one in scores):
        notes.append("perplexities are not averaged: their logarithm, nats, is")
    return notes
