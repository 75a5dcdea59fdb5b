"""A study in stages: what its file may say, what it does, and that a kill costs nothing that was done."""

import copy
import json
from collections import Counter
from pathlib import Path
from unittest import mock

import judge_stub
import pytest
from commands import losslab, refuses
from experiments import small_text
from experiments import untimed as untimed
from instruction_data import alpaca, corpus_of, write

from losslab import experiment, records, stages
from losslab.corpus import Corpus
from losslab.instruct import templates
from losslab.judge import prompts, writing
from losslab.stages import conducting, heldout, planning, reading, registry
from losslab.stages.file import Generate

EVALUATE = {"tune_tokens": 256, "num_samples": 0, "every": 10}
TRAIN = {"batch_size": 4, "device": "cpu", "dtype": "float32", "checkpoint_every": 5, "log_every": 5}
TABLES = {
    "name": "small", "question": "Does it tell?", "notes": ["it is small"],
    "published": {"source": "a run", "figures": [
        {"label": "base", "measure": "perplexity", "value": 10.18, "unit": "per token"}]},
    "stage": [
        {"name": "base", "kind": "train", "size": "tiny", "recipe": "classic", "corpus": "text.txt",
         "tokenizer": "bytes", "epochs": 1, "seed": 3,
         "settings": {"model": {"n_layer": 1, "n_head": 2, "n_embd": 16, "num_positions": 384, "dropout": 0.1},
                      "data": {"val_bytes": 2000, "tune_bytes": 2000}, "evaluate": EVALUATE,
                      "train": TRAIN | {"seq_len": 64, "batch_size": 8}}},
        {"name": "tune", "kind": "train", "start": "base", "corpus": "rows.json", "epochs": 3, "warmup_share": 0.1,
         "settings": {"train": TRAIN | {"seq_len": 320, "batch_size": 2}, "evaluate": EVALUATE, "data": {
             "template": "alpaca", "val_bytes": 3000, "tune_bytes": 2000}}},
        {"name": "stories", "kind": "generate", "models": ["base", "tune"], "prompts": "base", "num_prompts": 2,
         "prompt_words": 5, "completions": 2, "num_tokens": 12},
        {"name": "answers", "kind": "generate", "models": ["tune"], "prompts": "tune", "num_prompts": 3,
         "num_tokens": 12},
        {"name": "grades", "kind": "judge", "texts": "stories", "protocol": "tinystories"},
    ],
    "scales": {"smoke": {"stage": {"base": {"settings": {"train.num_steps": 12}},
                                   "tune": {"settings": {"train.num_steps": 11}}}},
               "full": {}},
}  # fmt: skip
SMALL = reading.from_dict(TABLES)
SMOKE = SMALL.at("smoke")


class Killed(BaseException):
    """What ends a process at once, as far as files can tell."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(small_text(tmp_path))
    write(Path("rows.json"), alpaca())
    return tmp_path


def undrawn(monkeypatch):
    """Where it is not the page that is tested, none is drawn."""
    monkeypatch.setattr(conducting.page, "write", lambda document, path: path)


def go(store, stub=None, **options):
    asked = conducting.Asked(url=stub and stub.url, judge_model="m" if stub else None, command="typed")
    return stages.conduct(SMOKE, SMALL, Path(store), asked, threads=1, **options)


# --- the file ----------------------------------------------------------------------------------

def test_the_story_model_is_as_published_and_each_scale_says_what_differs():
    found = registry.load("story-gpt")
    first, second = (planning.config_of(found, stage) for stage in found.training)
    model = first.model
    assert (model.n_layer, model.n_head, model.n_embd, model.num_positions, model.dropout) == (6, 8, 64, 1024, 0.1)
    assert first.data.tokenizer == second.data.tokenizer == "gpt2" and second.model == model
    assert round(model.num_params(50_257) / 1e6, 1) == 3.6 and model.tied and not model.switches
    assert (first.seq_len, second.seq_len) == (128, 512)  # both within the positions
    of = {name: (config.train.batch_size, config.train.grad_accum_steps, config.train.learning_rate,
                 config.train.weight_decay, config.train.schedule, config.train.min_learning_rate)
          for name, config in (("pretrain", first), ("tune", second))}
    assert of == {"pretrain": (256, 8, 5e-4, 0.1, "cosine", 0), "tune": (32, 8, 2e-5, 0.0, "cosine", 0)}
    assert (first.train.warmup_steps, found.training[1].warmup_share) == (100, 0.03)
    assert [stage.epochs for stage in found.training] == [1, 3] and second.seed == 42
    assert (second.data.template, second.data.packing, second.data.mask_prompts) == ("alpaca", "padded", False)
    assert [figure["value"] for figure in found.published["figures"]] == [10.18, 394.8]
    assert planning.differences(found.at("full"), found) == []
    laptop = {(row["stage"], row["setting"]): (row["published"], row["here"])
              for row in planning.differences(found.at("laptop"), found)}
    assert laptop["pretrain", "train.batch_size"] == ("256", "16") and laptop["pretrain", "epochs"] == ("1", "4")
    assert laptop["pretrain", "warmup_share"] == ("–", "0.03") and laptop["tune", "data.packing"] == (
        "padded", "packed")
    same = ("model.", "train.learning_rate", "train.seq_len", "data.template", "train.weight_decay", "evaluate.every")
    assert not [key for _, key in laptop if key.startswith(same)]


def changed(path, value):
    """The tables with one value in the place of another; None takes it away."""
    tables = copy.deepcopy(TABLES)
    inner = tables
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return tables


@pytest.mark.parametrize(("path", "value", "sentence"), [
    (("stage", 1, "start"), "bas", "start of the stage tune must name a stage before it that trains, got 'bas'; did "
                                   "you mean base?; those are base"),
    (("stage", 0, "kind"), "trian", "kind of stage 1 in a.toml must be train, generate, judge, got 'trian'"),
    (("stage", 1, "size"), "tiny", "the stage tune starts from base, which has its own size; leave size out"),
    (("stage", 0, "size"), None, "the stage base begins with new weights and needs a size, or a start"),
    (("stage", 0, "epochs"), None, "the stage base needs one horizon: epochs, or train.num_tokens or train.num_steps"),
    (("stage", 1, "settings", "train", "warmup_steps"), 5,
     "the stage tune has warmup_share and train.warmup_steps; give one of them"),
    (("stage", 2, "models"), ["grades"], "models of the stage stories must name a stage before it that trains"),
    (("stage", 4, "texts"), "base", "texts of the stage grades must name a stage before it that generates, got 'base'"),
    (("stage", 4, "protocol"), "pairwise", "protocol of the stage grades must be tinystories or instruction"),
    (("stage", 3, "name"), "stories", "two stages are named 'stories'"),
    (("stage", 2, "tempreature"), 1.0, "unknown key 'tempreature' in stage 3 in a.toml; did you mean temperature?"),
    (("stage", 2, "num_prompts"), -1, "num_prompts in stage 3 in a.toml must be a whole number from 0 on, got -1"),
    (("stage", 0, "name"), "../base", "stage 1 in a.toml needs a name that a folder may have"),
    (("scales", "smoke", "stage", "bsae"), {}, "names 'bsae', which is no stage; did you mean base?"),
    (("scales", "huge"), {}, "unknown key 'scales.huge' in a.toml"),
    (("stage",), [], "names 'base', which is no stage"),
])
def test_what_cannot_be_in_a_file_is_a_sentence(path, value, sentence):
    with pytest.raises(ValueError) as refused:
        reading.from_dict(changed(path, value), "a.toml")
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_a_setting_that_cannot_be_names_its_stage():
    study = reading.from_dict(changed(("stage", 0, "settings", "train", "batch_size"), "many"), "a.toml")
    with pytest.raises(ValueError, match=r"batch_size .*the stage base"):
        planning.config_of(study, study.training[0])


def test_of_two_ways_to_say_how_long_a_stage_is_the_scale_holds(place):
    assert [stage.epochs for stage in SMOKE.training] == [0, 0]
    planned = planning.plan(SMALL, place)
    rows = [each.corpus.batches("train", seed=0, batch_size=1, seq_len=each.config.seq_len,
                                data=each.config.data).num_rows for each in planned]
    assert planning.steps(planned) == {"base": rows[0] // 8, "tune": 3 * rows[1] // 2}
    assert planned[1].config.train.warmup_steps == round(0.1 * (3 * rows[1] // 2))
    assert planning.steps(planning.plan(SMOKE, place)) == {"base": 12, "tune": 11}


# --- prompts -----------------------------------------------------------------------------------

def test_prompts_are_of_held_out_documents_and_read_back_as_they_were(tmp_path):
    corpus = corpus_of(tmp_path / "rows.json", alpaca(), val_bytes=6000, tune_bytes=2000)
    stage = Generate("answers", ("tune",), "tune", num_prompts=6)
    rows = heldout.write(tmp_path / "answers.jsonl", stage, corpus, longest=1000)
    assert [row["has_input"] for row in rows] == [True, False] * 3
    found, notes = prompts.read(tmp_path / "answers.jsonl")
    assert not notes
    known = {(row["instruction"], row["input"]): row["output"].strip() for row in alpaca()}
    held_out = [corpus.tokenizer.decode(document.tokens) for document in corpus.documents("val")]
    for row, prompt in zip(rows, found, strict=True):
        asked = {"role": "user", "content": row["instruction"], "input": row["input"]}
        assert prompt.text == templates.render("alpaca", [asked])
        assert row["held_out"].strip() == known[row["instruction"], row["input"]]
        assert any(text.startswith(prompt.text) for text in held_out)
    small_text(tmp_path)
    plain = Corpus.open(planning.config_of(SMALL, SMALL.training[0]).data.__class__(
        corpus=str(tmp_path / "text.txt"), val_bytes=2000, tune_bytes=2000))
    rows = heldout.write(tmp_path / "s.jsonl", SMALL.stages[2], plain, longest=9)
    assert [len(row["prompt"].split()) for row in rows] == [5, 5] and rows[0]["held_out"].startswith((" ", "\n"))
    with pytest.raises(ValueError, match="has no document from which the stage stories could take a prompt"):
        heldout.write(tmp_path / "s.jsonl", Generate("stories", ("a",), "a", prompt_words=900), plain, longest=9)


# --- kills -------------------------------------------------------------------------------------

def killed_in_a_run(stage, step):
    """Killed when the log of a stage reaches a step."""
    at = {"stage": ""}

    def tell(text):
        at["stage"] = text.rpartition(": ")[2] if text.startswith("stage ") else at["stage"]

    def on_line(line):
        if at["stage"] == stage and line["step"] >= step:
            raise Killed
    return {"tell": tell, "on_line": on_line}


def killed_before(number):
    def tell(text):
        if text.startswith(f"stage {number} of "):
            raise Killed
    return {"tell": tell}


def compared(found):
    """A document without what a second store changes: paths, times and what was paid when."""
    found = copy.deepcopy(found)
    for stage in found["stages"]:
        for key in ("run", "file", "report", "seconds", "spend"):
            stage.pop(key, None)
    for one in found["judgements"]:
        for key in ("spend", "report", "prompts", "estimate"):
            one.pop(key, None)
    for curve in found["curves"]:
        curve.pop("train")  # a run that goes on also logs its first update
    for key in ("report", "environment"):
        found.pop(key)
    return json.loads(json.dumps(found).replace("killed/", "whole/"))


def test_killed_anywhere_it_goes_on_and_nothing_is_done_twice(place, monkeypatch):
    undrawn(monkeypatch)
    trained, written = Counter(), Counter()
    original_run, original_texts = experiment.run, writing._texts
    monkeypatch.setattr(writing, "_texts", lambda loaded, *rest: (
        written.update([loaded.path.name]), original_texts(loaded, *rest))[1])
    with judge_stub.serving() as stub:
        whole = go("whole", stub)
        asked = len(stub.requests)
        assert asked == len({json.dumps(request) for request in stub.requests}) <= 2 * 8
        assert written == {"base": 2, "tune": 2 + 3}  # prompts
        written.clear()
        stub.requests.clear()

        def run(made, folder, *, on_line, **options):
            def counted(line):
                trained[folder.name, line["step"]] += "train/objective" in line
                on_line(line)
            return original_run(made, folder, on_line=counted, **options)

        monkeypatch.setattr(conducting.experiment, "run", run)
        for options in (killed_in_a_run("base", 10), killed_before(2), killed_in_a_run("tune", 5), killed_before(3)):
            with pytest.raises(Killed):
                go("killed", stub, **options)
        assert trained["base", 12] == trained["tune", 11] == 1
        before = Counter(trained)
        with monkeypatch.context() as patch:  # before the second prompt of the second model
            def texts(loaded, *rest):
                if loaded.path.name == "tune" and written["tune"]:
                    raise Killed
                written.update([loaded.path.name])
                return original_texts(loaded, *rest)
            patch.setattr(writing, "_texts", texts)
            with pytest.raises(Killed):
                go("killed", stub)
        with monkeypatch.context() as patch:
            patch.setattr(conducting.judging.judgement, "write", mock.Mock(side_effect=Killed))
            with pytest.raises(Killed):
                go("killed", stub)
        assert len(stub.requests) == asked
        found = go("killed", stub)
        again = go("killed", stub)
    assert trained == before  # no run was trained on after it was done
    assert written == {"base": 2, "tune": 2 + 3}  # no prompt was written to twice
    assert len(stub.requests) == asked and again["judgements"][0]["spend"]["calls"] == 0
    assert compared(found) == compared(whole) == compared(again)
    for name in ("base", "tune"):
        weights = [records.read(f"{store}/{name}").result["weights"] for store in ("whole", "killed")]
        assert weights[0] == weights[1]


# --- the page and the command ------------------------------------------------------------------

@pytest.fixture
def shipped(monkeypatch):
    """The small study in the place of the one that comes with losslab."""
    monkeypatch.setattr(stages, "load", lambda name: SMALL)


def test_the_contract_of_the_command(place, shipped, capsys, untimed, monkeypatch):
    arguments = ("reproduce", "story-gpt", "--scale", "smoke", "--corpus", "text.txt", "--data", "rows.json")
    assert losslab(*arguments, "--dry-run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["kind"], row["status"], row["runs"], row["steps"]) for row in found["stages"]] == [
        ("base", "train", "missing", 1, 12), ("tune", "train", "missing", 1, 11), ("stories", "generate", "missing", 0,
        0), ("answers", "generate", "missing", 0, 0), ("grades", "judge", "missing", 0, 0)]
    assert found["runs"] == 2 and found["tokens"] == sum(row["tokens"] for row in found["stages"][:2])
    assert found["stages"][2]["tokens"] == 2 * 2 * 2 * 12 and found["seconds"] > 0 < found["disk_bytes"]
    assert not Path("runs").exists()
    assert losslab(*arguments, "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["status"] == "finished" and [stage["status"] for stage in found["stages"]] == ["finished"] * 5
    assert "stage 5 of 5: grades" in err and Path(found["report"]) == Path("runs/small-smoke/report.html")
    rows = [(row["model"], row["text"], row["of"], row["window"]) for row in found["perplexities"]]
    assert rows == [("base", "text.txt", "all tokens", 64), ("base", "rows.json", "answers", 320),
                    ("base", "rows.json", "all tokens", 320), ("tune", "rows.json", "answers", 320),
                    ("tune", "rows.json", "all tokens", 320), ("tune", "text.txt", "all tokens", 64)]
    own = records.read("runs/small-smoke/tune")
    assert found["perplexities"][3]["perplexity"] == own.scores["perplexity"] and own.config.start
    assert all(curve["tune"] and curve["train"] for curve in found["curves"])
    assert "held_out" in found["judgements"][0]["models"][0]["measures"]["distinct_1"]
    page, text = (Path(f"runs/small-smoke/report{ending}").read_text() for ending in (".html", ".md"))
    assert "<script src" not in page and 'data-chart="curve-tune"' in page
    for told in ("The published 10.18 (base) are not comparable", "it is small", "answers, with an input",
                 "answers, without an input", "train.num_steps"):
        assert told in text and told in page
    undrawn(monkeypatch)
    assert losslab(*arguments, "--against", "runs/small-smoke/base", "--json") == 0
    beside = json.loads(capsys.readouterr().out)
    assert beside["perplexities"][:6] == found["perplexities"]
    assert [(row["model"], row["of"]) for row in beside["perplexities"][6:]] == [
        ("base", "all tokens"), ("base", "answers"), ("base", "all tokens")]
    for one, other in zip(beside["perplexities"][6:], found["perplexities"][:3], strict=True):
        assert one["nll"]["value"] == pytest.approx(other["nll"]["value"], rel=1e-6)
    assert losslab(*arguments, "--dry-run") == 0  # all of it is done
    assert "finished" in capsys.readouterr().out
    write(Path("rows.json"), alpaca(100))
    assert "was begun with other settings, another text or other weights" in refuses(capsys, *arguments)


def test_what_the_command_refuses_before_anything_is_trained(place, shipped, capsys, monkeypatch):
    arguments = ("reproduce", "story-gpt", "--scale", "smoke")
    monkeypatch.setenv("LOSSLAB_JUDGE_KEY", "sk-abcdefgh1234567890abc")
    for more, sentence in (
        (("--api-key", "x"), "a key does not belong on a command line"),
        (("--url", "http://127.0.0.1:1/v1?k=sk-abcdefgh1234567890abc"), "a key does not belong on a command line"),
        (("--url", "http://127.0.0.1:1/v1", "--judge", "runs/a"), "--url and --judge are two judges"),
        (("--judge-model", "m"), "--judge-model goes with --url URL"),
        (("--judge", "no/such"), "no/such is not a run folder"),
        (("--prompts", "no-such.txt"), "no-such.txt"),
        (("--start", "runs/a"), "story-gpt begins with new weights; leave out --start"),
        (("--data", "no/such.json"), "the stage tune is trained on no/such.json: there is no file or folder"),
    ):  # fmt: skip
        assert sentence in refuses(capsys, *arguments, *more)
    assert "--against goes with a study in stages (story-gpt), and focal compares losses" in refuses(
        capsys, "reproduce", "focal", "--against", "gpt2")
    assert "fine-tuning-losses-smoke fine-tunes a model of yours; name its run or imported model with --start RUN" in (
        refuses(capsys, "reproduce", "fine-tuning-losses", "--scale", "smoke"))
    assert not list(Path("runs").glob("*/*/checkpoint"))


def test_without_a_network_it_is_said_what_would_do(place):
    gone = ConnectionError("the hub data set tatsu-lab/alpaca cannot be reached; connect to the network")
    opened = Corpus.open

    def unreachable(config, **options):
        if config.corpus == "rows.json":
            raise gone
        return opened(config, **options)
    with mock.patch.object(planning.Corpus, "open", unreachable), pytest.raises(ConnectionError) as refused:
        planning.plan(SMOKE, place)
    assert str(refused.value) == ("the stage tune is trained on rows.json: the hub data set tatsu-lab/alpaca cannot be "
                                  "reached; connect to the network; --data takes a file or folder that has it")
