"""A study in stages: a model is trained, tuned, made to write, and judged, each stage going on from those before."""

from losslab.stages.conducting import Asked, conduct
from losslab.stages.planning import estimate
from losslab.stages.registry import load, names, text

__all__ = ["Asked", "conduct", "estimate", "load", "names", "text"]
