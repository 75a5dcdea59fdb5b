"""Recipes: TOML files in `losslab/recipes` that say how a model of each size is made and trained.

    about = "one sentence"
    sources = ["where its values come from"]
    [model]                # switches for every size
    [train]                # settings for every size
    [size.tiny.train]      # what this size changes; a size that has no table is one that the recipe does not know
"""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

from losslab.config.loading import override
from losslab.config.numbers import shown
from losslab.config.sections import ModelConfig, TrainConfig
from losslab.words import nearest

SECTIONS = ("model", "train")


class Recipe(NamedTuple):
    """A recipe as its file has it; `of` gives its settings for a size."""

    name: str
    about: str
    sources: tuple[str, ...]
    shared: Mapping[str, Mapping]
    sizes: Mapping[str, Mapping[str, Mapping]]

    def of(self, size: str, model: ModelConfig) -> tuple[ModelConfig, TrainConfig]:
        """The model of a size with the switches of this recipe, and how it is trained.

        Raises:
            ValueError: for a size that the recipe does not know, or that cannot have one of its switches.
        """
        if size not in self.sizes:
            raise ValueError(f"the recipe {self.name} does not say how the size {size} is trained; it says it for "
                             f"{', '.join(self.sizes)}")
        own = self.sizes[size]
        values = {name: {**self.shared.get(name, {}), **own.get(name, {})} for name in SECTIONS}
        source = f"{self.name}.toml"
        return (override(model, values["model"], source=source, prefix="model."),
                override(TrainConfig(), values["train"], source=source, prefix="train."))


def names() -> tuple[str, ...]:
    """In the order of the alphabet."""
    return tuple(sorted(each.name.removesuffix(".toml") for each in _folder().iterdir() if each.name.endswith(".toml")))


def load(name: str) -> Recipe:
    """The recipe of that name, one of `names()`.

    Example:
        >>> load("classic").about
        "GPT-2's training: AdamW, a linear warm-up, and a cosine to a tenth of the peak"
    """
    return parse(name, _folder().joinpath(f"{name}.toml").read_text("utf-8"))


def parse(name: str, text: str) -> Recipe:
    """The recipe in the text of a file; every field that it names is one of a configuration.

    Raises:
        ValueError: in one sentence, naming the field that is none, or of the wrong kind.
    """
    source = f"{name}.toml"
    try:
        values = tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"{source} is not a readable recipe: {error}") from None
    _known(values, ("about", "sources", *SECTIONS, "size"), "", source)
    sizes = _table(values.get("size", {}), "size", source)
    for size, table in sizes.items():
        _known(_table(table, f"size.{size}", source), SECTIONS, f"size.{size}.", source)
        for section, settings in table.items():
            _table(settings, f"size.{size}.{section}", source)
    shared = {section: _table(values.get(section, {}), section, source) for section in SECTIONS}
    return Recipe(name, values.get("about", ""), tuple(values.get("sources", ())), shared, sizes)


def _known(table: Mapping, names: tuple[str, ...], prefix: str, source: str) -> None:
    for key in table:
        if key not in names:
            raise ValueError(f"unknown field {prefix}{key} in {source}{nearest(key, names)}")


def _table(value: object, name: str, source: str) -> Mapping:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} in {source} is a table of settings, got {shown(value)}")
    return value


def _folder():
    return resources.files("losslab").joinpath("recipes")
