"""Fine-tuning: what it is told, what it learns, and what is reported before and after it."""

import dataclasses
import json
from pathlib import Path

import pytest
from commands import losslab, refuses
from experiments import small_text
from experiments import untimed as untimed
from hub_models import theirs
from instruction_data import alpaca, write

from losslab import checkpoint, experiment, records
from losslab.config import DataConfig, EvaluateConfig, ExperimentConfig, ModelConfig, TrainConfig
from losslab.corpus import Corpus
from losslab.evaluate.evaluator import score
from losslab.experiment import Experiment

TRAIN = TrainConfig(num_steps=6, batch_size=4, learning_rate=3e-3, device="cpu", dtype="float32", log_every=1)
EVALUATE = EvaluateConfig(tune_tokens=256, num_samples=1, sample_tokens=5)
FIRST = ExperimentConfig(
    data=DataConfig(corpus="text.txt", val_bytes=2000, tune_bytes=2000), train=TRAIN, evaluate=EVALUATE,
    model=ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=256, dropout=0.0),
)
FLAGS = ("--train.batch-size", "4", "--device", "cpu", "--evaluate.tune-tokens", "256", "--evaluate.num-samples", "0")
TUNED = dataclasses.replace(FIRST, start="base", data=DataConfig(corpus="rows.json"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a text, a run on it, instruction data, and a run from the first on these."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("made")
        patch.chdir(small_text(folder))
        write(Path("rows.json"), [*alpaca(), {"instruction": "a"}])
        said = []
        base = experiment.run(FIRST, "base")
        tuned = experiment.run(Experiment(TUNED, tell=said.append), "tuned", tell=said.append)
        yield folder, base, tuned, said


def scored(run, data):
    loaded = checkpoint.load(checkpoint.newest(f"{run}/checkpoint"))
    corpus = Corpus.open(data)
    return score(loaded.model, corpus, corpus.tokenizer, EVALUATE, seq_len=256)["scores"]


def values(scores):
    return {name: pytest.approx(score["value"], rel=1e-6) for name, score in scores.items()}


def test_a_result_has_both_texts_before_and_after(made, monkeypatch):
    folder, base, tuned, _ = made
    monkeypatch.chdir(folder)
    found = tuned.result["fine_tuning"]
    assert found["weights"] == base.result["weights"] and found["start"] == "base"
    assert found["new"]["before"].keys() == found["new"]["after"].keys() >= {
        "nll", "perplexity", "nll_all_tokens", "perplexity_all_tokens"}
    assert found["new"]["after"] == tuned.scores and found["old"]["before"] == base.scores
    assert found["old"]["corpus"]["name"] == "text.txt" and not found["old"]["instructions"]
    for run, text, time in (("base", "new", "before"), ("tuned", "old", "after")):
        there = scored(run, (TUNED if text == "new" else FIRST).data)
        assert {name: score["value"] for name, score in found[text][time].items()} == values(there)
    assert found["new"]["after"]["nll"]["value"] < found["new"]["before"]["nll"]["value"]


def test_it_is_told_what_was_counted_and_how_rows_are_packed(made):
    said = made[3]
    assert said[0] == "rows.json: 120 examples of 121 rows, in the template alpaca; rows left out: 1 with missing keys"
    assert any(line.startswith("packing packed: ") and "several in a row, none attending to another" in line
               and "longer ones lose their end (data.too_long truncate)" in line for line in said)


def test_the_tokens_of_a_run_are_the_answers_it_learned(made):
    tuned = made[2]
    batches = Experiment.__dict__["batches"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made[0])
        own = batches(Experiment(TUNED))
        assert tuned.result["tokens"] == sum(int((own(step).targets >= 0).sum()) for step in range(6))
    assert tuned.log[-1]["tokens"] == tuned.result["tokens"] and tuned.spec["packing"]["documents"] > 50


def test_before_is_measured_once_for_all_seeds(made, monkeypatch):
    folder, _, tuned, _ = made
    monkeypatch.chdir(folder)
    asked = experiment.fine_tuning.requests(Experiment(dataclasses.replace(TUNED, seed=5)))
    assert [one["as"] for one in asked] == ["old_after"]
    off = dataclasses.replace(TUNED, evaluate=dataclasses.replace(EVALUATE, before_and_after=False))
    assert not experiment.fine_tuning.requests(Experiment(off)) and Experiment(off).condition == tuned.condition


def test_scores_of_the_start_of_which_a_digit_changed_are_measured_again(made, monkeypatch):
    folder, _, tuned, _ = made
    monkeypatch.chdir(folder)
    place = experiment.fine_tuning._place(Experiment(TUNED))
    whole = place.read_bytes()
    digits = str(tuned.result["fine_tuning"]["new"]["before"]["nll"]["value"]).encode()
    try:
        for changed in (whole.replace(digits, b"9" + digits[1:]), b"{}", whole.replace(b"checksum", b"checksun")):
            place.write_bytes(changed)
            asked = experiment.fine_tuning.requests(Experiment(dataclasses.replace(TUNED, seed=5)))
            assert [one["as"] for one in asked] == ["before", "old_after"]
    finally:
        place.write_bytes(whole)


def test_an_old_text_that_is_gone_is_a_sentence_and_no_failure(made, monkeypatch):
    folder, _, _, _ = made
    monkeypatch.chdir(folder)
    text = Path("text.txt").read_text()
    try:
        Path("text.txt").unlink()
        old, why = experiment.fine_tuning.old_text(Experiment(TUNED))
        assert old is None and why.startswith("the text that base was trained on cannot be read: there is no file")
        Path("text.txt").write_text(text.replace("cat", "dog"))
        assert experiment.fine_tuning.old_text(Experiment(TUNED))[1] == (
            "the text that base was trained on has changed since")
    finally:
        Path("text.txt").write_text(text)


def test_the_condition_has_masks_and_packing_and_one_spelling_of_them(made, monkeypatch):
    monkeypatch.chdir(made[0])

    def of(**data):
        return Experiment(dataclasses.replace(TUNED, data=dataclasses.replace(TUNED.data, **data))).condition

    plain = of()
    assert of(packing="packed") == plain == made[2].condition and of(template="alpaca") == plain
    others = [of(packing="padded"), of(mask_prompts=False), of(too_long="leave_out"), of(template="chat")]
    assert len({plain, *others}) == 5


@pytest.mark.parametrize(("data", "sentence"), [
    ({"corpus": "text.txt", "mask_prompts": False}, "data.mask_prompts false is for instruction data"),
    ({"corpus": "text.txt", "too_long": "leave_out"}, "data.too_long leave_out is for the packings packed and padded"),
    ({"curriculum": "length"}, "data.curriculum length is for plain text in the packing stream, and rows.json is in "
                               "packed"),
    ({"template": "alpacas"}, "unknown template 'alpacas'; did you mean alpaca"),
])
def test_settings_that_do_not_go_together_are_a_sentence(made, monkeypatch, data, sentence):
    monkeypatch.chdir(made[0])
    with pytest.raises(ValueError, match=sentence):
        Experiment(dataclasses.replace(TUNED, data=dataclasses.replace(TUNED.data, **data)))


def test_the_page_and_the_terminal_show_before_and_after(made, monkeypatch, capsys):
    monkeypatch.chdir(made[0])
    assert losslab("report", "tuned", "--out", "page.html") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "fine-tuning with cross_entropy: answers of rows.json: nll" in said
    assert "all tokens of text.txt, its text before" in said
    page, text = Path("page.html").read_text(), Path("page.md").read_text()
    assert "<h2>Fine-tuning: before and after</h2>" in page and "## Fine-tuning: before and after" in text
    rows = json.loads(Path("page.json").read_text())["arms"][0]["fine_tuning"]
    assert [(row["which"], row["of"]) for row in rows] == [
        ("new", "answers"), ("new", "all tokens"), ("old", "all tokens")]
    assert losslab("runs", "show", "tuned") == 0
    assert "its text before: nll" in capsys.readouterr().out


def test_a_result_that_says_nonsense_of_fine_tuning_is_left_out(made):
    from losslab.comparison import fine_tuned

    for nonsense in ("x", {"new": 3}, {"new": {"before": {"nll": {"value": "1"}}, "after": {}}}, None):
        record = dataclasses.replace(made[2], result=made[2].result | {"fine_tuning": nonsense})
        assert fine_tuned.rows([record]) == []




def test_finetune_is_train_with_a_start_and_says_so(made, monkeypatch, capsys):
    monkeypatch.chdir(made[0])
    line = ["finetune", "base", "--data", "rows.json", "--epochs", "0.3", *FLAGS, "--out", "short", "--json"]
    monkeypatch.setattr("sys.argv", ["losslab", *line])
    assert losslab(*line) == 0
    out, err = capsys.readouterr()
    first = json.loads(out)
    rows = len(Experiment(TUNED).batches().layout.rows)
    steps = round(0.3 * rows) // 4
    assert f"0.3 epochs are {steps} updates (train.num_steps)" in err and first["num_steps"] == steps
    assert (f"the same as: losslab train --start base --corpus rows.json --train.num-steps {steps} {' '.join(FLAGS)} "
            "--out short --json") in err
    assert "### Instruction:\n  | {instruction}" in err
    again = ("train", "--start", "base", "--corpus", "rows.json", "--train.num-steps", str(steps), *FLAGS)
    assert losslab(*again, "--out", "long", "--json") == 0
    assert json.loads(capsys.readouterr().out)["weights"] == first["weights"]


@pytest.mark.parametrize(("line", "sentence"), [
    (("base",), "error: losslab finetune needs the text to train on, such as --data alpaca.json"),
    ((), "error: `losslab finetune` needs START, such as `losslab finetune runs/RUN --data alpaca.json`"),
    (("base", "--data", "a", "--data.corpus", "b"), "error: --data and --data.corpus name the same text; give one"),
    (("base", "--data", "rows.json", "--epochs", "1", "--num-tokens", "9k"),
     "error: --epochs, --num-tokens and --train.num-steps each set the horizon; give one of them, more than 0"),
    (("base", "--data", "rows.json", "--epochs", "-1"), "error: --epochs must not be negative, got -1.0"),
    (("nowhere", "--data", "rows.json"), "error: nowhere is not a run folder"),
    (("base", "--data", "none.json"), "error: there is no file or folder none.json"),
    (("base", "--data", "rows.json", "--data.packing", "pack"), "error: data.packing must be auto or stream or packed"),
    (("base", "--data", "rows.json", "--data.template", "chatt"), "error: unknown template 'chatt'; did you mean"),
])
def test_finetune_refuses_in_a_sentence(made, monkeypatch, capsys, line, sentence):
    monkeypatch.chdir(made[0])
    assert refuses(capsys, "finetune", *line).startswith(sentence)


def test_finetune_imports_a_model_of_transformers_first(made, monkeypatch, capsys):
    monkeypatch.chdir(made[0])
    theirs("theirs")
    for _ in range(2):
        assert losslab("finetune", "theirs", "--data", "text.txt", "--train.num-steps", "2", "--data.val-bytes", "2000",
                       "--data.tune-bytes", "2000", *FLAGS, "--out", "from-theirs", "--json") == 0
        out, err = capsys.readouterr()
    assert "is imported as" not in err  # it is there already
    found = json.loads(out)["fine_tuning"]
    assert found["start"] == "models/theirs" and found["no_old"] == (
        "an imported model does not say what it was trained on")


def test_a_term_that_is_published_with_a_loss_is_trained_with_it(made, untimed, monkeypatch, capsys):
    monkeypatch.chdir(made[0])
    line = ("compare", "--start", "base", "--data.corpus", "rows.json", "cross_entropy", "token_scaled", "unlikelihood",
            "--seeds", "2", "--train.num-steps", "2", "--dry-run", "--json")
    assert losslab(*line) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["arms"] == ["cross_entropy", "token_scaled", "cross_entropy + unlikelihood"]
    assert "unlikelihood is published as a part of cross_entropy + unlikelihood, which is trained" in err


def test_fine_tuning_that_was_stopped_ends_in_the_same_bytes(made, monkeypatch):
    folder, _, tuned, _ = made
    monkeypatch.chdir(folder)
    again = Experiment(TUNED)
    records.create("stopped", again.spec, {})
    seen = []
    training = experiment.Training(again, Path("stopped"), "cpu", on_line=seen.append, is_alone=lambda: len(seen) >= 3)
    assert training.go() == "stopped"
    record = experiment.resume("stopped")
    assert 0 < seen[-1]["step"] < 6
    assert record.result["weights"] == tuned.result["weights"] and record.scores == tuned.scores


def test_the_task_likelihood_scores_answers_and_says_so(made, monkeypatch, capsys):
    monkeypatch.chdir(made[0])
    assert losslab("evaluate", "tuned", "--tasks", "likelihood", "--json") == 0
    (task,) = json.loads(capsys.readouterr().out)["tasks"]
    assert {name: score["value"] for name, score in task["scores"].items() if name in made[2].scores} == values(
        made[2].scores)
    assert any("answers alone count" in note for note in task["notes"])
