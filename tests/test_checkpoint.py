"""Weights come back as they were written, and what is damaged is called damaged."""

import errno
import hashlib
import json
import os
import shutil

import pytest
import safetensors.torch
import torch
from forging import mutated
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab import checkpoint, formula, optim
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig, TrainConfig
from losslab.model import GPT2, expected_shapes, initialized
from losslab.objective import Objective
from losslab.training_loop import train

CONFIG = ModelConfig(n_layer=1, n_head=2, n_embd=8, num_positions=8)


@pytest.fixture
def trained():
    def batches(step):
        x = torch.randint(257, (2, 9), generator=torch.Generator().manual_seed(step))
        return x[:, :-1], x[:, 1:]

    model = initialized(CONFIG, 257, 0, formula.transforms("softcap(15)"))
    config = TrainConfig(num_steps=3, batch_size=2)
    optimizer = optim.build(model, config)
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
    manifest["model.json"] = hashlib.sha256((path / "model.json").read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="newer losslab"):
        checkpoint.load(path)


# --- files that someone else wrote -------------------------------------------------------------

def signed(path):
    """The checkpoint at `path` with a manifest that fits what lies there, as a forger would leave it."""
    files = {file.name: file for file in path.iterdir() if file.name != "manifest.json"}
    sums = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    (path / "manifest.json").write_text(json.dumps(sums))
    return path


def with_about(path, **values):
    about = json.loads((path / "model.json").read_text()) | values
    (path / "model.json").write_text(json.dumps({key: value for key, value in about.items() if value is not ...}))
    return signed(path)


def sized(**values):
    return vars(CONFIG) | values


@pytest.mark.parametrize(
    "config",
    [CONFIG, ModelConfig(n_layer=3, n_head=1, n_embd=4, num_positions=5, bias=False, tied=False),
     ModelConfig(n_layer=2, n_head=2, n_embd=4, num_positions=1, tied=False, activation="gelu")],
    ids=["tied", "untied without biases", "untied"],
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


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.pop("ln_f.bias/exp_avg"), "no tensor ln_f.bias/exp_avg"),
        (lambda t: t.update({"wte.weight/step": torch.zeros(2)}), r"wte.weight/step of shape \[2\]"),
        (lambda t: t.update({"wte.weight/exp_avg": torch.zeros(257, 8).half()}), "in float16"),
        (lambda t: t.update({"more/step": torch.zeros(())}), "has the tensor 'more/step'"),
        (lambda t: t.update({"wte.weight/step": torch.tensor(float("nan"))}), "has a step that is no count"),
    ],
)
def test_the_state_of_another_optimizer_is_damage(tmp_path, trained, change, sentence):
    path = save(tmp_path, trained)
    tensors = safetensors.torch.load_file(path / "optimizer.safetensors")
    change(tensors)
    safetensors.torch.save_file(tensors, path / "optimizer.safetensors")
    loaded = checkpoint.load(signed(path))
    optimizer = optim.build(loaded.model, TrainConfig(num_steps=3))
    with pytest.raises(checkpoint.Damaged, match=sentence):
        checkpoint.restore_optimizer(path, loaded.model, optimizer)
    assert not optimizer.state
    save(tmp_path, trained)
    (path / "optimizer.safetensors").unlink()
    with pytest.raises(checkpoint.Damaged, match="there is no file"):
        checkpoint.restore_optimizer(path, loaded.model, optimizer)


class Counting(torch.optim.SGD):
    """An optimizer with plain values in its state and in its groups."""

    def __init__(self, parameters, **options):
        super().__init__(parameters, **options)
        for group in self.param_groups:
            group |= {"seen": 0, "range": (0.5, None), "kind": "plain"}

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            group["seen"] += 1
            for parameter in group["params"]:
                if parameter.grad is not None:
                    kept = self.state[parameter]
                    kept["decay"] = kept.get("decay", 1.0) * 0.7
                    parameter.sub_(parameter.grad, alpha=group["lr"] * kept["decay"] / group["seen"])


def move(model, optimizer, times):
    generator = torch.Generator().manual_seed(0)
    for _ in range(times):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize("make", [
    lambda ps: torch.optim.AdamW(ps, lr=0.01, fused=True, amsgrad=True), lambda ps: torch.optim.SGD(ps, lr=0.01),
    lambda ps: torch.optim.SGD(ps, lr=0.01, momentum=0.9), lambda ps: torch.optim.NAdam(ps, lr=0.01),
    lambda ps: torch.optim.Adafactor(ps, lr=0.01), lambda ps: Counting(ps, lr=0.01),
    lambda ps: torch.optim.AdamW([{"params": [p], "lr": 0.01 * n} for n, p in enumerate(ps)]),
])
def test_any_optimizer_resumes_bit_identically(tmp_path, make):
    straight = initialized(CONFIG, 257, 0)
    optimizer = make(list(straight.parameters()))
    move(straight, optimizer, 3)
    loaded = checkpoint.load(save(tmp_path, (straight, optimizer))).model
    again = make(list(loaded.parameters()))
    for group in again.param_groups:
        group["lr"] = 7.0  # what an optimizer has been told since it was made is in its groups
    path = tmp_path / "step-00000003"
    if isinstance(again, Counting):
        (path / "optimizer.json").rename(tmp_path / "kept")
        (path / "optimizer.json").write_text("{}")
        with pytest.raises(checkpoint.Damaged, match="optimizer.json has no wte.weight/decay"):
            checkpoint.restore_optimizer(signed(path), loaded, again)
        (tmp_path / "kept").replace(path / "optimizer.json")
    checkpoint.restore_optimizer(signed(path), loaded, again)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), loaded.parameters(), strict=True))
    move(straight, optimizer, 2)
    move(loaded, again, 2)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), loaded.parameters(), strict=True))


def test_the_state_as_it_was_written_before_options_were_kept_is_read(tmp_path, trained):
    model, optimizer = trained
    path = save(tmp_path, trained)
    moments = {f"{name}/{key}": value for name, parameter in model.named_parameters()
               for key, value in optimizer.state[parameter].items()}
    safetensors.torch.save_file(moments, path / "optimizer.safetensors")
    (path / "optimizer.json").unlink()
    signed(path)
    loaded = checkpoint.load(path)
    again = optim.build(loaded.model, TrainConfig(num_steps=3, weight_decay=0.3))
    checkpoint.restore_optimizer(path, loaded.model, again)
    assert again.param_groups[0]["weight_decay"] == 0.3  # the configuration's, where the file says nothing
    for a, b in zip(model.parameters(), loaded.model.parameters(), strict=True):
        assert all(torch.equal(value, again.state[b][key]) for key, value in optimizer.state[a].items())


@pytest.mark.parametrize(("change", "sentence"), [
    ({"group:matrices/lr": True}, "has 'group:matrices/lr' True, which this optimizer does not keep"),
    ({"group:matrices/betas": [0.9]}, r"betas' \(0.9,\), which"),
    ({"group:matrices/betas": {"0": 0.9}}, "betas' {'0': 0.9}, which"),
    ({"group:others/lr": 0.1}, "has 'group:others/lr' 0.1, which"),
    ({"wte.weight/exp_avg": 0.1}, "exp_avg' 0.1, which"),
    ({"group:matrices/lr": float("inf")}, "optimizer.json"),
    ({"group:matrices/weight_decay": 0.3}, "weight_decay 0.3, and the configuration says 0.1"),
    ({"group:vectors/peak_learning_rate": 1.0}, "peak_learning_rate 1.0, and the configuration says"),
])
def test_options_of_another_optimizer_are_damage(tmp_path, trained, change, sentence):
    path = save(tmp_path, trained)
    options = json.loads((path / "optimizer.json").read_text()) | change
    (path / "optimizer.json").write_text(json.dumps(options))
    loaded = checkpoint.load(signed(path))
    with pytest.raises(checkpoint.Damaged, match=sentence):
        checkpoint.restore_optimizer(path, loaded.model, optim.build(loaded.model, TrainConfig(num_steps=3)))


def test_an_optimizer_that_keeps_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path, trained):
    model, optimizer = trained
    optimizer.param_groups[0]["history"] = [torch.zeros(2)]
    with pytest.raises(ValueError, match="the optimizer keeps group:matrices/history, a list; only tensors, numbers"):
        save(tmp_path / "new", trained)
    assert not (tmp_path / "new").exists()


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
