"""GPT-2s there and back: the same logits, the same ids, and one sentence for whatever is not a GPT-2."""

import ast
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from forging import mutated
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab import checkpoint, formula, hub, records
from losslab import tokenizer as tokenizers
from losslab.config import ExperimentConfig, ModelConfig, to_dict
from losslab.formula import Call, Transform
from losslab.generate import generate
from losslab.hub import remote_code
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


# --- there and back ----------------------------------------------------------------------------

@pytest.mark.parametrize(
    "options",
    [{}, {"activation_function": "gelu"}, {"activation_function": "gelu_pytorch_tanh", "n_inner": 64},
     {"tie_word_embeddings": False}],
    ids=str,
)
def test_a_model_of_theirs_gives_the_same_logits_here(tmp_path, options):
    model = theirs(tmp_path / "theirs", **options)
    record = hub.import_model(str(tmp_path / "theirs"), tmp_path / "run")
    imported, tokenizer = read(tmp_path / "run")
    assert record.status == "imported" and record.result["model"]["num_params"] == model.num_parameters()
    assert (logits(model) - logits(imported)).abs().max() < 1e-5
    assert (logits(model, torch.float64) - logits(imported, torch.float64)).abs().max() < 1e-12
    assert tokenizer.name == "bytes" and imported.config.dropout == 0.1


@pytest.mark.parametrize("tied", [True, False])
def test_imported_exported_imported_is_the_same_to_the_last_bit(tmp_path, tied):
    model = theirs(tmp_path / "theirs", tie_word_embeddings=tied)
    first = hub.import_model(str(tmp_path / "theirs"), tmp_path / "one")
    hub.export_run(tmp_path / "one", tmp_path / "out")
    files = [safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("theirs", "out")]
    assert files[0].keys() == files[1].keys()
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[0])
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(again) is transformers.GPT2LMHeadModel and torch.equal(logits(again), logits(model))
    second = hub.import_model(str(tmp_path / "out"), tmp_path / "two")
    assert torch.equal(logits(read(tmp_path / "one")[0]), logits(read(tmp_path / "two")[0]))
    assert first.condition == second.condition  # which is of the weights, wherever they came from
    model.transformer.wpe.weight.data[0, 0] += 1
    model.save_pretrained(tmp_path / "theirs")
    assert hub.import_model(str(tmp_path / "theirs"), tmp_path / "three").condition != first.condition


@pytest.mark.parametrize(
    "config",
    [{}, {"bias": False, "activation": "gelu"}, {"tied": False, "dropout": 0.2}, {"bias": False, "tied": False}],
    ids=str,
)
def test_a_run_is_loaded_by_transformers_with_the_same_logits(tmp_path, config):
    model, _ = ours(tmp_path / "run", ModelConfig(**vars(MODEL) | config))
    hub.export_run(tmp_path / "run", tmp_path / "out")
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert (logits(model) - logits(exported)).abs().max() < 1e-5
    assert (logits(model, torch.float64) - logits(exported, torch.float64)).abs().max() < 1e-12
    dropouts = {exported.config.resid_pdrop, exported.config.attn_pdrop, exported.config.embd_pdrop}
    assert dropouts == {model.config.dropout}
    names = safetensors.torch.load_file(tmp_path / "out" / "model.safetensors").keys()
    assert exported.state_dict().keys() - names == ({"lm_head.weight"} if model.config.tied else set())
    assert exported.config.eos_token_id == exported.generation_config.eos_token_id == 256
    tokens = exported.generate(torch.tensor([[256, 65]]), max_new_tokens=9, do_sample=False)
    assert tokens.shape[1] <= 11
    hub.import_model(str(tmp_path / "out"), tmp_path / "back")
    back, _ = read(tmp_path / "back")
    assert back.config == model.config and torch.equal(logits(back), logits(model))


@pytest.mark.parametrize("name", ["bytes", "char", "bpe:300", "gpt2"])
def test_their_tokenizer_gives_our_ids(tmp_path, name):
    _, tokenizer = ours(tmp_path / "run", tokenizer=name)
    hub.export_run(tmp_path / "run", tmp_path / "out")
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    for text in TEXTS:
        ids = tokenizer.encode(text).tolist()
        assert auto(text)["input_ids"] == ids
        assert auto.decode(ids) == text
    assert len(auto) == tokenizer.vocab_size and auto.model_max_length == 32
    assert auto.eos_token_id == auto.bos_token_id == auto.convert_tokens_to_ids("<|endoftext|>") == tokenizer.eot
    hub.import_model(str(tmp_path / "out"), tmp_path / "back")
    assert read(tmp_path / "back")[1].digest == tokenizer.digest


# --- logit transforms --------------------------------------------------------------------------

@pytest.mark.parametrize(("transform", "error"), [("temperature(0.5)", 0), ("temperature(3) | temperature(0.7)", 1e-5)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_temperature_goes_into_the_last_norm(tmp_path, transform, error, bias):
    model, _ = ours(tmp_path / "run", ModelConfig(**vars(MODEL) | {"bias": bias}), transform)
    assert hub.export_run(tmp_path / "run", tmp_path / "out")["transform"] == ""
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(exported) is transformers.GPT2LMHeadModel
    assert (logits(model) - logits(exported)).abs().max() < 1e-5
    hub.import_model(str(tmp_path / "out"), tmp_path / "back")
    assert (logits(model) - logits(read(tmp_path / "back")[0])).abs().max() <= error


@pytest.mark.parametrize(
    "transform", ["softcap(2)", "temperature(0.7) | isru_cap(cap=3.0)", "sigmoid_cap(A=4, C=0.5) | temperature(2)"]
)
@pytest.mark.parametrize("tied", [True, False])
def test_another_transform_is_refused_or_becomes_code(tmp_path, transform, tied):
    model, tokenizer = ours(tmp_path / "run", ModelConfig(**vars(MODEL) | {"tied": tied}), transform)
    with pytest.raises(ValueError, match="which transformers has no setting for; --remote-code"):
        hub.export_run(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    hub.export_run(tmp_path / "run", tmp_path / "out", with_code=True)
    with pytest.raises((ValueError, OSError)):  # and not a plain GPT-2 with other logits
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=False)
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert (logits(model) - logits(exported)).abs().max() < 1e-5
    new = transformers.AutoModelForCausalLM.from_config(exported.config, trust_remote_code=True)
    for made in (exported, new):
        assert (made.lm_head.weight is made.transformer.wte.weight) == tied
    tokens = torch.randint(257, (1, 8))
    loss = torch.nn.functional.cross_entropy(model.logits(model(tokens))[0, :-1], tokens[0, 1:])
    assert exported(tokens, labels=tokens).loss.item() == pytest.approx(loss.item(), abs=1e-5)
    prompt = torch.tensor([[tokenizer.eot, *tokenizer.encode("On")]])
    written = exported.generate(prompt, max_new_tokens=12, do_sample=False)[0, 1:]
    assert tokenizer.decode(written) == generate(model, tokenizer, "On", num_tokens=12, temperature=0)
    assert logits(exported, torch.bfloat16).dtype == torch.float32  # a cap wants the digits


def test_an_import_inherits_the_transform_and_runs_no_code(tmp_path):
    model, _ = ours(tmp_path / "run", transform="softcap(2)")
    hub.export_run(tmp_path / "run", tmp_path / "out", with_code=True)
    for file in (tmp_path / "out").glob("*.py"):
        file.write_text("raise SystemExit('run')")
    hub.import_model(str(tmp_path / "out"), tmp_path / "back")
    back, _ = read(tmp_path / "back")
    assert back.transform_text == "softcap(2)" and torch.equal(logits(back), logits(model))
    change(tmp_path / "out", losslab={"transform": "file('modeling_losslab.py')"})
    with pytest.raises(ValueError, match="unknown transform 'file'"):
        hub.import_model(str(tmp_path / "out"), tmp_path / "other")


# --- the forms in which models come ------------------------------------------------------------

def test_in_several_files(tmp_path):
    model = theirs(tmp_path / "theirs", save=False)
    model.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert len(list((tmp_path / "theirs").glob("model-*.safetensors"))) > 1
    hub.import_model(str(tmp_path / "theirs"), tmp_path / "run", tokenizer="bytes")
    assert (logits(model) - logits(read(tmp_path / "run")[0])).abs().max() < 1e-5
    next((tmp_path / "theirs").glob("model-*.safetensors")).unlink()
    with pytest.raises(ValueError, match="lacks model-0000"):
        hub.import_model(str(tmp_path / "theirs"), tmp_path / "other", tokenizer="bytes")


def test_without_the_prefix_and_with_the_buffers_of_old_files(tmp_path):
    model = theirs(tmp_path / "theirs")
    file = tmp_path / "theirs" / "model.safetensors"
    tensors = {name.removeprefix("transformer."): t for name, t in safetensors.torch.load_file(file).items()}
    for layer in range(3):
        tensors[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 32, 32, dtype=torch.bool)
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    tensors["lm_head.weight"] = tensors["wte.weight"].clone()
    safetensors.torch.save_file(tensors, file)
    hub.import_model(str(tmp_path / "theirs"), tmp_path / "run")
    assert (logits(model) - logits(read(tmp_path / "run")[0])).abs().max() < 1e-5


def test_in_half_precision_which_is_said(tmp_path):
    model = theirs(tmp_path / "theirs", save=False).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "theirs")
    said = []
    hub.import_model(str(tmp_path / "theirs"), tmp_path / "run", tokenizer="bytes", tell=said.append)
    assert said == ["the weights were in bfloat16; they are float32 now"]
    change(tmp_path / "theirs", embd_pdrop=0.0, attn_pdrop=[0.1])
    hub.import_model(str(tmp_path / "theirs"), tmp_path / "other", tokenizer="bytes", tell=said.append)
    assert said[-1] == "the model's dropouts differ; training from it would use resid_pdrop, 0.1, for all"
    assert (logits(model.float()) - logits(read(tmp_path / "run")[0])).abs().max() < 1e-5


def test_with_the_two_files_of_an_old_tokenizer(tmp_path):
    theirs(tmp_path / "theirs", tokenizer=None, vocab_size=300)
    made = tokenizers.make("bpe:300", [STORY])
    made.save(tmp_path)
    parts = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    (tmp_path / "theirs" / "vocab.json").write_text(json.dumps(parts["model"]["vocab"] | {"<|endoftext|>": 299}))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in parts["model"]["merges"]), ""]
    (tmp_path / "theirs" / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    hub.import_model(str(tmp_path / "theirs"), tmp_path / "run")
    _, tokenizer = read(tmp_path / "run")
    assert tokenizer.eot == made.eot == 299 and tokenizer.tokens == made.tokens
    for text in TEXTS:
        assert tokenizer.encode(text).tolist() == made.encode(text).tolist()


def test_a_padded_vocabulary_keeps_its_rows(tmp_path):
    model = theirs(tmp_path / "theirs", tokenizer=None, vocab_size=320)
    made = tokenizers.make("bpe:300", [STORY])
    made.save(tmp_path / "theirs")
    said = []
    hub.import_model(str(tmp_path / "theirs"), tmp_path / "run", tell=said.append)
    assert said == ["the model has 320 rows for 300 tokens; the others stay, and no text has them"]
    imported, tokenizer = read(tmp_path / "run")
    assert (logits(model) - logits(imported)).abs().max() < 1e-5
    assert tokenizer.vocab_size == imported.vocab_size == 320 and not tokenizer.token_bytes[300:].any()
    assert tokenizer.encode("Once upon").tolist() == made.encode("Once upon").tolist()
    imported.wte.weight.data[310] *= 100  # a row that is no token is drawn, and gives no text
    assert isinstance(generate(imported, tokenizer, "Once", num_tokens=20, temperature=1.0), str)
    hub.export_run(tmp_path / "run", tmp_path / "out")
    hub.import_model(str(tmp_path / "out"), tmp_path / "back")
    assert read(tmp_path / "back")[1].digest == tokenizer.digest


# --- what is refused ---------------------------------------------------------------------------

def refuses(tmp_path, match, into="run", **options):
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match=match) as caught:
        hub.import_model(str(tmp_path / "theirs"), tmp_path / into, **options)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before  # nothing is left behind


@pytest.mark.parametrize(
    ("setting", "value", "match"),
    [
        ("model_type", "llama", "of type 'llama', not a GPT-2"),
        ("model_type", None, "of type None, not a GPT-2"),
        ("activation_function", "relu", "activation_function 'relu'"),
        ("activation_function", ["gelu"], "activation_function"),
        ("layer_norm_epsilon", 1e-6, "layer_norm_epsilon 1e-06; losslab's GPT-2 has 1e-05"),
        ("scale_attn_weights", False, "scale_attn_weights False"),
        ("scale_attn_by_inverse_layer_idx", True, "scale_attn_by_inverse_layer_idx True"),
        ("reorder_and_upcast_attn", True, "reorder_and_upcast_attn True"),
        ("add_cross_attention", True, "add_cross_attention True"),
        ("n_inner", 48, "n_inner 48; losslab's GPT-2 has four times n_embd, 64"),
        ("tie_word_embeddings", False, "no tensor lm_head.weight"),
        ("tie_word_embeddings", "yes", "tied"),
        ("n_layer", 2, "tensors of 3 layers, but config.json has n_layer 2"),
        ("n_layer", 10**9, "model.n_layer must be at most 10,000"),
        ("n_layer", 10**4, "tensors of 3 layers, but config.json has n_layer 10000"),
        ("n_head", 3, "divisible"),
        ("n_embd", 32, r"transformer.wte.weight of shape \[257, 16\], and config.json asks for \[257, 32\]"),
        ("n_embd", "16", "n_embd"),
        ("n_positions", 10**7, "wpe.weight of shape"),
        ("vocab_size", 300, "wte.weight of shape"),
        ("vocab_size", "257", "vocab_size '257'"),
        ("resid_pdrop", "high", "dropout"),
        ("losslab", {"bias": False}, r"has the tensor transformer\..*bias, which"),
        ("losslab", {"bias": "no"}, "bias"),
        ("auto_map", {"AutoModelForCausalLM": "evil.Model"}, "code of its own"),
        ("quantization_config", {"bits": 4}, "quantized"),
    ],
)
def test_a_setting_that_would_change_the_mathematics(tmp_path, setting, value, match):
    theirs(tmp_path / "theirs")
    change(tmp_path / "theirs", **{setting: value})
    refuses(tmp_path, match)


def edit(tensors, action):
    match action:
        case "drop":
            del tensors["transformer.h.1.mlp.c_fc.bias"]
        case "shape":  # as a linear layer would lie
            tensors["transformer.h.1.mlp.c_fc.weight"] = tensors["transformer.h.1.mlp.c_fc.weight"].t().contiguous()
        case "more":
            tensors["score.weight"] = torch.zeros(2)
        case "head":
            tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + 1
        case "twice":
            tensors["wte.weight"] = tensors["transformer.wte.weight"].clone()
        case "ints":
            tensors["transformer.h.0.ln_1.weight"] = torch.ones(16, dtype=torch.int8)
        case "layer":
            tensors["transformer.h.7.ln_1.weight"] = torch.ones(16)


@pytest.mark.parametrize(
    ("action", "match"),
    [
        ("drop", "no tensor transformer.h.1.mlp.c_fc.bias"),
        ("shape", r"transformer.h.1.mlp.c_fc.weight of shape \[64, 16\], and config.json asks for \[16, 64\]"),
        ("more", "has the tensor transformer.score.weight"),
        ("head", "holds a lm_head.weight of its own"),
        ("twice", "wte.weight twice, with and without"),
        ("ints", "transformer.h.0.ln_1.weight in torch.int8"),
        ("layer", "tensors of 4 layers"),
    ],
)
def test_tensors_that_are_not_those_of_a_gpt2(tmp_path, action, match):
    theirs(tmp_path / "theirs")
    file = tmp_path / "theirs" / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    edit(tensors, action)
    safetensors.torch.save_file(tensors, file)
    refuses(tmp_path, match)


@pytest.mark.parametrize(
    ("file", "content", "match"),
    [
        ("model.safetensors", b"", "damaged, or no safetensors file"),
        ("model.safetensors", b"\xff" * 100, "damaged, or no safetensors file"),
        ("model.safetensors", -50, "damaged, or no safetensors file"),  # cut
        ("model.safetensors", None, "no model.safetensors"),
        ("config.json", None, "no config.json"),
        ("config.json", b"{", "not readable JSON"),
        ("config.json", b"[1]", "JSON object"),
        ("config.json", b"\xff\xfe", "not readable JSON"),
        ("tokenizer.json", b"{}", "not a readable tokenizer"),
        ("losslab_tokenizer.json", b"[]", "does not describe a tokenizer"),
        ("losslab_tokenizer.json", b'{"name": "char", "characters": 5}', "does not describe a tokenizer"),
        ("losslab_tokenizer.json", b'{"vocab_size": "300"}', "does not describe a tokenizer"),
        ("losslab_tokenizer.json", b'{"name": "char"}', "has 1 tokens, and the model 257"),
    ],
)
def test_damaged_files(tmp_path, file, content, match):
    theirs(tmp_path / "theirs")
    (tmp_path / "theirs" / "losslab_tokenizer.json").unlink()
    path = tmp_path / "theirs" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:content] if isinstance(content, int) else content)
    refuses(tmp_path, match)


@pytest.mark.parametrize("weight_map", [{"a": "../outside.safetensors"}, {"a": "/etc/hostname"}, {}, []])
def test_an_index_cannot_point_out_of_its_folder(tmp_path, weight_map):
    theirs(tmp_path / "theirs")
    (tmp_path / "theirs" / "model.safetensors").rename(tmp_path / "outside.safetensors")
    (tmp_path / "theirs" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    refuses(tmp_path, "which is not a file beside it" if weight_map else "names no files")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_pickled_weights_are_refused_and_even_trusted_ones_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = theirs(tmp_path / "theirs")
    (tmp_path / "theirs" / "model.safetensors").unlink()
    file = tmp_path / "theirs" / "pytorch_model.bin"
    torch.save(model.state_dict(), file)
    refuses(tmp_path, "weights in a pickle, pytorch_model.bin.* --trust-pickle")
    hub.import_model("theirs", "trusted", trust_pickle=True)
    assert (logits(model) - logits(read("trusted")[0])).abs().max() < 1e-5
    torch.save({"transformer.wte.weight": Bomb()}, file)
    refuses(tmp_path, "nothing of it was run", trust_pickle=True)
    file.write_bytes(pickle.dumps(Bomb()))
    refuses(tmp_path, "nothing of it was run", trust_pickle=True)
    torch.save([1, 2], file)
    refuses(tmp_path, "not a dictionary of tensors", trust_pickle=True)
    assert not Path("exploded").exists()


def test_a_tokenizer_that_does_not_belong_to_the_model(tmp_path):
    theirs(tmp_path / "theirs", vocab_size=200)
    refuses(tmp_path, "has 257 tokens and the model only 200")
    shutil.rmtree(tmp_path / "theirs")
    theirs(tmp_path / "theirs", vocab_size=300)  # the bytes are 257, no more and no less
    refuses(tmp_path, "the tokenizer bytes has 257 tokens, and the model 300")
    for file in ("tokenizer.json", "losslab_tokenizer.json"):
        (tmp_path / "theirs" / file).unlink()
    refuses(tmp_path, "no tokenizer.json, and no vocab.json with merges.txt; give its tokenizer with --tokenizer")
    refuses(tmp_path, "--tokenizer takes bytes or gpt2", tokenizer="char")
    (tmp_path / "theirs" / "vocab.json").write_text('{"a": 0}')
    (tmp_path / "theirs" / "merges.txt").write_text("a b c\n")
    refuses(tmp_path, "a pair of tokens a line")
    (tmp_path / "theirs" / "merges.txt").write_text("a b\n")
    refuses(tmp_path, "are no vocabulary")


# --- what strangers wrote ----------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["gpt2", "losslab_gpt2"])
@pytest.mark.parametrize(
    "text",
    ['file("EVIL") + cross_entropy #', 'file("EVIL") | cross_entropy #', 'softcap(15) | file("EVIL") #',
     'softcap(15) # """; import os; os.mkdir("exploded"); """', "softcap(15)\n", "softcap([[15]])", 5, None],
)
def test_a_transform_in_a_config_is_never_run_and_never_joined(tmp_path, monkeypatch, kind, text):
    monkeypatch.chdir(tmp_path)
    theirs(tmp_path / "theirs")
    evil = tmp_path / "theirs" / "merges.txt"
    evil.write_text("import os; os.mkdir('exploded')\ndef loss(prediction):\n    return prediction.nll\n")
    text = text.replace("EVIL", str(evil)) if isinstance(text, str) else text
    change(tmp_path / "theirs", model_type=kind, losslab={"transform": text})
    refuses(tmp_path, "config.json has a logit transform .* that is not read: ")
    assert not Path("exploded").exists()


@pytest.mark.parametrize(("kind", "text"), [("gpt2", "softcap(15)"), ("losslab_gpt2", "")])
def test_a_transform_and_the_type_of_the_model_belong_together(tmp_path, kind, text):
    theirs(tmp_path / "theirs")
    change(tmp_path / "theirs", model_type=kind, losslab={"transform": text})
    refuses(tmp_path, f"has the logit transform .* and the type {kind}, which do not belong together")


def forge(run, **values):
    """The checkpoint of `run` with another description, and a manifest that fits."""
    (path,) = checkpoint.steps(Path(run) / "checkpoint")
    (path / "model.json").write_text(json.dumps(json.loads((path / "model.json").read_text()) | values))
    sums = json.loads((path / "manifest.json").read_text())
    sums["model.json"] = hashlib.sha256((path / "model.json").read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(sums))


def test_exported_code_is_made_of_numbers_and_known_names(tmp_path):
    ours(tmp_path / "run", transform="softcap(2)")
    forge(tmp_path / "run", transform='softcap(2) # """; import os; os.mkdir("exploded")')
    with pytest.raises(ValueError, match="has no whole checkpoint|is not read"):
        hub.export_run(tmp_path / "run", tmp_path / "out", with_code=True)
    forge(tmp_path / "run", transform="sigmoid_cap(A=4, C=0.5) | softcap(2)")
    hub.export_run(tmp_path / "run", tmp_path / "out", with_code=True)
    tree = ast.parse((tmp_path / "out" / "modeling_losslab.py").read_text())
    assert ast.get_docstring(tree).startswith("A GPT-2 with a transform of its logits; the mathematics is in the files")
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported == ["torch", "transformers", "sigmoid_cap", "softcap"]
    numbers = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is not str]
    assert sorted(numbers) == [False, 0.5, 2, 4, 5]  # with the default B=5.0
    for value in ("2", True, (2,), None):
        call = Call("softcap", (value,))
        with pytest.raises(ValueError, match="takes a number for cap, such as 15.0"):
            formula.bound([call])
        with pytest.raises(ValueError, match="not a number"):
            remote_code.write(tmp_path, (Transform("softcap", (("cap", value),), call),))
    with pytest.raises(ValueError, match="unknown transform 'file'"):
        formula.bound([Call("file", ("x.py",))])


def test_no_name_breaks_out_of_the_card(tmp_path):
    evil = "x`</code>\n\n# A heading\n---\n|\\| <script>alert(1)</script> | [a](javascript:b) \x1b[2J"
    score = {"value": 1.0, "stderr": 0.1, "n": 4, "unit": evil}
    ours(tmp_path / "run", scores={evil: score}, named=evil)
    hub.export_run(tmp_path / "run", tmp_path / "out")
    lines = (tmp_path / "out" / "README.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        next(line for line in lines if line.startswith("# A GPT-2 trained with `x")), "## Scores", "## Use"]
    assert lines.count("---") == 2  # the front matter alone
    rows = [line for line in lines if line.startswith("|")]
    assert {re.sub(r"\\\|", "", row).count("|") for row in rows} == {3, 4} and not any("\\\\|" in row for row in rows)
    assert all("<script>" not in re.sub("`[^`]*`", "", line) and "\x1b" not in line for line in lines)


def test_links_lead_into_the_cache_of_the_hub_and_nowhere_else(tmp_path):
    place = tmp_path / "models--a--b" / "snapshots" / "abc"
    theirs(place)
    (tmp_path / "models--a--b" / "blobs").mkdir()
    for file in list(place.iterdir()):
        blob = tmp_path / "models--a--b" / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        file.rename(blob)
        file.symlink_to(os.path.relpath(blob, place))
    hub.import_model(str(place), tmp_path / "run")
    for name in ("config.json", "model.safetensors", "losslab_tokenizer.json"):
        shutil.rmtree(tmp_path / "theirs", ignore_errors=True)
        shutil.copytree(place, tmp_path / "theirs")  # follows the links
        (tmp_path / "theirs" / name).rename(tmp_path / "outside")
        (tmp_path / "theirs" / name).symlink_to(tmp_path / "outside")
        refuses(tmp_path, f"{name} is a symbolic link, and not a file", into="other")
        (tmp_path / "theirs" / name).unlink()
        os.mkfifo(tmp_path / "theirs" / name)
        refuses(tmp_path, f"{name} is a pipe, and not a file", into="other")
    (place / "config.json").unlink()
    (place / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="is a link that leads out of its model"):
        hub.import_model(str(place), tmp_path / "other")


def test_a_pickle_cannot_make_much_of_little(tmp_path):
    model = theirs(tmp_path / "theirs")
    (tmp_path / "theirs" / "model.safetensors").unlink()
    file, state = tmp_path / "theirs" / "pytorch_model.bin", model.state_dict()
    torch.save(state | {"transformer.wte.weight": torch.zeros(1).expand(10**6, 10**6)}, file)
    refuses(tmp_path, "holds tensors that are larger than the file, or not plain", trust_pickle=True)
    torch.save(state | {"transformer.wte.weight": torch.zeros(257, 16).to_sparse()}, file)
    refuses(tmp_path, "larger than the file, or not plain|holds more than tensors", trust_pickle=True)
    torch.save(state, file)
    with zipfile.ZipFile(file) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in parts.items():
            archive.writestr(name, raw)
    refuses(tmp_path, "it is compressed, which torch.save does not do; nothing of it was run", trust_pickle=True)


def test_a_tensor_in_two_files_is_refused(tmp_path):
    theirs(tmp_path / "theirs")
    file = tmp_path / "theirs" / "model.safetensors"
    for name in ("a.safetensors", "b.safetensors"):
        shutil.copy(file, tmp_path / "theirs" / name)
    file.unlink()
    index = {"weight_map": {"transformer.wte.weight": "a.safetensors", "transformer.wpe.weight": "b.safetensors"}}
    (tmp_path / "theirs" / "model.safetensors.index.json").write_text(json.dumps(index))
    refuses(tmp_path, "which another file of the model holds too")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of theirs with every file that is ever read."""
    place = tmp_path_factory.mktemp("model") / "theirs"
    sizes = {"vocab_size": 262, "n_positions": 8, "n_embd": 8, "n_layer": 1}
    model = theirs(place, tokenizer=None, **sizes)
    made = tokenizers.make("bpe:260", [STORY])
    made.save(place)
    parts = json.loads((place / "tokenizer.json").read_text(encoding="utf-8"))
    (place / "vocab.json").write_text(json.dumps(parts["model"]["vocab"] | {"<|endoftext|>": made.eot}))
    (place / "merges.txt").write_text("\n".join(" ".join(pair) for pair in parts["model"]["merges"]))
    torch.save(model.state_dict(), place / "pytorch_model.bin")
    return place


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.data())
def test_any_change_of_any_file_is_imported_or_refused_with_a_sentence(folder, tmp_path_factory, data):
    place = tmp_path_factory.mktemp("forged") / "theirs"
    shutil.copytree(folder, place)
    name = data.draw(st.sampled_from(sorted(file.name for file in folder.iterdir())))
    hides = {"vocab.json": ["tokenizer.json"], "merges.txt": ["tokenizer.json"],
             "pytorch_model.bin": ["model.safetensors"]}.get(name, [])
    for other in hides:  # what would be read in its place
        (place / other).unlink()
    (place / name).write_bytes(mutated(data.draw, name, (place / name).read_bytes()))
    try:
        record = hub.import_model(str(place), place.parent / "run", trust_pickle=True)
    except ValueError as error:
        assert str(error).isprintable() and len(str(error)) <= 600
        assert not (place.parent / "run").exists()
    else:
        assert record.status == "imported"
        read(place.parent / "run")


def test_what_is_there_is_never_overwritten(tmp_path):
    theirs(tmp_path / "theirs")
    ours(tmp_path / "run")
    with pytest.raises(ValueError, match="is there already, and is not an empty folder"):
        hub.export_run(tmp_path / "run", tmp_path / "theirs")
    with pytest.raises(ValueError, match="is there already"):
        hub.import_model(str(tmp_path / "theirs"), tmp_path / "run")
    (tmp_path / "empty").mkdir()
    hub.export_run(tmp_path / "run", tmp_path / "empty")
    assert (tmp_path / "empty" / "config.json").is_file()


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    ours(tmp_path / "run")

    def full(*_):
        raise safetensors.SafetensorError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="cannot write .*out: No space left on device; give a writable place with space"):
        hub.export_run(tmp_path / "run", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("name", "match"), [("../nowhere", "does not exist"), ("a/b/c", "does not exist"), ("", "is a file")]
)
def test_what_is_neither_a_folder_nor_a_name(tmp_path, name, match):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match=match):
        hub.import_model(name or str(file), tmp_path / "run")


# --- names on the hub --------------------------------------------------------------------------

@pytest.fixture
def library(tmp_path, monkeypatch):
    """The hub's library, answering from a folder; what it was asked for."""
    import huggingface_hub

    theirs(tmp_path / "snapshots" / "abc123")
    asked = []

    def model_info(self, name, timeout):
        asked.append(("info", name, timeout))
        return type("Info", (), {"sha": "abc123"})

    def snapshot_download(name, **options):
        asked.append(("download", name, options))
        return str(tmp_path / "snapshots" / "abc123")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_name_on_the_hub_is_fetched_at_its_commit_and_without_pickles(tmp_path, library):
    record = hub.import_model("owner/name", tmp_path / "run")
    assert record.loss == "imported('owner/name')" and record.spec["origin"]["commit"] == "abc123"
    (_, _, timeout), (_, name, options) = library
    assert timeout == 10 and name == "owner/name" and options["revision"] == "abc123"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(options["allow_patterns"])
    assert not [pattern for pattern in options["allow_patterns"] if "bin" in pattern or pattern.endswith("*")]
    hub.import_model("owner/name", tmp_path / "trusted", trust_pickle=True)
    assert "pytorch_model.bin" in library[-1][2]["allow_patterns"]


def test_without_a_network_what_was_fetched_before_serves_again(tmp_path, library, monkeypatch):
    import huggingface_hub

    def unreachable(*_, **__):
        raise ConnectionError("no route\nto the host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    record = hub.import_model("owner/name", tmp_path / "run")
    assert library[-1][2] == {"local_files_only": True} and record.spec["origin"]["commit"] == "abc123"
    refusal = type("Response", (), {"status_code": 404, "headers": {}, "request": None})()

    def missing(*_, **__):
        raise huggingface_hub.errors.RepositoryNotFoundError("404", response=refusal)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", missing)
    with pytest.raises(ValueError, match="no folder owner/name here, and no model of that name on the hub"):
        hub.import_model("owner/name", tmp_path / "other")


# --- the card, and the processes ---------------------------------------------------------------

def test_the_card_says_what_it_is_and_how_it_scored(tmp_path):
    score = {"value": 1.2345, "stderr": 0.0123, "n": 45, "unit": "bits/byte"}
    ours(tmp_path / "run", transform="softcap(2)", scores={"bits_per_byte": score})
    hub.export_run(tmp_path / "run", tmp_path / "out", with_code=True)
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    for part in ("| bits_per_byte | 1.234 ± 0.012 (n=45) | bits/byte |", "stories, digest 0123456789ab", "`softcap(2)`",
                 "trust_remote_code=True", "# A GPT-2 trained with `cross_entropy`", "| training tokens | `700` |"):
        assert part in card, part


OFFLINE = """
import sys
from losslab import hub
hub.export_run("run", "out")
assert not {"transformers", "huggingface_hub", "datasets"} & set(sys.modules)
from losslab.cli import main
main(["import", "owner/nothing-of-the-kind"])
"""


def test_an_export_needs_no_library_of_theirs_and_a_hub_out_of_reach_is_one_sentence(tmp_path):
    ours(tmp_path / "run")
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True, cwd=tmp_path,
                          env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path(__file__).parents[1])})
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the hub cannot be reached for the model owner/nothing-of-the-kind (OfflineMode")
    assert not (tmp_path / "models").exists()


@pytest.mark.slow
def test_the_shape_of_gpt2_itself(tmp_path):
    sizes = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
    model = theirs(tmp_path / "theirs", "gpt2", std=0.02, bos_token_id=50256, eos_token_id=50256, **sizes)
    assert hub.import_model(str(tmp_path / "theirs"), tmp_path / "run").result["model"]["num_params"] == 124_439_808
    imported, _ = read(tmp_path / "run")
    assert (logits(model, vocab_size=50257) - logits(imported, vocab_size=50257)).abs().max() < 1e-5
