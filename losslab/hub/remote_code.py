"""The code with which `transformers` runs what its GPT-2 has no setting for: a logit transform, modern switches.

Of a transform these are its own file and one class. A model with modern switches has the whole file `MODERN_FILE`,
which nothing here imports.
"""

import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path

from losslab.config import ModelConfig
from losslab.formula import Transform
from losslab.hub.layout import CAPPED, MODERN, coded

FILE, MODERN_FILE = "modeling_losslab.py", Path(__file__).with_name("modeling_losslab.py")
TRANSFORMED_FILE = "transformed_losslab.py"
SOURCE = '''"""A GPT-2 with a transform of its logits; the mathematics is in the files next to this one."""

from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

{imports}


class LosslabConfig(GPT2Config):
    model_type = "{kind}"


class TransformedHead(nn.Linear):
    """The output weights, and what becomes of the logits, in float32."""

    def forward(self, hidden):
        logits = super().forward(hidden).float()
{calls}
        return logits


class LosslabGPT2(GPT2LMHeadModel):
    config_class = LosslabConfig

    def __init__(self, config):
        super().__init__(config)
        self.lm_head = TransformedHead(config.n_embd, config.vocab_size, bias=False)
        self.post_init()  # ties the new head
'''


TRANSFORMED = '''"""A model with a transform of its logits; the mathematics is in the files next to this one."""

from .modeling_losslab import LosslabModern, LosslabModernConfig

{imports}


class TransformedConfig(LosslabModernConfig):
    """Its own class: `transformers` remembers one model for each, and would take it for those without the transform."""


class TransformedLosslab(LosslabModern):
    config_class = TransformedConfig

    def transformed(self, logits):
{calls}
        return logits
'''


def needed(config: ModelConfig, transform: str) -> list[str]:
    """What of a model `transformers` has no setting for, in words; nothing for a plain GPT-2."""
    return ([f"the logit transform {transform}"] if transform else []) + [
        f"model.{name} {value}" for name, value in coded(config).items()]


def settings(config: ModelConfig, transform: str) -> dict:
    """What `config.json` says of a model that needs code, over what it says of a plain GPT-2; nothing for such a one.

    The model type is another one: a plain GPT-2 in its place would load without a word, and give other logits.
    """
    module = FILE.removesuffix(".py")
    if coded(config):
        kind, described, model = MODERN, f"{module}.LosslabModernConfig", f"{module}.LosslabModern"
        if transform:
            module = TRANSFORMED_FILE.removesuffix(".py")
            described, model = f"{module}.TransformedConfig", f"{module}.TransformedLosslab"
    elif transform:
        kind, described, model = CAPPED, f"{module}.LosslabConfig", f"{module}.LosslabGPT2"
    else:
        return {}
    return {"model_type": kind, "architectures": [model.rpartition(".")[2]],
            "auto_map": {"AutoConfig": described, "AutoModelForCausalLM": model}}


def write(folder: Path, config: ModelConfig, transforms: Sequence[Transform]) -> None:
    """The code files of a model, if it needs any: names of losslab's own, and numbers, and nothing else.

    Raises:
        ValueError: for a parameter that is not a number.
    """
    if coded(config):
        (folder / FILE).write_text(MODERN_FILE.read_text(encoding="utf-8"), encoding="utf-8")
    if not transforms:
        return
    calls, names = [], sorted({transform.name for transform in transforms})
    for transform in transforms:
        if not all(type(value) in (int, float) for _, value in transform.parameters):
            raise ValueError(f"{transform} has a parameter that is not a number, and code is made of numbers alone")
        given = "".join(f", {name}={value!r}" for name, value in transform.parameters)
        calls.append(f"        logits = {transform.name}(logits{given})")
    imports = [f"from .{name} import {name}" for name in names]
    file, source = (TRANSFORMED_FILE, TRANSFORMED) if coded(config) else (FILE, SOURCE)
    code = source.format(imports="\n".join(imports), kind=CAPPED, calls="\n".join(calls))
    (folder / file).write_text(code, encoding="utf-8")
    for name in names:
        source = inspect.getsource(importlib.import_module(f"losslab.transforms.{name}"))
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
