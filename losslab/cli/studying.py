"""What `losslab compare` was asked: a study, from its file, from flags, or from a file with flags laid over it."""

import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from losslab.cli.flags import (
    WHOLE,
    Corpus,
    Data,
    Device,
    Evaluate,
    Model,
    Numerics,
    NumTokens,
    Preset,
    Recipe,
    Size,
    Start,
    Tokenizer,
    Train,
    check_parts,
    given,
    known,
    margin_of,
    seed_list,
)
from losslab.config import flatten
from losslab.config.numbers import shown

TRAIN = {"num_tokens": "train.num_tokens", "device": "train.device", "numerics": "train.numerics"}


def _help(text: str, **more) -> Parameter:
    return Parameter(help=text, **more)


@Parameter(name="*")
@dataclass
class Asked:
    """The flags that make a study, or change one that stands in a file."""

    arm: Annotated[list[str] | None, _help(
        'An arm with settings of its own, such as "squentropy; train.learning-rate=2e-3; label=slow"; may be repeated.',
        negative="")] = None  # fmt: skip
    corpus: Corpus = None
    tokenizer: Tokenizer = None
    preset: Preset = None
    size: Size = None
    recipe: Recipe = None
    start: Start = None
    seeds: Annotated[str | None, _help("How many seeds (5, the default, is 0 to 4), or a list: 3,5,8 or 0-4.")] = None
    num_tokens: NumTokens = None
    device: Device = None
    numerics: Numerics = None
    baseline: Annotated[str | None, _help(
        "The arm that others are compared with; cross_entropy if it is one of them, else the first.")] = None
    margin: Annotated[float | None, _help("The difference in nats/token that would matter; 0.002.")] = None
    tune: Annotated[str | None, _help(
        'Tune each arm alike first, such as "learning_rate=5": five trials each, judged on the tune split.')] = None
    tune_seeds: Annotated[int | None, WHOLE, _help("Seeds of each trial.")] = None
    race: Annotated[str | None, _help(
        "Look at these numbers of seeds, such as 4,8,16, and stop the arms that are settled.")] = None
    final: Annotated[bool, _help("Declare that this look is the last one: it spends all of the error rate.",
                                 negative="")] = False
    match: Annotated[Literal["tokens", "time", "flops"] | None, _help("What all arms are given alike; tokens.")] = None
    tasks: Annotated[str | None, _help(
        "Names such as likelihood,blimp: their scores next to each other, paired over seeds, on a page apart.")] = None
    benchmarks: Annotated[Path | None, _help(
        "A folder with benchmark files for the tasks; without one they come from the hub.")] = None
    name: Annotated[str | None, _help("Of the study: its folder is runs/NAME, and its file is kept there.")] = None
    best: Annotated[int | None, WHOLE, _help(
        "Of a study that was run, runs/NAME: its best so many arms, baseline and worst arm again, under other flags.")
    ] = None
    data: Data = None
    model: Model = None
    train: Train = None
    evaluate: Evaluate = None

    def settings(self) -> dict[str, object]:
        """Dotted setting -> value, of all flags that are settings."""
        sections = {name: given(getattr(self, name)) for name in ("data", "model", "train", "evaluate")}
        return flatten(sections) | known(**{TRAIN[name]: getattr(self, name) for name in TRAIN})


def study(words: Sequence[str], asked: Asked):
    """The study that is asked, and whether a file says it.

    Args:
        words: formulas, paths of loss files, or one path of a study file.
        asked: the flags; they replace what the file says, and losses and arms are added to it.

    Raises:
        ValueError: for what no study can be.
    """
    from losslab.study import of_file, of_losses

    files = _folders(words, asked) or [word for word in words if word.endswith(".toml")]
    if files and len(words) > 1:
        raise ValueError(f"{files[0]} is a study, which has its own arms; add others by --arm, or name losses alone")
    _check_start(asked)
    values = known(
        corpus=asked.corpus, tokenizer=asked.tokenizer, start=asked.start, baseline=asked.baseline, name=asked.name,
        match=asked.match, benchmarks=asked.benchmarks and str(asked.benchmarks),
        seeds=asked.seeds and tuple(seed_list(asked.seeds)), race=asked.race and tuple(_numbers(asked.race)),
        margin=None if asked.margin is None else margin_of(asked.margin), final=asked.final or None,
        tasks=asked.tasks and tuple(task.strip() for task in asked.tasks.split(",")),
        preset=check_parts(asked.preset, asked.size, asked.recipe), size=asked.size, recipe=asked.recipe,
    ) | ({"tune": _tuning(asked)} if asked.tune is not None or asked.tune_seeds else {})
    more = {"arms": tuple(map(_arm, asked.arm or ())), "values": values, "settings": asked.settings()}
    if files:
        return of_file(files[0], best=asked.best, **more), True
    return of_losses(words or (() if asked.arm else ("cross_entropy",)), **more), False


def _folders(words: Sequence[str], asked: Asked) -> list[str]:
    """The folder of a study, of which the best arms are asked."""
    if asked.best is not None:
        if len(words) != 1 or words[0].endswith(".toml"):
            raise ValueError(f"--best goes with the folder of one study that was run, such as runs/NAME; got "
                             f"{', '.join(words) or 'none'}")
        return list(words)
    for word in words:
        if os.path.isfile(os.path.join(word, "study.toml")):  # no error for a formula as long as no path is
            raise ValueError(f"{word} is the folder of a study; `losslab compare {word}/study.toml` continues with it, "
                             f"and `losslab compare {word} --best 3 --recipe classic` runs its best arms again")
    return []


def _check_start(asked: Asked) -> None:
    if asked.start is None:
        return
    fixed = [f"--model.{name.replace('_', '-')}" for name in given(asked.model) if name != "dropout"]
    if fixed := fixed + ["--tokenizer"] * ("tokenizer" in given(asked.data) or asked.tokenizer is not None):
        raise ValueError(f"--start {asked.start} brings its own model and tokenizer; leave out {', '.join(fixed)}")


def _arm(text: str):
    """`squentropy; train.learning-rate=2e-3; label=slow`."""
    from losslab.study import Arm

    loss, *parts = (part.strip() for part in text.split(";"))
    values: dict[str, object] = {}
    for part in filter(None, parts):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not value:
            raise ValueError(f"--arm takes a formula and NAME=VALUE, parted by semicolons, got {shown(part)} in "
                             f"{shown(text)}")
        values[key.replace("-", "_")] = value if key == "label" else _typed(value)
    if not loss:
        raise ValueError(f"--arm begins with the formula of a loss, got {shown(text)}")
    return Arm(loss, str(values.pop("label", "")), values)


def _typed(text: str) -> object:
    """A value as TOML would read it; what it cannot read is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except (ValueError, RecursionError):
        return text


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--race takes numbers of seeds such as 4,8,16, got {shown(text)}") from None


def _tuning(asked: Asked) -> dict:
    from losslab.tune import Tuning

    if asked.tune is None:
        raise ValueError("--tune-seeds goes with --tune")
    table = Tuning.parse(asked.tune).to_dict()
    return table | ({"seeds": asked.tune_seeds} if asked.tune_seeds else {})
