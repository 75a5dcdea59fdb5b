"""Conduct a study: tune its arms, train them with every seed, compare, and keep all of it in the study's folder."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from losslab.comparison import Comparison
from losslab.config import ExperimentConfig
from losslab.progress import Progress, silent
from losslab.running import Plan, Tell, Track, plan
from losslab.stats.looks import next_level
from losslab.stats.planning import detectable_difference
from losslab.study import match, verdict
from losslab.study.comparing import compare
from losslab.study.definition import Study
from losslab.study.folder import begin, continued

FAR = 5.0  # paired standard deviations: no loss that is worth asking about differs by so much from another one


def conduct(
    study: Study, folder: str | Path, *, workers: int = 1, threads: int = 1, trusted: Collection[str] | None = None,
    page: str | Path | None = None, command: str | None = None, shown: Callable[[dict], None] = lambda document: None,
    tell: Tell = lambda text: None, progress: Progress = silent, track: Track | None = None,
    executor: Executor | None = None,
) -> Comparison:
    """Run what a study asks and is not done yet, answer its question, and write the page (and `verdict.json`).

    Args:
        study: a study without a name may share its folder with others, and its file is not kept there.
        folder: the store of its runs.
        workers: runs at once, each in a process with `threads` threads.
        threads: CPU threads of each; 0 as the environment says.
        trusted: hashes of loss files that may run besides those in the user's list; None if it was the user who named
            the files.
        page: where the HTML page goes; `report.html` in the folder unless given.
        command: what was typed, which the page repeats.
        shown: is given the document of the verdict before it is written.
        tell: takes what is worth keeping, one line each.
        progress: is told how far all runs are.
        track: given an experiment and its folder, what takes the lines of its log; trials of tuning are not tracked.
        executor: of other machines, as for `running.execute`.

    Raises:
        ValueError: for a study that is not the one that was begun in this folder, or an arm that cannot be run, or a
            page that cannot be written.
        running.Stopped: after SIGTERM or Ctrl-C; called again, the study continues.
    """
    whole, planned, _ = prepared(study, folder, seeds=1, trusted=trusted, tell=tell, progress=progress)
    if study.name and (sentence := begin(folder, study)):
        tell(sentence)
    study, configs, tuned = whole, whole.configs, {}
    if study.tune:
        from losslab import tune

        tuned = tune.tune(configs, tune.Tuning.from_dict(study.tune), Path(folder), own=study.spaces, workers=workers,
                          threads=threads, trusted=trusted, planned=planned, tell=tell, progress=progress,
                          executor=executor)
        configs = {name: tuned[name].config for name in configs}
    told = {name: each.to_dict() for name, each in tuned.items()}
    found = verdict.told(study, _compared(study, folder, configs, told, command, {
        "workers": workers, "threads": threads, "trusted": trusted, "tell": tell, "progress": progress,
        "track": track, "executor": executor}))
    verdict.write(found, folder, page=page, command=command, shown=shown)
    return found


def prepared(
    study: Study, folder: str | Path, *, seeds: int | None = None, trusted: Collection[str] | None = None,
    tell: Tell = lambda text: None, progress: Progress = silent,
) -> tuple[Study, list, Plan]:
    """All that can be checked before anything is trained or written: what `conduct` and a dry run both begin with.

    Args:
        study: what is asked.
        folder: the store of its runs.
        seeds: of the runs that are planned, the first ones; all of them unless given.
        trusted, tell, progress: as for `conduct`.

    Returns:
        the study as it continues in the folder; how each arm will be searched, nothing where it is not tuned; and its
        runs, at the settings that the arms have before tuning.

    Raises:
        ValueError: for a study that is not the one that was begun in this folder; for an arm that cannot be run; for a
            space that cannot be searched, or a ladder of several studies.
    """
    if study.ladder:
        raise ValueError("this study has a [ladder] of sizes and budgets, each a study by itself; `losslab ladder "
                         "study.toml` runs it")
    if study.name:
        study = continued(folder, study)
    if warning := thin(study):
        tell(warning)
    configs, found = study.configs, []
    if study.tune and study.spaces:  # a parameter without a default has no value but those that are searched
        from losslab import tune

        found = _searches(study, trusted, progress)
        configs = {each.arm.name: tune.begins(each) for each in found}
    runs = plan(list(configs.values()), study.seeds[:seeds], folder, trusted=trusted, tell=tell, progress=progress)
    if study.tune and not found:
        found = _searches(study, trusted, progress)
    return study, found, runs


def _searches(study: Study, trusted: Collection[str] | None, progress: Progress) -> list:
    from losslab import tune

    return tune.searches(study.configs, tune.Tuning.from_dict(study.tune), own=study.spaces, trusted=trusted,
                         progress=progress)


def _compared(
    study: Study, folder: str | Path, arms: Mapping[str, ExperimentConfig], tuned: Mapping[str, dict],
    command: str | None, running: Mapping[str, object],
) -> Comparison:
    """Train the arms with every seed and compare them, at what they are matched by."""
    names, conditions, matched, costs = list(arms), {}, list(arms.values()), []
    if study.match != "tokens":
        costs = match.kept(folder, arms, study.match, lambda: match.update_costs(
            list(arms.values()), study.match, threads=running["threads"], trusted=running["trusted"],
            tell=running["tell"]), baseline=study.reference)
        matched = match.matched(matched, study.match, costs, baseline=names.index(study.reference))

    def keep(own: Sequence[str], equal: Sequence[str] = ()) -> None:
        conditions.update(zip(names, own, strict=True))
        if study.name:
            verdict.keep(folder, conditions, tuned=tuned, costs=dict(zip(names, costs, strict=False)),
                         equal=dict(zip(names, equal, strict=False)), command=command)

    options = {"baseline": study.reference, "margin": study.margin, "labels": names,
               "tuned": list(tuned.values()), **running}
    found = compare(matched, study.seeds, folder, race=study.race, final=study.final, planned_as=keep, **options)
    if study.match == "tokens":
        return found
    plain = compare(list(arms.values()), study.seeds, folder, is_look=False,  # is shown, and is no look
                    planned_as=lambda equal: keep(list(conditions.values()), equal), **options)
    return replace(found, matching=match.told(study.match, dict(zip(names, costs, strict=True)), plain, found))


def search(searches: list) -> list[dict]:
    """What will be searched for each arm, from what `prepared` says."""
    if not searches:
        return []
    from losslab import tune

    return tune.told(searches)


def tuning(study: Study) -> tuple[int, list[tuple[int, float]]]:
    """What tuning costs each arm: its trials, and round by round its runs and the share of the updates they have."""
    if not study.tune:
        return 0, []
    from losslab import tune

    asked = tune.Tuning.from_dict(study.tune)
    return asked.trials, tune.rounds(asked)


def thin(study: Study) -> str:
    """Said before anything is spent: that so few seeds settle so many arms only where differences are very large."""
    seeds = study.race[-1] if study.race else len(study.seeds)
    candidates = len(study.arms) - 1
    if candidates < 2 or seeds < 2:
        return ""
    level = next_level([], planned=len(study.race) or int(study.final)) / candidates
    effect = detectable_difference(1.0, seeds, level)
    if effect < FAR:
        return ""
    enough = next(n for n in range(seeds, 1000) if detectable_difference(1.0, n, level) < FAR / 2)
    return (f"{seeds} seeds can settle {candidates} candidates only where a difference is {effect:.0f} times its "
            f"standard deviation over seeds; with {enough} seeds it may be {FAR / 2:g} times that")
