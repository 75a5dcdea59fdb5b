"""Whatever is not a GPT-2 of a known form is refused with one sentence."""

import json
import shutil

import pytest
import safetensors.torch
import torch
from hub_models import change, refuses, theirs

from losslab import hub


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
        ("auto_map", {"AutoModelForCausalLM": "evil.Model"}, "its own code"),
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
        ("head", "holds its own lm_head.weight"),
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


@pytest.mark.parametrize(("kind", "text"), [("gpt2", "softcap(15)"), ("losslab_gpt2", "")])
def test_a_transform_and_the_type_of_the_model_belong_together(tmp_path, kind, text):
    theirs(tmp_path / "theirs")
    change(tmp_path / "theirs", model_type=kind, losslab={"transform": text})
    refuses(tmp_path, f"has the logit transform .* and the type {kind}, which do not belong together")


def test_a_tensor_in_two_files_is_refused(tmp_path):
    theirs(tmp_path / "theirs")
    file = tmp_path / "theirs" / "model.safetensors"
    for name in ("a.safetensors", "b.safetensors"):
        shutil.copy(file, tmp_path / "theirs" / name)
    file.unlink()
    index = {"weight_map": {"transformer.wte.weight": "a.safetensors", "transformer.wpe.weight": "b.safetensors"}}
    (tmp_path / "theirs" / "model.safetensors.index.json").write_text(json.dumps(index))
    refuses(tmp_path, "which another file of the model holds too")


@pytest.mark.parametrize(
    ("name", "match"), [("../nowhere", "does not exist"), ("a/b/c", "does not exist"), ("", "is a file")]
)
def test_what_is_neither_a_folder_nor_a_name(tmp_path, name, match):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match=match):
        hub.import_model(name or str(file), tmp_path / "run")
