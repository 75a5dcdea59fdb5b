"""Sizes, recipes and data, each chosen apart, and the presets: a name for one of each.

A size is how large a model is. A recipe says how each size that it knows is made and trained: switches of the model,
optimizer, rates, batches and number of tokens. Data are a corpus, its tokenizer, and how much of it is used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from losslab.config import recipes
from losslab.config.identity import DEFAULTS
from losslab.config.loading import flatten, override, read_table, to_dict
from losslab.config.numbers import shown
from losslab.config.sections import DataConfig, EvaluateConfig, ExperimentConfig, ModelConfig
from losslab.words import nearest


def _gpt2(n_layer: int, n_head: int, n_embd: int) -> ModelConfig:
    return ModelConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd, num_positions=1024)


SIZES: dict[str, ModelConfig] = {
    "tiny": ModelConfig(n_layer=2, n_head=4, n_embd=96, num_positions=128),
    "char": ModelConfig(n_layer=4, n_head=4, n_embd=128, num_positions=64),
    "story-3m": ModelConfig(n_layer=6, n_head=8, n_embd=64, num_positions=128),
    "gpt2": _gpt2(12, 12, 768),
    "gpt2-medium": _gpt2(24, 16, 1024),
    "gpt2-large": _gpt2(36, 20, 1280),
    "gpt2-xl": _gpt2(48, 25, 1600),
}
SWITCHES = ("model.position_embedding", "model.norm", "model.qk_norm", "model.activation", "model.zero_init",
            "train.optimizer", "train.schedule")  # what a recipe is told by; rates are tuned
RECIPES: dict[str, recipes.Recipe] = {name: recipes.load(name) for name in recipes.names()}


class Data(NamedTuple):
    text: DataConfig
    evaluate: EvaluateConfig = EvaluateConfig()


DATA: dict[str, Data] = {
    "tales-small": Data(DataConfig(max_bytes=4_000_000, val_bytes=200_000, tune_bytes=100_000),
                        EvaluateConfig(tune_tokens=8192)),
    "tales-characters": Data(DataConfig(tokenizer="char")),
    "tinystories": Data(DataConfig(corpus="tinystories", tokenizer="gpt2")),
    "openwebtext": Data(DataConfig(corpus="openwebtext", tokenizer="gpt2", max_bytes=40_000_000_000)),
}


class Preset(NamedTuple):
    """A name in each of `SIZES`, `RECIPES` and `DATA`."""

    size: str
    recipe: str
    data: str


PRESETS: dict[str, Preset] = {
    "tiny": Preset("tiny", "classic", "tales-small"),  # the demo: half a minute a run on one core
    "char": Preset("char", "classic", "tales-characters"),  # nanoGPT's CPU run on Shakespeare's characters
    "story-3m": Preset("story-3m", "classic", "tinystories"),  # a small story model with GPT-2's vocabulary
    "gpt2": Preset("gpt2", "classic", "openwebtext"),
    "gpt2-medium": Preset("gpt2-medium", "classic", "openwebtext"),
    "gpt2-large": Preset("gpt2-large", "classic", "openwebtext"),
    "gpt2-xl": Preset("gpt2-xl", "classic", "openwebtext"),
}


def preset(name: str) -> ExperimentConfig:
    """The named preset; an unknown name is answered with the nearest one."""
    return combined(*_find("preset", name, PRESETS))


def combined(size: str, recipe: str, data: str) -> ExperimentConfig:
    """A model of this size, trained by this recipe on these data.

    Raises:
        ValueError: for an unknown name, or a size that the recipe does not know.

    Example:
        >>> combined("tiny", "classic", "tinystories").data.tokenizer
        'gpt2'
    """
    sizes, known, used = _find("size", size, SIZES), _find("recipe", recipe, RECIPES), _find("data", data, DATA)
    model, train = known.of(size, sizes)
    return ExperimentConfig(model=model, train=train, data=used.text, evaluate=used.evaluate)


def chosen(*, preset: str = "", size: str = "", recipe: str = "", data: str = "") -> ExperimentConfig:
    """The configuration that a preset names, or a size, a recipe and data; `tiny` where nothing is given.

    Of size, recipe and data, what is not given is as in the preset of that size, or as in `tiny` without a size.

    Raises:
        ValueError: for an unknown name, or a preset together with one of the others.

    Example:
        >>> chosen(size="char", recipe="modern").data.tokenizer, chosen(recipe="modern").model.n_layer
        ('char', 2)
    """
    parts = _given(size=size, recipe=recipe, data=data)
    if not parts:
        return combined(*_find("preset", preset if _given(preset=preset) else "tiny", PRESETS))
    if _given(preset=preset):
        raise ValueError(f"a preset is a size, a recipe and data in one word; give preset or {', '.join(parts)}")
    return combined(**PRESETS.get(str(size), PRESETS["tiny"])._asdict() | parts)


def recipe_of(config: Mapping) -> str:
    """The recipe that made a configuration, as words: by the switches of the model, the optimizer and the schedule.

    Args:
        config: the tables of one, as `to_dict` gives them; what it leaves out is as it was before there were recipes.

    Example:
        >>> recipe_of(to_dict(chosen(size="char", recipe="modern")))
        'modern'
        >>> recipe_of({"train": {"schedule": "wsd"}})
        'classic with train.schedule wsd'
    """
    own = {name: flatten(config).get(name, DEFAULTS[name]) for name in SWITCHES}
    best: tuple[str, dict] | None = None
    for name, recipe in RECIPES.items():
        for size in recipe.sizes:
            theirs = flatten(dict(zip(recipes.SECTIONS, map(to_dict, recipe.of(size, SIZES[size])), strict=True)))
            other = {key: value for key, value in own.items() if value != theirs[key]}
            if best is None or len(other) < len(best[1]):
                best = name, other
    name, other = best
    told = ", ".join(f"{key} {str(value).lower() if isinstance(value, bool) else str(value)[:40]}"
                     for key, value in other.items())
    return f"{name} with {told}" if told else name


def laid_over(own: Mapping[str, object], **given: object) -> dict[str, object]:
    """What `chosen` takes: the names of a file, and those that are given in their place.

    A preset takes the place of all; a size, a recipe or data that of the file's, or of its preset's.

    Example:
        >>> laid_over({"preset": "char"}, recipe="modern")
        {'size': 'char', 'recipe': 'modern', 'data': 'tales-characters'}
    """
    given, own = _given(**given), _given(**own)
    if "preset" in given:
        return given
    if given and "preset" in own:
        own = {**_find("preset", own.pop("preset"), PRESETS)._asdict(), **own}
    return own | given


def load(path: str | Path, **given: str) -> ExperimentConfig:
    """A configuration from a TOML or JSON file, laid over its `preset`, or its `size` and `recipe`, or over `tiny`.

    Args:
        path: of the file.
        given: preset, size and recipe in place of those of the file.

    Raises:
        ValueError: for a file that is no specification, or holds a field or a value that cannot be.
        OSError: for a file that is not there, or cannot be read.
    """
    path, values = Path(path), read_table(path)
    own = {key: values.pop(key) for key in ("preset", "size", "recipe") if key in values}
    return override(chosen(**laid_over(own, **given)), values, source=path.name)


def _given(**names: object) -> dict[str, object]:
    return {key: name for key, name in names.items() if name is not None and name != ""}


def _find(kind: str, name: object, among: Mapping):
    if not isinstance(name, str) or name not in among:
        are = "data are" if kind == "data" else f"{kind}s are"
        raise ValueError(f"unknown {kind} {shown(name)}{nearest(str(name), among)}; the {are} {', '.join(among)}")
    return among[name]
