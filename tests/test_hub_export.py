"""Runs as models of transformers: their logit transforms, their code, their card."""

import ast
import hashlib
import json
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hub_models import MODEL, change, logits, ours, read, theirs, transformers

from losslab import checkpoint, formula, hub
from losslab.config import ModelConfig
from losslab.formula import Call, Transform
from losslab.generate import generate
from losslab.hub import remote_code


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
            remote_code.write(tmp_path, MODEL, (Transform("softcap", (("cap", value),), call),))
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


def test_the_card_says_what_it_is_and_how_it_scored(tmp_path):
    score = {"value": 1.2345, "stderr": 0.0123, "n": 45, "unit": "bits/byte"}
    ours(tmp_path / "run", transform="softcap(2)", scores={"bits_per_byte": score})
    hub.export_run(tmp_path / "run", tmp_path / "out", with_code=True)
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    for part in ("| bits_per_byte | 1.234 ± 0.012 (n=45) | bits/byte |", "stories, digest 0123456789ab", "`softcap(2)`",
                 "trust_remote_code=True", "# A GPT-2 trained with `cross_entropy`", "| training tokens | `700` |"):
        assert part in card, part
