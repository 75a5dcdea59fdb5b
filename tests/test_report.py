"""Documents against hand-made run folders, and the page, the Markdown and the table that show them."""

import json
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from losslab import config as configuration
from losslab import records, report
from losslab.report import page, words
from losslab.report.marks import beyond

CHROMIUM = "/usr/bin/chromium"
HOSTILE = "</script><img src=x onerror=alert(1)>"
QUANTILES = ("0.05", "0.25", "0.5", "0.75", "0.95")


def score(value, unit, stderr=0.01, n=800):
    return {"value": value, "stderr": stderr, "n": n, "unit": unit}


def write_run(store, loss, seed, nll=1.5, *, status="finished", corpus=None, floor=None, source=None, dtype="float32",
              calibrated=None, cost=1.0, samples=(), prefix="", **train):
    """One run folder as an experiment leaves it; `nll` decides every score, `train` changes settings."""
    config = configuration.to_dict(configuration.tiny()) | {"loss": loss, "seed": seed}
    config["train"] = config["train"] | train
    corpus = {"name": "tales", "digest": "c0ffee", "tokenizer": "bytes", "vocab_size": 257,
              "floor_bits_per_byte": floor,
              "splits": {s: {"documents": 800, "tokens": 200_000, "bytes": 199_200} for s in ("train", "tune", "val")},
              **(corpus or {})}
    condition = configuration.digest([loss, train, dtype, corpus["digest"], corpus["tokenizer"]])
    folder = store / f"{prefix}{condition}-seed{seed}"
    losses = [{"path": loss, "sha256": "ab" * 32, "source": source}] if source else []
    records.create(folder, {"version": "0.1.0", "condition": condition, "config": config, "corpus": corpus,
                            "losses": losses, "objective": loss},
                   {"torch": "2.13.0", "device": "cpu", "dtype": dtype, "threads": 1})
    log = records.Log(folder)
    for step in range(25, 501, 25):
        value = nll + 2 * math.exp(-step / 90) + 0.01 * math.sin(step + seed)
        log.write(step=step, tokens=1024 * step, seconds=step / 9, **{"tune/nll": value})
        if status != "finished" and step > 200:
            break
    result = {"format": 1, "status": status, "step": 500, "num_steps": 500, "tokens": 512_000}
    bits = nll / math.log(2)
    if status == "diverged":
        result |= {"step": 212, "diverged": {"step": 212, "value": "nan", "previous": 3.25}}
    if status == "failed":
        result |= {"error": "the loss gave shape [2], not [1024]"}
    if status == "finished":
        result |= {
            "scores": {"nll": score(nll, "nats/token"), "bits_per_byte": score(bits, "bits/byte"),
                       "bits_per_byte_with_eot": score(bits + 0.01, "bits/byte"),
                       "perplexity": score(math.exp(nll), "per token"), "word_perplexity": score(152.3, "per word"),
                       "nll_calibrated": score(calibrated or nll - 0.001, "nats/token")},
            "temperature": 1.02, "counts": {"documents": 800, "tokens": 200_000, "bytes": 199_200, "words": 40_000},
            "document_perplexity": {q: 3 + 4 * float(q) for q in QUANTILES},
            "cost": {"train_seconds": 55.0, "tokens_per_second": 9000.0 / cost + seed, "peak_memory_bytes": 712_345_678,
                     "loss_seconds": 0.006 * cost, "cross_entropy_seconds": 0.006, "loss_cost_ratio": cost},
            "model": {"num_params": 842_496, "num_params_non_embedding": 793_088},
            "samples": [{"prompt": p, "text": p + t} for p, t in samples],
        }
    if status != "running":
        records.write_json(folder / "result.json", result)
    return records.read(folder)


NOISE = (0.0, 0.004, -0.003, 0.001, -0.002)


@pytest.fixture
def runs(tmp_path):
    """Three arms, four seeds: the baseline, one 0.02 worse, and one that is 0.05 better."""
    return [
        write_run(tmp_path, loss, seed, 1.5 + shift + NOISE[seed] + wiggle * (-1) ** seed, cost=cost)
        for loss, shift, wiggle, cost in (("squentropy", 0.02, 0.001, 1.3), ("cross_entropy", 0, 0, 1.0),
                                          ("cross_entropy + 0.0001*z_loss", -0.05, 0.0005, 1.1))
        for seed in range(4)
    ]


def arm(document, name):
    return next(arm for arm in document["arms"] if arm["name"] == name)


# --- the document ------------------------------------------------------------------------------

def test_means_differences_and_order_are_those_of_the_numbers(runs):
    document = report.document(runs)
    assert document["baseline"] == "cross_entropy"
    assert [a["name"] for a in document["arms"]] == ["cross_entropy + 0.0001*z_loss", "cross_entropy", "squentropy"]
    worse = arm(document, "squentropy")
    assert worse["seeds"] == [0, 1, 2, 3] and worse["status"] == "finished"
    assert worse["scores"]["nll"]["value"] == pytest.approx(1.5205)
    values = [1.5 + 0.02 + NOISE[s] + 0.001 * (-1) ** s for s in range(4)]
    mean = sum(values) / 4
    stderr = math.sqrt(sum((v - mean) ** 2 for v in values) / 3 / 4)
    assert worse["scores"]["nll"]["stderr"] == pytest.approx(stderr)
    assert worse["scores"]["nll"]["n"] == 4 and worse["scores"]["nll"]["unit"] == "nats/token"
    assert worse["difference"]["value"] == pytest.approx(0.02)
    assert worse["difference"]["low"] < 0.02 < worse["difference"]["high"]
    assert worse["difference_bits_per_byte"]["value"] == pytest.approx(0.02 / math.log(2))
    assert arm(document, "cross_entropy")["difference"] is None


def test_cost_is_the_median_and_quantiles_are_kept(runs):
    found = arm(report.document(runs), "squentropy")
    assert found["cost"]["tokens_per_second"] == pytest.approx(9000 / 1.3 + 1.5)
    assert found["cost"]["loss_cost_ratio"] == 1.3
    assert found["document_perplexity"]["0.95"] == pytest.approx(6.8)


def test_curves_have_mean_range_and_every_seed(runs):
    document = report.document(runs)
    curve = arm(document, "squentropy")["curve"]
    firsts = [run.curve("tune/nll")[0][1] for run in runs if run.loss == "squentropy"]
    assert curve["tokens"][0] == 25 * 1024 and len(curve["seeds"]) == 4
    assert (curve["low"][0], curve["high"][0]) == (min(firsts), max(firsts))
    assert curve["mean"][0] == pytest.approx(sum(firsts) / 4)
    assert arm(document, "squentropy")["gap"]["mean"][-1] == pytest.approx(0.02)


def test_settings_shared_and_differing_are_told_apart(tmp_path):
    runs = [write_run(tmp_path, loss, 0, learning_rate=rate) for loss, rate in (("cross_entropy", 2e-3), ("mse", 1e-3))]
    document = report.document(runs)
    assert document["settings"]["model.n_layer"] == 2 and "train.learning_rate" not in document["settings"]
    assert arm(document, "mse")["differs"] == {"train.learning_rate": 1e-3}
    assert any("more than the loss: train.learning_rate (0.002 and 0.001)" in w for w in document["warnings"])


def test_one_learning_rate_for_all_is_said(runs):
    said = "all arms at learning rate 0.004; tuned separately the order may change"
    assert said in report.document(runs)["warnings"]


def test_distance_to_a_known_floor(tmp_path):
    found = report.document([write_run(tmp_path, "cross_entropy", s, 1.5, floor=2.0) for s in (0, 1)])
    assert found["corpus"]["floor_bits_per_byte"] == 2.0
    distance = found["arms"][0]["distance_to_floor"]
    assert distance["value"] == pytest.approx(1.5 / math.log(2) + 0.01 - 2.0) and distance["n"] == 2
    assert report.document([write_run(tmp_path, "mse", 0)])["arms"][0]["distance_to_floor"] is None


def test_without_cross_entropy_the_first_arm_is_the_baseline(tmp_path):
    runs = [write_run(tmp_path, loss, seed, 1.5 + seed / 100) for loss in ("mse", "squentropy") for seed in (0, 1)]
    assert report.document(runs)["baseline"] == "mse"
    assert report.document(runs, baseline="squentropy")["baseline"] == "squentropy"
    with pytest.raises(ValueError, match="did you mean squentropy"):
        report.document(runs, baseline="squentropi")


def test_a_diverged_seed_leaves_the_arm_without_a_mean_and_last(runs, tmp_path):
    runs += [write_run(tmp_path, "bold", s, 1.2, status="diverged" if s == 2 else "finished") for s in range(4)]
    document = report.document(runs)
    last = document["arms"][-1]
    assert last["name"] == "bold" and last["scores"] == {} and last["difference"] is None
    assert "diverged" in last["status"] and "1 of 4" in f"{last['verdict']} {last['status']}"
    assert last["runs"][2]["diverged"]["step"] == 212
    assert "diverged" in report.table(document)


def test_one_seed_shows_no_interval(tmp_path):
    document = report.document([write_run(tmp_path, loss, 0, v) for loss, v in (("cross_entropy", 1.5), ("mse", 1.6))])
    found = arm(document, "mse")
    assert found["scores"]["nll"]["stderr"] is None
    assert not found["difference"] or found["difference"]["low"] is None
    assert any(w.startswith("one seed") for w in document["warnings"])
    assert "one seed" in document["verdict"]
    report.table(document), page.html(document)


@pytest.mark.parametrize("other", [{"digest": "facade"}, {"digest": "facade", "tokenizer": "bpe:1024"}])
def test_other_corpora_give_no_verdict(tmp_path, other):
    runs = [write_run(tmp_path, "cross_entropy", s, 1.5 + s / 100) for s in (0, 1)]
    runs += [write_run(tmp_path, "mse", s, 1.4 + s / 100, corpus=other) for s in (0, 1)]
    document = report.document(runs)
    assert document["verdict"].startswith("no verdict") and arm(document, "mse")["difference"] is None
    assert arm(document, "mse")["scores"]["nll"]["value"] == pytest.approx(1.405)
    assert any("nll cannot be compared" in w for w in document["warnings"])
    # bits per byte compare tokenizers on one text, not one tokenizer on two texts
    assert bool(arm(document, "mse")["difference_bits_per_byte"]) == ("tokenizer" in other)
    assert "no verdict" in report.table(document).splitlines()[-1]
    page.html(document)


def test_other_numerics_are_said(tmp_path):
    runs = [write_run(tmp_path, "cross_entropy", s, dtype=d) for s, d in ((0, "float32"), (0, "bfloat16"))]
    assert any("differ in dtype (float32 and bfloat16)" in w for w in report.document(runs)["warnings"])


def test_what_did_not_end_is_not_counted_and_said(runs, tmp_path):
    runs += [write_run(tmp_path, "squentropy", 4, status="failed"), write_run(tmp_path, "mse", 0, status="running")]
    document = report.document(runs, requested={"squentropy": range(6)})
    assert arm(document, "squentropy")["scores"]["nll"]["n"] == 4
    assert (arm(document, "squentropy")["outcome"], arm(document, "squentropy")["status"]) == ("worse", "finished")
    assert any("squentropy: seed 4 failed" in w for w in document["warnings"])
    assert any("squentropy: no run of seed 5" in w for w in document["warnings"])
    assert any("mse: seed 0 stopped early" in w for w in document["warnings"])
    assert arm(document, "mse")["scores"] == {}
    page.html(document)


def test_a_run_given_twice_counts_once(runs, tmp_path):
    twice = write_run(tmp_path, "squentropy", 0, prefix="copy-", status="failed")
    document = report.document([*runs, runs[0], twice])
    assert len(arm(document, "squentropy")["runs"]) == 4
    assert arm(document, "squentropy")["scores"]["nll"]["n"] == 4  # the one that finished is kept
    assert sum("given twice" in w for w in document["warnings"]) == 1


def test_a_fitted_temperature_that_changes_the_leader_is_said(tmp_path):
    runs = [write_run(tmp_path, "cross_entropy", s, 1.5 + s / 100) for s in (0, 1)]
    runs += [write_run(tmp_path, "mse", s, 1.9 + s / 100, calibrated=1.4) for s in (0, 1)]
    assert any("temperature, mse leads instead of cross_entropy" in w for w in report.document(runs)["warnings"])


def test_infinite_scores_become_null(tmp_path):
    runs = [write_run(tmp_path, "cross_entropy", s) for s in (0, 1)]
    runs[0].result["scores"]["perplexity"]["value"] = math.inf
    document = report.document(runs)
    assert document["arms"][0]["scores"]["perplexity"]["value"] is None
    json.dumps(document, allow_nan=False)


def test_one_arm_alone_is_described_without_a_verdict(tmp_path):
    document = report.document([write_run(tmp_path, "cross_entropy", s, 1.5 + s / 100) for s in (0, 1)])
    assert document["verdict"] == "no verdict: cross_entropy is the only arm"
    assert document["arms"][0]["scores"]["nll"]["value"] == pytest.approx(1.505)
    assert "difference" not in json.loads(json.dumps(list(page.charts(document))))
    assert "only arm" in report.table(document) and "only arm" in page.html(document)


def test_a_stride_is_part_of_the_name_of_the_score(tmp_path):
    runs = [write_run(tmp_path, loss, s, v + NOISE[s] * (1 + v))
            for loss, v in (("cross_entropy", 1.5), ("mse", 1.6)) for s in (0, 1)]
    for run in runs:
        run.result["scores"] = {f"{name}_stride_64": found for name, found in run.result["scores"].items()}
    document = report.document(runs)
    assert document["measure"] == "nll_stride_64"
    assert arm(document, "mse")["difference"]["value"] == pytest.approx(0.1 + 0.1 * 0.002)
    assert "2.3" in report.table(document).splitlines()[3]  # bits per byte of mse


def test_an_arm_far_out_does_not_flatten_the_others(runs, tmp_path):
    runs += [write_run(tmp_path, "mse", s, 4.0 + s / 100) for s in range(4)]
    document = report.document(runs)
    assert beyond(document) == ["mse"]
    text = json.dumps(page.charts(document)["differences"])
    reach = max(map(abs, map(float, re.findall(r'"domain": \[(-?[\d.]+), [\d.]+\]', text))))
    assert 0.05 < reach < 0.2


@pytest.mark.parametrize(("value", "stderr", "shown"), [
    (3.27851, 0.00041, "3.2785 ± 0.0004 (n=3)"), (1.21, None, "1.2100 (n=3)"),
    (7307796087.0, 3.8e9, "7.31e+09 ± 3.8e+09 (n=3)"),
    (None, None, "–"),
])
def test_scores_as_readers_see_them(value, stderr, shown):
    assert words.score({"value": value, "stderr": stderr, "n": 3, "unit": ""}) == shown


@pytest.mark.parametrize(("verdict", "shown"), [
    ("a is 0.1 better than b [0.05, 0.15] (of 6 candidates: 1 better, 5 worse)",
     ("a is 0.1 better than b [0.05, 0.15]", "Of 6 candidates: 1 better, 5 worse.")),
    ("no candidate is shown to be better than b (of 2: 2 worse)",
     ("No candidate is shown to be better than b", "Of 2 candidates: 2 worse.")),
    ("no verdict from one seed", ("No verdict from one seed", "")),
])
def test_a_long_verdict_becomes_a_headline_and_a_tally(verdict, shown):
    assert page._headline(verdict) == shown


def test_no_runs_is_an_error():
    with pytest.raises(ValueError, match="no run to report"):
        report.document([])


# --- the page ----------------------------------------------------------------------------------

class Page(HTMLParser):
    """Elements as a browser's parser sees them: `(tag, attributes)` and the text inside."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        self.open = True

    def handle_endtag(self, tag):
        self.open = False

    def handle_data(self, data):
        if self.open:
            self.texts[-1] += data

    def all(self, tag):
        return [(a, x) for (t, a), x in zip(self.elements, self.texts, strict=True) if t == tag]


def test_three_files_of_one_stem(runs, tmp_path):
    document = report.document(runs, command="losslab compare squentropy")
    path = report.write(document, tmp_path / "out" / "first.comparison")
    assert path == tmp_path / "out" / "first.comparison.html"
    assert json.loads(path.with_suffix(".json").read_text()) == document
    assert "losslab compare squentropy" in path.with_suffix(".md").read_text()


def test_the_page_carries_the_document_and_one_bundle(runs):
    document = report.document(runs)
    text = page.html(document)
    scripts = Page(text).all("script")
    assert json.loads(next(x for a, x in scripts if a.get("id") == "document")) == document
    assert text.count("window.vegaEmbed=") == 1
    assert len(text) < 2_000_000
    charts = json.loads(next(x for a, x in scripts if a.get("id") == "charts"))
    assert set(charts) == {"differences", "curves", "gaps", "finals", "speed"}
    assert all(chart["description"] for chart in charts.values())
    assert all(f'data-chart="{name}"' in text for name in charts)


def test_the_page_asks_the_network_for_nothing(runs):
    parsed = Page(page.html(report.document(runs)))
    loads = [(tag, a) for tag, a in parsed.elements
             if any(a.get(k) for k in ("src", "srcset", "data", "action", "poster", "xlink:href"))
             or (a.get("href") or "#")[0] != "#"]
    assert not loads
    policy = next(a["content"] for a, _ in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy and "unsafe" not in policy and "*" not in policy
    assert not any(name.startswith("on") or name == "style" for _, a in parsed.elements for name in a)


def test_every_script_and_style_is_named_in_the_policy_by_its_hash(runs):
    parsed = Page(page.html(report.document(runs)))
    policy = next(a["content"] for a, _ in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    run = [x for a, x in parsed.all("script") if "type" not in a] + [x for _, x in parsed.all("style")]
    assert len(run) == 3 and all(page._hash(text) in policy for text in run)


def test_hostile_words_are_only_words(tmp_path):
    runs = [write_run(tmp_path, loss, s, 1.5 + s / 100, source=f"# {HOSTILE}", samples=[(HOSTILE, f" {HOSTILE}")],
                      corpus={"name": HOSTILE})
            for loss in ("cross_entropy", f"x_{HOSTILE}") for s in (0, 1)]
    document = report.document(runs, command=HOSTILE)
    text = page.html(document)
    parsed = Page(text)
    assert not parsed.all("img") and "<img" not in text.replace(page._bundle(), "")
    assert len(parsed.all("script")) == 4
    assert json.loads(next(x for a, x in parsed.all("script") if a.get("id") == "document")) == document
    outside_code = re.sub(r"(?s)^(`{3,})\n.*?^\1$|(`+).*?\2", "", report.markdown(document), flags=re.M)
    assert not re.search(r"(?<!\\)<", outside_code)


def test_a_name_may_not_move_the_cursor(tmp_path):
    runs = [write_run(tmp_path, f"a\x1b[2Jb\n{'long' * 40}", s, 1.5 + s / 100) for s in (0, 1)]
    table = report.table(report.document(runs))
    assert "\x1b" not in table and "\nb" not in table


def test_the_table_fits_a_terminal_and_ends_with_the_verdict(runs):
    document = report.document(runs)
    lines = report.table(document).splitlines()
    assert max(map(len, lines)) <= 100
    assert "".join(document["verdict"].split()).endswith("".join(lines[-1].split()))
    assert "+0.0200 [" in report.table(document) and "1.5205 ± 0.0" in report.table(document)


def _luminance(color):
    channels = [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_the_paper(scheme):
    # WCAG 2.2: 4.5 for text, 3 for marks
    light, dark = (page.HERE / "page.css").read_text().split("@media screen and (prefers-color-scheme: dark)")
    colors = dict(re.findall(r"--([\w-]+): (#\w{6})", light if scheme == "light" else dark))
    assert len(colors) == 14
    for name, color in colors.items():
        least = {"ink": 7, "muted": 4.5, "accent": 4.5}.get(name, 3 if name.startswith("arm") else 1)
        for ground in (colors["paper"], colors["panel"]):
            high, low = sorted((_luminance(color), _luminance(ground)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= least, (name, color, ground)


def chromium(path, profile, *flags):
    return subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
         f"--user-data-dir={profile}", "--virtual-time-budget=10000", *flags, path.as_uri()],
        capture_output=True, text=True, timeout=60, check=False,
    )


@pytest.mark.skipif(not shutil.which(CHROMIUM), reason="no chromium to open the page with")
def test_a_browser_draws_every_chart_under_the_policy(runs, tmp_path):
    path = report.write(report.document(runs), tmp_path / "page.html")
    done = chromium(path, tmp_path / "profile", "--dump-dom")
    drawn = re.sub(r"(?s)<noscript>.*?</noscript>|<script.*?</script>", "", done.stdout)
    assert len(re.findall(r'<svg[^>]*class="marks"', drawn)) == 5
    assert drawn.count('aria-roledescription="point"') > 12
    assert "could not be drawn" not in drawn
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not said, "\n".join(said)  # nothing was refused by the policy, and nothing went wrong


def test_importing_the_report_is_light():
    heavy = "{'torch', 'altair', 'vl_convert', 'jinja2', 'pandas'} & set(sys.modules)"
    code = f"import sys, losslab.report; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
