"""Task scores side by side: pairing over items and seeds, stored results, and weights that must be the record's."""

import json
import math
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats as scipy_stats

from losslab import checkpoint, config, records, tokenizer
from losslab.evaluate import arms, harness, paired, stored, tasks
from losslab.evaluate.core import SHORT, STANDARD
from losslab.evaluate.task import TaskResult
from losslab.evaluate.tasks import Settings
from losslab.model import initialized
from losslab.report import evaluation_compare
from losslab.words import printable

BYTES = tokenizer.make("bytes")
HOSTILE = "</script><script>alert(1)</script> | `x` [a](http://b) *c*\n# d \x1b[2J"


def rows(numerators, denominators=None):
    return {"ids": list(range(len(numerators))), "numerators": numerators,
            "denominators": denominators or [1] * len(numerators)}


# --- pairs of models on the same items ---------------------------------------------------------

def test_right_answers_are_paired_by_students_t_over_items():
    """Against scipy's paired t test on the same zeros and ones."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(2, size=(2, 50)).tolist()
    found, theirs = paired.difference(rows(a), rows(b)), scipy_stats.ttest_rel(a, b)
    low, high = theirs.confidence_interval(0.95)
    assert (found["value"], found["p_value"], found["low"], found["high"]) == pytest.approx(
        (np.mean(a) - np.mean(b), theirs.pvalue, low, high))
    assert found["n"] == 50 and found["stderr"] == pytest.approx(scipy_stats.sem(np.subtract(a, b)))


def test_a_ratio_over_documents_has_the_difference_and_the_error_of_its_sums():
    """Hand: differences 1, 0, -3 nats over 4, 2, 10 bytes: D = -2/16, residuals 1.5, 0.25, -1.75."""
    found = paired.difference(rows([5.0, 2.0, 7.0], [4, 2, 10]), rows([4.0, 2.0, 10.0], [4, 2, 10]))
    assert found["value"] == pytest.approx(-0.125)
    assert found["stderr"] == pytest.approx(math.sqrt(3 / 2 * (1.5**2 + 0.25**2 + 1.75**2)) / 16)
    assert found["low"] < found["value"] < found["high"]


def test_what_was_not_asked_of_both_is_not_paired():
    assert paired.difference(rows([1, 0]), rows([1, 0, 1])) == {"why": "measured on other items"}
    assert paired.difference(rows([1, 0], [2, 3]), rows([1, 0], [2, 4])) == {"why": "counted over other tokens"}
    assert paired.difference(rows([1, math.inf]), rows([1, 2.0])) == {"why": "infinite"}
    assert paired.difference(rows([1, 0]), rows([1, 0]))["identical"]


def test_the_difference_of_short_seven_is_the_mean_of_centered_differences():
    a = {f"{label}: accuracy": rows([1, 1, 0, 1]) for label in SHORT}
    b = {f"{label}: accuracy": rows([1, 0, 0, 1]) for label in SHORT}
    found = paired.core_difference(a, b, "short_seven")
    rests = [1 - STANDARD[label].v1 / 100 for label in SHORT]
    assert found["value"] == pytest.approx(np.mean([0.25 / rest for rest in rests]))
    assert found["stderr"] == pytest.approx(math.sqrt(sum((0.25 / rest) ** 2 for rest in rests)) / 7)
    assert "why" in paired.core_difference(a, {}, "core_v1")


def test_items_of_each_task_say_what_their_score_is_the_mean_of():
    choice = {"scores": {"accuracy_sum_prefix_end_of_text": {}}, "items": [
        {"index": 0, "gold": 1, "picked": {"sum": 1}}, {"index": 1, "skipped": "long"},
        {"index": 2, "gold": 0, "picked": {"sum": 1}}]}
    found = paired.outcomes(choice)["accuracy_sum_prefix_end_of_text"]
    assert (found["ids"], found["numerators"]) == ([0, 2], [1, 0])
    blimp = {"scores": {"accuracy": {}}, "items": [
        {"paradigm": name, "right": right} for name, right in (("a", True), ("b", False), ("a", False))]}
    assert paired.outcomes(blimp)["accuracy"] == {"ids": ["a", "b"], "numerators": [1, 0], "denominators": [2, 1]}
    lambada = {"scores": {"accuracy": {}, "perplexity": {}}, "items": [{"passage": 4, "nats": 2.0, "right": True}]}
    assert paired.outcomes(lambada)["nll_per_word"]["numerators"] == [2.0]


# --- runs --------------------------------------------------------------------------------------

PIQA = [{"goal": f"goal {n}", "sol1": f"push {n}", "sol2": f"pull {n * n}"[: 5 + len(str(n))], "label": n // 3 % 2}
        for n in range(24)]  # fmt: skip
MODEL = config.ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=64)


def random_model(seed):
    """With fixed, non-uniform predictions."""
    model, generator = initialized(MODEL, BYTES.vocab_size, seed=seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A finished run of a condition and seed, with its own weights and no training."""
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "piqa.validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PIQA))

    def run(loss, seed, *, weights=None, status="finished"):
        folder = tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
        about = config.to_dict(config.ExperimentConfig(loss="cross_entropy", seed=seed, model=MODEL))
        condition = sha256(loss.encode()).hexdigest()[:12]
        corpus = {"name": "tales", "digest": "0" * 12, "tokenizer": "bytes", "splits": {}}
        records.create(folder, {"config": about | {"loss": loss}, "condition": condition, "corpus": corpus}, {})
        if status == "finished":
            model = random_model(seed if weights is None else weights)
            place = checkpoint.save(folder / "checkpoint", model, BYTES, step=1, tokens=1, seconds=1.0)
            sha = json.loads((place / "manifest.json").read_text())["model.safetensors"]
            records.write_result(folder, {"status": status, "weights": sha, "scores": {}})
        else:
            records.write_result(folder, {"status": status, "error": "it was killed"})
        return records.read(folder)

    run.settings = lambda record: Settings(tmp_path / "bench", data=record.config.data)
    return run


def test_runs_of_one_seed_are_paired_over_items_and_holm_is_over_arms(make):
    found = arms.evaluate([make("cross_entropy", 0), make("focal", 1), make("poly", 2)], ["piqa"], make.settings)
    assert found["paired_over"] == "items" and found["baseline"] == "cross_entropy" and found["is_evidence"]
    assert [one["score"] for one in found["scores"]] == ["accuracy_sum", "accuracy_per_character"]
    one = found["scores"][0]
    for arm in ("focal", "poly"):
        d = one["differences"][arm]
        assert d["n"] == 24 and d["value"] == pytest.approx(
            one["values"][arm]["value"] - one["values"]["cross_entropy"]["value"])
        assert d["p_holm"] >= d["p_value"] and d["low"] < d["value"] < d["high"] and "24 items paired" in d["verdict"]
    assert "not whether two losses do" in " ".join(found["notes"])
    assert any(note.startswith("2 scores (piqa) are 2 questions: p is corrected over arms") for note in found["notes"])


def test_runs_of_several_seeds_are_paired_over_seeds(make):
    runs = [make(loss, seed, weights=10 * seed + (loss == "focal")) for loss in ("cross_entropy", "focal")
            for seed in (0, 1, 2)]
    found = arms.evaluate(runs, ["piqa"], make.settings)
    one = found["scores"][0]
    assert found["paired_over"] == "seeds" and one["values"]["focal"]["n"] == 3
    alone = [tasks.run("piqa", stored.load(run).model, BYTES, make.settings(run)).scores["accuracy_sum"].value
             for run in runs]
    d = one["differences"]["focal"]
    assert d["n"] == 3 and d["value"] == pytest.approx(np.mean(np.subtract(alone[3:], alone[:3])))
    assert d["low"] < d["value"] < d["high"] and "share of items" in d["verdict"]


def test_a_diverged_seed_leaves_no_mean(make):
    runs = [make("cross_entropy", 0), make("cross_entropy", 1), make("focal", 0), make("focal", 1, status="diverged")]
    one = arms.evaluate(runs, ["piqa"], make.settings)["scores"][0]
    assert one["values"]["focal"] is None and "diverged" in one["differences"]["focal"]["verdict"]


def test_a_run_that_is_not_finished_is_named_and_leaves_no_mean(make):
    runs = [make("cross_entropy", 0), make("cross_entropy", 1), make("focal", 0), make("focal", 1, status="failed")]
    found = arms.evaluate(runs, ["piqa"], make.settings)
    assert found["failures"] == [{"run": str(runs[3].path), "task": "every task",
                                  "error": "its training is failed, and only finished runs are compared"}]
    (one, _), failed = found["scores"], "focal failed on 1 of 2 seeds"
    assert one["values"]["focal"] is None and not found["is_evidence"]
    assert failed in one["differences"]["focal"]["verdict"]


def test_perplexities_are_not_averaged_but_their_logarithms_are(make, monkeypatch):
    def run(name, record, settings, device):
        value = math.exp({"cross_entropy": 3, "focal": 5}[record.loss] + record.seed)
        score = {"value": value, "stderr": value * 0.1, "n": 9, "unit": "per word"}
        return {"result": {"name": name, "scores": {"perplexity": score}, "is_evidence": True}, "outcomes": {},
                "about": {}, "weights": "", "is_stored": False}

    monkeypatch.setattr(stored, "run", run)
    runs = [make(loss, seed) for loss in ("cross_entropy", "focal") for seed in (0, 1)]
    (one,) = arms.evaluate(runs, ["lambada"], make.settings)["scores"]
    assert (one["score"], one["unit"], one["higher_is_better"]) == ("nll_per_word", "nats/word", False)
    assert [one["values"][arm]["value"] for arm in ("cross_entropy", "focal")] == pytest.approx([3.5, 5.5])
    (one,) = arms.evaluate(runs[:1], ["lambada"], make.settings)["scores"]
    assert one["values"]["cross_entropy"] == {"value": pytest.approx(3), "stderr": pytest.approx(0.1), "n": 9,
                                              "unit": "nats/word"}


def test_the_same_condition_and_seed_twice_is_refused(make):
    with pytest.raises(ValueError, match="are the same condition and seed; give one"):
        arms.evaluate([make("focal", 0), make("focal", 0)], ["piqa"], make.settings)


def test_stored_results_are_used_until_weights_settings_or_data_change(make, tmp_path, monkeypatch):
    counted, run = [], tasks.run
    monkeypatch.setattr(tasks, "run", lambda name, *rest: counted.append(name) or run(name, *rest))
    record = make("focal", 0)
    first = stored.run("piqa", record, make.settings(record))
    again = stored.run("piqa", record, make.settings(record))
    assert counted == ["piqa"] and again["is_stored"] and not first["is_stored"]
    assert {**again, "is_stored": 0} == {**first, "is_stored": 0}
    stored.run("piqa", record, Settings(tmp_path / "bench", prefix="end-of-text"))
    stored.run("piqa", make("focal", 1), make.settings(record))
    monkeypatch.setattr(stored, "_code", lambda: "another version")
    stored.run("piqa", record, make.settings(record))
    assert len(counted) == 4
    for file in (tmp_path / "cache" / "evaluations").iterdir():  # a forged or damaged file is measured again
        file.write_text(file.read_text().replace('"numerators": [', '"numerators": [ 1,', 1))
    assert not stored.run("piqa", record, make.settings(record))["is_stored"]
    with open(tmp_path / "bench" / "piqa.validation.jsonl", "a") as file:
        file.write(json.dumps(PIQA[0]) + "\n")
    assert not stored.run("piqa", record, make.settings(record))["is_stored"] and len(counted) == 6


def test_a_stored_result_of_the_harness_is_of_its_version_and_of_ones_own_tasks(make, tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "task", lambda name, *rest: TaskResult(f"lm_eval:{name}", {}, {}))
    monkeypatch.setattr(harness, "version", lambda: "1")
    record = make("focal", 0)

    def is_stored():
        return stored.run("lm_eval:own", record, make.settings(record))["is_stored"]

    assert not is_stored() and is_stored()
    monkeypatch.setenv(harness.OWN_TASKS, str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    assert not is_stored() and is_stored()
    (tmp_path / "own" / "own.yaml").write_text("task: own")
    assert not is_stored() and is_stored()
    monkeypatch.setattr(harness, "version", lambda: "2")
    assert not is_stored() and is_stored()


def test_weights_that_are_not_those_that_were_measured_are_refused(make):
    record = make("focal", 0)
    checkpoint.save(record.path / "checkpoint", random_model(9), BYTES, step=1, tokens=1, seconds=1.0)
    with pytest.raises(ValueError, match=r"the weights of .* are not those that were measured when it finished \(sha256"
                                         r" \w{12}..., now \w{12}...\)"):
        arms.evaluate([record, make("poly", 0)], ["piqa"], make.settings)
    with pytest.raises(ValueError, match="are not those that were measured"):
        stored.load(record)


def test_a_hostile_name_moves_no_page_and_no_terminal(make, tmp_path):
    found = arms.evaluate([make("cross_entropy", 0), make(HOSTILE, 1)], ["piqa", "arc_easy"], make.settings)
    assert len(found["failures"]) == 2 and not found["is_evidence"]
    document = evaluation_compare.document(found, command="losslab evaluate a b")
    page = evaluation_compare.write(document, tmp_path / "page.html")
    assert "<script>alert" not in page.read_text() and "&lt;script&gt;alert(1)" in page.read_text()
    markdown = Path(page.with_suffix(".md")).read_text()
    assert "<script" not in markdown and "\n# d" not in markdown and "\x1b" not in markdown
    assert r"&#124; \`x\` \[a\](http&#58;//b) \*c\*" in markdown
    text = evaluation_compare.text(document)
    assert "\x1b" not in text and "not run: " in text and "accuracy_sum" in text
    assert json.loads(page.with_suffix(".json").read_text())["arms"][1]["name"] == printable(HOSTILE)
