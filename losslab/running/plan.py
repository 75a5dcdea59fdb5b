"""Every run of a comparison, checked and with a folder, before any is started."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from losslab.config import ExperimentConfig
from losslab.experiment import Experiment
from losslab.progress import Progress, silent

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """Every run of a comparison, checked and with a folder, before any is started."""

    store: Path
    arms: tuple[str, ...]
    experiments: tuple[Experiment, ...]  # arms x seeds, seed by seed, so that early seeds compare early

    @property
    def folders(self) -> list[Path]:
        return [experiment.folder(self.store) for experiment in self.experiments]

    @property
    def tokens_per_run(self) -> int:
        return self.experiments[0].num_tokens


def plan(
    arms: Sequence[ExperimentConfig], seeds: Sequence[int], store: str | Path, *, tell: Tell = lambda text: None,
    progress: Progress = silent, trusted: Collection[str] | None = None,
) -> Plan:
    """Check every arm and name every run.

    Args:
        arms: one configuration per arm; its own seed is not used.
        seeds: one replicate each.
        store: the folder in which the runs are, or will be.
        tell: takes what is worth keeping, one line each.
        progress: is told how far the corpus and the checks of runs are.
        trusted: hashes of loss files that may run besides those in the user's list; None if it was the user who named
            the files of these arms.

    Returns:
        the plan; no run folder is made and nothing is trained.

    Raises:
        ValueError: for an arm that cannot be run, two arms that are the same, or a seed given twice.
    """
    if not arms or not seeds:
        raise ValueError("a comparison needs at least one loss and one seed")
    if len({arm.train.skip_spikes for arm in arms}) > 1:
        skipping = next(arm for arm in arms if arm.train.skip_spikes)
        raise ValueError(f"train.skip_spikes is on for {skipping.loss} and off for another arm, and would decide with "
                         "the losses; set it for all arms, or for none")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"the seeds {list(seeds)} hold one twice; each is one replicate")
    options = {"tell": tell, "progress": progress, "trusted": trusted}
    first = Experiment(replace(arms[0], seed=seeds[0]), **options)
    experiments, conditions = [], {}
    for seed in seeds:
        for arm in arms:
            same_data = (arm.data.text, arm.start) == (arms[0].data.text, arms[0].start)
            # numerics are chosen once, by the first arm: auto may not mean two things in one study
            numerics = {name: getattr(first.config.train, name) for name in ("device", "dtype")
                        if getattr(arm.train, name) == "auto"}
            config = replace(arm, seed=seed, train=replace(arm.train, **numerics))
            corpus = first.corpus if same_data else None
            experiments.append(Experiment(config, corpus=corpus, **options))
            progress("checking runs", len(experiments), len(seeds) * len(arms), "runs")
    for experiment in experiments[: len(arms)]:
        if experiment.condition in conditions:
            other = conditions[experiment.condition]
            raise ValueError(f"the arms {other!r} and {str(experiment.objective)!r} are the same condition; name one")
        conditions[experiment.condition] = str(experiment.objective)
    return Plan(Path(store), tuple(str(e.objective) for e in experiments[: len(arms)]), tuple(experiments))
