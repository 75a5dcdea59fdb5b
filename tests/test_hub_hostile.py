"""Models that somebody wrote to do harm: nothing of them is run, and each is imported or refused with one sentence."""

import hashlib
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from forging import mutated
from hub_models import STORY, change, logits, read, refuses, theirs
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab import hub
from losslab import tokenizer as tokenizers


@pytest.mark.parametrize("weight_map", [{"a": "../outside.safetensors"}, {"a": "/etc/hostname"}, {}, []])
def test_an_index_cannot_point_out_of_its_folder(tmp_path, weight_map):
    theirs(tmp_path / "theirs")
    (tmp_path / "theirs" / "model.safetensors").rename(tmp_path / "outside.safetensors")
    (tmp_path / "theirs" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    refuses(tmp_path, "which is not a file in its folder" if weight_map else "names no files")


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
