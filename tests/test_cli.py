"""The command line: documents for programs, sentences for people, and never a traceback."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import COMPARE, FAST, TRAIN, losslab
from experiments import place as place
from experiments import small_text
from forks import fork_children
from forks import forking as forking
from report_runs import unpaged as unpaged

from losslab import comparison, machine, records
from losslab.cli import comparing

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with two losses and two seeds for tests that read it; `compare` finds three runs and trains the last."""
    folder = small_text(tmp_path_factory.mktemp("trained"))
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr("losslab.report.page.html", lambda document: "")
        fork_children(patch)
        for loss, seed in (("cross_entropy", 0), ("cross_entropy", 1), ("squentropy", 0)):
            flags = ("--corpus", "text.txt", "--num-tokens", "0.64k", *FAST, "--loss", loss, "--seed", str(seed))
            assert losslab("train", *flags) == 0
        Path("runs").rename("store")
        with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
            assert losslab(*COMPARE, "--seeds", "2", "--store", "store") == 0
    assert "squentropy seed 1: starting" in err.getvalue() and "cross_entropy seed" not in err.getvalue()
    return folder / "store"


@pytest.fixture
def store(trained):
    """A copy of it in the test's own folder."""
    shutil.copytree(trained, "store")


def test_compare_prints_one_document(capsys, store):
    assert losslab(*COMPARE, "--seeds", "2", "--store", "store", "--json", "--report", "page.html") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["baseline"] == "cross_entropy"
    assert document["corpus"]["name"] and document["corpus"]["digest"]
    assert document["report"] == "page.html" and Path("page.html").stat().st_size > 100_000
    arms = {arm["loss"]: arm for arm in document["arms"]}
    assert set(arms) == {"cross_entropy", "squentropy"}
    for arm in arms.values():
        assert arm["status"] == "finished" and len(arm["condition"]) == 12 and arm["verdict"]
        assert {"nll", "bits_per_byte", "nll_calibrated"} <= set(arm["scores"])
        assert all({"value", "stderr", "n"} <= set(score) for score in arm["scores"].values())
        assert arm["scores"]["nll"]["n"] == 2
    assert arms["cross_entropy"]["difference"] is None
    difference = arms["squentropy"]["difference"]
    assert difference["low"] < difference["value"] < difference["high"] and difference["n"] == 2
    means = [arms[name]["scores"]["nll"]["value"] for name in ("squentropy", "cross_entropy")]
    assert difference["value"] == pytest.approx(means[0] - means[1], abs=1e-9)


def test_compare_prints_a_table_and_a_verdict_for_people(capsys, monkeypatch, store, unpaged):
    assert losslab(*COMPARE, "--seeds", "2", "--store", "store") == 0
    out = capsys.readouterr().out
    assert "squentropy" in out and "cross_entropy" in out and "report: store/report.html" in out
    assert losslab("report", "store", "--out", "again.html", "--json") == 0
    assert json.loads(capsys.readouterr().out)["baseline"] == "cross_entropy"
    table, _, page = out.rpartition("\n\nreport: ")
    assert page == "store/report.html\n"
    # a verdict is out before the page is written, so that a full disk does not lose it
    elsewhere = (*COMPARE, "--seeds", "2", "--store", "store", "--report", "store/report.html/page")
    assert losslab(*elsewhere) == 2
    captured = capsys.readouterr()
    assert captured.out == f"{table}\n"
    assert captured.err.splitlines()[-1].startswith("error: cannot write the page store/report.html/page.html")
    assert losslab(*elsewhere, "--json") == 2
    assert json.loads(capsys.readouterr().out)["report"] == "store/report.html/page.html"
    # and a run that failed is in the exit code
    found = records.find(["store"])
    (found[0].path / "result.json").write_text(json.dumps({"format": 1, "status": "failed", "error": "a loss raised"}))
    again = comparison.compare(records.find(["store"]))
    monkeypatch.setattr("losslab.study.conducting.compare", lambda *_, **__: again)
    assert losslab(*COMPARE, "--seeds", "2", "--store", "store") == 6


def test_a_dry_run_trains_nothing(monkeypatch, forking):
    printed = []
    monkeypatch.setattr(comparing, "show", lambda document, text, as_json: printed.append((document, text)) or 0)
    assert losslab(*COMPARE, "--dry-run", "--seeds", "3") == 0
    ((estimate, text),) = printed
    assert estimate["runs"] == 6 and estimate["tokens"] == 6 * 640 and estimate["seconds"] > 0
    assert estimate["arms"] == ["cross_entropy", "squentropy"] and estimate["disk_bytes"] > 0
    assert not Path("runs").exists() and "time:" in text and "memory:" in text
    assert estimate["memory"]["way"] == "alone" and estimate["memory"]["bytes"]["moments"] == 8 * estimate["num_params"]


def test_train_evaluate_generate_show(capsys):
    assert losslab(*TRAIN, "--loss", "softcap(15) | cross_entropy", "--seed", "3", "--out", "run", "--json") == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["status"] == "finished" and trained["seed"] == 3
    assert losslab("evaluate", "run", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["scores"]["nll"]["value"] == pytest.approx(trained["scores"]["nll"]["value"], rel=1e-9)
    Path("other.txt").write_text("\n<|endoftext|>\n".join(f"Quite another text, number {n}." for n in range(60)))
    assert losslab("evaluate", "run", "--corpus", "other.txt", "--json", "--stride", "4") == 0
    other = json.loads(capsys.readouterr().out)
    assert other["corpus"]["digest"] != again["corpus"]["digest"] and "nll_stride_4" in other["scores"]
    assert losslab("generate", "run", "The cat", "--num-tokens", "5", "--json") == 0
    (written,) = json.loads(capsys.readouterr().out)
    assert written["prompt"] == "The cat" and written["text"].startswith("The cat") and len(written["tokens"]) <= 5
    assert losslab("runs", "show", "run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["spec"]["config"]["seed"] == 3
    assert losslab("runs", "list", ".", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert Path(row["run"]) == Path("run") and row["loss"] == "softcap(15) | cross_entropy"


def test_train_for_people_ends_with_the_line_that_tools_look_for(capsys):
    assert losslab(*TRAIN, "--loss", "cross_entropy", "--out", "run") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith("val_bpb: ")
    assert "tokens/s" in captured.err and " s left" in captured.err


def test_divergence_has_an_exit_code_and_a_record(capsys):
    wild = ("--train.learning-rate", "1e8", "--train.grad-clip", "0", "--train.warmup-steps", "0", "--out", "wild")
    assert losslab(*TRAIN, "--loss", "1e8*mse + cross_entropy", *wild, "--json") == 4
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["status"] == "diverged" and document["diverged"]["step"] >= 1
    assert "diverged at step" in captured.err


def test_a_specification_and_flags_over_it(capsys):
    Path("spec.toml").write_text('preset = "tiny"\nloss = "squentropy"\n[data]\ncorpus = "text.txt"\n')
    assert losslab("train", "spec.toml", "--num-tokens", "640", *FAST, "--out", "run", "--json") == 0
    spec = json.loads(Path("run/spec.json").read_text())
    assert spec["config"]["loss"] == "squentropy" and spec["config"]["train"]["num_tokens"] == 640


def test_losses_and_corpora_are_listed(capsys):
    assert losslab("losses") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("cross_entropy", "weighted_mse", "softcap"))
    lines = listed.splitlines()
    assert all(len(line) <= 130 and len(line.split("  ", 1)) == 2 for line in lines)
    kinds = {line.split()[1]: line.split()[0] for line in lines}
    assert kinds["poly_n"] == "loss" and kinds["z_loss"] == "term" and kinds["isru_cap"] == "transform"
    assert losslab("losses", "squentropy") == 0
    assert "arXiv:2302.03952" in capsys.readouterr().out
    assert losslab("corpus", "text.txt", "--json") == 0
    assert json.loads(capsys.readouterr().out)["splits"]["val"]["documents"] >= 1


def test_help_is_light():
    code = "import sys; from losslab import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n" \
           "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'scipy', 'altair')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


# --- bad input: one sentence that says what came and what would do ------------------------------

def test_one_seed_gives_no_verdict_and_one_arm_nothing_to_compare(capsys, store, unpaged):
    assert losslab(*COMPARE, "--seeds", "1", "--store", "store", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert any("no verdict from one seed" in arm["verdict"] for arm in document["arms"])
    assert losslab("compare", "squentropy", *COMPARE[3:], "--seeds", "1", "--store", "store", "--json") == 0
    captured = capsys.readouterr()
    assert "only arm" in json.loads(captured.out)["verdict"]
    assert captured.err.splitlines()[:2] == [
        "one loss, so there will be no verdict; name a second one to compare",
        "one seed, so there will be no verdict; --seeds 5 shows how much seeds differ",
    ]


def test_a_busy_machine_and_too_many_threads_are_said_once(capsys, monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (7.0, 0.0, 0.0))
    monkeypatch.setattr(machine, "set_threads", lambda threads: threads)
    many = "--threads 64 is more than the 2 cores of this machine; 2 are used"
    busy = "this machine is busy: its load is 7.0 on 2 cores, and this adds 2 threads; --threads 1 may be faster"
    for wanted in (1, 0):  # a run that is done takes no threads
        assert losslab(*TRAIN, "--out", "run", "--threads", "64") == 0
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == many and lines.count(busy) == wanted
    assert losslab("train", "--resume", "nowhere") == 2
    assert busy not in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(capsys, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert losslab("convert", "3", "nats") == 141  # as a shell says of what `| head` ended
    assert capsys.readouterr().err == ""
