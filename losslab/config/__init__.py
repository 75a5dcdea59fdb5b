"""Every setting of an experiment, the presets, and how they are read from files and flags."""

from losslab.config.horizon import Growth
from losslab.config.identity import DEFAULTS, VERSION, identity, instead, outside, settings
from losslab.config.loading import Errors, digest, flatten, from_dict, override, read_table, to_dict
from losslab.config.presets import DATA, PRESETS, RECIPES, SIZES, chosen, combined, laid_over, load, preset, recipe_of
from losslab.config.sections import (
    IGNORE_INDEX,
    DataConfig,
    EvaluateConfig,
    ExperimentConfig,
    ModelConfig,
    TrainConfig,
)
from losslab.config.synonyms import RENAMED, synonym

__all__ = [
    "DATA", "DEFAULTS", "IGNORE_INDEX", "PRESETS", "RECIPES", "RENAMED", "SIZES", "VERSION", "DataConfig", "Errors",
    "EvaluateConfig", "ExperimentConfig", "Growth", "ModelConfig", "TrainConfig", "chosen", "combined", "digest",
    "flatten", "from_dict", "identity", "instead", "laid_over", "load", "outside", "override", "preset", "read_table",
    "recipe_of", "settings", "synonym", "to_dict",
]  # fmt: skip
