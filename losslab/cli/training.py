"""compare, train: what trains."""

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
    NumTokens,
    Preset,
    Start,
    Threads,
    Tokenizer,
    Train,
    configure,
    seed_list,
)
from losslab.cli.speech import (
    DIVERGED,
    OK,
    STOPPED,
    USER_ERROR,
    Ticker,
    command_line,
    run_lines,
    score_text,
    show,
    tell,
)


@app.command(sort_key=1)
def compare(
    *losses: str, corpus: Corpus = None, tokenizer: Tokenizer = None, preset: Preset = "tiny", start: Start = None,
    seeds: str = "5", num_tokens: NumTokens = None, workers: int = 2, threads: Threads = 1, device: Device = None,
    store: Path = Path("runs"), report: Path | None = None, baseline: str | None = None, margin: float = 0.002,
    dry_run: Annotated[bool, Parameter(negative="")] = False, json: Json = False,
    data: Data = None, model: Model = None, train: Train = None, evaluate: Evaluate = None,
):
    """Train losses under matched conditions, and say whether the difference is real.

    Parameters
    ----------
    losses
        Formulas such as "cross_entropy + 1e-4*z_loss", or paths of loss files.
    seeds
        How many seeds (0, 1, ...), or a list such as 3,5,8.
    workers
        Runs at once, each in a process of its own.
    store
        Folder of runs; what is finished there is not run again.
    report
        Where the HTML page goes; STORE/report.html unless given.
    baseline
        The loss that others are compared with; cross_entropy if it is one of them, else the first.
    margin
        The difference in nats/token that would matter.
    dry_run
        Print arms, runs, tokens, estimated time and disk, and train nothing.
    """
    from losslab import report as reports
    from losslab import study

    sections = {"data": data, "model": model, "train": train, "evaluate": evaluate}
    short = {"corpus": corpus, "tokenizer": tokenizer, "num_tokens": num_tokens, "device": device, "start": start}
    arms = [configure(preset, None, sections, loss=loss, **short) for loss in losses or ("cross_entropy",)]
    numbers = seed_list(seeds)
    if dry_run:
        plan = study.plan(arms, numbers, store, tell=tell)
        estimate = study.estimate(plan, workers=workers, threads=threads)
        return show(estimate, _estimate_text(estimate), json)
    _, found = study.compare(
        arms, numbers, store, workers=workers, threads=threads, baseline=baseline, margin=margin, tell=tell,
        show=Ticker(),
    )
    document = reports.document(found, baseline=baseline, margin=margin, command=command_line())
    document["report"] = str(reports.write(document, report or store / "report.html"))
    text = f"{reports.table(document)}\n\nreport: {document['report']}"
    show(document, text, json)
    return DIVERGED if all(record.status == "diverged" for record in found) else OK


@app.command(sort_key=2)
def train(
    spec: Path | None = None, *, loss: str | None = None, corpus: Corpus = None, tokenizer: Tokenizer = None,
    preset: Preset = None, start: Start = None, seed: int | None = None, num_tokens: NumTokens = None,
    device: Device = None, threads: Threads = 0, out: Path | None = None, resume: Path | None = None,
    json: Json = False, data: Data = None, model: Model = None, train: Train = None, evaluate: Evaluate = None,
):
    """Train one model, from flags, a specification, or a run that was stopped.

    Parameters
    ----------
    spec
        A spec.toml (or the spec.json of another run's configuration); flags are laid over it.
    loss
        The objective's formula, or the path of a loss file.
    seed
        Seed of weights, data order and dropout.
    threads
        CPU threads; 0 as the environment says, or as the run had when it resumes.
    out
        The run folder; runs/<name> unless given.
    resume
        A run folder to go on with.
    """
    from losslab import experiment, machine

    if resume is not None:
        record = experiment.resume(resume, tell=tell, threads=threads, on_line=run_lines())
    else:
        sections = {"data": data, "model": model, "train": train, "evaluate": evaluate}
        config = configure(preset, spec, sections, loss=loss, seed=seed, corpus=corpus, tokenizer=tokenizer,
                           num_tokens=num_tokens, device=device, start=start)
        made = experiment.Experiment(config, tell=tell)
        record = experiment.run(made, out or made.folder("runs"), tell=tell, threads=threads, on_line=run_lines())
    if machine.rank() > 0:  # under torchrun the first process speaks for all
        return OK
    document = {"run": str(record.path), "loss": record.loss, "seed": record.seed, "condition": record.condition,
                "status": record.status, **record.result}
    lines = [f"{record.path}: {record.status}"]
    for name, score in record.scores.items():
        lines.append(f"  {name:24} {score_text(score)}")
    if "bits_per_byte" in record.scores:
        lines.append(f"val_bpb: {record.scores['bits_per_byte']['value']:.6f}")
    show(document, "\n".join(lines), json)
    return {"finished": OK, "diverged": DIVERGED, "stopped": STOPPED}.get(record.status, USER_ERROR)


def _estimate_text(estimate: dict) -> str:
    return "\n".join([
        "arms:    " + "\n         ".join(estimate["arms"]),
        f"runs:    {estimate['runs']}, each {estimate['steps_per_run']:,} steps, {estimate['tokens_per_run']:,} tokens",
        f"tokens:  {estimate['tokens']:,} in all, {estimate['tokens_per_second']:,.0f} a second and run "
        f"({estimate['num_params']:,} parameters)",
        f"time:    about {estimate['seconds'] / 60:.1f} minutes of training, evaluation not counted",
        f"disk:    about {estimate['disk_bytes'] / 1e6:.0f} MB",
    ])
