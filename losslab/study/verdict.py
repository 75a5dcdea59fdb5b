"""The verdict of a study: how it is told, the page and the file that hold it, and the same again from what is kept.

What a page needs besides runs is which condition is which arm, what tuning found for it and what its updates cost. A
study with its own folder keeps that in `arms.json`, from before the first run on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from losslab import comparison, records
from losslab.comparison import Comparison
from losslab.study import folder as folders
from losslab.study import match
from losslab.study.definition import Study
from losslab.untrusted import is_number

ARMS = "arms.json"
FORMAT = 1
PAGE = "report.html"
NUMBERS = ("train.learning_rate", "train.num_tokens")  # settings of trials that are drawn, or compared


def keep(
    folder: str | Path, conditions: Mapping[str, str], *, tuned: Mapping[str, dict], costs: Mapping[str, float],
    equal: Mapping[str, str], command: str | None,
) -> None:
    """Write what `again` needs.

    Args:
        folder: of the study.
        conditions: name of an arm -> the condition of its runs, as they are compared.
        tuned: name -> what tuning tried for it and chose; empty without tuning.
        costs: name -> cost of an update, where arms are matched by it; else empty.
        equal: name -> the condition of its runs at equal tokens, where arms are matched by something else.
        command: what was typed.
    """
    arms = [{"name": name, "condition": condition, "tuned": tuned.get(name, {}), "cost": costs.get(name),
             "equal": equal.get(name)} for name, condition in conditions.items()]
    records.files.write_sealed(Path(folder) / ARMS, {"format": FORMAT, "command": command, "arms": arms})


def told(study: Study, found: Comparison) -> Comparison:
    """The comparison with the study's name and question, and a verdict that says what it holds for."""
    verdict = found.verdict
    if study.tune and found.nll:
        sentence, bracket, tally = verdict.partition(" (of ")  # the tally of several candidates stays at the end
        verdict = f"{sentence}; at the settings chosen by {study.tune['trials']} trials each{bracket}{tally}"
    return replace(found, name=study.name, question=study.question, verdict=verdict, published=study.published)


def write(
    found: Comparison, folder: str | Path, *, page: str | Path | None = None, command: str | None = None,
    shown: Callable[[dict], None] = lambda document: None,
) -> dict:
    """Write the page of a comparison, and `verdict.json` next to the runs of a study with a name.

    Args:
        found: what `told` gives.
        folder: of the study.
        page: where the HTML page goes; `report.html` in the folder unless given.
        command: what was typed, to be repeated.
        shown: is given the document before anything is written, so that a full disk does not lose it.

    Returns:
        the document, with the place of the page as `report`.

    Raises:
        ValueError: for a place that cannot be written.
    """
    from losslab import report

    page = report.page_at(page or Path(folder) / PAGE)
    document = report.document(found, command=command)
    whole = document | {"report": str(page)}
    shown(whole)
    if found.name:
        records.write_json(Path(folder) / folders.VERDICT, whole)
    report.write(document, page)
    return whole


def again(
    folder: str | Path, *, baseline: str | None = None, margin: float | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[Comparison, str | None]:
    """What the runs of a study say that are there, as `conduct` said it; nothing is trained.

    Args:
        folder: of the study.
        baseline: another arm than the study's; its looks are counted apart.
        margin: another difference in nats/token than the study's.
        tell: takes what is worth keeping, one line each.

    Returns:
        the comparison, and the command that ran the study.

    Raises:
        ValueError: for a damaged file, or where nothing has run.
    """
    study, runs = folders.kept(folder), records.find([folder])
    margin = study.margin if margin is None else margin
    try:
        kept = records.files.read_sealed(Path(folder) / ARMS, FORMAT, always=True)
        arms, command = list(map(_checked, kept["arms"])), kept["command"]
        if not isinstance(command, str | None):
            raise TypeError
    except FileNotFoundError:
        tell(f"{folder} does not say which runs are which arm of its study, so its labels and its tuning are left out; "
             f"`losslab compare {folder}/{folders.NAME} --store {folder}` adds them")
        found = comparison.judged(runs, folder, baseline=baseline, margin=margin, tell=tell)
        return replace(found, name=study.name, question=study.question), None
    except (LookupError, TypeError, AttributeError, OverflowError):
        raise ValueError(f"{Path(folder) / ARMS} does not hold the arms of a study; take it away, and `losslab compare "
                         f"{folder}/{folders.NAME} --store {folder}` writes it again") from None
    baseline = baseline or study.reference
    labels = {arm["condition"]: arm["name"] for arm in arms}
    terms = {"baseline": next((c for c, name in labels.items() if name == baseline), baseline), "margin": margin,
             "tuned": {arm["condition"]: arm["tuned"] for arm in arms if arm["tuned"]}}
    seeds = study.seeds[: study.race[-1]] if study.race else study.seeds
    looks = len(study.race) or int(study.final)
    found = comparison.judged(_of(runs, list(labels), seeds), folder, labels=labels, planned=looks, tell=tell, **terms)
    if all(arm["equal"] and arm["cost"] for arm in arms) and study.match != "tokens":
        labels = {arm["equal"]: arm["name"] for arm in arms}
        terms["baseline"] = next((c for c, name in labels.items() if name == baseline), baseline)
        terms["tuned"] = {arm["equal"]: arm["tuned"] for arm in arms if arm["tuned"]}
        plain = comparison.compare(_of(runs, list(labels), seeds), labels=labels, **terms)
        costs = {arm["name"]: arm["cost"] for arm in arms}
        found = replace(found, matching=match.told(study.match, costs, plain, found))
    return told(study, found), command


def _of(runs: Sequence, conditions: Sequence[str], seeds: Sequence[int]) -> list:
    """The runs of these conditions and seeds, in the order in which a study has them."""
    kept = [run for run in runs if run.condition in conditions and run.seed in seeds]
    return sorted(kept, key=lambda run: (seeds.index(run.seed), conditions.index(run.condition)))


def _checked(arm: Mapping) -> dict:
    """An arm of `arms.json`, which may come from somebody else; an error of Python's for what no arm is."""
    found = {"name": str(arm["name"]), "condition": str(arm["condition"]), "tuned": _table(arm["tuned"]),
             "cost": arm["cost"], "equal": arm["equal"]}
    is_cost = found["cost"] is None or is_number(found["cost"]) and found["cost"] > 0
    if not (is_cost and isinstance(found["equal"], str | None)) or found["tuned"] and not _is_tuned(found["tuned"]):
        raise TypeError
    return found


def _is_tuned(found: Mapping) -> bool:
    """Whether it is what `tune.Tuned.to_dict` gives, as far as pages rely on it."""
    told = found["tuning"]
    return (_is_settings(found["tuned"]) and all(map(_is_trial, found["trials"])) and isinstance(told["method"], str)
            and isinstance(told["edge"], bool) and (told["chosen_again"] is None or is_number(told["chosen_again"]))
            and all(isinstance(each, str | None) or is_number(each) for each in _table(told["sensitivity"]).values())
            and all(map(is_number, _table(told["importance"]).values())))


def _is_trial(trial: Mapping) -> bool:
    return (_is_settings(trial["settings"]) and trial["status"] in ("finished", "diverged", "failed")
            and (trial["tune_nll"] is None or is_number(trial["tune_nll"])))


def _is_settings(found: Mapping) -> bool:
    """Numbers, texts, switches, lists of numbers; rates and horizons are numbers."""
    return all(is_number(value) or key not in NUMBERS and (
        isinstance(value, str | bool) or isinstance(value, list) and all(map(is_number, value)))
        for key, value in _table(found).items())


def _table(found: object) -> dict:
    if not isinstance(found, dict):
        raise TypeError
    return found
