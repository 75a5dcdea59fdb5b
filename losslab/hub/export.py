"""A run -> a folder that `transformers` loads, written without that library."""

import hashlib
import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from losslab import checkpoint, records
from losslab.hub import layout, remote_code
from losslab.hub.card import card
from losslab.model import GPT2, build
from losslab.tokenizer import END_OF_TEXT


def export_run(run: str | Path, folder: str | Path, *, with_code: bool = False) -> dict:
    """Write the newest checkpoint of `run` as a model of `transformers` into the new folder `folder`.

    A `GPT2LMHeadModel` where the model is one. A temperature is multiplied into the last norm, which changes nothing
    else. Any other logit transform is code, and so is a model with rotary positions, RMS norm or QK-norm.

    Args:
        run: a run folder.
        folder: is made, whole or not at all.
        with_code: write such code next to the weights; who loads it says `trust_remote_code=True`.

    Returns:
        JSON-able: `folder`, `files`, `num_params`, `transform` (as code), `weights` (their sha256), `code`: what of the
        model is in code, in words.

    Raises:
        ValueError: if there is something at `folder`, or a model that needs code and `with_code` is not set.
    """
    run, folder = Path(run), layout.check_new(folder)
    record = records.read(run)
    loaded = checkpoint.load(checkpoint.newest(run / "checkpoint"))
    model, tokenizer = _folded(loaded.model), loaded.tokenizer
    transform = model.transform_text
    needed = remote_code.needed(model.config, transform)
    if needed and not with_code:
        raise ValueError(f"{run} has {', '.join(needed)}, which transformers has no setting for; "
                         "--remote-code writes it as code, to be loaded with trust_remote_code=True")
    settings = layout.to_settings(model, tokenizer.eot)
    settings["losslab"] |= {"transform": transform}
    settings |= remote_code.settings(model.config, transform)
    ends = {"bos_token_id": tokenizer.eot, "eos_token_id": tokenizer.eot, "pad_token_id": tokenizer.eot}
    with layout.new_folder(folder) as temporary:
        try:
            safetensors.torch.save_file(layout.to_tensors(model), temporary / "model.safetensors", {"format": "pt"})
        except safetensors.SafetensorError as error:  # how its Rust side reports a full disk
            raise OSError(str(error)) from None
        with open(temporary / "model.safetensors", "rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
        tokenizer.save(temporary)
        for name, value in (("config", settings), ("generation_config", ends),
                            ("tokenizer_config", _tokenizer_settings(model))):
            (temporary / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        remote_code.write(temporary, model.config, model.transforms)
        (temporary / "README.md").write_text(card(record, loaded, needed, weights), encoding="utf-8")
        files = sorted(file.name for file in temporary.iterdir())
    return {"folder": str(folder), "files": files, "num_params": unpadded(model), "transform": transform,
            "weights": weights, "code": needed}


def unpadded(model: GPT2) -> int:
    """Parameters of what is written: without the rows of ids that have no token."""
    extra = model.output_weights.shape[0] - model.vocab_size
    return model.num_params - extra * model.config.n_embd * (1 if model.config.tied else 2)


def _folded(model: GPT2) -> GPT2:
    """The same function without its temperature, where that is its only transform: hidden / T gives logits / T."""
    if {transform.name for transform in model.transforms} != {"temperature"}:
        return model
    factor = 1.0
    for transform in model.transforms:
        factor *= float(transform(torch.ones((), dtype=torch.float64)))
    plain = build(model.config, model.vocab_size)
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        for parameter in plain.ln_f.parameters():
            parameter.mul_(factor)
    return plain


def _tokenizer_settings(model: GPT2) -> dict:
    return {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT,
            "pad_token": END_OF_TEXT, "model_max_length": model.config.num_positions,
            "clean_up_tokenization_spaces": False}
