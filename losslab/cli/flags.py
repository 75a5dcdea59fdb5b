"""What many verbs take: the flags of a configuration, and how they are laid over a preset or a specification."""

import dataclasses
import typing
from typing import Annotated

from cyclopts import Group, Parameter
from docstring_parser import parse_from_object

from losslab import config as configuration


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
Start = Annotated[str | None, Parameter(help="Run or imported model whose weights training starts from.")]
Threads = Annotated[int, Parameter(help="CPU threads of a run.")]


def configure(preset, spec, sections, *, loss=None, seed=None, corpus=None, tokenizer=None, num_tokens=None,
              device=None, start=None) -> configuration.ExperimentConfig:
    """A preset or a specification, and the flags laid over it."""
    begun = configuration.load(spec, preset) if spec is not None else configuration.preset(preset or "tiny")
    values = {name: given(section) for name, section in sections.items()}
    if start is not None:
        fixed = [f"--model.{name.replace('_', '-')}" for name in values["model"] if name != "dropout"]
        if fixed := fixed + ["--tokenizer"] * ("tokenizer" in values["data"] or tokenizer is not None):
            raise ValueError(f"--start {start} brings its own model and tokenizer; leave out {', '.join(fixed)}")
    values["data"] |= known(corpus=corpus, tokenizer=tokenizer)
    values["train"] |= known(num_tokens=num_tokens, device=device)
    return configuration.override(begun, {**values, **known(loss=loss, seed=seed, start=start)}, source="the flags")


def given(section) -> dict:
    return {} if section is None else known(**dataclasses.asdict(section))


def known(**values) -> dict:
    return {name: value for name, value in values.items() if value is not None}


def seed_list(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.replace("_", "").split(",")]
    except ValueError:
        raise ValueError(f"--seeds takes a number or a list such as 3,5,8, got {text!r}") from None
    if "," in text:
        return numbers
    if numbers[0] < 1:
        raise ValueError(f"--seeds must be at least 1, got {text}")
    return list(range(numbers[0]))
