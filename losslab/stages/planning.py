"""The runs of a study in stages, before any is started: their texts are read, and what they take is estimated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from losslab import config as configuration
from losslab import records
from losslab.config import ExperimentConfig
from losslab.corpus import Corpus
from losslab.experiment import Experiment, timing
from losslab.experiment.epochs import updates
from losslab.experiment.plan import Tell
from losslab.progress import Progress, silent
from losslab.running.estimate import parts
from losslab.stages.file import HORIZON, WARMUP, Generate, Judge, Staged, Train
from losslab.study import checks

DONE = "finished"


@dataclass(frozen=True)
class Planned:
    """A stage that trains, with its text and its horizon; its weights to start from may not be there yet."""

    stage: Train
    config: ExperimentConfig
    """Without a start; of a stage that has one, with the model and the vocabulary of that stage."""
    corpus: Corpus
    folder: Path
    start: Path | None

    @property
    def status(self) -> str:
        """`missing`, or that of its record."""
        return records.read(self.folder).status if records.is_run(self.folder) else "missing"

    def experiment(self, *, tell: Tell = lambda text: None, progress: Progress | None = None) -> Experiment:
        """The run, once the stage that it starts from is done."""
        config = replace(self.config, start=str(self.start)) if self.start else self.config
        return Experiment(config, tell=tell, progress=progress)


def config_of(study: Staged, stage: Train) -> ExperimentConfig:
    """What a stage trains, with its horizon as far as its settings say; no text is read.

    Raises:
        ValueError: naming the stage, for a setting that cannot be.
    """
    settings, where = checks.nested(stage.settings, f"the stage {stage.name}"), f"the stage {stage.name}"
    if stage.start:
        parent = config_of(study, next(each for each in study.training if each.name == stage.start))
        root = _root(study, stage)
        base = replace(configuration.chosen(size=root.size, recipe=root.recipe), model=parent.model)
        given = {"data": {"corpus": stage.corpus, "tokenizer": parent.data.tokenizer}}
    else:
        base = configuration.chosen(size=stage.size, recipe=stage.recipe)
        given = {"data": {"corpus": stage.corpus, **({"tokenizer": stage.tokenizer} if stage.tokenizer else {})}}
    base = configuration.override(base, given | {"loss": stage.loss, "seed": stage.seed}, source=where)
    if stage.epochs:  # until the text is read; no schedule is longer than it then
        base = replace(base, train=replace(base.train, num_tokens=0, num_steps=10**6))
    return configuration.override(base, settings, source=where)


def _root(study: Staged, stage: Train) -> Train:
    """The stage with new weights from which this one comes."""
    while stage.start:
        stage = next(each for each in study.training if each.name == stage.start)
    return stage


def plan(study: Staged, store: Path, *, progress: Progress = silent) -> list[Planned]:
    """Every stage that trains, in order; nothing is trained, and no folder is made.

    Raises:
        ValueError, OSError, ModuleNotFoundError: for a text that cannot be had, or a setting that cannot be.
    """
    found: dict[str, Planned] = {}
    for stage in study.training:
        config, parent = config_of(study, stage), found.get(stage.start)
        try:
            corpus = Corpus.open(config.data, tokenizer=parent.corpus.tokenizer if parent else None, progress=progress)
        except (OSError, ModuleNotFoundError) as error:
            flag = "--data" if stage.start else "--corpus"
            error.args = (f"the stage {stage.name} is trained on {config.data.corpus}: {error}; {flag} takes a file or "
                          "folder that has it",)
            raise
        train = config.train
        if stage.epochs:
            train = replace(train, num_tokens=0, num_steps=updates(config, corpus, stage.epochs))
        if stage.warmup_share:
            steps = replace(config, train=replace(train, warmup_steps=0)).num_steps
            train = replace(train, warmup_steps=max(1, round(stage.warmup_share * steps)))
        config = replace(config, train=train)
        config.check_model()
        found[stage.name] = Planned(stage, config, corpus, store / stage.name, parent and parent.folder)
    return list(found.values())


def check_folder(planned: Planned, experiment: Experiment) -> None:
    """An error where the folder of the stage holds another run."""
    if records.is_run(planned.folder):
        old = records.read(planned.folder)
        if (old.condition, old.seed) != (experiment.condition, experiment.config.seed):
            raise ValueError(f"the stage {planned.stage.name} in {planned.folder} was begun with other settings, "
                             f"another text or other weights (condition {old.condition}, and {experiment.condition} is "
                             "asked); go on with the same, or begin anew under another --store")


def estimate(study: Staged, store: Path, *, threads: int, others: int = 0, calls: bool = False,
             progress: Progress = silent) -> dict:
    """What the stages would take, from a few timed updates of each that trains.

    Args:
        others: models next to those of the study, which write, too.
        calls: whether an endpoint is asked for grades, twice for each text.

    Returns:
        JSON-able: `stages`, each with `name`, `kind`, `status` (`missing`, `finished`, ...), `runs`, `steps`, `tokens`
        (trained on, or written at most), `seconds`, `disk_bytes`, `calls`; and `runs`, `tokens` of training, `seconds`
        of what is not done, `disk_bytes` and `calls` of all of them.
    """
    planned = {each.stage.name: each for each in plan(study, store, progress=progress)}
    experiments = {name: Experiment(each.config, corpus=each.corpus) for name, each in planned.items()}
    times = {name: timing.measure([experiment], threads=threads)[0] for name, experiment in experiments.items()}
    told: dict[str, dict] = {}
    for stage in study.stages:
        row = {"name": stage.name, "kind": type(stage).__name__.lower(), "status": "missing", "runs": 0, "steps": 0,
               "tokens": 0, "seconds": 0.0, "disk_bytes": 0, "calls": 0}
        if isinstance(stage, Train):
            row |= _of_run(planned, stage, experiments[stage.name], times)
        elif isinstance(stage, Generate):
            row |= _of_texts(stage, planned, times, others) | {"texts": _texts(stage, others)}
        elif isinstance(stage, Judge):
            row["calls"] = 2 * told[stage.texts]["texts"] if calls else 0
        told[stage.name] = row
    stages = list(told.values())
    todo = [row for row in stages if row["status"] != DONE]
    return {"name": study.name, "stages": stages, "runs": sum(row["runs"] for row in stages),
            "tokens": sum(row["tokens"] for row in stages if row["runs"]),
            "seconds": sum(row["seconds"] for row in todo), "disk_bytes": sum(row["disk_bytes"] for row in todo),
            "calls": sum(row["calls"] for row in stages)}


def _of_run(planned: dict[str, Planned], stage: Train, experiment: Experiment, times: dict[str, dict]) -> dict:
    found, own = times[stage.name], planned[stage.name]
    seconds = sum(parts(experiment, found).values())
    if stage.start:  # the start is scored on the new text, and the run on the old one
        old = planned[stage.start]
        seconds += sum(each.corpus.num_tokens["val"] * times[name]["judge_seconds"]
                       for name, each in ((stage.name, own), (stage.start, old)))
    return {"status": own.status, "runs": 1, "steps": experiment.num_steps, "tokens": experiment.num_tokens,
            "seconds": seconds, "num_params": found["num_params"],
            # the newest two checkpoints on the way have the moments of the optimizer, too
            "disk_bytes": (3 if experiment.config.train.checkpoint_every else 1) * 4 * found["num_params"] + 500_000}


def _of_texts(stage: Generate, planned: dict[str, Planned], times: dict[str, dict], others: int) -> dict:
    each = stage.num_prompts * stage.completions * stage.num_tokens
    slowest = max(times[name]["write_seconds"] for name in stage.models)
    seconds = sum(each * times[name]["write_seconds"] for name in stage.models) + others * each * slowest
    count = _texts(stage, others)
    return {"tokens": count * stage.num_tokens, "seconds": seconds, "disk_bytes": 10 * count * stage.num_tokens}


def _texts(stage: Generate, others: int) -> int:
    return stage.num_prompts * stage.completions * (len(stage.models) + others)


def differences(study: Staged, published: Staged) -> list[dict]:
    """What differs from the study as it was published: `stage`, `setting`, `published` and `here`, each as text."""
    found: list[dict] = []
    for own, theirs in zip(study.stages, published.stages, strict=True):
        here, there = (_flat(one, stage) for one, stage in ((study, own), (published, theirs)))
        found += [{"stage": own.name, "setting": key, "published": _told(there.get(key)), "here": _told(here.get(key))}
                  for key in sorted({*here, *there}) if here.get(key) != there.get(key)]
    return found


def _flat(study: Staged, stage) -> dict[str, object]:
    """Everything that a stage is told; what is not given is left out."""
    own = {key: value for key, value in vars(stage).items() if key not in ("name", "settings")}
    if not isinstance(stage, Train):
        return own
    settings = configuration.flatten(configuration.to_dict(config_of(study, stage)))
    for key in (*(HORIZON if stage.epochs else ()), *((WARMUP,) if stage.warmup_share else ())):
        settings.pop(key)
    settings["data.corpus"] = Path(settings["data.corpus"]).name if stage.corpus[:1] in "/.~" else stage.corpus
    for key in ("corpus", "tokenizer", "seed", "loss", "start"):  # which are settings, or the same in all
        own.pop(key)
    return {key: value for key, value in settings.items() if key not in HORIZON or value} | {
        key: value for key, value in own.items() if value}


def _told(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value))
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def steps(planned: Sequence[Planned]) -> dict[str, int]:
    return {each.stage.name: each.config.num_steps for each in planned}
