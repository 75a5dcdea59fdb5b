"""train: one model."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.flags import (
    Corpus,
    Data,
    Device,
    Evaluate,
    Json,
    Model,
    Numerics,
    NumTokens,
    Preset,
    Recipe,
    Seed,
    Size,
    Start,
    Threads,
    Tokenizer,
    Track,
    Train,
    Trust,
    completed,
    configure,
    given,
    known,
    threads_of,
    trusted,
)
from losslab.cli.speech import OK, Ticker, outcome, run_lines, score_text, show, tell, wrapped
from losslab.progress import silent
from losslab.tables import pairs


@app.command(sort_key=2)
def train(
    spec: Path | None = None, *, loss: str | None = None, corpus: Corpus = None, tokenizer: Tokenizer = None,
    preset: Preset = None, size: Size = None, recipe: Recipe = None, start: Start = None, seed: Seed = None,
    num_tokens: NumTokens = None, device: Device = None, numerics: Numerics = None, threads: Threads = 0,
    out: Path | None = None, resume: Path | None = None, trust: Trust = None, track: Track = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False, json: Json = False,
    data: Data = None, model: Model = None, train: Train = None, evaluate: Evaluate = None,
):
    """Train one model, from flags, a specification, or a run that was stopped.

    Parameters
    ----------
    spec
        A spec.toml (or the spec.json of another run's configuration); flags are laid over it.
    loss
        The objective's formula, or the path of a loss file.
    threads
        CPU threads; 0 as the environment says, or as the run had when it resumes.
    out
        The run folder; runs/<name> unless given.
    resume
        A run folder to continue.
    dry_run
        Print what the run takes of each device's memory, and train nothing; under `torchrun`, of each rank's.
    """
    hashes = trusted(trust)
    if hashes and resume is None and (spec is None or loss is not None):
        raise ValueError("--trust goes with --resume or a specification: a loss file that --loss names is run because "
                         "you name it")
    if dry_run and resume is not None:
        raise ValueError("--dry-run goes with a new run; what --resume continues has begun already")
    sections = {"data": data, "model": model, "train": train, "evaluate": evaluate}
    if loss is not None:
        (loss,) = completed([loss], tell)
    if resume is not None:
        single = known(spec=spec, loss=loss, corpus=corpus, tokenizer=tokenizer, preset=preset, size=size,
                       recipe=recipe, start=start, seed=seed, num_tokens=num_tokens, device=device,
                       numerics=numerics, out=out)
        _only_resumed(resume, [*single, *(f"{name}.{field}" for name in sections for field in given(sections[name]))])
    else:
        config = configure(preset, spec, sections, size=size, recipe=recipe, loss=loss, seed=seed, corpus=corpus,
                           tokenizer=tokenizer, num_tokens=num_tokens, device=device, numerics=numerics, start=start)
    from losslab import experiment, parallel, processes, records
    from losslab.cli import tracking

    say = tell if parallel.rank() == 0 else lambda text: None
    threads = threads_of(threads, say)
    processes.adopt_orphans()
    if resume is not None:
        with tracking.tracker(track if parallel.rank() == 0 else None, resume.parent) as tracked:
            take = tracking.both(run_lines(), tracked and tracked(records.read(resume), resume))
            record = experiment.resume(resume, trust=hashes, tell=tell, threads=threads, on_line=take)
    else:
        named = spec is None or loss is not None  # by the user, here; a specification may come from somebody else
        progress = Ticker() if parallel.rank() == 0 else silent
        made = experiment.Experiment(config, trusted=None if named else hashes, tell=tell, progress=progress)
        if dry_run:
            return _planned(made, json)
        folder = out or made.folder("runs")
        with tracking.tracker(track if parallel.rank() == 0 else None, folder.parent) as tracked:
            take = tracking.both(run_lines(), tracked and tracked(made, folder))
            record = experiment.run(made, folder, tell=tell, threads=threads, on_line=take)
    if parallel.rank() > 0:  # under torchrun only the first process reports
        return OK
    document = {"run": str(record.path), "loss": record.loss, "seed": record.seed, "condition": record.condition,
                "status": record.status, **record.result}
    lines = [f"{record.path}: {record.status}"]
    lines += [pairs((name, score_text(score)) for name, score in record.scores.items())] if record.scores else []
    lines += _fine_tuned_lines(record)
    if "bits_per_byte" in record.scores:
        lines.append(f"val_bpb: {record.scores['bits_per_byte']['value']:.6f}")
    show(document, "\n".join(lines), json)
    if record.status == "diverged" and parallel.world_size() > 1:
        tell("diverged, and recorded so; several ranks end with exit code 0 all the same, because torchrun would start "
             "them again after any other")
        return OK
    return outcome({record.condition: [record.status]})


def _planned(made, json: bool) -> int:
    """Show what one run would take."""
    from losslab import parallel
    from losslab.experiment import fitting

    if parallel.rank() == 0:
        found = fitting.told(made.config, made.corpus.tokenizer.vocab_size,
                             takes_logits=made.objective.takes_logits)
        document = {"steps": made.num_steps, "tokens": made.num_tokens, "memory": found}
        show(document, "\n".join([f"run:     {made.num_steps:,} steps, {made.num_tokens:,} tokens",
                                  wrapped(f"memory:  {fitting.text(found)}", " " * 9)]), json)
    return OK


def _fine_tuned_lines(record) -> list[str]:
    """What fine-tuning changed, where the run started from weights."""
    from losslab.cli.showing import fine_tuning

    return [f"{name} text: {told}" for name, told in fine_tuning(record)]


def _only_resumed(run: Path, names: list[str]) -> None:
    """A run continues with the settings that it began with; others would be ignored in silence."""
    if names:
        flags = ", ".join("the specification" if name == "spec" else f"--{name.replace('_', '-')}" for name in names)
        raise ValueError(f"--resume {run} continues with the settings of that run; leave out {flags}")
