"""GPT-2s there and back: the same logits, the same ids."""

import json

import pytest
import safetensors.torch
import torch
from hub_models import MODEL, STORY, TEXTS, change, logits, ours, read, theirs, transformers

from losslab import hub
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.generate import generate

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

@pytest.mark.slow
def test_the_shape_of_gpt2_itself(tmp_path):
    sizes = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
    model = theirs(tmp_path / "theirs", "gpt2", std=0.02, bos_token_id=50256, eos_token_id=50256, **sizes)
    assert hub.import_model(str(tmp_path / "theirs"), tmp_path / "run").result["model"]["num_params"] == 124_439_808
    imported, _ = read(tmp_path / "run")
    assert (logits(model, vocab_size=50257) - logits(imported, vocab_size=50257)).abs().max() < 1e-5
