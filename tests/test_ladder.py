"""Ladders: sizes and budgets, learning rates by rule, the folder and the table."""

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import losslab, refuses
from ladders import FILE, QUICK, SIZES, STUDY, WORTH
from ladders import trained as trained
from ladders import unfitted as unfitted
from record_runs import refused

from losslab import config, ladder, records, running
from losslab import study as studies
from losslab.config import ModelConfig
from losslab.ladder import rates, settings
from losslab.study import Arm, from_dict

# --- what is asked -------------------------------------------------------------------------------

def asked(**table):
    return settings.of(replace(STUDY, ladder={**STUDY.ladder, **table}))


@pytest.mark.parametrize(("table", "sentence"), [
    ({"sizes": ["tiny"]}, "at least 2 sizes"), ({"sizes": "tiny"}, "at least 2 sizes"),
    ({"sizes": ["tiny", "char", "tiny"]}, "hold 'tiny' twice"),
    ({"sizes": [SIZES[0], {**SIZES[0], "name": "other"}]}, "hold 'other' twice (as '1x8', too)"),
    ({"sizes": ["tiny", "tini"]}, "unknown size 'tini'; did you mean tiny?"),
    ({"sizes": ["tiny", {"n_layer": 2, "n_head": 3, "n_embd": 16}]}, "must be divisible by model.n_head (=3)"),
    ({"sizes": ["tiny", {"n_layer": 2, "n_head": 2}]}, "has no n_embd"),
    ({"sizes": ["tiny", {"n_layer": 2, "width": 2}]}, "unknown key 'ladder.sizes.width'"),
    ({"sizes": ["tiny", {"size": "char", "name": "../out"}]}, "is that of a folder"),
    ({"tokens_per_param": []}, "ladder.tokens_per_param in the study steps is missing"),
    ({"tokens_per_param": [20, 20.0]}, "holds a number twice"), ({"tokens_per_param": [0]}, "must be"),
    ({"rate": "tunes"}, "did you mean tuned?"), ({"params": "body"}, "ladder.params"),
    ({"base": "1x8"}, "goes with rate = 'width'"), ({"rate": "width", "base": "1x9"}, "one of 1x8, 1x16, 1x32"),
    ({"rate": "tuned", "tuned_sizes": 9}, "ladder.tuned_sizes"), ({"step": 1}, "unknown key 'ladder.step'"),
])
def test_what_no_ladder_can_be(table, sentence):
    assert sentence in refused(asked, **table)


def test_what_a_study_may_not_have_beside_a_ladder():
    for changes, said in (({"race": (2, 3)}, "every rung has the same seeds"), ({"start": "runs/x"}, "size of their"),
                          ({"settings": {"train.num_tokens": 9}}, "train.num_tokens"), ({"ladder": {}}, "no [ladder]"),
                          ({"arms": (Arm("mse"), Arm("brier", "", {"model.n_layer": 3}))}, "model.n_layer"),
                          ({"tune": {"trials": 3, "space": {"learning_rate": {}}}}, "goes with ladder.rate")):
        assert said in refused(settings.of, replace(STUDY, **changes))
    tuned = {**STUDY.ladder, "rate": "tuned"}
    assert "goes with a [tune] table" in refused(ladder.rungs, replace(STUDY, ladder=tuned))
    other = {"trials": 3, "space": {"learning_rate": {}, "weight_decay": {}}}
    assert "extrapolates train.learning_rate alone" in refused(ladder.rungs, replace(STUDY, ladder=tuned, tune=other))
    one = {**tuned, "tokens_per_param": [10], "tuned_sizes": 1}
    rate = {"trials": 3, "space": {"learning_rate": {}}}
    assert "takes 2 rungs of unlike compute" in refused(ladder.rungs, replace(STUDY, ladder=one, tune=rate))


def test_rungs_have_the_tokens_that_are_asked_of_the_parameters_that_are_counted():
    for params, column in (("all", "num_params"), ("non_embedding", "num_params_non_embedding")):
        found = ladder.rungs(replace(STUDY, ladder={**STUDY.ladder, "params": params}))
        assert len(found) == 6 and {rung.name for rung in found} == {
            f"1x{width}-{ratio}" for width in (8, 16, 32) for ratio in (10, 40)}
        computes = [rung.counts.flops_6nd for rung in found]
        assert computes == sorted(computes)
        for rung in found:
            width = int(rung.size.name[2:])
            model = rung.study.configs["squentropy"].model
            assert (model.n_layer, model.n_embd, model.num_positions) == (1, width, 32)
            n = getattr(rung.counts, column)
            assert 0 <= rung.asked * n - rung.counts.num_tokens < 32 + 1  # whole updates of one sequence
            assert rung.study.seeds == (0, 1, 2) and not rung.study.ladder and rung.study.settings["train.num_tokens"]
    assert ladder.rungs(STUDY)[0].counts.num_params == ModelConfig(1, 1, 8, 32).num_params(257)


def test_sizes_by_name_share_recipe_and_text_and_may_have_settings_of_their_own():
    sizes = ["char", {"size": "tiny", "tokens_per_param": [1], "settings": {"train": {"batch_size": 2}}}]
    found = ladder.rungs(replace(STUDY, ladder={"sizes": sizes, "tokens_per_param": [2]}))
    by_name = {rung.name: rung.study.configs["cross_entropy"] for rung in found}
    assert {made.data.corpus for made in by_name.values()} == {"tales"} and len(by_name) == 2
    assert {made.data.tokenizer for made in by_name.values()} == {"bytes"}
    assert by_name["tiny-1"].train.batch_size == 2 and by_name["char-2"].train.batch_size == 1
    twins = [SIZES[1], {"n_layer": 1, "n_head": 2, "n_embd": 16, "num_positions": 32, "name": "heads"}]
    assert "both have" in refused(ladder.rungs, replace(STUDY, ladder={"sizes": twins, "tokens_per_param": [1, 2]}))


def test_a_study_with_a_ladder_survives_its_file_and_its_scales():
    text = {"preset": "tiny", "arm": [{"loss": "mse"}], "ladder": dict(STUDY.ladder),
            "scales": {"smoke": {"ladder": {"tokens_per_param": [1]}}}}
    found = from_dict(text)
    assert found.at("smoke").ladder == {"sizes": SIZES, "tokens_per_param": [1]}
    assert from_dict(found.to_dict()) == found


# --- learning rates ------------------------------------------------------------------------------

def test_rates_by_width():
    adam = config.override(config.preset("tiny"), {"train": {"learning_rate": 8e-3}}, source="test")  # width 96
    assert rates.transferred(adam, 96) == {"train.learning_rate": 8e-3, "train.embedding_rate_ratio": 1.0,
                                           "train.vector_rate_ratio": 1.0}
    assert rates.transferred(adam, 384) == {"train.learning_rate": 2e-3, "train.embedding_rate_ratio": 1.0,
                                            "train.vector_rate_ratio": 4.0}
    untied = config.override(adam, {"model": {"tied": False}}, source="test")
    assert rates.transferred(untied, 384) | {"train.learning_rate": 2e-3} == {
        "train.learning_rate": 2e-3, "train.embedding_rate_ratio": 4.0, "train.head_rate_ratio": 1.0,
        "train.vector_rate_ratio": 4.0}
    muon = config.chosen(size="tiny", recipe="modern")
    assert rates.transferred(muon, 384) == {"train.learning_rate": 0.02, "train.embedding_rate_ratio": 0.15,
                                            "train.vector_rate_ratio": 0.5}


def test_a_ladder_by_width_begins_at_its_base():
    at = {name: replace(STUDY, ladder={**STUDY.ladder, "rate": "width", **table})
          for name, table in (("smallest", {}), ("named", {"base": "1x16"}))}
    for name, factor in (("smallest", 1.0), ("named", 2.0)):
        for rung in ladder.rungs(at[name]):
            width = int(rung.size.name[2:])
            assert rung.study.configs["squentropy"].train.learning_rate == pytest.approx(4e-3 * 8 / width * factor)


def test_the_law_of_tuned_rates_is_recovered():
    c = np.geomspace(1e9, 1e12, 5)
    found = rates.power_law(c, 3.0 * c**-0.21)
    assert found.exponent == pytest.approx(-0.21) and math.exp(found.log_k) == pytest.approx(3.0)
    assert found.at(1e15) == pytest.approx(3.0 * 1e15**-0.21, rel=1e-3) and found.farthest == pytest.approx(1.0)


def test_tuned_rates_are_carried_on_by_their_power_law(trained, unfitted):
    tuned = replace(STUDY, ladder={**STUDY.ladder, "rate": "tuned"}, tune={"trials": 3, "space": {"learning_rate": {}}})
    found = ladder.climb(tuned, trained / "runs", resamples=0)
    assert [rung["tuned"] for rung in found["rungs"]] == [True] * 4 + [False] * 2
    own = found["rates"]["squentropy"]
    for rung in found["rungs"][4:]:
        flops = rung["counts"]["flops_6nd"]
        expected = own["k"] * flops ** own["exponent"]
        assert [arm["learning_rate"] for arm in rung["arms"]] == pytest.approx([expected] * 2, rel=1e-3)
    assert len(own["rates"]) == 4 and "power law in compute" in found["rate"]["formula"]


# --- the command ---------------------------------------------------------------------------------

def test_the_document_and_the_table_of_a_ladder(trained, capsys):
    assert losslab("ladder", "steps.toml", *QUICK) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert "rung 6 of 6: 1x32-40" in err
    for name in ("E", "A", "B", "alpha", "beta"):
        assert found[name].keys() >= {"value", "low", "high"}
    assert found["num_points"] == 18 and isinstance(found["warnings"], list) and found["baseline"] == "cross_entropy"
    [one] = found["multipliers"]
    assert [rung["value"] for rung in one["rungs"]] == pytest.approx([WORTH] * 6, rel=0.1)
    assert found["params"].startswith("all parameters") and found["rate"]["rule"] == "fixed"
    assert [rung["name"] for rung in found["rungs"]] == ["1x8-10", "1x8-40", "1x16-10", "1x16-40", "1x32-10",
                                                         "1x32-40"]
    with open("runs/steps/ladder.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36 and {row["seed"] for row in rows} == {"0", "1", "2"}
    for row in rows:
        n, d = int(row["num_params"]), int(row["num_tokens"])
        assert int(row["flops_6nd"]) == 6 * n * d < int(row["flops_exact"])
        assert int(row["num_params_non_embedding"]) < int(row["num_params_with_head"]) <= n
    assert found["floor"]["nll"] == pytest.approx(0.5)
    page = (trained / "runs/steps/report.html").read_text()
    assert "entropy of the text, which no model goes below" in page
    assert "worth 1.3" in page.partition("</header>")[0] and "Verdicts of the rungs" in page
    assert losslab("scaling", "fit", "runs/steps/ladder.csv", "--arms", "arm", "--resamples", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["objective"] == pytest.approx(found["objective"])


def test_a_ladder_goes_on_and_refuses_other_settings(trained, unfitted, capsys):
    assert losslab("ladder", "steps.toml", *QUICK) == 0
    before = (trained / "runs/steps/ladder.toml").read_bytes()
    capsys.readouterr()
    for old, new, said in (("batch_size = 1", "batch_size = 2", "train.batch_size 1, and is now asked with 2"),
                           ("tokens_per_param", "rate = 'width'\ntokens_per_param", "ladder.rate 'fixed', and is now"),
                           ("tokens_per_param", "params = 'with_head'\ntokens_per_param", "ladder.params 'all'")):
        (trained / "steps.toml").write_text(FILE.replace(old, new))
        assert said in refuses(capsys, "ladder", "steps.toml")
        assert (trained / "runs/steps/ladder.toml").read_bytes() == before
    (trained / "steps.toml").write_text(FILE.replace("[10, 40]", "[20]"))
    capsys.readouterr()
    assert losslab("ladder", "steps.toml", *QUICK) == 0  # a budget is added, and none is lost
    out, err = capsys.readouterr()
    assert len(json.loads(out)["rungs"]) == 9 and "the ladder continues with all of it" in err
    (trained / "runs/steps/ladder.toml").write_text("arm = 3")
    assert "the ladder as it was begun, cannot be read" in refuses(capsys, "ladder", "steps.toml")


def reported(capsys, *flags) -> dict:
    assert losslab("report", "runs/steps", "--json", *flags) == 0
    return json.loads(capsys.readouterr().out)


def test_the_page_of_a_ladder_as_far_as_it_has_come(trained, capsys):
    assert losslab("ladder", "steps.toml", *QUICK) == 0
    whole = json.loads(capsys.readouterr().out)
    found = reported(capsys)
    assert found["rows"] == whole["rows"] and found["objective"] == whole["objective"]
    assert [rung["verdict"] for rung in found["rungs"]] == [rung["verdict"] for rung in whole["rungs"]]
    assert found["command"] == "losslab ladder it"
    run = next(Path("runs/steps/rungs/1x32-10").glob("*-seed1"))
    (run / "result.json").unlink()  # of a run that is to come, and of one whose study has no verdict yet
    (Path("runs/steps/rungs/1x32-40") / "verdict.json").unlink()
    before = {path: path.read_bytes() for path in Path("runs/steps/rungs").rglob("*looks*")}
    found = reported(capsys, "--out", "part.html")
    assert {row["rung"] for row in found["rows"]} == {"1x8-10", "1x8-40", "1x16-10", "1x16-40"}
    assert Path("part.html").is_file()
    assert any("4 of 6 rungs have ended; not yet: 1x32-10, 1x32-40" in sentence for sentence in found["warnings"])
    assert before == {path: path.read_bytes() for path in Path("runs/steps/rungs").rglob("*looks*")}
    assert "--margin goes with a comparison" in refuses(capsys, "report", "runs/steps", "--margin", "0.1")
    shutil.rmtree("runs/steps/rungs/1x8-10")
    shutil.copytree("runs/steps/rungs/1x8-40", "runs/steps/rungs/1x8-10")
    assert "1x8-10 was begun with name '1x8-40'" in refuses(capsys, "report", "runs/steps")
    for rung in Path("runs/steps/rungs").iterdir():
        (rung / "verdict.json").unlink(missing_ok=True)
    assert "no rung of the ladder in runs/steps has ended" in refuses(capsys, "report", "runs/steps")


def test_a_run_that_does_not_say_its_vocabulary_is_one_sentence(trained, unfitted, capsys):
    assert losslab("ladder", "steps.toml", *QUICK) == 0
    path = next(Path("runs/steps/rungs/1x8-10").glob("*-seed1")) / "spec.json"
    value = json.loads(path.read_text())
    del value["checksum"], value["corpus"]["vocab_size"]
    records.files.write_sealed(path, value)
    capsys.readouterr()
    assert "does not say how many tokens its vocabulary has" in refuses(capsys, "report", "runs/steps")


def test_a_ladder_that_continues_keeps_what_its_table_has(trained, unfitted, monkeypatch):
    ladder.climb(STUDY, trained / "runs", resamples=0)
    before = (trained / "runs/ladder.csv").read_text().splitlines()
    real = studies.conduct

    def stops(study, folder, **options):
        if study.name == "1x16-10":
            raise running.Stopped("stopped")
        return real(study, folder, **options)

    monkeypatch.setattr("losslab.study.conduct", stops)
    with pytest.raises(running.Stopped):
        ladder.climb(replace(STUDY, seeds=(0, 1, 2, 3)), trained / "runs", resamples=0)
    after = (trained / "runs/ladder.csv").read_text().splitlines()
    assert len(before) == 37 and len(after) == 1 + 2 * 8 + 4 * 6 and set(before) <= set(after)


def test_a_tuned_ladder_grows_and_its_rungs_keep_their_rates(trained, unfitted):
    tuned = replace(STUDY, ladder={**STUDY.ladder, "rate": "tuned"}, tune={"trials": 3, "space": {"learning_rate": {}}})
    first, said = ladder.climb(tuned, trained / "runs", resamples=0), []
    more = replace(tuned, ladder={**tuned.ladder, "tokens_per_param": [10, 40, 160]})
    grown = ladder.climb(more, trained / "runs", resamples=0, tell=said.append)
    rates = [{rung["name"]: rung["arms"][0]["learning_rate"] for rung in found["rungs"]} for found in (first, grown)]
    assert len(grown["rungs"]) == 9 and {name: rates[1][name] for name in rates[0]} == rates[0]
    assert sum("keeps the learning rates that it was begun with" in sentence for sentence in said) == 2


def test_one_sentence_for_what_is_no_ladder(trained, capsys):
    (trained / "plain.toml").write_text(FILE.partition("[ladder]")[0])
    assert "has no [ladder]" in refuses(capsys, "ladder", "plain.toml")
    assert "no study" in refuses(capsys, "ladder", "absent.toml")
    (trained / "one.toml").write_text(FILE.replace("sizes = [", "sizes = ['tiny'] #").partition("         {")[0]
                                      + "tokens_per_param = [1]")
    assert "at least 2 sizes" in refuses(capsys, "ladder", "one.toml")


def test_compare_does_not_run_a_ladder(tmp_path):
    from losslab.study import conducting

    assert "`losslab ladder" in refused(conducting.prepared, STUDY, tmp_path)
