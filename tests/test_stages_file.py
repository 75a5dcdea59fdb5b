"""What the file of a study in stages may say, and the prompts that it takes from held-out text."""

import copy

import pytest
from experiments import small_text
from experiments import untimed as untimed
from instruction_data import alpaca, corpus_of
from small_stages import SMALL, SMOKE, TABLES
from small_stages import place as place

from losslab.corpus import Corpus
from losslab.instruct import templates
from losslab.judge import prompts
from losslab.stages import heldout, planning, reading, registry
from losslab.stages.file import Generate

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
