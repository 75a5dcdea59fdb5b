"""Files of studies, tuning, looks, ladders, stages and fine-tuning: how they are bent, and who reads them."""

import json
from dataclasses import replace
from pathlib import Path

import faults_mutate as mutate
import faults_places as places
from faults_subjects import Subject, check_output, cli

PLANS, TUNED, LADDER, TRIALS = "plans", "tuning", "a ladder", "trials through a journal"  # names of `MAKERS`
SMALLER = {"n_layer": 8, "n_embd": 512, "n_head": 64, "num_positions": 4096}  # than what takes minutes to check


def _study(folder: Path, file: Path) -> None:
    """A study file: its arms, scales, tuning and rungs; what is read is written, and is read again as the same."""
    from losslab import study as studies
    from losslab import tune
    from losslab.ladder import settings

    found = studies.read(file)
    check_output(json.dumps(found.to_dict(), default=str, ensure_ascii=False))
    found.write(folder / "again.toml")
    if studies.read(folder / "again.toml") != found:
        raise AssertionError("what was written is not what was read")
    for name, config in found.configs.items():
        check_output(name)
        config.num_steps, config.tokens_per_step  # noqa: B018
    for scale in found.scales:
        found.at(scale)
    if found.tune:
        tune.rounds(tune.Tuning.from_dict(found.tune))
    if found.ladder:
        settings.of(found)


def _planned(folder: Path, file: Path) -> None:
    """A study as it is checked before anything is trained."""
    from losslab import study as studies
    from losslab.study import conducting

    found = studies.read(file)
    for config in found.configs.values():
        for name, most in SMALLER.items():
            if getattr(config.model, name) > most:
                raise ValueError(f"{name} is more than this harness waits for")
        if config.data.max_bytes > 10_000_000 or config.data.corpus != "tales" or config.start:
            raise ValueError("another text than this harness has")
    asked, searches, planned = conducting.prepared(replace(found, seeds=found.seeds[:3]), folder / "new")
    conducting.search(searches)
    conducting.tuning(asked)
    check_output(" ".join(experiment.condition for experiment in planned.experiments))


def _again(folder: Path, file: Path) -> None:
    """What `losslab report` says of the folder of a study, without the drawing of a page."""
    from losslab import report
    from losslab import study as studies

    found, command = studies.again(folder / "store", tell=check_output)
    document = report.document(found, command=command)
    check_output(report.table(document))
    json.dumps(document, allow_nan=False)


def _continued(folder: Path, file: Path) -> None:
    """The file of a study or a ladder as it was begun, against what is asked now."""
    from losslab import study as studies
    from losslab.ladder import folder as ladders
    from losslab.study import folder as folders

    name = "ladder" if file.name.startswith("ladder") else "tuned"
    asked = replace(studies.read(folder / f"{name}.toml"), name=name)
    (ladders if name == "ladder" else folders).begin(folder / "store", asked)


def _journal(folder: Path, file: Path) -> None:
    """Trials that go on from a journal; none is trained here."""
    from losslab import study as studies
    from losslab import tune
    from losslab.tune.trials import Runner

    asked, run = studies.read(folder / "shared.toml"), Runner.run
    Runner.run = lambda self, settings, configs, arms: [tune.Trial(one, "finished", 2.0, (0,), ("run",))
                                                        for one in settings]  # fmt: skip
    try:
        tune.tune(asked.configs, tune.Tuning.from_dict(asked.tune), folder / "store", tell=check_output)
    finally:
        Runner.run = run


def _table(folder: Path, file: Path) -> None:
    cli("scaling", "fit", file, "--resamples", "0", "--form", "compute")


def _stages(folder: Path, file: Path) -> None:
    from losslab.config import read_table
    from losslab.stages import reading

    found = reading.from_dict(read_table(file, "study"), file.name)
    for scale in found.scales:
        found.at(scale)


def _rows(folder: Path, file: Path) -> None:
    cli("corpus", file, "--tokenizer", "bytes", "--data.val-bytes", "300", "--data.tune-bytes", "300")


def _prompts(folder: Path, file: Path) -> None:
    from losslab.judge import prompts

    found, notes = prompts.read(file)
    for text in notes:
        check_output(text)
    [prompt.text.encode() for prompt in found]


def _started(folder: Path, file: Path) -> None:
    """Fine-tuning as it is checked before it is begun."""
    from losslab import records
    from losslab.experiment import Experiment, fine_tuning

    with places.inside(folder):
        found = Experiment(records.read("tuned").config, tell=check_output)
        fine_tuning.requests(found)
        json.dumps(fine_tuning.found(found, {"scores": {}}), allow_nan=False)
    cli("runs", "show", folder / "tuned")
    cli("report", folder / "tuned", "--out", folder / "report.html")


SUBJECTS = (
    Subject("study file with tuning", PLANS, "tuned.toml", mutate.as_text, _study, 6),
    Subject("study file with looks", PLANS, "raced.toml", mutate.as_text, _study, 4),
    Subject("study file with a ladder", PLANS, "ladder.toml", mutate.as_text, _study, 6),
    Subject("study file, planned", PLANS, "tuned.toml", mutate.as_text, _planned, 3),
    Subject("study in stages", PLANS, "stages.toml", mutate.as_text, _stages, 5),
    Subject("study as it was begun", TUNED, "store/study.toml", mutate.as_text, _continued, 3),
    Subject("study's folder, reported", TUNED, "store/study.toml", mutate.as_text, _again, 2),
    Subject("arms and tuning, reported", TUNED, "store/arms.json", mutate.as_json, _again, 4),
    Subject("looks, reported", "looks", "store/looks.json", mutate.as_json, _again, 4),
    Subject("trials of a journal", TRIALS, "store/trials/journal.log", mutate.as_lines, _journal, 4),
    Subject("ladder as it was begun", LADDER, "store/ladder.toml", mutate.as_text, _continued, 3),
    Subject("ladder.csv", LADDER, "store/ladder.csv", mutate.as_text, _table, 3),
    Subject("instructions, a JSON list", PLANS, "*pac*.json", mutate.as_json, _rows, 4),
    Subject("instructions, chats in a list", PLANS, "chat.json", mutate.as_json, _rows, 3),
    Subject("instructions, a row a line", PLANS, "pairs.jsonl", mutate.as_lines, _rows, 1),
    Subject("instructions, Alpaca's rows", PLANS, "alpaca.jsonl", mutate.as_lines, _rows, 3),
    Subject("instructions, chats", PLANS, "chat.jsonl", mutate.as_lines, _rows, 4),
    Subject("prompts", PLANS, "prompts.txt", mutate.as_text, _prompts, 2),
    Subject("prompts, rows", PLANS, "prompts.jsonl", mutate.as_lines, _prompts, 2),
    Subject("fine-tuned run", "fine-tuning", "tuned/*.json", mutate.as_json, _started, 2),
)
