"""Published figures next to those found here, their arithmetic, and what did not learn at all."""

import math
from dataclasses import replace

import pytest
from report_runs import described, write_run

from losslab import comparison, records, report
from losslab.comparison import learned
from losslab.report import published
from losslab.study import registry


def test_published_figures_stand_beside_ours_with_what_cannot_be_true(tmp_path):
    study = registry.load("squentropy-tinystories")
    made = [write_run(tmp_path, arm.loss, seed, nll + seed**2 / 100)
            for arm, nll in ((study.arms[0], 1.5), (study.arms[3], 1.6)) for seed in range(3)]
    for run in made:  # the last tenth of 512,000 tokens begins at step 450
        lines = [(50 * step, 9.0 if step < 10 else 1.25) for step in range(1, 11)]
        log = records.Log(run.path)
        for step, value in lines:
            log.write(step=500 + step, tokens=1024 * step * 50, seconds=1.0, **{"train/nll": value})
    made = [records.read(run.path) for run in made]
    labels = {made[0].condition: "cross_entropy", made[3].condition: "squentropy, capstone"}
    document = report.document(replace(comparison.compare(made, labels=labels), published=study.published))
    rows = published.table(document).rows
    assert [row[3] for row in rows] == ["1.8100", "1.8300", "3.8000", "1.8900", "1.9000", "5.2000"]
    assert rows[1][4].startswith("1.517") and rows[0][4] == "1.2500"
    assert rows[2][4].startswith("4.5") and rows[3][0] == "squentropy, capstone"
    source, first, second = published.remarks(document)
    assert "6e-5, is not on its grid" in source and "exp(1.83) = 6.23, and 3.8 was published" in first
    assert "exp(1.9) = 6.69, and 5.2" in second
    assert "6.23" in report.markdown(document) and "exp(1.83)" in report.page.html(document)
    assert not published.table(described(made)).rows and "## Published" not in report.markdown(described(made))


def test_an_arm_or_a_rate_at_which_nothing_was_learned_is_a_result(tmp_path):
    level = math.log(257)
    made = [write_run(tmp_path, loss, seed, nll + seed / 1000, calibrated=calibrated)
            for loss, nll, calibrated in (("cross_entropy", 1.5, 1.4), ("mse", 5.5, 2.0), ("brier", 5.6, level + 0.01))
            for seed in range(2)]
    for run in made[2:]:
        run.result["unigram_nll"] = 3.0
    assert [learned.level(made[:2]), learned.level(made[2:])] == [pytest.approx(level), 3.0]

    def trial(rate, nll):
        return {"settings": {"train.learning_rate": rate}, "tune_nll": nll, "status": "finished"}

    tuned = {run.condition: {"tuned": {}, "tuning": {"edge": False, "sensitivity": {}, "chosen_again": None,
                                                    "importance": {}},
                             "trials": [trial(6e-6, 5.7), trial(6e-4, nll), trial(6e-2, None)]}
             for run, nll in zip(made[::2], (1.5, 5.5, 5.6), strict=True)}
    next(iter(tuned.values()))["trials"].append(trial(6e-1, 5.8))  # which the others did not try
    found = comparison.compare(made, tuned=tuned)
    said = [told for told in found.warnings if "learn" in told and "learned;" not in told]
    assert said == [
        "brier did not learn: nll is not below 5.549, what it takes to know how often each token occurs",
        "at learning rate 6e-06 no arm learned: no nll on tune is below 5.549, what it takes to know how often each "
        "token occurs",
        "at learning rate 0.06 no arm learned: no nll on tune is below 5.549, what it takes to know how often each "
        "token occurs, and 3 of 3 trials ended without one",
        "at learning rate 0.6 the arm that tried it did not learn: no nll on tune is below 5.549, what it takes to "
        "know how often each token occurs",
    ]
    document = report.document(found)
    assert {arm["name"]: arm["learned"] for arm in document["arms"]} == {
        "cross_entropy": True, "mse": True, "brier": False}
