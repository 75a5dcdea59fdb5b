"""Weights come back as they were written, and what is damaged is called damaged."""

import errno
import hashlib
import json

import pytest
import safetensors.torch
import torch
from checkpoints import CONFIG, save
from checkpoints import trained as trained

from losslab import checkpoint, formula, optim
from losslab.config import ModelConfig, TrainConfig
from losslab.model import GPT2, expected_shapes


def test_everything_comes_back_to_the_last_bit(tmp_path, trained):
    model, optimizer = trained
    loaded = checkpoint.load(save(tmp_path, trained, skipped=0))
    assert (loaded.step, loaded.tokens, loaded.seconds, loaded.skipped) == (3, 48, 1.5, 0)
    assert loaded.model.config == CONFIG and loaded.model.transform_text == "softcap(15)"
    assert loaded.tokenizer.vocab_size == 257
    for (name, a), b in zip(model.named_parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b), name
    again = optim.build(loaded.model, TrainConfig(num_steps=3))
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


def test_a_folder_that_does_not_exist_has_no_damaged_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*/run; give a run folder"):
        checkpoint.newest(tmp_path / "run" / "checkpoint")


def test_only_the_newest_are_kept(tmp_path, trained):
    for step in (1, 2, 3, 10):
        save(tmp_path, trained, step=step)
    assert [path.name for path in checkpoint.steps(tmp_path)] == ["step-00000003", "step-00000010"]


def test_a_save_that_was_killed_is_cleared_away_by_the_next_one(tmp_path, trained):
    left = tmp_path / ".step-00000002.4711"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    kept = save(tmp_path, trained, step=3)
    assert list(tmp_path.iterdir()) == [kept]


def test_a_run_that_starts_over_keeps_its_own_checkpoints_and_not_the_damaged_ones(tmp_path, trained):
    for step in (10, 20):
        (save(tmp_path, trained, step=step) / "model.json").write_text("{")
    kept = [save(tmp_path, trained, step=step) for step in (4, 8)]
    assert checkpoint.steps(tmp_path) == kept and checkpoint.newest(tmp_path, warn=pytest.fail) == kept[1]


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
    manifest["model.json"] = hashlib.sha256((path / "model.json").read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="newer losslab"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "config",
    [CONFIG, ModelConfig(n_layer=3, n_head=1, n_embd=4, num_positions=5, bias=False, tied=False),
     ModelConfig(n_layer=2, n_head=2, n_embd=4, num_positions=1, tied=False, activation="gelu"),
     ModelConfig(n_layer=2, n_head=2, n_embd=8, num_positions=5, position_embedding="rotary", norm="rms")],
    ids=["tied", "untied without biases", "untied", "modern"],
)
def test_the_expected_shapes_are_those_of_a_model(config):
    state = GPT2(config, 11).state_dict()
    assert expected_shapes(config, 11) == {name: tuple(tensor.shape) for name, tensor in state.items()}


def test_weights_are_read_once_with_the_sum_of_their_bytes(tmp_path, trained):
    path = save(tmp_path, trained)
    raw = (path / "model.safetensors").read_bytes()
    weights, sha256 = checkpoint.read_weights(path / "model.safetensors")
    wanted = safetensors.torch.load(raw)
    assert sha256 == hashlib.sha256(raw).hexdigest() and list(weights) and weights.keys() == wanted.keys()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    model = checkpoint.model_from(weights, CONFIG, 257, formula.transforms("softcap(15)"), "the weights")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), trained[0].parameters(), strict=True))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert checkpoint.load(path, weights_sha256=sha256).step == 3
    with pytest.raises(checkpoint.Damaged, match=f"its weights have the sha256 {sha256[:12]}..., not 000000000000..."):
        checkpoint.load(path, weights_sha256="0" * 64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_every_dtype_is_read_as_the_library_reads_it(tmp_path, dtype):
    wanted = {"a": torch.tensor([[0, 1, 2], [3, 0, 1]]).to(dtype), "none": torch.zeros(0, 3, dtype=dtype),
              "one": torch.tensor(1).to(dtype), "odd": torch.tensor([1, 0, 1], dtype=torch.int8)}
    safetensors.torch.save_file(wanted, tmp_path / "x.safetensors", {"format": "pt"})
    found, _ = checkpoint.read_weights(tmp_path / "x.safetensors")
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) and found[name].dtype == wanted[name].dtype for name in wanted)
