"""Small GPT-2s of transformers and of losslab, with random weights."""

import json
from pathlib import Path

import pytest
import torch

from losslab import checkpoint, formula, hub, records
from losslab import tokenizer as tokenizers
from losslab.config import ExperimentConfig, ModelConfig, to_dict
from losslab.model import GPT2, initialized

transformers = pytest.importorskip("transformers", reason="transformers, of the extra hf, is not installed")
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
SIZES = {"vocab_size": 257, "n_positions": 32, "n_embd": 16, "n_layer": 3, "n_head": 2}
TEXTS = ["Once upon a time", "  two  spaces\n\n\nand lines\r\n\tend ", "naïve café — 你好 👩‍👩‍👧‍👦 don't I'll",
         "2,000.5% x=y", ""]
STORY = "Once upon a time there was a tokenizer that was lossless, and every merge had its own rank. " * 20
MODEL = ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=32)


def theirs(folder, tokenizer="bytes", *, std=0.3, save=True, **options):
    """A random GPT-2 of transformers, with weights that are all alive, saved with one of our tokenizers."""
    torch.manual_seed(5)
    ends = {"bos_token_id": 256, "eos_token_id": 256}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**SIZES | ends | options)).eval()
    for parameter in model.parameters():
        parameter.data.normal_(std=std)
    if save:
        model.save_pretrained(folder)
        if tokenizer:
            tokenizers.make(tokenizer).save(folder)
    return model


def ours(folder, config=MODEL, transform="", tokenizer="bytes", scores=None, named=""):
    """A run with random weights, all of them alive."""
    made = tokenizers.make(tokenizer, [*TEXTS, STORY])
    model = initialized(config, made.vocab_size, 3, formula.transforms(transform)).eval()
    for parameter in model.parameters():
        parameter.data.normal_(std=0.3)
    corpus = {"name": named or "stories", "digest": "0123456789ab", "tokenizer": made.name}
    settings = to_dict(ExperimentConfig(loss=named or "cross_entropy"))
    spec = {"version": named or "0.1.0", "condition": "c" * 12, "config": settings, "corpus": corpus}
    records.create(folder, spec, {})
    checkpoint.save(Path(folder) / "checkpoint", model, made, step=7, tokens=700, seconds=1.0)
    records.write_json(Path(folder) / "result.json", {"status": "finished", "scores": scores or {}})
    return model, made


def read(folder):
    loaded = checkpoint.load(checkpoint.newest(Path(folder) / "checkpoint"))
    return loaded.model.eval(), loaded.tokenizer


@torch.no_grad()
def logits(model, dtype=torch.float32, vocab_size=257):
    tokens = torch.randint(vocab_size, (2, 32), generator=torch.Generator().manual_seed(1))
    model = model.to(dtype)
    found = model.logits(model(tokens)) if isinstance(model, GPT2) else model(tokens).logits
    model.to(torch.float32)
    return found


def change(folder, **values):
    path = Path(folder) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refuses(tmp_path, match, into="run", **options):
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match=match) as caught:
        hub.import_model(str(tmp_path / "theirs"), tmp_path / into, **options)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before  # nothing is left behind
