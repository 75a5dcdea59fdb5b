"""A GPT-2 of `transformers` -> a folder that `evaluate`, `generate` and `train --start` read like a run."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import losslab
from losslab import checkpoint, formula, machine, records, untrusted
from losslab import config as configuration
from losslab import tokenizer as tokenizers
from losslab.config import ExperimentConfig
from losslab.hub import layout, source
from losslab.model import GPT2
from losslab.records import Record


def import_model(
    name: str, folder: str | Path, *, tokenizer: str | None = None, trust_pickle: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Record:
    """Write the model `name`, a folder or a name on the hub, as an imported run into the new folder `folder`.

    Args:
        name: the folder of a `GPT2LMHeadModel`, or a name on the hub such as `gpt2`.
        tokenizer: `gpt2` or `bytes`, for a model that came without its own.
        trust_pickle: read the tensors of a `pytorch_model.bin`, and nothing else of it.
        tell: takes sentences on what was not as it is in a plain GPT-2.

    Raises:
        ValueError: for what is not a GPT-2 that losslab computes exactly, with the reason.
        ConnectionError: if the hub is asked and cannot be reached.
    """
    layout.check_new(folder)
    place, commit = source.find(name, trust_pickle=trust_pickle)
    try:
        return _import(place, commit, name, folder, tokenizer, trust_pickle, tell)
    except ValueError as error:  # it may quote untrusted text
        raise ValueError(untrusted.one_line(str(error), 600)) from None


def _import(
    place: Path, commit: str | None, name: str, folder: str | Path, tokenizer: str | None, trust_pickle: bool,
    tell: Callable[[str], None],
) -> Record:
    settings = source.settings(place)
    config = layout.from_settings(settings, str(place / "config.json"))
    transforms = layout.transforms(settings, str(place / "config.json"))
    vocab_size = {**layout.DEFAULTS, **settings}["vocab_size"]
    found = source.tensors(place, lambda entries: layout.check_tensors(entries, config, vocab_size, str(place)),
                           trust_pickle=trust_pickle)
    kinds = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in found.values()} - {"float32"})
    state = layout.from_tensors(found, config, vocab_size, str(place))
    vocabulary = _tokenizer(place, tokenizer, vocab_size, tell)
    model = checkpoint.model_from(state, config, vocab_size, transforms, str(place))
    if kinds:
        tell(f"the weights were in {', '.join(kinds)}; they are float32 now")
    if any(settings.get(key, 0.1) != config.dropout for key in layout.DROPOUTS):
        tell(f"the model's dropouts differ; training from it would use {layout.DROPOUTS[0]}, {config.dropout}, for all")
    short = name if commit else place.resolve().name
    origin = {"name": short, "source": str(name if commit else place.resolve()), "commit": commit, "settings": settings}
    with layout.new_folder(folder) as temporary:
        _write(temporary, model, vocabulary, origin)
    return records.read(folder)


def _write(folder: Path, model: GPT2, vocabulary, origin: dict) -> None:
    path = checkpoint.save(folder / "checkpoint", model, vocabulary, step=0, tokens=0, seconds=0.0)
    weights = untrusted.read_object(path / "manifest.json")["model.safetensors"]
    config = ExperimentConfig(
        loss=str(formula.Call("imported", (origin["name"],))), model=model.config,
        data=replace(configuration.DataConfig(), tokenizer=vocabulary.name),
    )
    what = [weights, vocabulary.digest, configuration.settings(model.config, "model."), model.transform_text]
    spec = {
        "version": losslab.__version__, "identity": configuration.VERSION, "condition": configuration.digest(what),
        "config": configuration.to_dict(config),
        "objective": model.transform_text, "losses": [],
        "corpus": {"name": None, "digest": None, "tokenizer": vocabulary.name, "vocab_size": model.vocab_size},
        "origin": origin | {"weights": weights},
    }
    records.create(folder, spec, {**machine.describe("cpu", "float32"), "losslab": losslab.__version__},
                   present=["checkpoint"])
    size = {"num_params": model.num_params, "num_params_non_embedding": model.num_params_non_embedding}
    records.write_result(folder, {"status": "imported", "model": size, "checkpoint": path.name})


def _tokenizer(place: Path, name: str | None, vocab_size: int, tell: Callable[[str], None]):
    """The model's own vocabulary, or the one that was named; padded to the rows of the model's table."""
    if name is not None:
        if name not in tokenizers.FIXED:
            raise ValueError(f"--tokenizer takes {' or '.join(tokenizers.FIXED)} for an imported model, got {name!r}")
        made = tokenizers.make(name)
    else:
        made = _own_tokenizer(place)
    if made.vocab_size > vocab_size:
        raise ValueError(f"the tokenizer of {place} has {made.vocab_size} tokens and the model only {vocab_size}; they "
                         "do not belong together")
    if made.vocab_size < vocab_size:
        made, num_tokens = made.padded(vocab_size), made.vocab_size
        tell(f"the model has {vocab_size} rows for {num_tokens} tokens; the others stay, and no text has them")
    return made


def _own_tokenizer(place: Path):
    links_into = source.links_into(place)
    if os.path.lexists(place / "tokenizer.json"):
        return tokenizers.load(place, links_into=links_into)
    if not (os.path.lexists(place / "vocab.json") and os.path.lexists(place / "merges.txt")):
        raise ValueError(f"{place} has no tokenizer.json, and no vocab.json with merges.txt; give its tokenizer with "
                         f"--tokenizer {' or '.join(tokenizers.FIXED)}")
    raw = untrusted.read_bytes(place / "merges.txt", untrusted.MOST_JSON_BYTES, links_into=links_into)
    try:
        lines = raw.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise ValueError(f"{place / 'merges.txt'} is not UTF-8 text; fetch it again") from None
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    if not all(len(pair) == 2 for pair in merges):
        raise ValueError(f"{place / 'merges.txt'} does not hold a pair of tokens a line; fetch it again")
    ids = untrusted.read_object(place / "vocab.json", links_into=links_into)
    return tokenizers.from_merges(None, ids, merges, f"vocab.json and merges.txt of {place}")
