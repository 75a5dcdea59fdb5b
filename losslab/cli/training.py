"""compare, train: what trains."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.executing import Where, executor, own_threads
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
    Whole,
    completed,
    configure,
    given,
    known,
    threads_of,
    trusted,
)
from losslab.cli.measuring import task_names, task_scores
from losslab.cli.speech import (
    OK,
    Ticker,
    command_line,
    exit_code,
    outcome,
    run_lines,
    score_text,
    show,
    tell,
    wrapped,
)
from losslab.cli.studying import Asked, study
from losslab.progress import duration, silent
from losslab.tables import pairs
from losslab.words import printable

MOST_FIRST = 5  # values of a setting that one line names


@app.command(sort_key=1)
def compare(
    *losses: str, asked: Asked | None = None, workers: Whole | None = None, threads: Threads = 1,
    store: Path | None = None, where: Where | None = None, report: Path | None = None, save: Path | None = None,
    trust: Trust = None, track: Track = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False, json: Json = False,
):
    """Train losses under matched conditions, and say whether the difference is real.

    Parameters
    ----------
    losses
        Formulas such as "cross_entropy + 1e-4*z_loss", paths of loss files, or one study: `study.toml`.
    workers
        Runs at once, each in its own process; 2, or one for each GPU. On a cluster, the most at once.
    store
        Folder of runs; what is finished there is not run again. `runs`, and `runs/NAME` for a study with a name.
    report
        Where the HTML page goes; STORE/report.html unless given.
    save
        Write the study that the flags mean into this file, too; it has the file's name unless --name gives one.
    dry_run
        Print arms, runs, tokens, estimated time and disk, and train nothing.
    """
    asked = asked or Asked()
    if asked.tasks is not None and task_names(asked.tasks) is None:  # the list of tasks was asked for
        return OK
    wanted, from_file = study(completed(losses, tell), asked)
    if save is not None:
        wanted = _named_after(wanted, save)
    named, store = store, store or Path("runs", wanted.name)
    for warning in _no_verdict(wanted, bool(losses or asked.arm)):
        tell(warning)
    if save is not None:
        wanted.write(save)
        again = shlex.join(["losslab", "compare", str(save), *(["--store", str(named)] if named else [])])
        tell(f"the study {wanted.name} is in {save}; `{again}` continues it")
    if trust and not from_file:
        raise ValueError("--trust goes with a study file: a loss file that you name here is run because you name it")
    hashes = trusted(trust) if from_file else None
    return conduct(wanted, store, where=where, workers=workers, threads=threads, trust=hashes, page=report,
                   dry_run=dry_run, json=json, track=track)


def _named_after(wanted, file: Path):
    """The study with a name, as its file is named when it is run: so both are one study, in one folder."""
    from losslab.study.checks import name_of

    if file.suffix != ".toml":
        raise ValueError(f"--save takes a file that ends in .toml, by which a study is known, got {file}")
    return wanted if wanted.name else replace(wanted, name=name_of(file))


def conduct(wanted, store: Path, *, where: Where | None, workers: int | None, threads: int,
            trust: tuple[str, ...] | None, page: Path | None, dry_run: bool, json: bool,
            track: str | None = None) -> int:
    """Run a study, or estimate it, and show what came out; returns the exit code."""
    from losslab import processes

    threads = own_threads(where, threads)
    processes.adopt_orphans()
    with executor(where, store, list(wanted.configs.values()), workers=workers, threads=threads,
                  dry_run=dry_run) as (workers, found):
        return _conduct(wanted, store, workers=workers, threads=threads, trust=trust, page=page, dry_run=dry_run,
                        json=json, track=track, executor=found)


def _conduct(wanted, store: Path, *, workers, threads, trust, page, dry_run, json, track, executor) -> int:
    from losslab import records, running
    from losslab import study as studies
    from losslab.cli import showing, tracking

    if dry_run:
        wanted, searches, planned = studies.prepared(wanted, store, trusted=trust, tell=tell, progress=Ticker())
        estimate = running.estimate(planned, workers=workers, threads=threads, tuning=studies.tuning(wanted),
                                    names=list(wanted.configs))
        estimate["search"] = studies.search(searches)
        show(estimate, _estimate_text(estimate), json)
        return OK
    names = task_names(",".join(wanted.tasks)) if wanted.tasks else []
    document: dict = {}

    def shown(told: dict) -> None:
        document.update(told)
        if not (json and names):  # with tasks, one document holds both
            showing.verdict(told, json)

    with tracking.tracker(track, store, wanted.name) as tracked:
        compared = studies.conduct(wanted, store, workers=workers, threads=threads, trusted=trust, page=page,
                                   command=command_line(), shown=shown, tell=tell, progress=Ticker(), track=tracked,
                                   executor=executor)
    showing.written(document["report"], json)
    code = OK
    if names:
        found = [records.read(run.path) for run in compared.runs]
        code = task_scores(document, found, names, wanted.benchmarks and Path(wanted.benchmarks) or None,
                           baseline=wanted.baseline or None, out=store / "tasks.html", json=json)
    statuses: dict[str, list[str]] = {}
    for run in compared.runs:  # as they count in the verdict
        statuses.setdefault(run.condition, []).append(run.status)
    return exit_code([outcome(statuses), code])


def _no_verdict(wanted, named: bool) -> list[str]:
    """Said before anything is spent: what these arms and seeds cannot show."""
    said = []
    if not named and len(wanted.arms) == 1:
        said.append("no loss is named, so cross_entropy is trained alone and there will be no verdict; "
                    "name two losses to compare them")
    elif len(wanted.arms) == 1:
        said.append("one loss, so there will be no verdict; name a second one to compare")
    if len(wanted.seeds) == 1:
        said.append("one seed, so there will be no verdict; --seeds 5 shows how much seeds differ")
    return said


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
            from losslab.cli.showing import planned

            return planned(made, json)
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
    lines += fine_tuned_lines(record)
    if "bits_per_byte" in record.scores:
        lines.append(f"val_bpb: {record.scores['bits_per_byte']['value']:.6f}")
    show(document, "\n".join(lines), json)
    return outcome({record.condition: [record.status]})


def fine_tuned_lines(record) -> list[str]:
    """What fine-tuning changed, where the run started from weights."""
    from losslab.cli.showing import fine_tuning

    return [f"{name} text: {told}" for name, told in fine_tuning(record)]


def _only_resumed(run: Path, names: list[str]) -> None:
    """A run continues with the settings that it began with; others would be ignored in silence."""
    if names:
        flags = ", ".join("the specification" if name == "spec" else f"--{name.replace('_', '-')}" for name in names)
        raise ValueError(f"--resume {run} continues with the settings of that run; leave out {flags}")


def _estimate_text(estimate: dict) -> str:
    from losslab.experiment import fitting

    indent = " " * 9
    told = "; ".join(f"{estimate[key]} {what}" for key, what in (
        ("tuning_runs", f"of them for {estimate['trials']} trials of tuning"), ("done", "done already"))
                     if estimate[key])
    tuned = [wrapped(f"{indent if number else 'search:  '}{text}", indent)
             for number, text in enumerate(_search_lines(estimate.get("search", [])))]
    return "\n".join([
        "arms:    " + f"\n{indent}".join(printable(arm) for arm in estimate["arms"]),
        *tuned,
        wrapped(f"runs:    {estimate['runs']}{f' ({told})' if told else ''}, each {estimate['steps_per_run']:,} steps, "
                f"{estimate['tokens_per_run']:,} tokens", indent),
        wrapped(f"tokens:  {estimate['tokens']:,} in all, {estimate['tokens_per_second']:,.0f} per second in each run "
                f"({estimate['num_params']:,} parameters)", indent),
        wrapped(f"time:    about {duration(estimate['seconds'])} until the verdict, if the machine stays as busy as it "
                "is now", indent),
        wrapped(f"memory:  {fitting.text(estimate['memory'])}, in each run", indent),
        f"disk:    about {estimate['disk_bytes'] / 1e6:.0f} MB",
    ])


def _search_lines(search: list[dict]) -> list[str]:
    """What is searched: in one line where it is the same for all arms, else in one for each."""
    lines = [_searched(each) for each in search]
    if len(set(lines)) == 1:
        return [f"{lines[0]} each"]
    return [f"{printable(each['arm'])}: {text}" for each, text in zip(search, lines, strict=True)]


def _searched(each: dict) -> str:
    parts = []
    for key, found in each["settings"].items():
        first = [printable(f"{value:g}" if isinstance(value, float) else str(value)) for value in found["first"]]
        begins = f"{', '.join(first[:MOST_FIRST])}{', ...' if len(first) > MOST_FIRST else ''}"
        where = f"grid of {len(found['values'])} values" if each["method"] == "grid" else each["method"]
        if "low" in found:
            where += f" from {found['low']:g} to {found['high']:g}"
        elif each["method"] == "ladder":
            where += f" from {first[len(first) // 2]}"
        parts.append(f"{key.removeprefix('train.').removeprefix('loss.')}: {where} (first {begins})")
    return f"{'; '.join(parts)}; {each['trials']} trials"
