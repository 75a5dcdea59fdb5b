"""The page, the Markdown and the table that show a document."""

import base64
import copy
import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from report_runs import Page, described, score, three_arms, write_run
from report_runs import store as store

from losslab import report
from losslab.report import page
from losslab.report.marks import BAND

CHROMIUM = "/usr/bin/chromium"
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return three_arms(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def shown(runs):
    return page.html(described(runs))


def test_three_files_of_one_stem(runs, tmp_path):
    document = described(runs, command="losslab compare squentropy")
    path = report.write(document, tmp_path / "out" / "first.comparison")
    assert path == tmp_path / "out" / "first.comparison.html"
    assert json.loads(path.with_suffix(".json").read_text()) == document
    assert "losslab compare squentropy" in path.with_suffix(".md").read_text()


def test_the_page_carries_the_document_and_one_bundle(runs, shown):
    document, text = described(runs), shown
    scripts = Page(text).all("script")
    assert json.loads(next(x for a, x in scripts if a.get("id") == "document")) == document
    assert text.count("window.vegaEmbed=") == 1
    assert len(text) < 2_000_000
    charts = json.loads(next(x for a, x in scripts if a.get("id") == "charts"))
    assert set(charts) == {"differences", "curves", "gaps", "finals", "speed", "perplexities"}
    assert all(chart["description"] for chart in charts.values())
    assert all(f'data-chart="{name}"' in text for name in charts)


def test_a_long_verdict_becomes_a_headline_and_a_tally(store, monkeypatch):
    monkeypatch.setattr(page, "charts", lambda document: {})  # to draw takes a second
    document = described(store)
    for verdict, headline, tally in [
        ("a is 0.1 better than b [0.05, 0.15] (of 6 candidates: 1 better, 5 worse)",
         "a is 0.1 better than b [0.05, 0.15]", ["Of 6 candidates: 1 better, 5 worse."]),
        ("no candidate is shown to be better than b (of 2: 2 worse)",
         "No candidate is shown to be better than b", ["Of 2 candidates: 2 worse."]),
        ("no verdict from one seed", "No verdict from one seed", []),
    ]:
        parsed = Page(page.html(document | {"verdict": verdict}))
        ((_, shown),) = parsed.all("h1")
        assert shown.replace("\u00a0", " ") == headline
        assert [text for about, text in parsed.all("p") if about.get("class") == "tally"] == tally


def test_names_stand_level_with_their_marks_and_nothing_is_drawn_through_them(runs):
    drawn = page.charts(described(runs))
    for name in ("differences", "finals", "speed"):
        layers = drawn[name]["layer"]
        scales = [layer["encoding"]["x"]["scale"] for layer in layers if "scale" in layer["encoding"].get("x", {})]
        assert scales and all(scale["rangeMin"] == {"expr": f"{BAND} + 14"} for scale in scales)
        marks = {json.dumps(layer["encoding"]["y"]) for layer in layers if layer["encoding"].get("y", {}).get("field")}
        words_ = [layer["mark"] for layer in layers if layer["mark"].get("limit")]
        assert len(marks) == 1 and [mark["limit"] for mark in words_] == [{"expr": BAND}] * 2
        assert [mark["baseline"] for mark in words_] == ["bottom", "top"]  # on both sides of the mark's height


def test_every_seed_is_named_and_captions_stand_outside_wide_tables(runs, shown):
    assert [x for _, x in Page(shown).all("th") if x.startswith("seed ")] == ["seed 0", "seed 1", "seed 2", "seed 3"]
    assert "<caption" not in shown and shown.count('class="caption"') >= 4
    text = report.markdown(described(runs))
    assert "## Every seed: nll, nats/token\n\n| loss | seed 0 | seed 1 | seed 2 | seed 3 |" in text
    assert "| `squentropy` | 1.5210 | 1.5230 | 1.5180 | 1.5200 |" in text


def test_the_page_asks_the_network_for_nothing(shown):
    parsed = Page(shown)
    loads = [(tag, a) for tag, a in parsed.elements
             if any(a.get(k) for k in ("src", "srcset", "data", "action", "poster", "xlink:href"))
             or (a.get("href") or "#")[0] != "#"]
    assert not loads
    policy = next(a["content"] for a, _ in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy and "unsafe" not in policy and "*" not in policy
    assert not any(name.startswith("on") or name == "style" for _, a in parsed.elements for name in a)


def test_every_script_and_style_is_named_in_the_policy_by_its_hash(shown):
    parsed = Page(shown)
    policy = next(a["content"] for a, _ in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    run = [x for a, x in parsed.all("script") if "type" not in a] + [x for _, x in parsed.all("style")]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    assert len(run) == 3 and all(f" 'sha256-{one}'" in policy for one in hashes)


def test_hostile_words_are_only_words(tmp_path):
    runs = [write_run(tmp_path, loss, s, 1.5 + s / 100, source=f"# {HOSTILE}", samples=[(HOSTILE, f" {HOSTILE}")],
                      corpus={"name": HOSTILE})
            for loss in ("cross_entropy", f"x_{HOSTILE}") for s in (0, 1)]
    document = described(runs, command=HOSTILE)
    text = page.html(document)
    parsed = Page(text)
    bundle = max((x for _, x in parsed.all("script")), key=len)  # which has such words itself
    assert not parsed.all("img") and "<img" not in text.replace(bundle, "")
    assert len(parsed.all("script")) == 4
    assert json.loads(next(x for a, x in parsed.all("script") if a.get("id") == "document")) == document


WORDS = ["a` | <script>alert(1)</script>", "\\| <script>x</script> `", "[x](javascript:alert(1))", "<!--", "](y)",
         "x\n\n<img src=x onerror=alert(1)>", "``` \n<i>", "\x1b[2J\x9b1m\r\u202e", "\udcff", "- # 1. ~~~", "$x$ &lt;",
         "</pre>"]


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=12)), min_size=1, max_size=4).map("".join))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("".join(WORDS))
def test_whatever_comes_from_a_run_is_only_words_in_every_form(store, word):
    runs, whole = [], word == "".join(WORDS)
    for loss, seed in ((loss, seed) for loss in ("cross_entropy", f"x{word}") for seed in (0, 1)):
        run = copy.deepcopy(store[seed])
        run.spec["config"]["loss"], run.spec["condition"] = loss, loss
        run.spec["config"]["data"]["corpus"], run.spec["corpus"]["name"] = word, word
        run.spec["losses"] = [{"path": word, "sha256": word, "source": word}]
        run.environment["torch"] = word
        run.result["scores"][word] = score(1.0 + seed, word)
        run.result["samples"] = [{"prompt": word, "text": word}]
        runs.append(run)
    runs.append(dataclasses.replace(runs[-1], path=Path(f"/{word}"), status="failed", result={"error": word}, spec={
        **runs[-1].spec, "condition": "other", "config": {**runs[-1].spec["config"], "loss": f"y{word}"}}))
    document = described(runs, command=word)
    text = report.markdown(document)
    text.encode(), json.dumps(document, allow_nan=False).encode()
    table = report.table(document)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", table)
    assert all(len(line) <= 100 for line in table.splitlines())
    if whole:  # a page takes its time
        parsed = Page(page.html(document))
        assert len(parsed.all("script")) == 4 and not {tag for tag, _ in parsed.elements} & {"img", "i"}
    # Markdown: the only tags are the <pre> of blocks, and every row of a table has the cells of its heading
    assert set(re.findall(r"<[^\n]{0,4}", text)) <= {"<pre>", "</pre"}, text
    outside = re.sub(r"(?ms)^(`{3,})\n.*?^\1$|^<pre>\n.*?^</pre>$", "", text)
    assert "](" not in re.sub(r"\\.", "", re.sub(r"`[^`\n]*`", "", outside))
    for block in re.findall(r"(?m)(?:^\|.*\n)+", outside):
        assert len({row.count("|") for row in block.splitlines()}) == 1, block


def test_a_name_may_not_move_the_cursor(tmp_path):
    runs = [write_run(tmp_path, f"a\x1b[2Jb\n{'long' * 40}", s, 1.5 + s / 100) for s in (0, 1)]
    table = report.table(described(runs))
    assert "\x1b" not in table and "\nb" not in table


def test_the_table_fits_a_terminal_and_ends_with_the_verdict(runs):
    document = described(runs)
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
    path = report.write(described(runs), tmp_path / "page.html")
    done = chromium(path, tmp_path / "profile", "--dump-dom")
    drawn = re.sub(r"(?s)<noscript>.*?</noscript>|<script.*?</script>", "", done.stdout)
    assert len(re.findall(r'<svg[^>]*class="marks"', drawn)) == 6
    assert drawn.count('aria-roledescription="point"') > 12
    assert "could not be drawn" not in drawn
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not said, "\n".join(said)  # nothing was refused by the policy, and nothing went wrong


def test_importing_the_report_is_light():
    heavy = "{'torch', 'altair', 'vl_convert', 'jinja2', 'pandas'} & set(sys.modules)"
    code = f"import sys, losslab.report; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
