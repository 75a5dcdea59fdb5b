"""The live page in a browser: a run ends, two conditions are compared, a slider moves; and axe-core finds nothing."""

import importlib.util
import json
import os
from pathlib import Path

import pytest
from browser import CHROMIUM, opened
from record_runs import write_run
from serving import scored, served, two_arms

from losslab import records

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")]
ROOT = Path(__file__).parents[1]
AXE = Path(os.environ.get("LOSSLAB_AXE") or ROOT / "node_modules/axe-core/axe.min.js")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = two_arms(tmp_path_factory.mktemp("served") / "store")
    for rate, value in ((0.001, 1.7), (0.002, 1.5)):
        write_run(store / "trials" / str(rate), "cross_entropy", 9, {**scored(1.0), "scores": {
            "tune_nll": {"value": value, "stderr": 0.01, "n": 8, "unit": "nats/token"}}}, learning_rate=rate)
    return store


@pytest.fixture(scope="module")
def address(store):
    with served(store) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def drawn(browser, count):
    browser.until(f"document.querySelectorAll('[data-chart] svg.marks').length >= {count}")


def set_value(browser, selector, value):
    browser.run(f"""{{const one = document.querySelector({json.dumps(selector)}); one.value = {json.dumps(value)};
                      one.dispatchEvent(new Event('input', {{bubbles: true}}))}}""")


def test_a_visit(browser, store, address):
    browser.screen(1180)
    write_run(store / "run", "focal", 0, None, lines=3)
    with records.lock(store / "run"):
        browser.go(f"{address}/")
        drawn(browser, 1)
        browser.until("document.querySelector('.pulse').innerText === 'live'")
        browser.until("document.querySelector('.status.running')?.innerText === 'running'")
        records.Log(store / "run", step=99).write(step=300, tokens=400, seconds=9.0, **{"tune/nll": 0.5})
        browser.until("document.querySelector('[data-chart=curves]').ariaLabel.includes('focal 0.5')")
    records.write_result(store / "run", scored(1.55))
    browser.until("!document.querySelector('.status.running') && document.body.innerText.includes('1.5500')")

    browser.run("""for (const box of document.querySelectorAll('input[name=arms]'))
                   if (/cross_entropy|squentropy/.test(box.ariaLabel)) box.click()""")
    assert browser.run("document.querySelector('[data-count]').innerText") == "2"
    set_value(browser, "input[name=q]", "focal")  # what is chosen stays chosen when a search hides it
    browser.until("document.querySelectorAll('input[type=checkbox][name=arms]').length === 1")
    browser.run("document.querySelector('#compare button').click()")
    browser.until("document.querySelector('h1')?.innerText.includes('squentropy is 0.1')")  # none while it loads
    drawn(browser, 4)
    assert (store / "looks.json").exists()

    browser.go(f"{address}/inspect?formula=focal")
    drawn(browser, 2)
    set_value(browser, "input[type=range]", "0")
    browser.until("document.querySelector('[data-part=told]').innerText.includes('gamma=0')")
    assert browser.run("location.search").endswith("0.gamma=0"), browser.run("location.search")

    browser.go(f"{address}/tools/units")
    set_value(browser, "input[name=value]", "2")
    browser.until("document.querySelector('[data-part=answer]').innerText.includes('7.38906')")
    browser.go(f"{address}/tools/plan")
    set_value(browser, "input[name=amount]", "1e20")
    browser.until("document.querySelector('[data-part=answer]').innerText.includes('1e+20')")
    assert not browser.said, browser.said  # nothing was refused by the policy, and nothing went wrong


def test_nothing_is_wider_than_a_phone(browser, address):
    browser.screen(390, phone=True)
    for page in ("/", "/inspect?formula=focal", "/tools/plan", "/metrics", "/tuning"):
        browser.go(address + page)
        assert browser.run("document.documentElement.scrollWidth") == 390, page
        tall = browser.run("[...document.querySelectorAll('.bar li a')].filter((one) => one.offsetHeight > 45).length")
        assert tall == 0, f"{page}: a name in the navigation is broken in two lines"
    browser.screen(1180)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, address, store, scheme):
    if not AXE.is_file():
        pytest.skip("no axe-core: `npm install --no-save axe-core` in the repository, or LOSSLAB_AXE names axe.min.js")
    browser.screen(1180, scheme=scheme)
    key = records.read(store / "a0").condition
    for page in ("/", "/runs/a0", f"/conditions/{key}", f"/compare?arms={key}", "/tuning", "/ladders",
                 "/metrics?runs=a0", "/boards", "/losses", "/inspect?formula=focal", "/tools/units", "/tools/plan",
                 "/tools/seeds", "/tools/audit", "/nowhere"):
        browser.go(address + page)
        browser.run(AXE.read_text(encoding="utf-8") + "; 0")
        found = browser.run("axe.run().then((one) => one.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]))")
        assert found == [], page


def test_the_pictures_of_the_documentation_can_be_made_again(browser, store, tmp_path):
    spec = importlib.util.spec_from_file_location("make_screenshots", ROOT / "docs" / "make_screenshots.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    made.write(browser, store, tmp_path)
    there = {file.name: file for file in (ROOT / "docs" / "images").glob("live-*")}
    assert {file.name for file in tmp_path.iterdir()} == there.keys() and len(there) >= 3
    for name, file in there.items():
        assert file.stat().st_size < made.MOST_BYTES, name
        assert f"](images/{name})" in (ROOT / "docs" / "live-page.md").read_text(encoding="utf-8")
