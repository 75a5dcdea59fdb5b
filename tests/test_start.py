"""Training that starts from weights: theirs or ours, which are then part of the condition."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from commands import FAST, losslab, refuses
from experiments import place as place
from forks import forking as forking
from hub_models import ours, theirs

from losslab import checkpoint, experiment, hub, records, running, start
from losslab.config import DataConfig, EvaluateConfig, ExperimentConfig, ModelConfig, TrainConfig
from losslab.experiment import Experiment

pytestmark = pytest.mark.usefixtures("place")
CONFIG = ExperimentConfig(
    start="model", data=DataConfig(corpus="text.txt", val_bytes=2000, tune_bytes=2000),
    train=TrainConfig(num_steps=6, batch_size=4, learning_rate=1e-2, device="cpu", log_every=1),
    evaluate=EvaluateConfig(tune_tokens=256, num_samples=1, sample_tokens=5),
)


def change(**values):
    return dataclasses.replace(CONFIG, **values)


def weights(folder):
    return safetensors.torch.load_file(checkpoint.newest(Path(folder) / "checkpoint") / "model.safetensors")


@pytest.fixture
def model(place):
    theirs("theirs")
    hub.import_model("theirs", "model")
    return "model"


def test_the_first_update_begins_at_the_weights_and_moves_them(model):
    still = dataclasses.replace(CONFIG.train, num_steps=1, learning_rate=0.0, min_learning_rate_ratio=0.0,
                                dtype="float32")  # some CPUs train in bfloat16, which has three digits
    said = []
    record = experiment.run(change(train=still), "still", tell=said.append)
    before, after = weights(model), weights("still")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    loaded = checkpoint.load(checkpoint.newest("model/checkpoint"))
    loaded.model.eval()
    x, y = map(torch.as_tensor, Experiment(CONFIG).corpus.batches("train", seed=0, batch_size=4, seq_len=32)(0))
    first = torch.nn.functional.cross_entropy(loaded.model.logits(loaded.model(x)).flatten(0, 1), y.flatten())
    assert record.log[0]["train/nll"] == pytest.approx(first.item(), abs=1e-4)
    assert not any("untrained model" in line for line in said)
    trained = experiment.run(CONFIG, "trained")
    assert trained.scores["nll"]["value"] < record.scores["nll"]["value"] - 0.1
    assert trained.config.model == dataclasses.replace(loaded.model.config, dropout=0.0)
    assert trained.config.data.tokenizer == "bytes" and trained.spec["start"] == start.read("model").weights


def test_the_condition_has_the_weights_and_not_their_place(model):
    first = Experiment(CONFIG)
    shutil.copytree("model", "moved")
    assert Experiment(change(start="moved")).condition == first.condition
    settings = {"data": CONFIG.data, "model": first.config.model}
    assert Experiment(change(start="", **settings)).condition != first.condition
    torch.manual_seed(9)
    other = theirs("theirs2", save=False)
    other.transformer.wpe.weight.data[0, 0] += 1
    other.save_pretrained("theirs2")
    hub.import_model("theirs2", "other", tokenizer="bytes")
    assert Experiment(change(start="other")).condition != first.condition
    assert Experiment(change(model=ModelConfig(dropout=0.25))).config.model.dropout == 0.25


def test_a_run_that_was_stopped_ends_in_the_same_bytes(model):
    whole = experiment.run(CONFIG, "whole")
    made = Experiment(CONFIG)
    records.create("stopped", made.spec, {})
    shutil.copytree("model", "kept")
    assert experiment.resume("stopped", threads=1).status == "finished"
    assert all(torch.equal(a, b) for a, b in zip(weights("whole").values(), weights("stopped").values(), strict=True))
    assert whole.condition == records.read("stopped").condition
    records.create("again", made.spec, {})
    shutil.rmtree("model")
    ours("model")
    with pytest.raises(ValueError, match="again cannot continue: the weights in model are not those it began with"):
        experiment.resume("again")
    with pytest.raises(ValueError, match="kept is an imported model, not a run that can continue"):
        experiment.resume("kept")
    shutil.rmtree("model")
    with pytest.raises(ValueError, match="model is not a run folder"):
        experiment.resume("again")


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        ("cross_entropy", "softcap(2) | cross_entropy"),
        ("softcap(cap=2.0) | squentropy", "softcap(cap=2.0) | squentropy"),
        ("softcap(3) | cross_entropy", None),
        ("temperature(2) | softcap(2) | cross_entropy", None),
        ("loss.py", "softcap(2) | file('loss.py')"),
    ],
)
def test_the_transform_of_the_weights_is_kept(place, forking, loss, found):
    Path("loss.py").write_text("def loss(prediction):\n    return prediction.nll\n")
    ours("model", transform="softcap(2)")
    if found is None:
        with pytest.raises(ValueError, match="the model it starts from has softcap\\(2\\); leave it out"):
            Experiment(change(loss=loss))
    else:
        assert str(Experiment(change(loss=loss)).objective) == found


def test_a_transform_is_not_put_on_weights_that_had_none(model):
    with pytest.raises(ValueError, match="the model it starts from has none"):
        Experiment(change(loss="softcap(15) | cross_entropy"))


def test_a_switch_that_the_weights_were_not_made_with_is_refused(model):
    with pytest.raises(ValueError, match="model.position_embedding rotary is asked for, and model, from which training "
                                         "starts, has learned; leave it out, or start without those weights"):
        Experiment(change(model=ModelConfig(position_embedding="rotary")))
    modern = ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=32, norm="rms", qk_norm=True, zero_init=True)
    ours("modern", modern)
    made = Experiment(change(start="modern", model=ModelConfig(norm="rms", activation="gelu")))  # as the preset char
    assert made.config.model == dataclasses.replace(modern, zero_init=False)  # of weights that are drawn anew
    with pytest.raises(ValueError, match="model.activation relu_squared is asked for, and modern, .* has gelu_tanh"):
        Experiment(change(start="modern", model=ModelConfig(activation="relu_squared")))


def test_arms_share_a_text_only_where_they_share_a_start(model):
    plan = running.plan([CONFIG, change(loss="squentropy"), change(start="", loss="brier")], [0, 1], "store")
    corpora = [made.corpus for made in plan.experiments[:3]]
    assert corpora[1] is corpora[0] and corpora[2] is not corpora[0]
    assert running.plan([CONFIG], [0], "store").experiments[0].start is not None


# --- the command line --------------------------------------------------------------------------

def test_the_verbs_from_a_run_to_theirs_and_back(capsys):
    assert losslab("train", "--corpus", "text.txt", "--num-tokens", "640", *FAST, "--out", "run", "--json") == 0
    nll = json.loads(capsys.readouterr().out)["scores"]["nll"]
    assert losslab("export", "run", "out", "--json") == 0
    written = json.loads(capsys.readouterr().out)
    assert "model.safetensors" in written["files"] and written["transform"] == ""
    card = Path("out/README.md").read_text()
    assert f"{nll['value']:.3f}" in card and "(n=" in card and "text" in card
    assert losslab("import", "out", "--json") == 0
    assert json.loads(capsys.readouterr().out)["run"] == "models/out"
    assert losslab("evaluate", "models/out", "--corpus", "text.txt", "--data.val-bytes", "2000", "--data.tune-bytes",
                   "2000", "--json") == 0
    assert json.loads(capsys.readouterr().out)["scores"]["nll"] == nll
    assert losslab("generate", "models/out", "The", "--num-tokens", "5") == 0
    assert losslab("runs", "show", "models/out", "--json") == 0
    assert '"imported"' in capsys.readouterr().out
    assert losslab("runs", "list", "models") == 0
    assert "imported" in capsys.readouterr().out
    assert losslab("report", "run", "models", "--json") == 0  # an imported model is no arm, and no obstacle
    document = json.loads(capsys.readouterr().out)
    assert len(document["arms"]) == 1 and any("imported model" in line for line in document["warnings"])
    sizes = len([flag for flag in FAST if flag.startswith("--model")])
    tuned = ("train", "--start", "models/out", "--corpus", "text.txt", "--num-tokens", "640")
    assert losslab(*tuned, *FAST[2 * sizes :], "--out", "tuned", "--json") == 0
    assert json.loads(capsys.readouterr().out)["scores"]["nll"]["value"] < nll["value"]
    assert refuses(capsys, *tuned, "--model.n-layer", "3", "--tokenizer", "gpt2") == (
        "error: --start models/out brings its own model and tokenizer; leave out --model.n-layer, --tokenizer")


def test_refusals_of_the_verbs(capsys, model):
    assert "is not a run folder" in refuses(capsys, "export", "theirs", "out")
    assert "is there already" in refuses(capsys, "export", "model", "theirs")
    assert "no run to report on" in refuses(capsys, "report", "model")
    assert "does not exist" in refuses(capsys, "import", "./nothing")
