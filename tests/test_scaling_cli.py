"""`losslab scaling fit` and `scaling plan`: what programs read, what people see, and how they refuse."""

import json
from dataclasses import replace

import pytest
from commands import losslab, refuses
from record_runs import RESULT, write_run
from scaling_tables import LAW, csv, pair, runs

from losslab.report import scaling as report


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "ladder.csv"
    path.write_text(csv(runs(noise=0.002, seeds=3)))
    return path


def told(capsys, *arguments):
    assert losslab("scaling", *arguments, "--json") == 0
    out, err = capsys.readouterr()
    assert "RuntimeWarning" not in err

    def no_number(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(out, parse_constant=no_number)


def test_the_document_of_a_fit_and_a_plan_with_it(table, tmp_path, capsys):
    found = told(capsys, "fit", str(table), "--resamples", "200")
    for name in ("E", "A", "B", "alpha", "beta"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    assert isinstance(found["objective"], float) and isinstance(found["warnings"], list)
    assert found["num_points"] == len(found["points"]) == 24 and found["without_smallest"]["num_points"] == 18
    assert found["forecasts"][-1]["extrapolated"] == "outside" and "extrapolation" in found["warnings"][-1]
    own = tmp_path / "own.json"
    own.write_text(json.dumps(found))
    plan = told(capsys, "plan", "--flops", "1e13", "--constants", str(own))
    assert plan["nll"] == pytest.approx(LAW.nll(*LAW.optimum(1e13)), rel=0.01)
    assert plan["constants"]["E"] == found["E"]["value"]


def test_the_document_of_a_plan(capsys):
    found = told(capsys, "plan", "--flops", "1e19")
    assert found["ratio"] == pytest.approx(24.2, abs=0.05) == found["num_tokens"] / found["num_params"]
    assert isinstance(found["num_params"], int) and found["nll"] == pytest.approx(2.927, abs=1e-3)
    assert found["constants"]["name"] == "epoch" and found["seconds"] is None
    rows = told(capsys, "plan", "--params", "124M", "--table", "--device", "h100", "--price", "2")["table"]
    assert len(rows) == 5 and all(row["cost"] == pytest.approx(row["seconds"] / 1800) for row in rows)
    assert losslab("scaling", "plan", "--tokens", "10B", "--table", "--device", "a100") == 0
    shown = capsys.readouterr().out
    assert "expected nll" in shown and "tokens/param" in shown and "40% of 3.12e+14 FLOP/s" in shown


def test_arms_give_multipliers_and_a_page_that_says_them(tmp_path, capsys):
    path, page = tmp_path / "arms.csv", tmp_path / "page.html"
    path.write_text(csv(pair(1.3, seeds=3)).replace("candidate", "<b>new</b>"))
    found = told(capsys, "fit", str(path), "--arms", "arm", "--resamples", "100", "--out", str(page))
    [one] = found["multipliers"]
    assert one["paired_by_seed"] and len(one["rungs"]) == 8 and one["rungs"][0]["verdict"] == "worth more"
    text = page.read_text()
    assert "<b>new" not in text and "&lt;b&gt;new" in text and "default-src &#39;none&#39;" in text
    assert "<b>Extrapolated:</b>" in text and 'data-chart="multipliers"' in text and 'data-chart="residuals"' in text
    assert json.loads(page.with_suffix(".json").read_text())["multipliers"] == found["multipliers"]
    assert "worth 1.3" in page.with_suffix(".md").read_text()
    assert "without the smallest rung" in report.text(found)


def test_no_page_is_marked_where_nothing_is_extrapolated(table, tmp_path, capsys):
    page = tmp_path / "inside.html"
    told(capsys, "fit", str(table), "--budgets", "1e12,1e13", "--resamples", "0", "--out", str(page))
    assert "<b>Extrapolated:</b>" not in page.read_text()


@pytest.mark.parametrize("form", ["compute", "params", "tokens"])
def test_laws_of_one_resource(table, capsys, form):
    found = told(capsys, "fit", str(table), "--form", form, "--resamples", "60")
    assert found["K"]["low"] < found["K"]["high"] and found["forecasts"][-1]["nll"]["low"] and "exponent" in found
    pure = told(capsys, "fit", str(table), "--form", form, "--floor", "0", "--resamples", "0")
    assert pure["E"]["value"] == 0 and pure["formula"].startswith("L = K") and pure["objective"] >= found["objective"]


def test_equal_compute_repeated_data_and_another_loss(tmp_path, capsys):
    path = tmp_path / "runs.csv"
    sizes = [(c, n * c**0.5) for c in (1, 10, 100) for n in (1e6, 2e6, 4e6, 8e6, 1.6e7)]
    rows = [(n, c * 1e15 / (6 * n)) for c, n in sizes]
    path.write_text("N,D,U,loss,other\n" + "".join(
        f"{n},{d},{d / (1 + i % 3)},{LAW.nll(n, d)},{LAW.nll(n, d) + 0.3}\n" for i, (n, d) in enumerate(rows)))
    names = "num_params=N,num_tokens=D,nll=loss,unique_tokens=U,other_nll=other"
    page = str(tmp_path / "page.html")
    for form, key in (("isoflop", "budgets"), ("repeated", "R_D"), ("other", "x0")):
        floor = ("--floor", "1.0") if form == "other" else ("--base", "muennighoff") if form == "repeated" else ()
        found = told(capsys, "fit", str(path), "--columns", names, "--form", form, "--resamples", "60", "--out", page,
                     *floor)
        assert key in found and found["form"] == form and report.text(found)
        if form == "isoflop":
            assert found["forecasts"][0]["extrapolated"] == "outside" and len(found["budgets"]) == 3


def test_a_folder_of_runs(tmp_path, capsys):
    n = 0
    for size in (20_000, 60_000, 180_000, 500_000):
        for ratio in (10, 40):
            scores = {"nll": RESULT["scores"]["nll"] | {"value": float(LAW.nll(size, size * ratio))}}
            write_run(tmp_path / f"run{n}", seed=n, result=RESULT | {
                "tokens": size * ratio, "model": {"num_params": size}, "scores": scores})
            n += 1
    write_run(tmp_path / "begun", seed=n, result=None)
    assert losslab("scaling", "fit", str(tmp_path), "--resamples", "0", "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["alpha"]["value"] == pytest.approx(LAW.alpha, rel=1e-3) and "corpora" not in str(found["warnings"])
    assert "1 of 9 runs" in err
    assert "go with a table" in refuses(capsys, "scaling", "fit", str(tmp_path), "--columns", "nll=loss")


@pytest.mark.parametrize(("arguments", "sentence"), [
    ("fit none.csv", "there is no file or folder none.csv"), ("fit study.toml", "give the folder of its runs"),
    ("fit LADDER --budgets 1e20", "--extrapolate forecasts there all the same"),
    ("fit LADDER --budgets ten", "--budgets must be a number above 0, such as 1e19 or 124M, got 'ten'"),
    ("fit LADDER --drop-highest 99", "cannot be left out"), ("fit LADDER --drop-highest 20", "at least 6 runs"),
    ("fit LADDER --arms loss", "has no column loss"), ("fit LADDER --baseline x", "name their column with --arms"),
    ("fit LADDER --base epoch", "--base goes with --form repeated"), ("fit LADDER --floor 0", "--floor goes with"),
    ("fit LADDER --form compute --floor 1", "--floor takes 0"), ("fit LADDER --form isoflop", "at one compute"),
    ("fit LADDER --resamples -1", "--resamples must not be negative"), ("fit", "such as `losslab scaling fit"),
    ("fit LADDER --resamples 49", "--resamples is 0, for no intervals, or at least 50"),
    ("fit LADDER --form params --budgets 1e9", "10^9 parameters lie more than a decade beyond the runs (2e+04 to 5e+05 "
     "parameters)"),
    ("fit LADDER --form tokens --budgets 1e12", "10^12 tokens lie more than a decade"),
    ("fit LADDER --form repeated --budgets 1e9", "--budgets does not go with --form repeated"),
    ("fit LADDER --form repeated --extrapolate", "--extrapolate does not go with --form repeated"),
    ("fit OTHER --form other --floor 1.2 --budgets 1.1", "1.1 is not above its floor 1.2"),
    ("fit OTHER --form other --floor 1.2 --budgets 60", "measured from its floor 1.2, more than a decade beyond"),
    ("plan", "got none"), ("plan --flops -1", "--flops must be a number above 0"),
    ("plan --flops 1e13", "--extrapolate plans there all the same"),
])  # fmt: skip
def test_one_sentence(table, tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text("")
    other = "num_params,num_tokens,nll,other_nll\n" + "".join(
        f"1e6,{i}e7,{1 + 0.9 * (x - 1.2) ** 1.1},{x}\n" for i, x in enumerate((2, 2.5, 3, 4, 5), 1))
    (tmp_path / "other.csv").write_text(other)
    arguments = arguments.replace("LADDER", str(table)).replace("OTHER", "other.csv")
    assert sentence in refuses(capsys, "scaling", *arguments.split())


def test_numbers_of_a_law_at_its_bounds_and_runs_left_out_are_in_the_document(tmp_path, capsys):
    some = runs(noise=1e-4, seeds=2)
    path = tmp_path / "flat.csv"
    path.write_text(csv(replace(some, nll=3 * some.nll / LAW.nll(some.num_params, some.num_tokens))))
    found = told(capsys, "fit", str(path), "--resamples", "60")
    assert found["at_bounds"]
    for name in ("E", "A", "B", "alpha", "beta"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    for form in ("compute", "tokens"):
        fewer = told(capsys, "fit", str(path), "--form", form, "--drop-highest", "2", "--resamples", "0")
        assert fewer["dropped_highest"] == 2 and "without the 2 runs of the highest nll" in " ".join(
            report.text(fewer).split())
