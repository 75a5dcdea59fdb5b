"""CORE: the 22 tasks of DCLM with nanochat's prompts, above a random guesser's score, under both sets of baselines.

Li et al., DataComp-LM, arXiv 2406.11794, and karpathy/nanochat, nanochat/core_eval.py.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from losslab.evaluate import bundle
from losslab.evaluate.bundle import BundleTask
from losslab.evaluate.choices import language_modeling, multiple_choice
from losslab.evaluate.prompts import chosen, question
from losslab.evaluate.task import Settings, TaskResult
from losslab.stats import Score, transform_score


@dataclass(frozen=True)
class Standard:
    """What CORE says of a task."""

    num_rows: int
    num_fewshot: int
    v1: float  # a random guesser's score in percent
    v2: float  # as corrected by DCLM in September 2025


STANDARD = {
    "hellaswag_zeroshot": Standard(10042, 0, 25, 25),
    "jeopardy": Standard(2117, 10, 0, 0),
    "bigbench_qa_wikidata": Standard(20321, 10, 0, 0),
    "arc_easy": Standard(2376, 10, 25, 25),
    "arc_challenge": Standard(1172, 10, 25, 25),
    "copa": Standard(100, 0, 50, 50),
    "commonsense_qa": Standard(1221, 10, 20, 40.3),
    "piqa": Standard(1838, 10, 50, 50),
    "openbook_qa": Standard(500, 0, 25, 25),
    "lambada_openai": Standard(5153, 0, 0, 0),
    "hellaswag": Standard(10042, 10, 25, 25),
    "winograd": Standard(273, 0, 50, 50),
    "winogrande": Standard(1267, 0, 50, 50),
    "bigbench_dyck_languages": Standard(1000, 10, 0, 0),
    "agi_eval_lsat_ar": Standard(230, 3, 20, 25),
    "bigbench_cs_algorithms": Standard(1320, 10, 0, 0),
    "bigbench_operators": Standard(210, 10, 0, 0),
    "bigbench_repeat_copy_logic": Standard(32, 10, 0, 0),
    "squad": Standard(10570, 10, 0, 0),
    "coqa": Standard(7983, 0, 0, 0),
    "boolq": Standard(3270, 10, 62, 62),
    "bigbench_language_identification": Standard(10000, 10, 9.1, 25),
}
VERSIONS = ("v1", "v2")
BEGINNING = "every prompt begins with the end mark, as nanochat has it; the setting prefix is not of CORE"
# those whose prompts fit a context of 256 GPT-2 tokens; their baselines are the same in both versions
SHORT = ("hellaswag_zeroshot", "bigbench_qa_wikidata", "copa", "openbook_qa", "lambada_openai", "winograd",
         "winogrande")  # fmt: skip


def run(model, tokenizer, settings: Settings, labels: Sequence[str] = tuple(STANDARD)) -> TaskResult:
    """CORE of a model, each of its tasks, and the mean of the seven short ones.

    Args:
        model: as for `requests.answers`.
        tokenizer: the model's own; its end mark begins every prompt.
        settings: `benchmarks` holds the bundle, or None; a `limit` makes the result no evidence.
        labels: the tasks to run; CORE is given for all 22 alone.

    Returns:
        scores `core_v1`, `core_v2` (with n = tasks and the error of drawing other items) and `short_seven`, the mean
        of the centered scores of the seven tasks that fit small contexts, which is not CORE; `parts`, each with
        `accuracy`, `centered_v1`, `centered_v2` and `share_cut`. Where a file of the bundle is missing or damaged, a
        note names it, the rest is scored, and there is no CORE.

    Raises:
        ValueError: for a folder without a bundle.
        ConnectionError: the bundle is to be downloaded and cannot be.
    """
    folder = bundle.find(settings.benchmarks, settings.progress)
    found = {task.label: task for task in bundle.tasks(folder) if task.label in labels}
    problems, parts = _problems(folder, found, labels), []
    for number, task in enumerate(found.values(), start=1):
        try:
            rows = bundle.rows(folder, task)
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        if len(rows) != (wanted := STANDARD[task.label].num_rows):
            problems.append(f"{task.dataset_uri} has {len(rows)} items where CORE has {wanted}")
        count = min(len(rows), settings.limit or len(rows))
        settings.progress(f"task {number} of {len(found)}: {task.label}, {count} items", 0, 0)
        parts.append(score_task(model, tokenizer, task, rows, settings))
    return _together(parts, found, labels, problems, settings)


def run_short(model, tokenizer, settings: Settings) -> TaskResult:
    """The seven tasks of CORE that fit small contexts. Their mean is not CORE."""
    return dataclasses.replace(run(model, tokenizer, settings, SHORT), name="short_seven")


def score_task(model, tokenizer, task: BundleTask, rows: Sequence[dict], settings: Settings) -> TaskResult:
    """One of the 22, with its accuracy centered by both baselines."""
    items = chosen(rows, settings.limit)
    asked = [question(tokenizer, model.config.num_positions, items, index, task) for index in range(len(items))]
    match task.icl_task_type:
        case "multiple_choice":
            result = multiple_choice(task.label, model, asked, settings)
        case "schema":  # all options are scored on one text, so every normalizer says the same
            result = multiple_choice(task.label, model, asked, settings, normalizers=("per_own_token",))
        case "language_modeling":
            result = language_modeling(task.label, model, asked, settings)
    if task.num_fewshot >= len(items):
        result.notes.append(f"{task.label}: {len(items) - 1} shots, since {len(items)} items have no more to draw")
    accuracy = result.scores.pop("accuracy_per_own_token", None) or result.scores.get("accuracy")
    if accuracy is None:
        return result
    standard = STANDARD[task.label]
    ours = {f"centered_{version}": centered(accuracy, getattr(standard, version)) for version in VERSIONS}
    return dataclasses.replace(result, scores={"accuracy": accuracy} | ours | result.scores)


# --- from accuracies to CORE -------------------------------------------------------------------

def centered(accuracy: Score, baseline: float) -> Score:
    r"""An accuracy on a scale where a random guesser has 0 and a perfect model 1.

    $$c = \frac{a - b/100}{1 - b/100}.$$

    Args:
        accuracy: a share of items.
        baseline: b, a random guesser's score in percent.

    Example:
        >>> centered(Score(0.625, 0.03, 100), 50).value
        0.25
    """
    rest = 1 - baseline / 100
    return transform_score(accuracy, lambda a: (a - baseline / 100) / rest, lambda a: 1 / rest, "centered accuracy")


def core(accuracies: Mapping[str, Score], version: str, *, covariance: float = 0.0) -> Score:
    r"""The plain mean of the 22 centered accuracies, with the error of drawing other items.

    $$\text{CORE} = \frac1{22} \sum_t c_t, \qquad
      \operatorname{se}^2 = \frac1{22^2} \Bigl(\sum_t \operatorname{se}^2(c_t) + 2 \operatorname{cov}\Bigr).$$

    Args:
        accuracies: label -> share of items, for all 22.
        version: `v1` (the baselines of 2024, which nanochat keeps) or `v2` (those that DCLM corrected in 2025).
        covariance: of centered accuracies over the same items, such as the two of HellaSwag.

    Raises:
        ValueError: a task is missing.

    Example:
        >>> guesses = {label: Score(task.v1 / 100, 0.01, 1000) for label, task in STANDARD.items()}
        >>> core(guesses, "v1").value
        0.0
    """
    if missing := STANDARD.keys() - accuracies.keys():
        raise ValueError(f"CORE is the mean of 22 tasks, and {', '.join(sorted(missing))} has no score")
    scores = [centered(accuracies[label], getattr(STANDARD[label], version)) for label in STANDARD]
    return _mean(scores, covariance)


def _mean(scores: Sequence[Score], covariance: float = 0.0) -> Score:
    value = math.fsum(score.value for score in scores) / len(scores)
    if any(score.stderr is None for score in scores):
        return Score(value, None, len(scores), "mean centered accuracy")
    variance = math.fsum(score.stderr**2 for score in scores) + 2 * covariance
    return Score(value, math.sqrt(max(variance, 0.0)) / len(scores), len(scores), "mean centered accuracy")


def _together(parts, found, labels, problems: list[str], settings: Settings) -> TaskResult:
    accuracies = {part.name: part.scores["accuracy"] for part in parts if "accuracy" in part.scores}
    scores, notes = {}, list(problems)
    if set(labels) == STANDARD.keys():
        missing = STANDARD.keys() - accuracies.keys()
        if problems or missing:
            notes.append("no CORE: " + (f"{', '.join(sorted(missing))} has no score" if missing
                                        else "the bundle is not the one that CORE is defined on"))
        else:
            for version in VERSIONS:
                scores[f"core_{version}"] = core(accuracies, version, covariance=_covariance(parts, found, version))
    if accuracies.keys() >= set(SHORT):
        scores["short_seven"] = _mean([centered(accuracies[label], STANDARD[label].v1) for label in SHORT])
    if settings.limit:
        notes.append(f"limited to {settings.limit} items of each task: not evidence")
    counts = {name: sum(part.counts[name] for part in parts) for name in ("items", "skipped", "cut")}
    if counts["skipped"]:
        where = [part.name for part in parts if part.counts["skipped"]]
        notes.append(f"{counts['skipped']} items of {', '.join(where)} could not be scored and are left out of every "
                     "mean: not evidence")
    notes += [*(note for part in parts for note in part.notes), BEGINNING]
    return TaskResult("core", scores, {"tasks": len(accuracies)} | counts, notes, parts,
                      is_evidence=not (settings.limit or problems or counts["skipped"]))


def _covariance(parts, found, version: str) -> float:
    """Of the centered accuracies of tasks that ask the same items, summed over their pairs."""
    total = 0.0
    for place, a in enumerate(parts):
        for b in parts[place + 1 :]:
            same = found[a.name].dataset_uri == found[b.name].dataset_uri
            if not same or a.counts["items"] != b.counts["items"] or a.counts["skipped"] or a.counts["items"] < 2:
                continue
            right = [[item["picked"]["per_own_token"] == item["gold"] for item in part.items] for part in (a, b)]
            rest = math.prod(1 - getattr(STANDARD[part.name], version) / 100 for part in (a, b))
            total += float(np.cov(right)[0, 1]) / a.counts["items"] / rest
    return total


def _problems(folder, found, labels) -> list[str]:
    """Sentences on what makes the bundle another than CORE's, its rows aside."""
    problems = [f"core.yaml has no task {label}" for label in labels if label not in found]
    problems += [
        f"core.yaml asks for {task.num_fewshot} shots of {task.label} where CORE has {STANDARD[task.label].num_fewshot}"
        for task in found.values() if task.num_fewshot != STANDARD[task.label].num_fewshot
    ]
    try:
        given = bundle.baselines(folder)
    except ValueError as error:
        return [*problems, str(error)]
    return problems + [
        f"eval_meta_data.csv gives {label} the baseline {given.get(label)} where CORE v1 has {STANDARD[label].v1:g}"
        for label in labels if given.get(label) != STANDARD[label].v1
    ]
