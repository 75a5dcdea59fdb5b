"""Conduct a study: tune its arms, train them with every seed, compare, and keep all of it in the study's folder."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from losslab.comparison import Comparison
from losslab.progress import Progress, silent
from losslab.running import Tell, Track, plan
from losslab.stats.looks import next_level
from losslab.stats.planning import detectable_difference
from losslab.study import match
from losslab.study.comparing import compare
from losslab.study.file import Study
from losslab.study.folder import begin, check

FAR = 5.0  # paired standard deviations: no loss that is worth asking about differs by so much from another one


def conduct(
    study: Study, folder: str | Path, *, workers: int = 1, threads: int = 1, trusted: Collection[str] | None = None,
    tell: Tell = lambda text: None, progress: Progress = silent, track: Track | None = None,
) -> Comparison:
    """Run what a study asks and is not done yet, and answer its question.

    Args:
        study: a study without a name may share its folder with others, and its file is not kept there.
        folder: the store of its runs.
        workers: runs at once, each in a process with `threads` threads.
        threads: CPU threads of each; 0 as the environment says.
        trusted: hashes of loss files that may run besides those in the user's list; None if it was the user who named
            the files.
        tell: takes what is worth keeping, one line each.
        progress: is told how far all runs are.
        track: given an experiment and its folder, what takes the lines of its log; trials of tuning are not tracked.

    Raises:
        ValueError: for a study that is not the one that was begun in this folder, or an arm that cannot be run.
        running.Stopped: after SIGTERM or Ctrl-C; called again, the study continues.
    """
    configs, tuned = study.configs, {}
    if told := thin(study):
        tell(told)
    if study.name and not check(folder, study):
        # an arm that cannot be run is said before it is part of what was begun
        plan(list(configs.values()), study.seeds[:1], folder, trusted=trusted, tell=tell, progress=progress)
        begin(folder, study)
    if study.tune:
        from losslab import tune

        tuned = tune.tune(configs, tune.Tuning.from_dict(study.tune), Path(folder), own=study.spaces, workers=workers,
                          threads=threads, trusted=trusted, tell=tell, progress=progress)
        configs = {name: tuned[name].config for name in configs}
    options = {
        "workers": workers, "threads": threads, "baseline": study.baseline or None, "margin": study.margin,
        "labels": list(configs), "tuned": [each.to_dict() for each in tuned.values()], "trusted": trusted, "tell": tell,
        "progress": progress, "track": track,
    }
    equal = configs
    if study.match != "tokens":
        costs = match.kept(folder, equal, study.match, lambda: match.update_costs(
            list(equal.values()), study.match, threads=threads, trusted=trusted, tell=tell))
        at = list(equal).index(study.reference)
        configs = dict(zip(equal, match.matched(list(equal.values()), study.match, costs, baseline=at), strict=True))
    found = compare(list(configs.values()), study.seeds, folder, race=study.race, final=study.final, **options)
    if study.match != "tokens":  # what equal tokens give is shown, and is no look
        plain = compare(list(equal.values()), study.seeds, folder, is_look=False, **options)
        found = replace(found, matching=match.told(study.match, dict(zip(equal, costs, strict=True)), plain, found))
    verdict = found.verdict
    if study.tune and found.nll:
        sentence, bracket, tally = verdict.partition(" (of ")  # the tally of several candidates stays at the end
        verdict = f"{sentence}; at the settings chosen by {study.tune['trials']} trials each{bracket}{tally}"
    return replace(found, name=study.name, question=study.question, verdict=verdict)


def tuning(study: Study) -> tuple[int, list[int]]:
    """What tuning costs each arm: its trials, and of every run of them the whole horizon divided by its own."""
    if not study.tune:
        return 0, []
    from losslab import tune

    asked = tune.Tuning.from_dict(study.tune)
    return asked.trials, tune.runs_of(asked)


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
