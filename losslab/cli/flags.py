"""What many commands take: the flags of a configuration, and how they are laid over a preset or a specification."""

import dataclasses
import re
import typing
from collections.abc import Callable, Sequence
from typing import Annotated

from cyclopts import Group, Parameter, UnknownOptionError
from docstring_parser import parse_from_object

from losslab import config as configuration
from losslab.config import rates
from losslab.config.numbers import MAX_SEEDS, MAX_WORKERS, check, check_margin, shown, whole
from losslab.words import nearest


def _whole(kind, tokens) -> int:
    return whole(tokens[0].value)


WHOLE = Parameter(converter=_whole, n_tokens=1)
Whole = Annotated[int, WHOLE]  # a flag that also takes 100k, 1e6 and 2.5M


def _flags(section: type) -> type:
    """The fields of a configuration section as optional flags, with their help; None means not given."""
    meaning = {p.arg_name: p.description for p in parse_from_object(section).params}
    hints = typing.get_type_hints(section)
    group = Group(f"Settings: {section.__name__.removesuffix('Config').lower()}")
    flags = []
    for field in dataclasses.fields(section):
        about = Parameter(help=meaning.get(field.name), group=group, show_default=False, negative="")
        about = Parameter.combine(about, WHOLE) if hints[field.name] in (int, int | None) else about
        flags.append((field.name, Annotated[hints[field.name] | None, about], dataclasses.field(default=None)))
    return dataclasses.make_dataclass(section.__name__, flags)


_KEYS = Parameter(accepts_keys=True, show=True)
Data = Annotated[_flags(configuration.DataConfig) | None, _KEYS]
Model = Annotated[_flags(configuration.ModelConfig) | None, _KEYS]
Train = Annotated[_flags(configuration.TrainConfig) | None, _KEYS]
Evaluate = Annotated[_flags(configuration.EvaluateConfig) | None, _KEYS]
Json = Annotated[bool, Parameter(negative="", help="Print one JSON document on standard output, and nothing else.")]
Corpus = Annotated[str | None, Parameter(help="`tales`, `pydoc`, a path, or the name of a hub data set.")]
Tokenizer = Annotated[str | None, Parameter(help="`bytes`, `char`, `bpe:N`, `wordpiece:N`, `unigram:N` or `gpt2`.")]
Preset = Annotated[str | None, Parameter(
    help=f"A size, a recipe and data in one word: {', '.join(configuration.PRESETS)}.",
)]  # fmt: skip
Size = Annotated[str | None, Parameter(
    help=f"How large the model is, in place of a preset: {', '.join(configuration.SIZES)}.",
)]  # fmt: skip
Recipe = Annotated[str | None, Parameter(
    help=f"How it is made and trained, in place of a preset: {' or '.join(configuration.RECIPES)}.",
)]  # fmt: skip
NumTokens = Annotated[int | None, WHOLE, Parameter(help="Training tokens of one run, such as 500_000, 500k or 1e6.")]
Seed = Annotated[int | None, WHOLE, Parameter(help="Seed of weights, data order and dropout.")]
Device = Annotated[str | None, Parameter(help="`auto`, `cpu`, `cuda` or `mps`.")]
Numerics = Annotated[str | None, Parameter(
    help="Products of the model on a CPU: `auto`, `fast`, or `reference`, which is PyTorch's own.",
)]  # fmt: skip
Start = Annotated[str | None, Parameter(help="Run or imported model whose weights training starts from.")]
Threads = Annotated[int, WHOLE, Parameter(help="CPU threads of a run.")]
Track = Annotated[str | None, Parameter(
    help="Pass the numbers of each run on to `tensorboard`, `wandb` or `trackio`; to none unless asked.",
)]  # fmt: skip
Trust = Annotated[list[str] | None, Parameter(
    negative="", help="The sha256 of a loss file that may be run although you never named it here; once for each file.",
)]  # fmt: skip


def configure(preset, spec, sections, *, size=None, recipe=None, loss=None, seed=None, corpus=None, tokenizer=None,
              num_tokens=None, device=None, numerics=None, start=None) -> configuration.ExperimentConfig:
    """A preset, a size and a recipe, or a specification, and the flags laid over it."""
    parts = {"preset": check_parts(preset, size, recipe), "size": size, "recipe": recipe}
    begun = configuration.chosen(**known(**parts)) if spec is None else configuration.load(spec, **known(**parts))
    values = {name: given(section) for name, section in sections.items()}
    if start is not None:
        fixed = [f"--model.{name.replace('_', '-')}" for name in values["model"] if name != "dropout"]
        if fixed := fixed + ["--tokenizer"] * ("tokenizer" in values["data"] or tokenizer is not None):
            raise ValueError(f"--start {start} brings its own model and tokenizer; leave out {', '.join(fixed)}")
    values["data"] |= known(corpus=corpus, tokenizer=tokenizer)
    values["train"] |= known(num_tokens=num_tokens, device=device, numerics=numerics)
    return configuration.override(begun, {**values, **known(loss=loss, seed=seed, start=start)}, source="the flags")


def check_parts(preset: str | None, size: str | None, recipe: str | None) -> str | None:
    """The preset; an error if what it says is said by another flag, too."""
    if preset is not None and (parts := [f"--{name}" for name in known(size=size, recipe=recipe)]):
        raise ValueError(f"--preset is a size, a recipe and data in one word; give --preset or {' and '.join(parts)}")
    return preset


def given(section) -> dict:
    return {} if section is None else known(**dataclasses.asdict(section))


def known(**values) -> dict:
    return {name: value for name, value in values.items() if value is not None}


def completed(losses: Sequence[str], tell: Callable[[str], None]) -> tuple[str, ...]:
    """The formulas that were typed, each as it is trained; what was added to one is told."""
    from losslab import formula

    found = []
    for text in losses:
        whole = text if text.endswith(".toml") else formula.completed(text)
        if whole != text:
            tell(f"{text} is published as a part of {whole}, which is trained")
        found.append(whole)
    return tuple(found)


def seed_list(text: str) -> list[int]:
    """The seeds of `--seeds`: how many (`5` is 0 to 4), or a list of numbers and ranges such as `0-4,7`.

    Raises:
        ValueError: for what is neither, or more than anybody can train.
    """
    parts, seeds = text.split(","), []
    try:
        if len(parts) == 1 and "-" not in text.strip()[1:]:
            count = whole(text)
            check("--seeds", count, 1, MAX_SEEDS, "replicates of one arm")
            return list(range(count))
        for part in parts:
            first, dash, last = part.strip().partition("-")
            low, high = whole(first), whole(last if dash else first)
            if high < low:
                raise ValueError(f"--seeds takes ranges such as 0-4, from the lower number on, got {shown(part)}")
            check("--seeds", high - low + 1 + len(seeds), 1, MAX_SEEDS, "replicates of one arm")
            seeds += range(low, high + 1)
    except ValueError as error:
        if "--seeds" in str(error):
            raise
        raise ValueError(f"--seeds takes a number, or a list such as 3,5,8 or 0-4, got {shown(text)}") from None
    return seeds


def workers_of(workers: int) -> int:
    """`--workers`, checked."""
    check("--workers", workers, 1, MAX_WORKERS, "processes at once")
    return workers


def margin_of(margin: float) -> float:
    """`--margin`, checked."""
    return check_margin("--margin", margin)


def threads_of(threads: int, tell) -> int:
    """`--threads`, checked, and at most one a core: more only wait for each other."""
    from losslab import machine

    check("--threads", threads, 0, machine.MAX_THREADS)
    if threads > (cores := machine.cores()):
        tell(f"--threads {threads} is more than the {cores} core{'s' * (cores > 1)} of this machine; {cores} are used")
        return cores
    return threads


def trusted(hashes: list[str] | None) -> tuple[str, ...]:
    """`--trust`, checked: the sha256 of source texts, in lower case."""
    for given_hash in hashes or ():
        if not re.fullmatch("[0-9a-fA-F]{64}", given_hash):
            raise ValueError(f"--trust takes the sha256 of a loss file, 64 hexadecimal digits, got {shown(given_hash)}")
    return tuple(each.lower() for each in hashes or ())


def current(arguments: list[str]) -> list[str]:
    """The arguments with every flag under its name of today: `--model.num-positions` for `--model.max-seq-len`."""
    found = []
    for argument in arguments:
        section, _, field = argument.partition("=")[0].rpartition(".")
        new = configuration.RENAMED.get(field.replace("-", "_")) if section.startswith("--") else None
        found.append(argument.replace(field, new.replace("_", "-"), 1) if new else argument)
    return found


def unknown(error: UnknownOptionError) -> str:
    """The sentence on a flag that is none: the flag that another program's name, or a bare field, means here."""
    keyword = (error.token.keyword or error.token.value).split("=")[0]
    flags = [name for argument in error.argument_collection if argument.parse for name in argument.names]
    bare = keyword.lstrip("-").replace("_", "-")
    if bare.rpartition(".")[2] in (rates.OLD.replace("_", "-"), "min-lr"):
        return rates.ADVICE
    section, _, field = (configuration.synonym(bare) or bare).replace("_", "-").rpartition(".")
    ends = [flag for flag in flags if flag.lstrip("-").rpartition(".")[2] == field]
    exact = [flag for flag in ends if flag in (f"--{field}", f"--{section}.{field}")]
    if ends:
        return f"unknown flag {shown(keyword)[1:-1]}; did you mean {min(exact or ends, key=len)}?"
    verb = " ".join(["losslab", *(error.command_chain or ())])
    remedy = nearest(keyword, flags, cutoff=0.65) or f"; `{verb} --help` shows its flags"
    return f"unknown flag {shown(keyword)[1:-1]}{remedy}"
