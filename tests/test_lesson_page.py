"""The lesson's page in a browser: what it says equals what Python says, on any screen, by keyboard."""

import base64
import hashlib
import json
import math
import re

import pytest
from browser import CHROMIUM, opened
from report_runs import Page

from losslab.lesson import losses, names, page, vectorized
from losslab.lesson.trace import trace
from losslab.lesson.training import probabilities

STEPS = 30
TOKENS = ["m", "a", "i", "y", "·"]
ALL = """Array.from(document.querySelectorAll('SELECTOR data'), (one) => [Number(one.value), one.textContent])"""


@pytest.fixture(scope="module")
def found():
    return page.document(vectorized.Training(names.embedded()), STEPS, "emma")


@pytest.fixture(scope="module")
def written(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("lesson") / "lesson.html"
    path.write_text(page.html(found), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium to open the page with")
    with opened(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def shown(browser, written):
    browser.screen(1100)
    browser.go(written)
    return browser


def numbers(browser, selector):
    """The numbers in a part of the page, in full; what stands there is that value, rounded."""
    found = browser.run(ALL.replace("SELECTOR", selector))
    for value, text in found:
        rounded = f"{value:.{len(text.partition('.')[2])}f}"
        assert text.replace("−", "-") == (rounded if float(rounded) else rounded.lstrip("-"))
    return [value for value, _ in found]


def move(browser, token, value):
    browser.run(f"""{{const slider = document.querySelector('input[data-token="{token}"]'); slider.value = {value};
                      slider.dispatchEvent(new Event('input', {{bubbles: true}}))}}""")


def write(browser, name):
    browser.run(f"""{{const field = document.getElementById('name-text'); field.value = '{name}';
                      field.dispatchEvent(new Event('input'))}}""")


def choose(browser, name, value):
    browser.run(f"""document.querySelector('input[name="{name}"][value="{value}"]').click()""")


# --- the file ----------------------------------------------------------------------------------

def test_the_page_is_one_file_whose_policy_names_all_it_runs(found):
    text = page.html(found)
    parsed = Page(text)
    policy = next(a["content"] for a, _ in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    ours = [x for a, x in parsed.all("script") if "type" not in a] + [x for _, x in parsed.all("style")]
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in ours]
    assert len(ours) == 2 and policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    assert all(f"'sha256-{one}'" in policy for one in hashes)
    assert not [a for _, a in parsed.elements if a.get("src") or a.get("href", "#")[0] != "#" or "style" in a]
    assert len(text) < 400_000 and f"generator\" content=\"losslab {page.__version__}" in text


def test_hostile_names_are_only_words():
    hostile = "</script><img>"
    read = names.Names((hostile, "ab"), f"names of {hostile}")
    text = page.html(page.document(vectorized.Training(read), 1, "ab"))
    assert hostile not in text and "<img" not in text
    document = next(x for a, x in Page(text).all("script") if a.get("id") == "lesson")
    assert json.loads(document)["source"] == f"names of {hostile}"


# --- its numbers -------------------------------------------------------------------------------

@pytest.mark.parametrize("loss", list(losses.LOSSES))
def test_moved_sliders_give_the_numbers_of_python(shown, loss):
    choose(shown, "loss", loss)
    for logits, target in (([1.5, -2.0, 0.3, 4.0, -8.0], 2), ([0.0] * 5, 4), ([8.0, 7.9, -3.1, 0.1, 2.0], 1)):
        choose(shown, "target", target)
        for token, logit in zip(TOKENS, logits, strict=True):
            move(shown, token, logit)
        value, gradient = losses.evaluated(loss, logits, target)
        p = probabilities(logits)
        rows = [numbers(shown, f".bench-row:nth-child({2 + token})") for token in range(5)]
        assert rows == [pytest.approx([logits[j], p[j], gradient[j]], abs=1e-12) for j in range(5)]
        assert numbers(shown, "#bench-said") == pytest.approx([value, p[target]], abs=1e-12)
        found = numbers(shown, "#bench-formulas > div:last-child .result")
        assert found == pytest.approx([gradient[target]], abs=1e-12)
        assert numbers(shown, "#bench-formulas > div:nth-last-child(2) .result") == pytest.approx(
            [value if loss != "cross_entropy" else -math.log(p[target])], abs=1e-12)
        four = [losses.evaluated(name, logits, target) for name in losses.LOSSES]
        assert numbers(shown, "#bench-losses") == pytest.approx(
            [x for value, slopes in four for x in (value, slopes[target], math.hypot(*slopes))], abs=1e-12)
        width = shown.run(f"document.querySelector('.bench-row:nth-child({2 + target}) .p .bar').style.width")
        assert float(width.rstrip("%")) == pytest.approx(100 * p[target], abs=1e-4)


def test_going_downhill_ends_where_the_loss_is_least(shown):
    for loss, ends in (("label_smoothing", 0.92), ("mse", math.e / (math.e + 4))):
        choose(shown, "loss", loss)
        for _ in range(3):
            shown.run("document.getElementById('step-100').click()")
        assert numbers(shown, ".bench-row.came")[1] == pytest.approx(ends, abs=1e-6)
        assert numbers(shown, "#rest-table")[2 * list(losses.LOSSES).index(loss)] == pytest.approx(ends)


def test_the_price_of_a_probability(shown):
    assert numbers(shown, "#price-table") == pytest.approx(
        [-math.log(p) for p in (1, 0.9, 0.5, 1 / 27, 0.01, 0.001)], abs=1e-12)
    shown.run("""{const slider = document.getElementById('price-p'); slider.value = -3;
                  slider.dispatchEvent(new Event('input'))}""")
    assert numbers(shown, "#price-formulas .result") == pytest.approx([-math.log(0.001), -0.999])
    mean = (-9 * math.log(0.9) - math.log(0.001)) / 10
    assert numbers(shown, "#mistake-formulas .result")[:2] == pytest.approx([mean, math.exp(mean)])


def test_a_name_is_traced_as_python_traces_it(shown):
    learned = vectorized.Training(names.embedded())
    write(shown, " zoe ")
    for stage, steps in enumerate((0, STEPS)):
        while learned.steps_done < steps:
            learned.step()
        choose(shown, "stage", stage)
        wanted = trace(learned, "zoe")
        table = [x for one in wanted.positions for x in (
            one.probabilities[one.target], one.nll, one.gradient[one.target], max(one.probabilities))]
        assert numbers(shown, "#name-table") == pytest.approx(table, abs=1e-12)
        whole = sum(one.nll for one in wanted.positions)
        assert numbers(shown, "#name-formulas .result") == pytest.approx(
            [wanted.nll, math.exp(wanted.nll), wanted.nll / math.log(2), whole / math.log(2) / 3], abs=1e-11)
        of_four = [[losses.evaluated(name, one.logits, one.target) for one in wanted.positions]
                   for name in losses.LOSSES]
        assert numbers(shown, "#others-table") == pytest.approx(
            [x for each in of_four for x in (sum(value for value, _ in each) / 4, each[0][1][25] / 4,
                                             math.hypot(*(slope / 4 for _, slopes in each for slope in slopes)))])
        heights = shown.run("Array.from(document.querySelectorAll('.up .column'), (x) => parseFloat(x.style.height))")
        p = wanted.positions[0].probabilities
        assert len(heights) == 27 and heights == pytest.approx([heights[0] * x / p[0] for x in p], rel=1e-4)
    assert numbers(shown, "#training-formulas .result")[0] == pytest.approx(math.log(27))
    write(shown, "Ünal")
    assert shown.run("document.getElementById('name-problem').textContent").startswith("This model has never seen Ü.")


# --- everyone can use it -----------------------------------------------------------------------

def test_it_works_by_keyboard_and_every_control_has_a_name(shown):
    controls = [node for node in shown.ask("Accessibility.getFullAXTree")["nodes"]
                if node.get("role", {}).get("value") in ("slider", "radio", "button", "textbox", "link", "image")]
    assert len(controls) >= 38 and all(node["name"]["value"].strip() for node in controls)
    for _ in range(20):
        shown.key("Tab", number=9)
        if shown.run("document.activeElement.dataset.token") == "m":
            break
    assert shown.run("document.activeElement.getAttribute('aria-label')") == "logit of m"
    before = numbers(shown, ".bench-row.came")
    shown.key("ArrowRight", number=39)
    after = numbers(shown, ".bench-row.came")
    assert after[0] == pytest.approx(before[0] + 0.1) and after[1] > before[1]
    assert shown.run("document.activeElement.getAttribute('aria-valuetext')").startswith("2.1, probability 0.")
    shown.run("document.getElementById('name-position').focus()")
    shown.key("ArrowRight", number=39)
    said = shown.run("document.getElementById('name-said').textContent")
    assert said.startswith("After ·e came m, which costs ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark_and_says_nothing_to_the_console(browser, written, scheme):
    browser.said.clear()
    for width in (320, 390, 768):
        browser.screen(width, phone=True, scheme=scheme)
        browser.go(written)
        assert browser.run("document.documentElement.scrollWidth") <= width
        small = browser.run("""Array.from(document.querySelectorAll('button, input'),
            (one) => (one.closest('label') || one).getBoundingClientRect().height).filter((high) => high < 32).length
        """)
        assert small == 0  # what a finger must meet
    paper, ink = (re.findall(r"\d+", browser.run(f"getComputedStyle(document.documentElement).{name}"))[:3]
                  for name in ("backgroundColor", "color"))
    assert (sum(map(int, paper)) < sum(map(int, ink))) == (scheme == "dark")
    assert browser.run("document.querySelectorAll('svg path').length") == 2
    assert browser.said == []
