"""`losslab noise`: what its document holds, from made-up runs with known parts and from real ones."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from commands import FAST, losslab, refuses
from experiments import SMALL, change
from experiments import place as place

from losslab import comparison, experiment, records, stats
from losslab.config import to_dict
from losslab.report import noise as page
from losslab.stats import noise as statistics
from losslab.study import noise

CORPUS = {"name": "text.txt", "digest": "c0ffee", "tokenizer": "bytes", "splits": {}}


def made(config, nll, status="finished"):
    """A run with this nll that was never trained."""
    spec = {"version": "0", "identity": 2, "condition": f"of {config.loss}", "config": to_dict(config),
            "objective": config.loss, "losses": [], "corpus": CORPUS}
    scores = {"nll": {"value": nll, "stderr": 0.1, "n": 10, "unit": "nats/token"}}
    result = {"status": status, "tokens": 640, **({"scores": scores} if status == "finished" else {})}
    return records.Record(Path("run"), json.loads(json.dumps(spec)), {}, result, status)


def arm(loss, values):
    return [made(change(SMALL, loss=loss, seed=seed), value) for seed, value in enumerate(values)]


def test_one_condition_has_no_correlation_and_counts_seeds_for_unpaired_differences():
    values = 2 + 0.01 * np.arange(10) / np.std(np.arange(10), ddof=1)
    found = noise.document([arm("cross_entropy", values)])
    assert found["standard_deviation"] == pytest.approx(0.01) and found["correlation"] is None
    assert found["pairing"] is None and found["components"] is None and found["notes"] == []
    assert found["difference"]["value"] == pytest.approx(0.01 * 2**0.5) and found["difference"]["of"] == "unpaired"
    assert {row["difference"]: row["seeds"] for row in found["seeds_needed"]}[0.02] == stats.seeds_needed(
        0.01 * 2**0.5, 0.02, 0.04)
    assert set(found["seeds_needed"][0]) == {"difference", "seeds", "low", "high"}
    assert json.loads(json.dumps(found)) == found
    assert "two runs that have nothing in common" in " ".join(page.text(found).split())


def test_two_conditions_are_paired_by_the_seeds_that_both_finished():
    rng = np.random.default_rng(0)
    first = 2 + 0.01 * rng.normal(size=12)
    second = first + 0.1 + 0.002 * rng.normal(size=12)
    runs = [arm("cross_entropy", first), arm("focal", second)]
    runs[1][3] = made(change(SMALL, loss="focal", seed=3), 0.0, "diverged")
    found = noise.document(runs)
    kept = np.arange(12) != 3
    assert found["correlation"] == pytest.approx(np.corrcoef(first[kept], second[kept])[0, 1])
    assert found["difference"]["value"] == pytest.approx(np.std((second - first)[kept], ddof=1))
    assert found["difference"]["of"] == "paired" and found["conditions"][1]["n"] == 11
    assert found["notes"] == ["1 of 12 runs of focal is diverged"]
    shown = " ".join(page.text(found).split())
    assert "Pairing by seed helps: the correlation over seeds is 0.9" in shown
    assert "1 of 12 runs of focal is diverged" in shown
    text = page.markdown(found, "losslab noise cross_entropy focal")
    assert text.startswith("# The noise of cross_entropy and focal on text.txt\n\nMade by `losslab noise ")
    alone = noise.document([runs[0][:1], runs[1][:1]])  # one seed knows nothing
    assert alone["standard_deviation"] is None and alone["correlation"] is None and alone["seeds_needed"] == []
    assert page.text(alone)


def test_the_crossed_design_keeps_dropout_and_gives_the_parts_in_their_places():
    config = change(SMALL, seed=9)
    grid = noise.cells(config, 4)
    assert [(each.model.init_seed, each.data.seed) for each in grid] == [(i, j) for i in range(4) for j in range(4)]
    assert {dataclasses.replace(each, model=config.model, data=config.data) for each in grid} == {config}
    rng = np.random.default_rng(1)
    values = 0.05 * rng.normal(size=(4, 1)) + 0.002 * rng.normal(size=(1, 4)) + 0.003 * rng.normal(size=(4, 4))
    runs = [made(each, value) for each, value in zip(grid, values.ravel(), strict=True)]
    found = noise.document([arm("cross_entropy", [1.0, 1.1])], runs)["components"]
    expected = statistics.components(values)
    assert found["initial_weights"]["value"] == expected.rows.value and found["initial_weights"]["share"] > 0.9
    assert found["data_order"]["value"] == expected.columns.value
    assert found["remainder"]["high"] == expected.remainder.high and found["dropout_seed"] == 0
    runs[5] = made(grid[5], 0.0, "failed")
    lost = noise.document([arm("cross_entropy", [1.0, 1.1])], runs)
    assert lost["components"] is None
    assert lost["notes"] == ["no parts of the noise: 1 of 16 runs of the crossed design is failed"]
    with pytest.raises(ValueError, match="leave it out with --crossed 0"):
        noise.cells(dataclasses.replace(config, start="somewhere"), 2)


def here(planned, **options):
    """`running.execute` in this process, which starts faster."""
    for made, folder in zip(planned.experiments, planned.folders, strict=True):
        experiment.run(made, folder)


def test_the_command_trains_measures_and_writes_the_tables(place, capsys, monkeypatch):
    monkeypatch.setattr("losslab.study.noise.execute", here)
    command = ("noise", "cross_entropy", "focal", "--seeds", "2", "--crossed", "2", "--corpus", "text.txt",
               "--num-tokens", "128", "--workers", "1", "--out", "docs/noise.md", "--json", *FAST)
    assert losslab(*command) == 0
    found = json.loads(capsys.readouterr().out)
    runs = {(run.loss, run.seed, run.config.model.init_seed, run.config.data.seed): run.scores["nll"]["value"]
            for run in records.find(["runs", "runs/crossed"])}
    assert len(records.find(["runs"])) == 4  # the arms of a report
    assert len(runs) == 8 and all((("cross_entropy", 0, i, j) in runs) for i in range(2) for j in range(2))
    # without dropout the cell of one seed for both is the run of that seed
    assert runs["cross_entropy", 0, 1, 1] == runs["cross_entropy", 1, None, None]
    own = [runs["cross_entropy", seed, None, None] for seed in range(2)]
    assert found["standard_deviation"] == pytest.approx(np.std(own, ddof=1))
    assert found["components"]["nll"][1][0] == runs["cross_entropy", 0, 1, 0]
    text = Path("docs/noise.md").read_text()
    assert "## Where it comes from" in text and "| initial weights | data order 0 | data order 1 |" in text
    assert f"| 1 | {found['components']['nll'][1][0]:.4f} | " in text
    assert f"| 1 | {own[1]:.4f} | " in text.partition("## Every seed")[2]
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("result.json")}
    assert losslab(*command) == 0  # nothing is trained again
    assert before == {path: path.stat().st_mtime_ns for path in Path("runs").rglob("result.json")}


def test_mistakes(place, capsys):
    assert "noise takes at least 2 seeds, got 1" in refuses(capsys, "noise", "mse", "--seeds", "1", *FAST)
    assert "--crossed must be at most 50" in refuses(capsys, "noise", "mse", "--crossed", "51", *FAST)
    assert "at least 2 seeds of each kind, got 1" in refuses(
        capsys, "noise", "mse", "--crossed", "1", "--corpus", "text.txt", "--num-tokens", "128", *FAST)
    assert "are the same condition" in refuses(capsys, "noise", "mse", "mse", "--corpus", "text.txt", *FAST)
    assert "--level must be at most 0.5" in refuses(capsys, "noise", "mse", "--level", "2", *FAST)


def test_the_seed_of_the_data_order_is_not_called_the_seed_of_a_run():
    runs = [dataclasses.replace(made(each, 2.0), path=Path(f"run{number}"))
            for number, each in enumerate(noise.cells(SMALL, 2))]
    for number, run in enumerate(runs):
        run.spec["condition"] = f"condition {number}"
    assert list(records.labels(runs).values()) == [
        f"cross_entropy (data.seed {order}, init_seed {weights})" for weights in range(2) for order in range(2)]


def test_arms_whose_data_order_differs_say_so():
    runs = [dataclasses.replace(run, path=Path(f"{run.loss}{run.seed}")) for run in (
        *arm("cross_entropy", [2.0, 2.1]), *arm("focal", [2.2, 2.1]))]
    for run in runs[2:]:
        run.spec["config"]["data"]["seed"] = 7
    assert "arms differ in more than the loss: data.seed (None and 7)" in comparison.compare(runs).warnings
