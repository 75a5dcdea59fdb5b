"""losslab in Python: the same study as on the command line, and what it returns shows itself."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from experiments import small_text
from record_runs import refused
from report_runs import Page, three_arms, write_run

import losslab as ll
from losslab import checkpoint, study, tune
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.model import initialized
from losslab.notebook import comparing, watching
from losslab.notebook.shown import drawing
from losslab.progress import Running


def steep(prediction, *, power=1.5):
    return prediction.nll**power


SMALL = {"model.n_layer": 1, "model.n_head": 2, "model.n_embd": 16, "model.num_positions": 16, "train.batch_size": 4,
         "data.val_bytes": 2000, "data.tune_bytes": 2000, "evaluate.tune_tokens": 256, "evaluate.num_samples": 0}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    three_arms(folder)
    return folder


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What `compare` would train, in place of training it."""
    found = SimpleNamespace()
    monkeypatch.chdir(tmp_path)

    def conduct(study, folder, **options):
        found.study, found.folder, found.options = study, folder, options
        return write_one(tmp_path)

    monkeypatch.setattr(comparing.studies, "conduct", conduct)
    return found


def write_one(folder):
    from losslab import comparison

    return comparison.compare([write_run(folder / "one", "cross_entropy", 0)])


# --- compare -----------------------------------------------------------------------------------

def test_compare_asks_for_the_study_of_the_command_line(asked, tmp_path):
    found = ll.compare(["cross_entropy", "cross_entropy + 1e-4*z_loss", steep], corpus="pydoc", seeds=3, preset="char",
                       num_tokens=50_000, settings={"train.learning_rate": 2e-3}, tune="learning_rate=5", workers=1)
    assert isinstance(found, ll.Comparison) and str(asked.folder) == "runs" and asked.options["trusted"] is None
    losses = [arm.loss for arm in asked.study.arms]
    assert [*asked.study.configs] == ["cross_entropy", "cross_entropy + 0.0001*z_loss", "steep"]
    assert losses[2] == ll.loss_file(steep) and re.fullmatch(r"runs/losses/[0-9a-f]{12}/steep\.py", losses[2])
    config = asked.study.configs["steep"]
    assert (config.data.corpus, config.train.num_tokens, config.train.learning_rate) == ("pydoc", 50_000, 2e-3)
    assert asked.study.seeds == (0, 1, 2) and asked.study.preset == "char"
    assert tune.Tuning.from_dict(asked.study.tune).trials == 5


def test_compare_takes_a_study_file_an_arm_and_one_loss(asked):
    ll.compare(["squentropy", ll.Arm("squentropy", "slow", {"train.learning_rate": 1e-3})], seeds=[3, 5], name="two")
    assert [*asked.study.configs] == ["squentropy", "slow"] and asked.study.seeds == (3, 5)
    assert str(asked.folder) == "runs/two"
    asked.study.write("asked.toml")
    ll.compare("asked.toml", seeds=7, store="elsewhere")
    assert asked.study.seeds == tuple(range(7)) and asked.folder.name == "elsewhere" and asked.options["trusted"] == ()
    ll.compare("focal")
    assert [arm.loss for arm in asked.study.arms] == ["focal"] and asked.study.seeds == (0, 1, 2, 3, 4)
    ll.compare(Path("asked.toml"), store=Path("there"), race=range(2, 5), trust=None, corpus=None)
    assert asked.folder == Path("there") and asked.study.race == (2, 3, 4) and asked.options["trusted"] == ()


def test_a_path_is_a_loss_file(asked):
    path = Path(ll.loss_file(steep))
    ll.compare([path], corpus=Path("texts"), race=[], tune={})
    assert [arm.loss for arm in asked.study.arms] == [str(path)] and asked.study.settings == {}
    assert asked.study.corpus == "texts" and asked.study.race == () and asked.study.tune == {}
    assert ll.inspect(path, measure=False).proper is False


@pytest.mark.slow
def test_a_function_is_trained_recorded_and_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(small_text(tmp_path))
    found = ll.compare(["cross_entropy", steep], corpus="text.txt", seeds=2, num_tokens=2000, device="cpu",
                       settings=SMALL, workers=1, progress=False)
    assert {arm.name for arm in found.arms} == {"cross_entropy", "steep"} and "nats/token" in found.verdict
    runs = ll.runs()
    assert len(runs) == 4 and len(runs.where(loss=ll.loss_file(steep))) == 2
    (recorded,) = runs.where(loss=ll.loss_file(steep), seed=0)[0].spec["losses"]
    assert "prediction.nll**power" in recorded["source"]
    assert "2 seeds paired" in runs.compare().verdict and len(runs[0].curve("tune/nll")) > 5
    model = ll.load(runs[0])
    assert 1 < model.nll("The big cat sat on the red mat.").value < 7


# --- what it returns ---------------------------------------------------------------------------

def test_a_comparison_is_a_table_a_frame_and_a_chart(store):
    found = ll.runs(store).compare()
    best, baseline, worst = found.table()
    assert (best["loss"], baseline["loss"]) == ("cross_entropy + 0.0001*z_loss", "cross_entropy")
    assert worst["difference"] == pytest.approx(0.02) and worst["outcome"] == "worse"
    assert str(found).endswith(re.sub(r"\s+", " ", found.verdict)[-20:]) and found.verdict in repr(found)
    pandas = pytest.importorskip("pandas", reason="a data frame is of pandas")
    frame = found.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and list(frame["nll"]) == sorted(frame["nll"])
    assert {"differences", "curves", "gaps", "finals", "speed", "perplexities"} == {*found.charts}
    spec = found.chart("curves").to_dict()
    assert "var(" not in json.dumps(spec) and spec["width"] == 640
    assert refused(found.chart, "curve") == (
        "there is no chart 'curve'; did you mean curves?; this comparison has differences, curves, gaps, finals, "
        "speed, perplexities")


def test_a_comparison_shows_itself_without_scripts(store):
    shown = ll.runs(store).compare()._repr_html_()
    assert shown.startswith("<h4>cross_entropy + 0.0001*z_loss is 0.0500 nats/token better")
    assert "<script" not in shown and "<style" not in shown and shown.count("<table") == 1
    image = base64.b64decode(re.search(r"data:image/svg\+xml;base64,([^\"]+)", shown)[1]).decode()
    assert image.startswith("<svg") and "var(" not in image and "squentropy" in image
    (described,) = [attributes["alt"] for attributes, _ in Page(shown).all("img")]
    assert described.startswith("Difference in nll from cross_entropy, with 95 % intervals, best first. cross_")
    spec = {"description": '"><script>', "config": {"axis": {}}, "mark": "bar"}
    assert Page(drawing(spec, legend=False)).all("img")[0][0]["alt"] == '"><script>'


def test_a_comparison_is_saved_as_a_page_and_refuses_other_suffixes(store, tmp_path, monkeypatch):
    monkeypatch.setattr("losslab.report.page.html", lambda document: "<!doctype html>\n")
    found = ll.runs(store).compare()
    assert found.save(tmp_path / "a.html").read_text() == "<!doctype html>\n" and (tmp_path / "a.json").exists()
    assert "save takes NAME.html for the page, or a folder" in refused(found.save, tmp_path / "a.pdf")
    (tmp_path / "figures").write_text("")
    assert "is a file, and figures are many files" in refused(found.save, tmp_path / "figures")


def test_runs_are_records_with_curves(store):
    runs = ll.runs(store)
    assert len(runs) == 12 and repr(runs) == f"<12 runs of {store}>" and isinstance(runs[2:4], ll.Runs)
    some = runs.where(loss="squentropy", seed=1)
    assert len(some) == 1 and some[0].curve("tune/nll")[0][0] == 25 * 1024
    (first, *_) = some.curve("tune/nll")
    assert first["tokens"] == 25_600 and first["tune/nll"] > 2 and first["loss"] == "squentropy"
    row = some.table()[0]
    assert row["status"] == "finished" and row["tokens_per_second"] > 0 and row["nll"] == some[0].scores["nll"]["value"]
    assert some.compare().verdict.startswith("no verdict") and "<table" in runs._repr_html_()
    assert refused(runs.where, los="mse") == "where takes loss, seed, status, condition, got los; did you mean loss?"
    assert "does not exist" in refused(ll.runs, store / "no")


def test_a_loaded_model_writes_scores_and_says_what_it_expects(tmp_path):
    run = write_run(tmp_path, "cross_entropy", 0).path
    assert "checkpoint" in refused(ll.load, run)
    tokenizer = tokenizers.make("bytes")
    model = initialized(ModelConfig(n_layer=1, n_head=1, n_embd=16, num_positions=16), tokenizer.vocab_size, 0)
    checkpoint.save(run / "checkpoint", model, tokenizer, step=500, tokens=1, seconds=0.0)
    loaded = ll.load(run)
    text = "a small cat"
    logits = loaded.logits(text)
    assert logits.shape == (len(text) + 1, 257) and not logits.requires_grad
    ids = torch.tensor([int(token) for token in tokenizer.encode(text)])
    by_hand = torch.nn.functional.cross_entropy(logits[:-1], ids)
    score = loaded.nll(text)
    assert score.value == pytest.approx(by_hand.item(), rel=1e-5) and (score.n, score.unit) == (1, "nats/token")
    assert loaded.generate("a", num_tokens=3, seed=1) == loaded.generate("a", num_tokens=3, seed=1)
    assert "17 tokens with its end mark, and the model's context is 16" in refused(loaded.logits, 16 * "a")
    assert loaded.nll(100 * "a").value > 0 and "empty text" in refused(loaded.nll, "")


def test_a_function_is_inspected_under_its_name():
    found = ll.inspect(steep, measure=False)
    assert (found.loss, found.inspected, found.proper, found.scored_alone) == ("steep", "steep", False, True)
    alts = [attributes["alt"] for attributes, _ in Page(found._repr_html_()).all("img")]
    assert len(alts) > 1 and all("of steep" in alt for alt in alts)
    assert "finding" in found._repr_html_() and repr(found) == "<Anatomy of steep>" and "steep" in str(found)
    assert found.chart("gradient").to_dict()["width"] == 640 and "this loss has value" in refused(found.chart, "no")


# --- progress ----------------------------------------------------------------------------------

class Kernel:
    """What IPython gives a notebook."""

    def __init__(self):
        self.shown = []
        self.display = SimpleNamespace(HTML=lambda text: text, display=self.first)

    def first(self, text, display_id):
        self.shown.append(text)
        return SimpleNamespace(update=self.shown.append)


def test_progress_in_a_notebook_is_one_line_that_is_taken_away(monkeypatch, capsys):
    kernel = Kernel()
    monkeypatch.setitem(sys.modules, "IPython",
                        SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())))
    monkeypatch.setitem(sys.modules, "IPython.display", kernel.display)
    with watching.watching() as (progress, tell):
        progress("<training>", 10, 100, "tokens", [Running("mse", 0, "training", 0.1), Running("brier", 0, "waiting")])
        tell("a line that stays")
    first, last = kernel.shown
    assert '<progress max="1" value="0.100">' in first and "10 % trained" in first and "mse seed 0" in first
    assert last == "" and capsys.readouterr().out == "a line that stays\n"


def test_progress_is_silent_where_it_is_not_wanted(capsys):
    with watching.watching(False) as (progress, tell):
        progress("training", 1, 2)
        tell("nothing")
    assert capsys.readouterr() == ("", "")


def test_a_data_frame_without_pandas_is_one_sentence(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        ll.runs(store).to_pandas()


def test_nothing_loads_pandas_or_altair_before_it_is_asked_for(store):
    code = (f"import losslab as ll, sys; found = ll.runs({str(store)!r}).compare(); found.table(); str(found); "
            "ll.compare, ll.load, ll.inspect; heavy = {'pandas', 'altair', 'IPython', 'vl_convert'}; "
            "assert not heavy & {*sys.modules}, heavy & {*sys.modules}")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_study_of_a_comparison_can_be_written_and_read(asked, tmp_path):
    ll.compare(["mse", steep], question="Is it steep?", corpus="tales")
    asked.study.write(tmp_path / "s.toml")
    assert study.read(tmp_path / "s.toml") == asked.study
