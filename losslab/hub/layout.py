"""The format of a GPT-2 of `transformers`: the keys of `config.json`, the names and layouts of the tensors."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from losslab import formula
from losslab.config import ModelConfig
from losslab.model import GPT2, config_of, expected_shapes
from losslab.tensors import Entry
from losslab.untrusted import shown

PLAIN = "gpt2"  # the model types; of the others the first has a logit transform, and the second is no GPT-2 inside,
CAPPED, MODERN = "losslab_gpt2", "losslab_modern"  # each in its own code
BODY, HEAD = "transformer.", "lm_head.weight"
TRANSPOSED = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")  # their Conv1D holds [in, out], a linear layer [out, in]
TABLES = "wte.weight", "head.weight"  # a row for each token
BUFFERS = re.compile(r"^h\.\d+\.attn\.(bias|masked_bias)$")  # the causal mask, which old files carry along
ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu",
               "relu2": "relu_squared"}

# what a config.json leaves out has these values
DEFAULTS = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None,
            "activation_function": "gelu_new", "tie_word_embeddings": True}
# what the mathematics of our GPT-2 has fixed
FIXED = {"layer_norm_epsilon": 1e-5, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
         "reorder_and_upcast_attn": False, "add_cross_attention": False}
CODED = ("position_embedding", "norm", "qk_norm")
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")


def coded(config: ModelConfig) -> dict[str, object]:
    """The switches that the GPT-2 of `transformers` has no setting for; nothing for a model that is one."""
    return {name: value for name, value in config.switches.items() if name != "activation"}


# --- config.json -------------------------------------------------------------------------------

def to_settings(model: GPT2, eot: int) -> dict:
    """The `config.json` of a model, its logit transform and its code apart."""
    config = model.config
    own = {"bias": config.bias} | ({name: getattr(config, name) for name in CODED} if coded(config) else {})
    return {
        "model_type": PLAIN, "architectures": ["GPT2LMHeadModel"], "vocab_size": model.vocab_size,
        "n_positions": config.num_positions, "n_ctx": config.num_positions, "n_embd": config.n_embd,
        "n_layer": config.n_layer, "n_head": config.n_head, "n_inner": None,
        "activation_function": {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu_squared": "relu2"}[config.activation],
        **dict.fromkeys(DROPOUTS, config.dropout), **FIXED, "initializer_range": 0.02,
        "bos_token_id": eot, "eos_token_id": eot, "tie_word_embeddings": config.tied, "dtype": "float32",
        "losslab": own,
    }


def from_settings(settings: Mapping, source: str) -> ModelConfig:
    """Our configuration of a `config.json`; an error for every setting that would change the mathematics."""
    kind = settings.get("model_type")
    if kind not in (PLAIN, CAPPED, MODERN):
        raise ValueError(f"{source} describes a model of type {shown(kind)}, not a GPT-2; losslab reads the type "
                         "'gpt2'")
    if kind == PLAIN and settings.get("auto_map"):
        raise ValueError(f"{source} brings its own code (auto_map), and losslab runs no code of a model; import a "
                         "plain GPT2LMHeadModel")
    if settings.get("quantization_config"):
        raise ValueError(f"{source} describes quantized weights; import the model in float32, float16 or bfloat16")
    for key, value in FIXED.items():
        if settings.get(key, value) != value:
            raise ValueError(f"{source} has {key} {shown(settings[key])}; losslab's GPT-2 has {value!r} and nothing "
                             "else")
    given = DEFAULTS | dict(settings)
    activation = ACTIVATIONS.get(str(given["activation_function"]))
    if activation is None:
        raise ValueError(f"{source} has activation_function {shown(given['activation_function'])}; losslab's "
                         f"GPT-2 has "
                         f"{', '.join(ACTIVATIONS)}")
    dropouts = [settings.get(key, 0.1) for key in DROPOUTS]
    values = {
        "n_layer": given["n_layer"], "n_head": given["n_head"], "n_embd": given["n_embd"],
        "num_positions": given["n_positions"], "activation": activation, "tied": given["tie_word_embeddings"],
        "bias": own(settings).get("bias", True), "dropout": dropouts[0],
    }
    if kind == MODERN:
        values |= {name: own(settings)[name] for name in CODED if name in own(settings)}
    config = config_of(values, source)
    if kind == MODERN and not coded(config):
        raise ValueError(f"{source} has the type {MODERN} and is a GPT-2 in all that it says; such a model has the "
                         f"type {PLAIN}")
    if given["n_inner"] not in (None, 4 * config.n_embd):
        raise ValueError(f"{source} has n_inner {shown(given['n_inner'])}; losslab's GPT-2 has four times n_embd, "
                         f"{4 * config.n_embd}")
    if type(given["vocab_size"]) is not int or given["vocab_size"] < 1:
        raise ValueError(f"{source} has vocab_size {shown(given['vocab_size'])}; it is a number of tokens")
    return config


def transforms(settings: Mapping, source: str) -> tuple[formula.Transform, ...]:
    """The logit transforms that a `config.json` names, checked.

    Raises:
        ValueError: for what losslab has not written, or a transform that the type of the model does not apply.
    """
    text = own(settings).get("transform", "")
    found = formula.check_transforms(text, source)
    if settings["model_type"] != MODERN and bool(text) != (settings["model_type"] == CAPPED):
        raise ValueError(f"{source} has the logit transform {text or 'none'} and the type {settings['model_type']}, "
                         f"which do not belong together; {CAPPED} has one, {PLAIN} has none")
    return found


def own(settings: Mapping) -> Mapping:
    """What an export of losslab says of itself in `config.json`; nothing in the files of others."""
    found = settings.get("losslab")
    return found if isinstance(found, Mapping) else {}


# --- tensors -----------------------------------------------------------------------------------

def to_tensors(model: GPT2) -> dict[str, Tensor]:
    """The tensors of a model under their names, those of padded ids left out; a GPT-2 without biases gets biases of
    zero, which is the same."""
    found, own_code = {}, coded(model.config)
    for name, tensor in model.state_dict().items():
        tensor = tensor[: model.vocab_size] if name in TABLES else tensor
        found[theirs(name)] = tensor.t().contiguous() if turned(name, model.config) else tensor.contiguous()
    if not model.config.bias and not own_code:
        for name, tensor in list(found.items()):
            if name.startswith(f"{BODY}h.") or name.startswith(f"{BODY}ln_f."):
                found[name.removesuffix("weight") + "bias"] = torch.zeros(tensor.shape[-1])
    return found


def from_tensors(tensors: dict[str, Tensor], config: ModelConfig, vocab_size: int, source: str) -> dict[str, Tensor]:
    """The state of our model, float32, from their tensors, with or without the prefix of the body.

    Raises:
        ValueError: naming the tensor that is missing, not expected, or of another shape.
    """
    found = {}
    for name in list(tensors):
        ours, tensor = ours_of(name), tensors.pop(name)  # popped, so that a large model is not held twice
        if not BUFFERS.match(ours):
            found[ours] = (tensor.t() if turned(ours, config) else tensor).float().contiguous()
    if config.tied and "head.weight" in found and "wte.weight" in found:
        if not torch.equal(found.pop("head.weight"), found["wte.weight"]):
            raise ValueError(f"{source} ties its output weights to the token embedding (tie_word_embeddings), yet "
                             f"holds its own {HEAD}; set it to false in config.json if the head is meant")
    if not config.bias:
        for name in [name for name in found if name.endswith(".bias") and not found[name].any()]:
            del found[name]
    for name in found.keys() - expected_shapes(config, vocab_size).keys():
        raise ValueError(f"{source} has the tensor {theirs(name)}, which a GPT2LMHeadModel has not; import a plain one")
    return found


def check_tensors(
    entries: Mapping[str, Tensor | Entry], config: ModelConfig, vocab_size: int, source: str
) -> None:
    """Compare dtypes and shapes by their names with what the configuration asks for; nothing is allocated.

    Raises:
        ValueError: naming the tensor that is missing, not expected, twice there, or of another shape.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for name, entry in entries.items():
        ours = ours_of(name)
        if ours in shapes:
            raise ValueError(f"{source} has {name} twice, with and without {BODY!r}; save the model again")
        if not entry.dtype.is_floating_point and not BUFFERS.match(ours):
            raise ValueError(f"{source} has {name} in {entry.dtype}, no floating point; import an unquantized "
                             "model")
        shape = tuple(entry.shape)
        shapes[ours] = shape[::-1] if turned(ours, config) and len(shape) == 2 else shape
    _check({name: shape for name, shape in shapes.items() if not BUFFERS.match(name)}, config, vocab_size, source)


def _check(found: dict[str, tuple[int, ...]], config: ModelConfig, vocab_size: int, source: str) -> None:
    tables = {"wte.weight": (vocab_size, config.n_embd), "wpe.weight": (config.num_positions, config.n_embd)}
    if config.position_embedding == "rotary":
        del tables["wpe.weight"]
    depth = len({name.split(".")[1] for name in found if name.startswith("h.") and name.count(".") > 1})
    for name, shape in tables.items():  # first what decides how many shapes there are: sizes may be absurd
        _check_shape(found, name, shape, config, source)
    if depth != config.n_layer:
        raise ValueError(f"{source} has tensors of {depth} layers, but config.json has n_layer {config.n_layer}; they "
                         "do not belong together, or the file is cut")
    for name, shape in expected_shapes(config, vocab_size).items():
        _check_shape(found, name, shape, config, source)
    # biases of zero and a head that repeats the token embedding may be there, too
    known = expected_shapes(replace(config, bias=True, tied=False), vocab_size)
    for name in found:
        if name not in known:
            raise ValueError(f"{source} has the tensor {theirs(name)}, which a GPT2LMHeadModel has not; import a plain "
                             "one")
        _check_shape(found, name, known[name], config, source)


def _check_shape(
    found: dict[str, tuple[int, ...]], name: str, shape: tuple[int, ...], config: ModelConfig, source: str
) -> None:
    if name not in found:
        raise ValueError(f"{source} has no tensor {theirs(name)}; it is not a whole GPT2LMHeadModel, save it again")
    if (got := found[name]) != shape:
        turn = slice(None, None, -1 if turned(name, config) else 1)  # as it lies in their file
        raise ValueError(f"{source} has {theirs(name)} of shape {list(got[turn])}, and config.json asks for "
                         f"{list(shape[turn])}; they do not belong together")


def turned(name: str, config: ModelConfig) -> bool:
    """Whether a matrix lies in their file with its sides exchanged, as in a GPT-2; the code of ours leaves it."""
    return bool(TRANSPOSED.search(name)) and not coded(config)


def ours_of(name: str) -> str:
    return "head.weight" if name == HEAD else name.removeprefix(BODY)


def theirs(name: str) -> str:
    return HEAD if name == "head.weight" else BODY + name


# --- folders -----------------------------------------------------------------------------------

def check_new(folder: str | Path) -> Path:
    """An error if there is something at `folder`."""
    folder = Path(folder).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already, and is not an empty folder; give a new one")
    return folder


@contextlib.contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """A folder to write into, which appears at `folder` when all is written, and not at all otherwise."""
    folder = check_new(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            folder.rmdir()
        os.replace(temporary, folder)
    except OSError as error:
        raise OSError(f"cannot write {folder}: {error.strerror or error}; give a writable place with space") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
