"""Models that transformers' GPT-2 has no settings for: out with code, back without running any."""

import ast
import json

import pytest
import safetensors.torch
import torch
from commands import losslab
from hub_models import MODEL, change, logits, ours, read, refuses, theirs, transformers

from losslab import hub
from losslab.config import ModelConfig
from losslab.generate import generate

MODERN = {"position_embedding": "rotary", "norm": "rms", "qk_norm": True, "activation": "relu_squared"}


@pytest.mark.parametrize(("config", "transform"), [
    (MODERN, ""),
    (MODERN | {"bias": False, "tied": False}, "softcap(2)"),
    ({"position_embedding": "rotary", "activation": "gelu"}, "temperature(0.7)"),
    ({"norm": "rms", "bias": False}, "temperature(0.7) | isru_cap(cap=3.0)"),
    ({"qk_norm": True, "tied": False}, ""),
], ids=str)  # fmt: skip
def test_a_modern_model_is_the_same_in_transformers_by_its_code_and_back_without(tmp_path, config, transform):
    model, tokenizer = ours(tmp_path / "run", ModelConfig(**vars(MODEL) | config), transform)
    named = ", ".join(f"model.{name} {config[name]}" for name in MODERN if name in config and name != "activation")
    with pytest.raises(ValueError, match=f"{named}, which transformers has no setting for; --remote-code writes it"):
        hub.export_run(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    written = hub.export_run(tmp_path / "run", tmp_path / "out", with_code=True)
    assert ", ".join(written["code"]).endswith(named)
    with pytest.raises((ValueError, OSError)):  # and not a plain GPT-2 with other logits
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=False)
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert (logits(model) - logits(exported)).abs().max() < 1e-5
    folded = transform.startswith("temperature") and "|" not in transform
    exact = 1e-5 if folded else 1e-11
    assert (logits(model, torch.float64) - logits(exported, torch.float64)).abs().max() < exact
    assert exported.num_parameters() == model.num_params
    tied = model.config.tied
    assert (exported.lm_head.weight is exported.transformer.wte.weight) == tied
    tokens = torch.randint(257, (1, 8))
    loss = torch.nn.functional.cross_entropy(model.logits(model(tokens))[0, :-1], tokens[0, 1:])
    assert exported(tokens, labels=tokens).loss.item() == pytest.approx(loss.item(), abs=1e-5)
    assert logits(exported, torch.bfloat16).dtype == torch.float32
    for file in (tmp_path / "out").glob("*.py"):
        ast.parse(file.read_text())
        file.write_text("raise SystemExit('run')")
    hub.import_model(str(tmp_path / "out"), tmp_path / "back")
    back, _ = read(tmp_path / "back")
    assert back.config == model.config and back.transform_text == ("" if folded else transform)
    assert (logits(back) - logits(model)).abs().max() <= (1e-5 if folded else 0)


def test_its_code_generates_with_a_cache_and_with_padding(tmp_path):
    model, tokenizer = ours(tmp_path / "run", ModelConfig(**vars(MODEL) | MODERN))
    hub.export_run(tmp_path / "run", tmp_path / "out", with_code=True)
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=True)
    vocabulary = transformers.AutoTokenizer.from_pretrained(tmp_path / "out", padding_side="left")
    texts = ["On", "Once upon"]
    asked = vocabulary([f"<|endoftext|>{text}" for text in texts], return_tensors="pt", padding=True)
    assert asked["attention_mask"].min() == 0
    written = exported.generate(**asked, max_new_tokens=12, do_sample=False)
    for text, ids in zip(texts, written[:, asked["input_ids"].shape[1] :], strict=True):
        ids = ids[: int((ids == 256).int().argmax())] if (ids == 256).any() else ids
        assert text + tokenizer.decode(ids) == generate(model, tokenizer, text, num_tokens=12, temperature=0)
    new = transformers.AutoModelForCausalLM.from_config(exported.config, trust_remote_code=True)
    new(asked["input_ids"], labels=asked["input_ids"]).loss.backward()
    assert new.transformer.h[0].attn.c_attn.weight.grad.any()
    exported.save_pretrained(tmp_path / "again")  # as after a fine-tuning there
    vocabulary.save_pretrained(tmp_path / "again")
    hub.import_model(str(tmp_path / "again"), tmp_path / "back")
    assert torch.equal(logits(read(tmp_path / "back")[0]), logits(model))


def test_squared_relu_alone_is_a_gpt2_of_theirs(tmp_path):
    model, _ = ours(tmp_path / "run", ModelConfig(**vars(MODEL) | {"activation": "relu_squared"}))
    assert hub.export_run(tmp_path / "run", tmp_path / "out")["code"] == []
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(exported) is transformers.GPT2LMHeadModel
    assert (logits(model) - logits(exported)).abs().max() < 1e-5
    hub.import_model(str(tmp_path / "out"), tmp_path / "back")
    assert read(tmp_path / "back")[0].config == model.config


@pytest.mark.parametrize(("values", "match"), [
    ({"model_type": "gpt2"}, "brings its own code"),
    ({"model_type": "gpt2", "auto_map": None}, "no tensor transformer.wpe.weight"),
    ({"losslab": {}}, "has the type losslab_modern and is a GPT-2 in all that it says; such a model has the type gpt2"),
    ({"losslab": {"norm": "group"}}, "model.norm must be layer or rms, got 'group'"),
    ({"losslab": {"qk_norm": 1}}, "has qk_norm 1; it is a value like False"),
    ({"losslab": {"norm": "rms"}}, "no tensor transformer.wpe.weight"),
    ({"losslab": {"position_embedding": "rotary"}}, "no tensor transformer.h.0.ln_1.bias"),
    ({"losslab": MODERN | {"bias": False}}, r"has the tensor transformer\..*bias, which"),
    ({"losslab": MODERN | {"transform": "file('x.py')"}}, "unknown transform 'file'"),
    ({"n_head": 16}, "turns pairs of numbers, and a head of model.n_embd"),
], ids=str)  # fmt: skip
def test_a_changed_description_is_refused(tmp_path, values, match):
    ours(tmp_path / "run", ModelConfig(**vars(MODEL) | MODERN))
    hub.export_run(tmp_path / "run", tmp_path / "theirs", with_code=True)
    change(tmp_path / "theirs", **values)
    refuses(tmp_path, match, into="back")


def test_a_description_of_a_gpt2_cannot_switch_it(tmp_path):
    model = theirs(tmp_path / "theirs")
    change(tmp_path / "theirs", losslab={"norm": "rms", "position_embedding": "rotary"}, norm="rms")
    hub.import_model(str(tmp_path / "theirs"), tmp_path / "run")
    imported, _ = read(tmp_path / "run")
    assert not imported.config.switches and (logits(model) - logits(imported)).abs().max() < 1e-5


def test_what_is_code_is_said_in_the_card_and_on_the_terminal(tmp_path, capsys):
    ours(tmp_path / "run", ModelConfig(**vars(MODEL) | MODERN), "softcap(2)")
    assert losslab("export", str(tmp_path / "run"), str(tmp_path / "out"), "--remote-code") == 0
    said = capsys.readouterr().out
    assert ("the logit transform softcap(2), model.position_embedding rotary, model.norm rms, model.qk_norm True is "
            "code, so transformers loads it with trust_remote_code=True alone") in " ".join(said.split())
    card = (tmp_path / "out" / "README.md").read_text()
    assert "trust_remote_code=True" in card and "`model.norm rms`" in card and "a plain GPT-2 it is not" in card
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    assert settings["auto_map"]["AutoModelForCausalLM"] == "transformed_losslab.TransformedLosslab"
    stored = safetensors.torch.load_file(tmp_path / "out" / "model.safetensors")
    assert stored["transformer.h.0.mlp.c_fc.weight"].shape == (64, 16)  # as a linear layer has it
