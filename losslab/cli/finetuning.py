"""finetune: training that starts from weights, under the name that it is looked for by."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab import config as configuration
from losslab.cli import training
from losslab.cli.application import app
from losslab.cli.flags import (
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
    Threads,
    Track,
    Train,
    Trust,
    configure,
    given,
    known,
)
from losslab.cli.speech import Ticker, command_line, tell
from losslab.config.numbers import check

MOST_EPOCHS = 10_000
Text = Annotated[str | None, Parameter(name="--data", help="alpaca.json, FILE.jsonl, a text, or owner/name.")]
Epochs = Annotated[float | None, Parameter(help="How often each row of the training data is seen, as the horizon.")]


@Parameter(name="*")
@dataclass
class Settings:
    """The sections of a configuration, as flags."""

    data: Data = None
    model: Model = None
    train: Train = None
    evaluate: Evaluate = None


@app.command(sort_key=2)
def finetune(
    start: Path, *, text: Text = None, loss: str | None = None, epochs: Epochs = None, preset: Preset = None,
    size: Size = None, recipe: Recipe = None, seed: Seed = None, num_tokens: NumTokens = None, device: Device = None,
    numerics: Numerics = None, threads: Threads = 0, out: Path | None = None, trust: Trust = None,
    track: Track = None, json: Json = False, settings: Settings | None = None,
):
    """Fine-tune a trained or an imported model on instruction data or any text.

    A short name for `losslab train --start RUN --corpus DATA`, with the same flags; it prints that command line.

    Parameters
    ----------
    start
        A run folder, an imported model, or the folder of a GPT2LMHeadModel, which is imported first.
    loss
        The objective's formula, or the path of a loss file.
    threads
        CPU threads; 0 as the environment says.
    out
        The run folder; runs/<name> unless given.
    """
    settings = settings or Settings()
    sections = {name: getattr(settings, name) for name in ("data", "model", "train", "evaluate")}
    corpus = _data(text, given(settings.data))
    folder = _imported(start)
    train = settings.train
    if epochs is not None:
        steps = _steps(epochs, configure(
            preset, None, sections, size=size, recipe=recipe, loss=loss, seed=seed, corpus=corpus, start=str(folder),
            device=device, numerics=numerics), num_tokens, given(train))
        tell(f"{epochs:g} epochs are {steps:,} updates (train.num_steps)")
        fields = {**(vars(train) if train else {}), "num_steps": steps}
        train = type(train)(**fields) if train else _of(Train, num_steps=steps)
    tell(f"the same as: {_as_train(start, folder, corpus, epochs, train)}")
    return training.train(
        None, loss=loss, corpus=corpus, preset=preset, size=size, recipe=recipe, start=str(folder), seed=seed,
        num_tokens=num_tokens, device=device, numerics=numerics, threads=threads, out=out, trust=trust, track=track,
        json=json, data=settings.data, model=settings.model, train=train, evaluate=settings.evaluate,
    )


def _data(text: str | None, data: dict) -> str:
    if text is None and "corpus" not in data:
        raise ValueError("losslab finetune needs the text to train on, such as --data alpaca.json")
    if text is not None and "corpus" in data:
        raise ValueError("--data and --data.corpus name the same text; give one of them")
    return text if text is not None else data["corpus"]


def _imported(start: Path) -> Path:
    """`start`, or where it was imported to if it is a model of transformers."""
    if (start / "spec.json").exists() or not (start / "config.json").is_file():
        return start  # what is neither is said by what reads it
    from losslab import hub

    folder = Path("models") / start.resolve().name
    if not (folder / "spec.json").exists():
        hub.import_model(str(start), folder, tell=tell)
        tell(f"{start} is imported as {folder}")
    return folder


def _of(section, **values):
    return section.__origin__.__args__[0](**values)  # the class behind `Annotated[... | None]`


def _steps(epochs: float, config: configuration.ExperimentConfig, num_tokens: int | None, train: dict) -> int:
    """Updates in which each row of the training data is seen so often."""
    check("--epochs", epochs, 0, MOST_EPOCHS)
    if epochs == 0 or num_tokens is not None or train.keys() & {"num_tokens", "num_steps"}:
        raise ValueError("--epochs, --num-tokens and --train.num-steps each set the horizon; give one of them, more "
                         "than 0")
    from losslab import start
    from losslab.corpus import Corpus
    from losslab.experiment.epochs import updates

    begun = start.read(config.start)
    corpus = Corpus.open(config.data, tokenizer=begun.tokenizer, progress=Ticker())
    config = begun.settle(replace(config, train=replace(config.train, num_tokens=0, num_steps=1, warmup_steps=0)))
    return updates(config, corpus, epochs)


def _as_train(start: Path, folder: Path, corpus: str, epochs: float | None, train) -> str:
    """The command line of `losslab train` that does the same."""
    typed = shlex.split(command_line())
    words, skip = [], 0
    for word in typed[typed.index("finetune") + 1 :] if "finetune" in typed else []:
        name = word.partition("=")[0]
        if skip or name in ("--data", "--epochs", "--data.corpus") or Path(word) == start:
            skip = 0 if skip else int("=" not in word and name in ("--data", "--epochs", "--data.corpus"))
            continue
        words.append(word)
    steps = ["--train.num-steps", str(known(**vars(train))["num_steps"])] if epochs is not None else []
    return shlex.join(["losslab", "train", "--start", str(folder), "--corpus", corpus, *steps, *words])
