"""The page that waits for a verdict: what it is told of, what its button keeps, and that it spends no look alone."""

import asyncio
import contextlib
import html
import re
import threading
from urllib.parse import parse_qsl, urlsplit

import pytest
from record_runs import write_run
from serving import client, scored, two_arms, words

from losslab import records
from losslab.serve import catalog, live
from losslab.serve.site import Site

ELSEWHERE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.fixture
def store(tmp_path):
    return two_arms(tmp_path / "store", seeds=2)


def asked(store):
    return "/compare?arms=" + ",".join(records.read(store / name).condition for name in ("a0", "b0"))


def watched(page):
    """The query of the stream that a page opens; None where it opens none."""
    found = re.search(r'data-watch="([^"]+)"', page.text)
    return found and dict(parse_qsl(urlsplit(html.unescape(found[1])).query, keep_blank_values=True))


def fields(page, button):
    """What a form sends, found by the words on its button."""
    form = next(text for text in re.findall(r"(?s)<form.*?</form>", page.text) if button in text)
    return [(name, html.unescape(value)) for name, value in
            re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form)]


def told(site, watch, looks, happens):
    """The texts of a stream, with the look before which each came."""
    site.catalog.clock = iter(range(1, 10_000)).__next__  # each look is due

    async def listen():
        done = []

        async def sleep(seconds):
            done.append(seconds)
            happens.get(len(done), lambda: None)()
            site.is_closing = len(done) == looks

        return [(len(done), text) async for text in live.events(site, watch, sleep=sleep) if text.startswith("data")]

    return asyncio.run(listen())


def test_a_page_that_waits_for_another_losslab_is_told_when_that_one_ends(store):
    pages = client(store)
    (store / "study.toml").write_text("")
    with contextlib.ExitStack() as held:
        held.enter_context(records.lock(store, "store"))
        for address in (asked(store), "/studies/"):
            page = pages.get(address)
            assert "at work in this store" in words(page) and watched(page) == {"runs": "", "store": "."}, address
        site = pages.app.app.state.site
        assert told(site, live.Watch(stores=["."]), 8, {3: held.close}) == [(3, "data: 1\n\n")]
    site.is_closing = False
    assert "worse than cross_entropy" in words(pages.get(asked(store)))


def test_what_the_stream_watches_comes_from_the_address(store):
    pages, seen = client(store), []

    async def none(site, watch):
        seen.append(watch)
        return
        yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "events", none)
        pages.get("/live?runs=a0,b0&store=.&store=x/y")
        pages.get("/live?runs=a0&all=1&end=1")
    assert seen == [live.Watch(["a0", "b0"], False, [".", "x/y"]), live.Watch(["a0"], True, [], True)]


def test_the_button_keeps_baseline_margin_store_and_curve(store):
    write_run(store / "b9", "squentropy", 9, None)
    address = f"{asked(store)}&baseline=squentropy&margin=0.05&store=.&key=grad_norm"
    pages = client(store)
    with records.lock(store / "b9"):
        page = pages.get(f"{address}&draw=none")
        page = pages.get(address)
        sent = dict(fields(page, "Look now"))
        given = dict(parse_qsl(urlsplit(address).query))
        assert sent == given | {"look": "now"}
        verdict = pages.get("/compare", params=sent)
        assert "better than squentropy" in words(verdict)
        again = fields(verdict, "Compare again")
        assert ("look", "now") in again and ("store", ".") in again and len(again) == 4


def test_a_verdict_that_was_asked_for_early_is_told_of_the_end_alone(store):
    write_run(store / "b8", "squentropy", 8, None)
    write_run(store / "b9", "squentropy", 9, None)
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(records.lock(store / "b8"))
        second.enter_context(records.lock(store / "b9"))
        pages = client(store)
        page = pages.get(f"{asked(store)}&look=now")
        assert watched(page) == {"runs": "b8,b9", "store": ".", "end": "1"}
        watch = live.Watch(["b8", "b9"], stores=["."], end=True)

        def over(stack, name):
            records.write_result(store / name, scored(1.6))
            stack.close()

        site = Site(catalog.Catalog(store, clock=lambda: 0.0))
        happens = {2: lambda: over(first, "b8"), 5: lambda: over(second, "b9")}
        assert told(site, watch, 9, happens) == [(5, "data: 1\n\n")]  # the seed that ends first would cost a look
    site.is_closing = False
    assert told(site, watch, 3, {}) == [(1, "data: 1\n\n")]  # it was over before the stream began
    pages.app.app.state.site.catalog.refresh(now=True)
    assert watched(pages.get(f"{asked(store)}&look=now")) is None


def test_a_link_from_another_site_shows_no_verdict_by_itself(store):
    pages = client(store)
    page = pages.get(asked(store), headers=ELSEWHERE)
    assert watched(page) is None and ("look", "now") in fields(page, "Look now")
    with records.lock(store, "store"):
        page = pages.get(asked(store), headers=ELSEWHERE)
        assert watched(page) is None and fields(page, "Show it here") == list(dict(parse_qsl(
            urlsplit(asked(store)).query)).items())
    assert not (store / "looks.json").exists()


def test_what_several_ask_for_at_once_is_computed_once(store):
    site, begun, go_on = Site(catalog.Catalog(store)), threading.Event(), threading.Event()
    computed, found = [], []

    def slow():
        computed.append(1)
        begun.set()
        assert go_on.wait(5)
        return "done"

    def ask():
        found.append(site.once("key", slow))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    threads[0].start()
    assert begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    assert site.once("other", lambda: 1) == 1  # another key does not wait
    while site._at_work["key"].askers < 4:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert computed == [1] and found == ["done"] * 4 and not site._at_work


def test_what_cannot_be_computed_is_tried_by_the_next(store):
    site = Site(catalog.Catalog(store))
    with pytest.raises(ValueError, match="once"):
        site.once("key", lambda: (_ for _ in ()).throw(ValueError("once")))
    assert site.once("key", lambda: 2) == 2 and not site._at_work
