"""Conduct a study in stages: each stage that is not done is done, or continues from where it was; then the page.

A run continues from its newest checkpoint, texts from the last prompt that was written, a judge from the last answer
that was paid for. So the same command, after a kill at any point, does only what is missing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from losslab import experiment, hub, records
from losslab.corpus import Corpus
from losslab.evaluate.evaluator import score
from losslab.judge import command as judging
from losslab.judge import models, prompts, writing
from losslab.judge.cache import Cache, key
from losslab.judge.writing import Sampling
from losslab.progress import Progress, silent
from losslab.report import staged as page
from losslab.stages import document, heldout, planning
from losslab.stages.file import Generate, Judge, Staged, Train
from losslab.stages.planning import Planned

Tell = Callable[[str], None]
SCORED = ("nll", "perplexity", "nll_all_tokens", "perplexity_all_tokens", "bits_per_byte")


@dataclass(frozen=True)
class Asked:
    """What the command line asks for besides the study and its store."""

    against: tuple[str, ...] = ()
    """Models next to those of the study: folders, or names on the hub."""
    prompts: Path | None = None
    """Beginnings of stories in place of those of held-out stories."""
    url: str | None = None
    judge_model: str | None = None
    judge: Path | None = None
    max_calls: int | None = None
    key_variable: str | None = None
    page: Path | None = None
    command: str = ""


def conduct(
    study: Staged, published: Staged, store: Path, asked: Asked, *, threads: int = 0, tell: Tell = lambda text: None,
    progress: Progress = silent, on_line: Callable[[dict], None] = lambda line: None,
) -> dict:
    """Do what is missing of every stage, and write the page.

    Args:
        study: at a scale.
        published: the same study as it was published, to say what differs.
        store: its folder; a stage that trains has its run folder there, under its name.
        asked: other models, a judge.
        threads: CPU threads of training; 0 as the environment says.
        tell, progress: take sentences for people, and how far the work is.
        on_line: takes each line of the log of a run.

    Returns:
        the document of the page, with `report`, its path. Where a run stopped or diverged there is no page: `status`
        says so, and `stages` has what is done.

    Raises:
        ValueError, OSError, ModuleNotFoundError: one sentence; what was done before is kept.
    """
    with records.lock(store, "study"):
        done = _Stages(study, store, asked, threads, tell, progress, on_line)
        for stage in study.stages:
            status = done.do(stage)
            if status != planning.DONE:
                return document.unfinished(study, done.rows, stage, status)
        found = document.made(study, published, done.planned, done.texts, done.judged, done.compared(), done.rows,
                              command=asked.command)
        place = page.write(found, asked.page or store / "report.html")
        return found | {"report": str(place)}


class _Stages:
    """The stages as far as they are done."""

    def __init__(self, study, store, asked, threads, tell, progress, on_line):
        self.study, self.store, self.asked, self.threads = study, store, asked, threads
        self.tell, self.progress, self.on_line = tell, progress, on_line
        if asked.prompts:  # whatever cannot be is said before hours of training
            prompts.read(asked.prompts)
        self.others = [_found(name, tell) for name in asked.against]
        if asked.judge:
            models.load(asked.judge, tell=tell)
        if asked.url:
            judging.endpoint(self._asked_judge((), Path(), "tinystories", Sampling(), Path()), Cache(None), tell)
        self.planned = {each.stage.name: each for each in planning.plan(study, store, progress=progress)}
        self.kept = Cache(store / "kept", tell)
        self.rows: list[dict] = []
        self.texts: dict[str, list[dict]] = {}
        self.judged: dict[str, dict] = {}

    def do(self, stage) -> str:
        """Do a stage, and say how it ended."""
        self.tell(f"stage {len(self.rows) + 1} of {len(self.study.stages)}: {stage.name}")
        how = {Train: self._train, Generate: self._write, Judge: self._judge}[type(stage)]
        status, about = how(stage)
        self.rows.append({"name": stage.name, "kind": type(stage).__name__.lower(), "status": status, **about})
        return status

    def _train(self, stage: Train) -> tuple[str, dict]:
        planned = self.planned[stage.name]
        made = planned.experiment(tell=self.tell, progress=self.progress)
        planning.check_folder(planned, made)
        record = experiment.run(made, planned.folder, threads=self.threads, tell=self.tell, on_line=self.on_line)
        return record.status, {"run": str(record.path), "loss": record.loss, "seed": record.seed,
                               "steps": made.num_steps, "tokens": record.result.get("tokens"),
                               "scores": record.scores, "seconds": record.result.get("cost", {}).get("train_seconds")}

    def _write(self, stage: Generate) -> tuple[str, dict]:
        rows, place = self._prompts(stage)
        found, _ = prompts.read(place)
        by = []
        for path in self._models(stage):
            loaded = models.load(path, tell=self.tell)
            by.append((path.name, writing.completions(loaded, found, _sampling(stage), self.kept,
                                                      progress=self.progress)))
        self.texts[stage.name] = [
            {"prompt": prompt.shown, **{key: row[key] for key in ("has_input", "held_out")},
             "by": [{"model": name, "texts": texts[number]} for name, texts in by]}
            for number, (prompt, row) in enumerate(zip(found, rows, strict=True))]
        lines = [json.dumps(row, ensure_ascii=False) for row in self.texts[stage.name]]
        records.files.write_whole(self.store / f"{stage.name}.jsonl", "".join(f"{line}\n" for line in lines).encode())
        count = len(found) * stage.completions * len(by)
        return planning.DONE, {"prompts": len(found), "texts": count, "file": str(self.store / f"{stage.name}.jsonl")}

    def _prompts(self, stage: Generate) -> tuple[list[dict], Path]:
        """A row for each prompt, and the file that has them."""
        source = self.planned[stage.prompts]
        if self.asked.prompts and not source.corpus.is_instructions:
            found, notes = prompts.read(self.asked.prompts)
            for note in notes:
                self.tell(note)
            rows = [{"prompt": one.text, "has_input": False, "held_out": ""} for one in found]
            place = self.store / f"{stage.name}.prompts.jsonl"
            records.files.write_whole(place, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
            return rows, place
        place = self.store / f"{stage.name}.prompts.jsonl"
        longest = source.config.model.num_positions - stage.num_tokens
        return heldout.write(place, stage, source.corpus, max(1, longest)), place

    def _judge(self, stage: Judge) -> tuple[str, dict]:
        of = next(each for each in self.study.stages if each.name == stage.texts)
        asked = self._asked_judge(tuple(self._models(of)), self.store / f"{of.name}.prompts.jsonl", stage.protocol,
                                  _sampling(of), self.store / f"{stage.name}.html")
        found, _ = judging.run(asked, progress=self.progress, tell=self.tell)
        self.judged[stage.name] = found
        return planning.DONE, {"report": found["report"], "failures": sum(one["failures"] for one in found["models"]),
                               **({"spend": found["spend"]} if "spend" in found else {})}

    def _asked_judge(self, paths, found: Path, protocol: str, sampling: Sampling, out: Path) -> judging.Asked:
        asked = self.asked
        return judging.Asked(
            models=paths, prompts=found, protocol=protocol, sampling=sampling, url=asked.url,
            judge_model=asked.judge_model, folder=asked.judge, max_calls=asked.max_calls,
            key_variable=asked.key_variable, cache=self.store / "kept", out=out, command=asked.command)

    def _models(self, stage: Generate) -> list[Path]:
        return [*(self.planned[name].folder for name in stage.models), *self.others]

    def compared(self) -> list[dict]:
        """Scores of the other models on the validation text of each stage that trains, in its windows."""
        found = []
        for path in self.others:
            loaded = models.load(path, tell=self.tell)
            for planned in self.planned.values():
                found.append({"model": path.name, "stage": planned.stage.name, **self._scored(loaded, planned)})
        return found

    def _scored(self, loaded: models.Loaded, planned: Planned) -> dict:
        corpus = Corpus.open(planned.config.data, tokenizer=loaded.tokenizer, progress=self.progress)
        window = min(planned.config.seq_len, loaded.model.config.num_positions)
        name = key(["scores", loaded.weights, corpus.meta["sum"], window, planned.config.evaluate.tune_tokens])
        if not (known := self.kept.read(name)):
            self.tell(f"scoring {loaded.path.name} on {corpus.name}")
            scores = score(loaded.model, corpus, corpus.tokenizer, planned.config.evaluate, seq_len=window)["scores"]
            known = {"window": window, "tokenizer": corpus.tokenizer.name, "corpus": corpus.name,
                     "scores": {one: scores[one] for one in SCORED if one in scores}}
            self.kept.write(name, known)
        return known


def _sampling(stage: Generate) -> Sampling:
    return Sampling(stage.completions, stage.num_tokens, stage.temperature, stage.top_k, stage.seed)


def _found(name: str, tell: Tell) -> Path:
    """The folder of a model, or where it was imported to if it is on the hub."""
    path = Path(name)
    if records.is_run(path) or (path / "config.json").is_file():
        return path
    place = Path("models") / Path(name).name
    if not records.is_run(place):
        hub.import_model(name, place, tell=tell)
        tell(f"{name} is imported as {place}")
    return place
