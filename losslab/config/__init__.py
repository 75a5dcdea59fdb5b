"""Every setting of an experiment, the presets, and how they are read from files and flags."""

from losslab.config.presets import PRESETS, preset
from losslab.config.reading import Errors, digest, from_dict, load, override, to_dict
from losslab.config.sections import (
    IGNORE_INDEX,
    LOOKS,
    DataConfig,
    EvaluateConfig,
    ExperimentConfig,
    ModelConfig,
    TrainConfig,
)
from losslab.config.synonyms import nearest, synonym

__all__ = [
    "IGNORE_INDEX", "LOOKS", "PRESETS", "DataConfig", "Errors", "EvaluateConfig", "ExperimentConfig", "ModelConfig",
    "TrainConfig", "digest", "from_dict", "load", "nearest", "override", "preset", "synonym", "to_dict",
]  # fmt: skip
