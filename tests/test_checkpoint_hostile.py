"""Checkpoints that someone else wrote: what is in them is compared before it is used."""

import os
import shutil

import pytest
import torch
from checkpoints import CONFIG, save, signed, sized, with_about
from checkpoints import trained as trained
from forging import mutated
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab import checkpoint, formula
from losslab import tokenizer as tokenizers
from losslab.model import initialized


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.pop("ln_f.bias"), "the weights has no tensor ln_f.bias, which a model of these sizes has"),
        (lambda w: w.update(extra=torch.zeros(1)), "has the tensor 'extra', which a model of these sizes has not"),
        (lambda w: w.update({"wte.weight": torch.zeros(258, 8)}), r"wte.weight of shape \[258, 8\] in float32, and"),
        (lambda w: w.update({"ln_f.bias": w["ln_f.bias"].double()}), r"ln_f.bias of shape \[8\] in float64, and a mod"),
    ],
)
def test_weights_that_are_not_those_of_the_model_are_refused(trained, change, sentence):
    weights = trained[0].state_dict()
    change(weights)
    with pytest.raises(checkpoint.Damaged, match=sentence):
        checkpoint.model_from(weights, CONFIG, 257, (), "the weights")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model": sized(n_layer=2**31)}, "model.n_layer must be at most 10,000 .*, got 2,147,483,648"),
        ({"model": sized(n_layer=10_000)}, "has no tensor h.1.ln_1.weight, which a model of these sizes has"),
        ({"model": sized(n_embd=2**40, n_head=1)}, "model.n_embd must be at most 131,072"),
        ({"model": sized(num_positions=2**23)}, r"wpe.weight of shape \[8, 8\] in float32, and a model"),
        ({"model": sized(n_layer="1")}, "model.json has n_layer '1'; it is a value like 4"),
        ({"model": sized(n_layer=True)}, "model.json has n_layer True; it is a value like 4"),
        ({"model": sized(dropout=10**18)}, "model.dropout must be at most 1"),
        ({"model": {"n_layer": 1}}, "does not give the model its n_layer, n_head, n_embd, num_positions"),
        ({"model": None}, "does not give the model its"),
        ({"vocab_size": 10**12}, "a model has a vocab_size between 1 and"),
        ({"vocab_size": 258}, r"wte.weight of shape \[257, 8\]"),
        ({"vocab_size": 257.0}, "model.json has vocab_size 257.0"),
        ({"step": -1}, "model.json has step -1"),
        ({"step": ...}, "model.json has step None"),
        ({"tokens": "many"}, "model.json has tokens 'many'"),
        ({"seconds": [1]}, r"model.json has seconds \[1\]"),
        ({"seconds": float("nan")}, "model.json is not readable JSON: NaN is no number of JSON"),
        ({"step": 10**30}, "the number '1000.* does not fit 64 bits"),
        ({"format": None}, "model.json has format None"),
        ({"transform": ...}, "a logit transform of type NoneType that is not read: it is no text such as 'softcap"),
        ({"transform": 'file("x.py") + cross_entropy #'}, "is not a loss|is not read"),
        ({"transform": "softcap(15) # more"}, "losslab writes it as 'softcap\\(15\\)', so the text is from another"),
        ({"skipped": 4}, "model.json has skipped 4"),
        ({"skipped": True}, "model.json has skipped True"),
        ({"transform": "softcap(-1)"}, "softcap takes a positive cap, got -1"),
        ({"transform": "temperature(1e-320)"}, "it gives values that are not finite"),
        ({"transform": "cross_entropy"}, "unknown transform 'cross_entropy'"),
    ],
)
def test_a_fitting_manifest_does_not_make_a_description_true(tmp_path, trained, values, sentence):
    path = with_about(save(tmp_path, trained), **values)
    with pytest.raises(checkpoint.Damaged, match=sentence) as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "must hold a JSON object"),
        ('{"model.safetensors": 5}', "no sha256 for 'model.safetensors'"),
        ('{"../model.json": "0"}', "names '../model.json', which is no file in it"),
        ("{}", "does not name losslab_tokenizer.json"),
        ("[" * 100_000, "too deeply nested"),
        ("\ud800".encode("utf-8", "surrogatepass"), "not readable JSON"),
        ('{"\\ud800": "0"}', "a string in it is not UTF-8 text"),
    ],
    ids=["list", "number", "path", "empty", "deep", "bytes", "surrogate"],
)
def test_a_manifest_that_is_none_is_damage(tmp_path, trained, text, sentence):
    path = save(tmp_path, trained)
    (path / "manifest.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(checkpoint.Damaged, match=sentence):
        checkpoint.load(path)
    with pytest.raises(checkpoint.Damaged, match="no whole checkpoint"):
        checkpoint.newest(tmp_path)


def replace_by(kind, file):
    file.unlink()
    match kind:
        case "link":
            file.symlink_to(file.with_name("elsewhere"))
        case "pipe":
            os.mkfifo(file)
        case "folder":
            file.mkdir()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "model.json", "manifest.json"])
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path, trained, kind, name):
    path = save(tmp_path, trained)
    shutil.copy(path / name, path / "elsewhere")
    replace_by(kind, path / name)
    word = {"link": "a symbolic link"}.get(kind, f"a {kind}")
    with pytest.raises(checkpoint.Damaged, match=f"{name} is {word}, and not a file; put the file itself there"):
        checkpoint.load(path)
    if name.endswith(".safetensors"):
        with pytest.raises(checkpoint.Damaged, match=f"{name} is {word}"):
            checkpoint.read_weights(path / name)
    with pytest.raises(checkpoint.Damaged, match="is a device, and not a file"):
        checkpoint.read_weights("/dev/zero")


def test_other_names_among_the_checkpoints_are_left_alone(tmp_path, trained):
    for name in ("step-abc", "step-", "step-1", "step-0000000x", "step-99999999999999999999"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-00000099").touch()
    (tmp_path / "step-00000098").symlink_to(tmp_path / "step-abc")
    paths = [save(tmp_path, trained, step=step) for step in (1, 2, 123_456_789)]
    assert checkpoint.steps(tmp_path) == paths[1:] and checkpoint.newest(tmp_path) == paths[2]
    assert (tmp_path / "step-abc").is_dir()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A checkpoint whose tokenizer has both of its files in use."""
    tokenizer = tokenizers.make("bpe:260", ["one and one and one"])
    model = initialized(CONFIG, tokenizer.vocab_size, 0, formula.transforms("softcap(15)"))
    return checkpoint.save(tmp_path_factory.mktemp("whole"), model, tokenizer, step=3, tokens=48, seconds=1.5)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.data())
def test_any_change_of_any_file_is_read_or_called_damage(whole, tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(file.name for file in whole.iterdir())))
    path = tmp_path_factory.mktemp("forged") / whole.name
    shutil.copytree(whole, path)
    (path / name).write_bytes(mutated(data.draw, name, (path / name).read_bytes()))
    if name != "manifest.json":
        signed(path)
    try:
        loaded = checkpoint.load(path)
    except checkpoint.Damaged as error:
        assert str(error).startswith(f"checkpoint {path} is damaged: ")
        assert len(str(error)) <= 400 and str(error).isprintable()
    except ValueError as error:
        assert "newer losslab" in str(error)
    else:
        assert loaded.model.vocab_size == loaded.tokenizer.vocab_size
