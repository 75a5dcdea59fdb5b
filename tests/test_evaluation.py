"""`losslab evaluate --tasks`: what tasks found, as a document, a table and a page."""

import gzip
import json
import re
from pathlib import Path

import pytest
from commands import COMPARE, TRAIN, losslab, refuses
from experiments import place as place
from report_runs import unpaged as unpaged

from losslab import comparison, records
from losslab.evaluate.summing import Summing
from losslab.report import evaluation, evaluation_charts

pytestmark = pytest.mark.usefixtures("place")
PAIRS = [("The cat sleeps.", "The cat sleep.", "agreement", "one"), ("A dog runs.", "A dog run.", "agreement", "two"),
         ("She saw it.", "Saw she it.", "order", "three")]  # fmt: skip


def score(value, stderr, n, unit="share of items"):
    return {"value": value, "stderr": stderr, "n": n, "unit": unit}


def found(**changes):
    part = {"name": "arc_easy", "scores": {"accuracy": score(0.5, 0.05, 100), "centered_v1": score(1 / 3, 0.07, 100),
                                           "accuracy_per_byte": score(0.4, 0.05, 100)},
            "counts": {"items": 100, "cut": 7}, "notes": [], "parts": [], "tables": {}, "is_evidence": True}
    core = {"name": "core", "scores": {"core_v1": score(0.1139, 0.006, 22, "mean centered accuracy")},
            "counts": {"tasks": 22, "items": 1000}, "notes": ["a <rule>"], "parts": [part], "is_evidence": True,
            "tables": {"position": [{"from": 1, "to": 1, "tokens": 5, "nll": 2.0, "stderr": 0.1},
                                    {"from": 2, "to": 3, "tokens": 9, "nll": float("inf"), "stderr": None},
                                    {"from": 4, "to": 7, "tokens": 9, "nll": 1.0, "stderr": None}],
                       "confidence": [{"from": 0.4, "to": 0.5, "tokens": 9, "accuracy": 0.5, "confidence": 0.45}]}}
    about = {"run": "runs/one", "loss": "cross_entropy", "num_params": 1234567, "tokenizer": "bytes", "context": 128,
             "corpus": "tales", "command": "losslab evaluate runs/one"}
    return evaluation.document([core | changes], [{"task": "blimp", "error": "no file"}], about)


def values(chart):
    """The rows that a chart is drawn from, the largest of its data."""
    return max(chart["datasets"].values(), key=len)


def test_the_table_has_every_score_with_its_error_and_its_n():
    text = evaluation.text(found())
    assert re.search(r"core +core_v1 +0\.114 ± 0\.006 \(n=22\) +mean centered accuracy", text)
    assert re.search(r"arc_easy +100 +0\.50 ± 0\.05 +0\.33 ± 0\.07\n", text + "\n")  # other normalizers on the page
    assert "not run: blimp: no file" in text and evaluation.NO_EVIDENCE not in text


def test_what_is_limited_says_so_everywhere():
    limited = found(is_evidence=False)
    for text in (evaluation.text(limited), evaluation.markdown(limited), evaluation.html(limited)):
        assert evaluation.NO_EVIDENCE in text
    assert not evaluation.document([], [], {})["is_evidence"]


def test_markdown_has_parts_rules_and_counts():
    text = evaluation.markdown(found())
    assert "| arc_easy | 100 | 0.50 ± 0.05 | 0.33 ± 0.07 | 0.40 ± 0.05 |" in text
    assert "| core: arc_easy | items 100, cut 7 |" in text and "- a &lt;rule&gt;" in text
    assert "1,234,567 parameters" in text


def test_an_infinite_score_is_said_in_words():
    endless = found(scores={"nll": score(float("inf"), None, 3, "nats/token")})
    assert "nll is infinite" in evaluation.markdown(endless) and json.dumps(endless, allow_nan=False)


def test_charts_show_what_is_finite_and_what_guessing_gives():
    charts = evaluation_charts.charts(found())
    assert set(charts) == {"tasks", "position", "confidence"}
    points = values(charts["position"])
    assert [(row["x"], row["y"], row["low"]) for row in points] == [(1, 2.0, 1.8), (4, 1.0, 1.0)]
    (row,) = values(charts["tasks"])
    assert row["guess"] == pytest.approx(0.25) and row["low"] == pytest.approx(0.4) and row["shown"] == "0.50 ± 0.05"
    blimp = values(evaluation_charts.charts(found(name="blimp"))["tasks"])
    assert blimp[0]["guess"] == 0.5


def test_the_page_escapes_and_loads_nothing(tmp_path):
    path = evaluation.write(found(), tmp_path / "page")
    text = path.read_text()
    assert path.name == "page.html" and "a &lt;rule&gt;" in text
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)=["']?http""", outside)
    assert json.loads((tmp_path / "page.json").read_text())["tasks"][0]["scores"]["core_v1"]["n"] == 22
    assert (tmp_path / "page.md").read_text().startswith("# runs/one")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write the page"):
        evaluation.write(found(), tmp_path / "file" / "page.html")


@pytest.fixture
def run():
    assert losslab(*TRAIN, "--out", "run") == 0
    rows = [dict(zip(("sentence_good", "sentence_bad", "linguistics_term", "UID"), pair, strict=True))
            for pair in PAIRS]
    Path("benchmarks").mkdir()
    with gzip.open("benchmarks/blimp.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return "run"


def test_tasks_of_a_run(run, capsys):
    capsys.readouterr()
    assert losslab("evaluate", run, "--tasks", "likelihood, blimp", "--benchmarks", "benchmarks", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    likelihood, blimp = document["tasks"]
    assert losslab("evaluate", run, "--json") == 0
    verdict = json.loads(capsys.readouterr().out)["scores"]
    for name in ("nll", "bits_per_byte", "bits_per_byte_with_eot", "nll_calibrated"):
        assert likelihood["scores"][name]["value"] == pytest.approx(verdict[name]["value"], rel=1e-9)
    assert blimp["counts"]["pairs"] == 3 and "items" not in blimp
    assert document["report"] == "run/evaluation.html" and Path(document["report"]).stat().st_size > 100_000
    assert document["is_evidence"] and not document["failures"]


def test_sums_that_a_training_left_in_its_folder_are_not_taken_up(run, monkeypatch):
    """The folder of partial sums is the cache's; what lies in the run folder under the right name is ignored."""
    seen, add_up = [], Summing.add_up
    monkeypatch.setattr(Summing, "add_up", lambda how, *a, **k: seen.append(how.partial) or add_up(how, *a, **k))
    assert losslab("evaluate", run, "--tasks", "likelihood") == 0
    assert seen and not any(folder.resolve().is_relative_to(Path(run).resolve()) for folder in seen)


def test_several_runs_stand_side_by_side(run, capsys):
    assert losslab(*TRAIN, "--out", "other", "--loss", "squentropy") == 0
    capsys.readouterr()
    asked = ("evaluate", run, "other", "--tasks", "likelihood,blimp", "--benchmarks", "benchmarks")
    assert losslab(*asked, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [arm["name"] for arm in document["arms"]] == ["cross_entropy", "squentropy"]
    scores = {(one["task"], one["score"]): one for one in document["scores"]}
    assert {("likelihood", "nll"), ("likelihood", "bits_per_byte"), ("blimp", "accuracy")} <= scores.keys()
    nll = scores["likelihood", "nll"]
    own = [json.loads((Path(folder) / "result.json").read_text())["scores"]["nll"] for folder in (run, "other")]
    for arm, score in zip(("cross_entropy", "squentropy"), own, strict=True):
        assert nll["values"][arm]["value"] == pytest.approx(score["value"], rel=1e-9)
    d = nll["differences"]["squentropy"]
    assert d["value"] == pytest.approx(own[1]["value"] - own[0]["value"], rel=1e-6) and d["n"] == own[0]["n"]
    assert d["stderr"] < min(score["stderr"] for score in own)  # the same documents: pairing takes out what they share
    assert losslab(*asked) == 0
    out, err = capsys.readouterr()
    assert "other: blimp (measured before)" in err and "report: evaluations.html" in out
    assert "are paired over items, of one run per arm" in out and Path("evaluations.md").is_file()
    assert "--items puts the items of one run" in refuses(capsys, *asked, "--items")


def test_compare_shows_task_scores_with_the_verdict(run, capsys, monkeypatch, unpaged):
    monkeypatch.setattr("losslab.study.conducting.compare", lambda *a, **b: comparison.compare([records.read(run)]))
    capsys.readouterr()
    asked = (*COMPARE, "--tasks", "blimp", "--benchmarks", "benchmarks", "--store", "store")
    assert losslab(*asked, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    (blimp,) = document["tasks"]["scores"]
    assert blimp["values"]["cross_entropy"]["n"] == 3 and document["tasks"]["report"] == "store/tasks.html"
    assert losslab(*asked) == 0
    out = capsys.readouterr().out
    assert out.index("report: store/report.html") < out.index("blimp") < out.index("report: store/tasks.html")
    assert "did you mean blimp?" in refuses(capsys, *COMPARE, "--tasks", "blim")


def test_one_task_that_cannot_be_run_does_not_stop_the_others(run, capsys):
    capsys.readouterr()
    assert losslab("evaluate", run, "--tasks", "core,blimp", "--benchmarks", "benchmarks", "--items", "--limit", "1",
                   "--out", "run/page.html") == 2
    out, err = capsys.readouterr()
    assert "error: core: benchmarks holds no CORE bundle" in err and "Traceback" not in err
    assert "not run: core" in out and "blimp" in out and evaluation.NO_EVIDENCE in out
    written = json.loads(Path("run/page.json").read_text())
    assert len(written["tasks"][0]["items"]) == 3 and written["failures"][0]["task"] == "core"


def test_a_limit_counts_items_of_tasks(run, capsys):
    capsys.readouterr()
    assert "--limit counts the items" in refuses(capsys, "evaluate", run, "--tasks", "blimp", "--limit", "-5")
    assert "go with --tasks" in refuses(capsys, "evaluate", run, "--limit", "5")
    refused = refuses(capsys, "evaluate", run, "--tasks", "blimp", "--prefix", "end-of-text")
    assert "--prefix end-of-text changes nothing of blimp; it is a setting of lambada, arc_easy" in refused
    assert "prefix must be none or end-of-text" in refuses(capsys, "evaluate", run, "--tasks", "copa", "--prefix", "x")
    for limit, page in (("0", "evaluation.html"), ("1", "evaluation-limited.html")):
        assert losslab("evaluate", run, "--tasks", "blimp", "--benchmarks", "benchmarks", "--limit", limit) == 0
        assert f"report: run/{page}" in capsys.readouterr().out


def test_the_tasks_are_listed_and_a_wrong_name_is_answered(capsys):
    assert losslab("evaluate", "nowhere", "--tasks", "?") == 0
    assert {"likelihood", "blimp", "core", "lambada", "arc_easy"} <= set(capsys.readouterr().out.split())
    assert "did you mean blimp?" in refuses(capsys, "evaluate", "nowhere", "--tasks", "blim")
