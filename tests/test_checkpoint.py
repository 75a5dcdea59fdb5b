"""Weights come back as they were written, and what is damaged is called damaged."""

import errno
import json

import pytest
import safetensors.torch
import torch

from losslab import checkpoint, optim
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig, TrainConfig
from losslab.model import GPT2
from losslab.objective import Objective
from losslab.train import train

CONFIG = ModelConfig(n_layer=1, n_head=2, n_embd=8, max_seq_len=8)


@pytest.fixture
def trained():
    def batches(step):
        x = torch.randint(257, (2, 9), generator=torch.Generator().manual_seed(step))
        return x[:, :-1], x[:, 1:]

    model = GPT2.initialized(CONFIG, 257, 0, "softcap(15)")
    config = TrainConfig(num_steps=3, batch_size=2)
    optimizer = optim.adamw(model, config)
    train(model, batches, Objective.parse("cross_entropy"), config, optimizer=optimizer)
    return model, optimizer


def save(folder, trained, step=3, **options):
    model, optimizer = trained
    return checkpoint.save(folder, model, tokenizers.make("bytes"), step=step, tokens=48, seconds=1.5,
                           optimizer=optimizer, **options)


def test_everything_comes_back_to_the_last_bit(tmp_path, trained):
    model, optimizer = trained
    loaded = checkpoint.load(save(tmp_path, trained))
    assert (loaded.step, loaded.tokens, loaded.seconds) == (3, 48, 1.5)
    assert loaded.model.config == CONFIG and loaded.model.transform_text == "softcap(15)"
    assert loaded.tokenizer.vocab_size == 257
    for (name, a), b in zip(model.named_parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b), name
    again = optim.adamw(loaded.model, TrainConfig(num_steps=3))
    checkpoint.restore_optimizer(loaded.path, loaded.model, again)
    for a, b in zip(model.parameters(), loaded.model.parameters(), strict=True):
        for key, value in optimizer.state[a].items():
            assert torch.equal(value, again.state[b][key]), key


def test_nothing_in_it_is_pickled(tmp_path, trained):
    path = save(tmp_path, trained)
    for file in path.iterdir():
        if file.suffix == ".safetensors":
            safetensors.torch.load_file(file)
        else:
            json.loads(file.read_text())


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "model.json"])
def test_a_flipped_bit_is_named_and_the_checkpoint_before_is_used(tmp_path, trained, name):
    save(tmp_path, trained, step=2)
    newest = save(tmp_path, trained, step=3)
    raw = bytearray((newest / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (newest / name).write_bytes(raw)
    with pytest.raises(checkpoint.Damaged, match=f"step-00000003 is damaged: {name} is not what was written"):
        checkpoint.load(newest)
    said = []
    assert checkpoint.newest(tmp_path, warn=said.append).name == "step-00000002"
    assert len(said) == 1 and name in said[0]


def test_a_missing_file_and_a_missing_manifest_are_damage(tmp_path, trained):
    path = save(tmp_path, trained)
    (path / "model.safetensors").unlink()
    with pytest.raises(checkpoint.Damaged, match=r"model\.safetensors is missing"):
        checkpoint.load(path)
    (path / "manifest.json").unlink()
    with pytest.raises(checkpoint.Damaged, match="manifest"):
        checkpoint.load(path)
    with pytest.raises(ValueError, match="no whole checkpoint"):
        checkpoint.newest(tmp_path)


def test_only_the_newest_are_kept(tmp_path, trained):
    for step in (1, 2, 3, 10):
        save(tmp_path, trained, step=step)
    assert [path.name for path in checkpoint.steps(tmp_path)] == ["step-00000003", "step-00000010"]


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path, trained, monkeypatch):
    old = save(tmp_path, trained, step=2)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space left on device; free some space"):
        save(tmp_path, trained, step=3)
    monkeypatch.undo()
    assert checkpoint.newest(tmp_path) == old
    assert [p.name for p in tmp_path.iterdir()] == [old.name]  # no half-written folder is left


def test_a_newer_format_is_refused(tmp_path, trained):
    path = save(tmp_path, trained)
    about = json.loads((path / "model.json").read_text()) | {"format": 99}
    (path / "model.json").write_text(json.dumps(about))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["model.json"] = checkpoint._sha256(path / "model.json")
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="newer losslab"):
        checkpoint.load(path)
