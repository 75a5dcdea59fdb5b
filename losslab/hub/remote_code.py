"""The little code with which `transformers` applies a logit transform: the transforms' own files, and one class."""

import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path

from losslab.formula import Transform
from losslab.hub.layout import CAPPED

FILE = "modeling_losslab.py"
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


def settings() -> dict:
    """What `config.json` says of a model with a logit transform, over what it says of a plain one.

    The model type is another one: a plain GPT-2 in its place would load without a word, and give other logits.
    """
    module = FILE.removesuffix(".py")
    return {"model_type": CAPPED, "architectures": ["LosslabGPT2"],
            "auto_map": {"AutoConfig": f"{module}.LosslabConfig", "AutoModelForCausalLM": f"{module}.LosslabGPT2"}}


def write(folder: Path, transforms: Sequence[Transform]) -> None:
    """The code files of a model with these transforms: names of losslab's own, and numbers, and nothing else.

    Raises:
        ValueError: for a parameter that is not a number.
    """
    calls, names = [], sorted({transform.name for transform in transforms})
    for transform in transforms:
        if not all(type(value) in (int, float) for _, value in transform.parameters):
            raise ValueError(f"{transform} has a parameter that is not a number, and code is made of numbers alone")
        given = "".join(f", {name}={value!r}" for name, value in transform.parameters)
        calls.append(f"        logits = {transform.name}(logits{given})")
    imports = [f"from .{name} import {name}" for name in names]
    code = SOURCE.format(imports="\n".join(imports), kind=CAPPED, calls="\n".join(calls))
    (folder / FILE).write_text(code, encoding="utf-8")
    for name in names:
        source = inspect.getsource(importlib.import_module(f"losslab.transforms.{name}"))
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
