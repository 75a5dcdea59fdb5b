"""Verbs to functions. Everything heavy is imported by the verb that needs it."""

import dataclasses
import json as jsons
import os
import sys
import typing
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter
from docstring_parser import parse_from_object

from losslab import __version__
from losslab import config as configuration

OK, USER_ERROR, MISSING_EXTRA, DIVERGED, STOPPED = 0, 2, 3, 4, 5

app = App(
    name="losslab",
    version=__version__,
    help="Does this training loss make a better language model? Answers with an interval.",
    help_epilogue="Exit codes: 0 ok, 2 user error, 3 missing extra, 4 diverged, 5 stopped and resumable.",
)
runs_app = App(name="runs", help="List runs, or show one.")
app.command(runs_app)


def _flags(section: type) -> type:
    """The fields of a configuration section as optional flags, with their help; None means not given."""
    meaning = {p.arg_name: p.description for p in parse_from_object(section).params}
    hints = typing.get_type_hints(section)
    group = Group(f"Settings: {section.__name__.removesuffix('Config').lower()}")
    return dataclasses.make_dataclass(
        section.__name__,
        [(f.name, Annotated[hints[f.name] | None, Parameter(help=meaning.get(f.name), group=group, show_default=False,
                                                            negative="")],
          dataclasses.field(default=None)) for f in dataclasses.fields(section)],
    )


_KEYS = Parameter(accepts_keys=True, show=True)
Data = Annotated[_flags(configuration.DataConfig) | None, _KEYS]
Model = Annotated[_flags(configuration.ModelConfig) | None, _KEYS]
Train = Annotated[_flags(configuration.TrainConfig) | None, _KEYS]
Evaluate = Annotated[_flags(configuration.EvaluateConfig) | None, _KEYS]
Json = Annotated[bool, Parameter(negative="", help="Print one JSON document on standard output, and nothing else.")]
Corpus = Annotated[str | None, Parameter(help="`tales`, `pydoc`, a path, or the name of a hub data set.")]
Tokenizer = Annotated[str | None, Parameter(help="`bytes`, `char`, `bpe:N` or `gpt2`.")]
Preset = Annotated[str | None, Parameter(help=f"Start from {', '.join(configuration.PRESETS)}.")]
NumTokens = Annotated[int | None, Parameter(help="Training tokens of one run.")]
Device = Annotated[str | None, Parameter(help="`auto`, `cpu`, `cuda` or `mps`.")]
Threads = Annotated[int, Parameter(help="CPU threads of a run.")]


@app.command(sort_key=1)
def compare(
    *losses: str, corpus: Corpus = None, tokenizer: Tokenizer = None, preset: Preset = "tiny", seeds: str = "5",
    num_tokens: NumTokens = None, workers: int = 2, threads: Threads = 1, device: Device = None,
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
    short = {"corpus": corpus, "tokenizer": tokenizer, "num_tokens": num_tokens, "device": device}
    arms = [_configure(preset, None, sections, loss=loss, **short) for loss in losses or ("cross_entropy",)]
    numbers = _seeds(seeds)
    if dry_run:
        plan = study.plan(arms, numbers, store, tell=_tell)
        estimate = study.estimate(plan, workers=workers, threads=threads)
        return _print(estimate, _estimate_text(estimate), json)
    _, found = study.compare(
        arms, numbers, store, workers=workers, threads=threads, baseline=baseline, margin=margin, tell=_tell,
        show=_Ticker(),
    )
    document = reports.document(found, baseline=baseline, margin=margin, command=_command())
    document["report"] = str(reports.write(document, report or store / "report.html"))
    text = f"{reports.table(document)}\n\nreport: {document['report']}"
    _print(document, text, json)
    return DIVERGED if all(record.status == "diverged" for record in found) else OK


@app.command(sort_key=2)
def train(
    spec: Path | None = None, *, loss: str | None = None, corpus: Corpus = None, tokenizer: Tokenizer = None,
    preset: Preset = None, seed: int | None = None, num_tokens: NumTokens = None, device: Device = None,
    threads: Threads = 0, out: Path | None = None, resume: Path | None = None, json: Json = False,
    data: Data = None, model: Model = None, train: Train = None, evaluate: Evaluate = None,
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
        record = experiment.resume(resume, tell=_tell, threads=threads, on_line=_on_line())
    else:
        sections = {"data": data, "model": model, "train": train, "evaluate": evaluate}
        config = _configure(preset, spec, sections, loss=loss, seed=seed, corpus=corpus, tokenizer=tokenizer,
                            num_tokens=num_tokens, device=device)
        made = experiment.Experiment(config, tell=_tell)
        record = made.run(out or made.folder("runs"), tell=_tell, threads=threads, on_line=_on_line())
    if machine.rank() > 0:  # under torchrun the first process speaks for all
        return OK
    document = {"run": str(record.path), "loss": record.loss, "seed": record.seed, "condition": record.condition,
                "status": record.status, **record.result}
    lines = [f"{record.path}: {record.status}"]
    for name, score in record.scores.items():
        lines.append(f"  {name:24} {_score(score)}")
    if "bits_per_byte" in record.scores:
        lines.append(f"val_bpb: {record.scores['bits_per_byte']['value']:.6f}")
    _print(document, "\n".join(lines), json)
    return {"finished": OK, "diverged": DIVERGED, "stopped": STOPPED}.get(record.status, USER_ERROR)


@app.command(sort_key=3)
def evaluate(run: Path, *, corpus: Corpus = None, stride: int = 0, device: str = "cpu", json: Json = False,
             data: Data = None):
    """Measure a trained model: nats per token, bits per byte, perplexities.

    Parameters
    ----------
    run
        A run folder.
    stride
        Tokens between windows; 0 for disjoint windows of the context length.
    """
    from losslab import checkpoint, records
    from losslab.evaluate.ruler import measure

    record = records.read(run)
    config = configuration.override(record.config, {"data": _given(data) | _known(corpus=corpus)}, source="the flags")
    newest = checkpoint.newest(run / "checkpoint", warn=_tell)
    rules = dataclasses.replace(config.evaluate, stride=stride)
    measured = measure(newest, config.data, rules, device=device)
    lines = [f"{run} on {measured['corpus']['name']} ({measured['counts']['documents']} documents, "
             f"{measured['counts']['bytes']:,} bytes)"]
    lines += [f"  {name:24} {_score(score)}" for name, score in measured["scores"].items()]
    if measured["floor_bits_per_byte"] is not None:
        lines.append(f"  floor of this text       {measured['floor_bits_per_byte']:.4f} bits/byte, ends included")
    _print({"run": str(run), **measured}, "\n".join(lines), json)


@app.command(sort_key=4)
def generate(run: Path, prompt: str = "", *, num_tokens: int = 300, temperature: float = 0.8, top_k: int = 0,
             seed: int = 0, num_samples: int = 1, device: str = "cpu", json: Json = False):
    """Let a trained model write.

    Parameters
    ----------
    run
        A run folder.
    prompt
        Text to go on from; none starts a new document.
    temperature
        0 takes the most likely token each time.
    top_k
        Sample among the k most likely tokens; 0 for all.
    """
    from losslab import checkpoint
    from losslab.generate import generate as sample

    loaded = checkpoint.load(checkpoint.newest(run / "checkpoint", warn=_tell), device=device)
    texts = [sample(loaded.model, loaded.tokenizer, prompt.rstrip(" "), num_tokens=num_tokens,
                    temperature=temperature, top_k=top_k, seed=seed + index) for index in range(num_samples)]
    _print({"run": str(run), "prompt": prompt, "texts": texts}, "\n\n".join(texts), json)


@app.command(sort_key=5)
def losses(name: str | None = None, *, json: Json = False):
    """List the family of losses, or show the page of one.

    Parameters
    ----------
    name
        A loss or logit transform; none lists them all.
    """
    import inspect

    from losslab import formula

    family = {f"{kind}": {n: inspect.getdoc(formula.load(package, n)) for n in formula.names(package)}
              for kind, package in (("loss", "losslab.losses"), ("transform", "losslab.transforms"))}
    everything = family["loss"] | family["transform"]
    if name is not None:
        if name not in everything:
            raise ValueError(f"unknown loss {name!r}{configuration.nearest(name, everything)}; "
                             f"the family is {', '.join(everything)}")
        return _print({"name": name, "page": everything[name]}, everything[name], json)
    width = max(map(len, everything))
    lines = [f"{_kind(kind, n):9}  {n:{width}}  {page.splitlines()[0]}"
             for kind, pages in family.items() for n, page in pages.items()]
    _print({kind: {n: page.splitlines()[0] for n, page in pages.items()} for kind, pages in family.items()},
           "\n".join(lines), json)


def _kind(kind: str, name: str) -> str:
    """`loss`, `term` for what is only to be added to a loss, or `transform`."""
    role = getattr(sys.modules[f"losslab.{'losses' if kind == 'loss' else 'transforms'}.{name}"], "ROLE", "whole")
    return kind if role == "whole" else role


@app.command(sort_key=5)
def inspect(loss: str, *, out: Path | None = None, markdown: Path | None = None, json: Json = False):
    """Find out what a loss is: its minimizer and bias, curves, convexity, cost; nothing is trained.

    Parameters
    ----------
    loss
        A formula such as "cross_entropy + 1e-4*z_loss", or the path of a loss file.
    out
        Write an HTML page with charts here.
    markdown
        Write the findings as Markdown here.
    """
    from losslab import anatomy
    from losslab.report import anatomy_page, anatomy_text

    found = anatomy.inspect(loss).to_dict()
    if out is not None:
        _tell(f"page: {anatomy_page.write(found, out)}")
    if markdown is not None:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        markdown.write_text(anatomy_text.markdown(found), encoding="utf-8")
        _tell(f"Markdown: {markdown}")
    _print(found, anatomy_text.text(found), json)


@app.command(sort_key=6)
def corpus(name: str = "tales", *, tokenizer: Tokenizer = None, json: Json = False, data: Data = None):
    """Describe a corpus: splits, sizes, digest, and the floor where it is known.

    Parameters
    ----------
    name
        `tales`, `pydoc`, a path, or the name of a hub data set.
    """
    from losslab.corpus import Corpus
    from losslab.corpus.progress import as_lines

    values = _given(data) | _known(corpus=name, tokenizer=tokenizer)
    config = configuration.override(configuration.preset("tiny").data, values, source="the flags")
    about = Corpus.open(config, progress=as_lines(_tell)).describe()
    _print(about, jsons.dumps(about, indent=1, ensure_ascii=False), json)


@runs_app.command(name="list")
def runs_list(store: Path = Path("runs"), *, json: Json = False):
    """The runs of a store, one line each.

    Parameters
    ----------
    store
        A folder of runs.
    """
    from losslab import records

    rows = [{"run": str(r.path), "loss": r.loss, "seed": r.seed, "condition": r.condition, "status": r.status,
             "nll": r.scores.get("nll", {}).get("value")} for r in records.find([store])]
    text = "\n".join(f"{row['status']:9} {row['nll'] or float('nan'):8.4f} seed {row['seed']:<4} {row['condition']} "
                     f"{row['loss']}  {row['run']}" for row in rows)
    _print({"runs": rows}, text or f"no runs in {store}", json)


@runs_app.command(name="show")
def runs_show(run: Path, *, json: Json = False):
    """Everything that one run wrote down.

    Parameters
    ----------
    run
        A run folder.
    """
    from losslab import records

    record = records.read(run)
    document = {"run": str(run), "status": record.status, "spec": record.spec, "environment": record.environment,
                "result": record.result}
    _print(document, jsons.dumps(document, indent=1, ensure_ascii=False), json)


@app.command(sort_key=8)
def report(runs: Annotated[list[Path], Parameter(negative="")], *, out: Path = Path("report.html"),
           baseline: str | None = None, margin: float = 0.002, json: Json = False):
    """Write the page of runs that are already there.

    Parameters
    ----------
    runs
        Run folders or stores.
    out
        Where the HTML page goes.
    baseline
        The loss that others are compared with.
    margin
        The difference in nats/token that would matter.
    """
    from losslab import records
    from losslab import report as reports

    document = reports.document(records.find(runs), baseline=baseline, margin=margin, command=_command())
    document["report"] = str(reports.write(document, out))
    _print(document, f"{reports.table(document)}\n\nreport: {document['report']}", json)


# --- from flags to a configuration -------------------------------------------------------------

def _configure(preset, spec, sections, *, loss=None, seed=None, corpus=None, tokenizer=None, num_tokens=None,
               device=None) -> configuration.ExperimentConfig:
    """A preset or a specification, and the flags laid over it."""
    start = configuration.load(spec, preset) if spec is not None else configuration.preset(preset or "tiny")
    values = {name: _given(section) for name, section in sections.items()}
    values["data"] |= _known(corpus=corpus, tokenizer=tokenizer)
    values["train"] |= _known(num_tokens=num_tokens, device=device)
    return configuration.override(start, {**values, **_known(loss=loss, seed=seed)}, source="the flags")


def _given(section) -> dict:
    return {} if section is None else _known(**dataclasses.asdict(section))


def _known(**values) -> dict:
    return {name: value for name, value in values.items() if value is not None}


def _seeds(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.replace("_", "").split(",")]
    except ValueError:
        raise ValueError(f"--seeds takes a number or a list such as 3,5,8, got {text!r}") from None
    if "," in text:
        return numbers
    if numbers[0] < 1:
        raise ValueError(f"--seeds must be at least 1, got {text}")
    return list(range(numbers[0]))


# --- talking -----------------------------------------------------------------------------------

def _tell(text: str) -> None:
    """A line for people: on standard error, so that standard output stays the result's."""
    print(text, file=sys.stderr, flush=True)


class _Ticker:
    """One line that is written over on a terminal; elsewhere a plain line now and then."""

    def __init__(self, every_seconds: float = 15.0):
        self.every_seconds, self.last = every_seconds, 0.0

    def __call__(self, text: str) -> None:
        import time

        if sys.stderr.isatty():
            end = "\n" if ", 0 s left" in text else ""
            print(f"\r\033[K{text}", file=sys.stderr, flush=True, end=end)
        elif time.monotonic() - self.last >= self.every_seconds:
            self.last = time.monotonic()
            _tell(text)


def _on_line():
    """Progress of a single run: rate and remaining time, every second or so."""
    import time

    state = {"last": 0.0, "first": None}

    def show(line: dict) -> None:
        now = time.monotonic()
        if state["first"] is None:
            state["first"] = now, line["step"]
        if "tune/nll" not in line and now - state["last"] < 2 and line["step"] < line["num_steps"]:
            return
        state["last"] = now
        begun, first = state["first"]
        rate = (line["step"] - first) / max(now - begun, 1e-9)
        left = f", {(line['num_steps'] - line['step']) / rate:.0f} s left" if rate > 0 else ""
        values = "  ".join(f"{k} {line[k]:.4f}" for k in ("train/objective", "train/nll", "tune/nll") if k in line)
        tokens_per_second = line["tokens"] / max(line["seconds"], 1e-9)
        _tell(f"step {line['step']}/{line['num_steps']}  {values}  {tokens_per_second:,.0f} tokens/s{left}")

    return show


def _score(score: dict) -> str:
    from losslab.stats import Score

    return f"{Score.from_dict(score)} {score['unit']}"


def _print(document: dict, text: str, as_json: bool) -> None:
    print(jsons.dumps(document, indent=1, ensure_ascii=False, default=str) if as_json else text)


def _estimate_text(estimate: dict) -> str:
    return "\n".join([
        "arms:    " + "\n         ".join(estimate["arms"]),
        f"runs:    {estimate['runs']}, each {estimate['steps_per_run']:,} steps, {estimate['tokens_per_run']:,} tokens",
        f"tokens:  {estimate['tokens']:,} in all, {estimate['tokens_per_second']:,.0f} a second and run "
        f"({estimate['num_params']:,} parameters)",
        f"time:    about {estimate['seconds'] / 60:.1f} minutes of training, evaluation not counted",
        f"disk:    about {estimate['disk_bytes'] / 1e6:.0f} MB",
    ])


def _command() -> str:
    import shlex

    return shlex.join(["losslab", *sys.argv[1:]])


@contextmanager
def _one_sentence():
    """A user's mistake ends in one sentence and an exit code, never in a traceback."""
    from losslab.config import Errors

    try:
        yield
    except ModuleNotFoundError as error:
        _tell(f"error: {error}")
        sys.exit(MISSING_EXTRA)
    except Errors as error:
        _tell(f"error: {error}")
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        _tell("stopped at once")
        sys.exit(130)
    except Exception as error:
        if type(error).__name__ != "Stopped":  # the study's; naming its class here would load torch
            raise
        _tell(str(error))
        sys.exit(STOPPED)


def main(arguments: list[str] | None = None) -> None:
    with _one_sentence():
        try:
            code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        except CycloptsError as error:
            raise ValueError(str(error).strip()) from None
        code = code if isinstance(code, int) else OK
        if "WORLD_SIZE" in os.environ:  # started by torchrun: torch is loaded anyway
            from losslab import machine

            machine.leave(code)
        sys.exit(code)


if __name__ == "__main__":
    main()
