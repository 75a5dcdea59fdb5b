"""The live page: what it finds, what it says of it, and that a verdict is the report's."""

import asyncio
import json
import shutil

import pytest
from record_runs import write_run
from serving import charts, client, scored, two_arms, words

from losslab import comparison, records, report
from losslab.serve import catalog, live, logs
from losslab.serve.pages import runs
from losslab.serve.site import Site


@pytest.fixture
def store(tmp_path):
    return two_arms(tmp_path / "store")


def keys(store):
    return [records.read(store / name).condition for name in ("a0", "b0")]


# --- the list ----------------------------------------------------------------------------------

def test_runs_are_folded_by_condition_with_their_mean_and_their_curves(store):
    write_run(store / "c", "focal", 0, None)
    page = client(store).get("/")
    said = words(page).replace("_ ", "_")
    assert "cross_entropy 4 runs finished 1.515 ± 0.006 (n=4)" in said and "focal 1 run stopped" in said
    rows = charts(page)["curves"]["datasets"]["rows"]
    assert {row["arm"] for row in rows} == {"cross_entropy", "squentropy", "focal"}
    assert [row["value"] for row in rows if row["arm"] == "squentropy"] == [3.0, 1.5, 1.0]


def test_words_and_settings_find_runs_and_a_wrong_one_is_said(store):
    write_run(store / "slow", "squentropy", 7, scored(1.7), learning_rate=0.001)
    records.tag(store / "slow", ["kept"])
    pages = client(store)
    assert "cross_entropy" not in words(pages.get("/?q=squent finished"))
    assert "1 run" in words(pages.get("/?q=learning_rate=0.001")) and "kept" in words(pages.get("/?q=kept"))
    assert "No run has all of that" in words(pages.get("/?q=nothing"))
    assert "did you mean train.learning_rate?" in words(pages.get("/?q=learnin_rate=1"))
    lines = pages.get("/?q=seed=2&form=csv").text.splitlines()
    assert [line.split(",")[4] for line in lines] == ["seed", "2", "2"]
    assert '<th scope="rowgroup" colspan="7">squentropy</th>' in pages.get("/?group=loss").text


def test_a_search_of_many_words_reads_each_run_once(store, monkeypatch):
    pages, read = client(store), []
    text = runs._text
    monkeypatch.setattr(runs, "_text", lambda folder, row: read.append(row.path) or text(folder, row))
    assert "4 runs" in words(pages.get("/", params={"q": "squent finished s q u " + "e " * 500}))
    assert len(read) == len(set(read)) == 8
    page = pages.get("/", params={"q": " ".join(map(str, range(31)))})
    assert page.status_code == 200 and "A search has at most 30 words here, got 31; leave some out" in words(page)


def test_a_run_that_begins_grows_and_goes_is_seen(store):
    found = catalog.Catalog(store)
    (store / "new").mkdir()  # its spec.json comes last
    found.refresh(now=True)
    assert found.run("new") is None
    write_run(store / "new", "focal", 0, None, lines=0)
    before = found.refresh(now=True)
    assert found.run("new")[1].status == "waiting"
    with records.lock(store / "new"):
        assert found.refresh(now=True) > before and found.run("new")[1].status == "running"
    records.write_result(store / "new", scored(1.25))
    found.refresh(now=True)
    assert found.run("new")[1].nll == 1.25
    records.tag(store / "new", ["late"])  # ended runs are looked at again, too
    found.refresh(now=True)
    assert found.run("new")[1].tags == ("late",)
    shutil.rmtree(store / "new")
    found.refresh(now=True)
    assert found.run("new") is None and len(list(found.rows())) == 8


def test_trials_and_rungs_are_stores_of_their_own(store):
    write_run(store / "trials" / "t", "cross_entropy", 9, scored(1.1))
    write_run(store / "ladder" / "rungs" / "small" / "r", "cross_entropy", 0, scored(1.2))
    (store / "ladder" / "ladder.toml").write_text("")
    found = catalog.Catalog(store)
    assert [(each.name, each.kind) for each in found.stores()] == [
        ("", "store"), ("ladder", "ladder"), ("ladder/rungs/small", "store"), ("trials", "trials")]
    assert len(list(found.rows())) == 9 and found.run("trials/t") and found.run("ladder/rungs/small/r")


# --- while it trains ---------------------------------------------------------------------------

def test_only_what_is_new_in_a_log_is_read(tmp_path):
    path, kept = tmp_path / "log.jsonl", logs.Logs()
    assert kept.lines(tmp_path) == []
    path.write_text('{"step": 1, "tokens": 10}\n{"step": 2, "tok')
    assert [line["step"] for line in kept.lines(tmp_path)] == [1]
    with path.open("a") as file:
        file.write('ens": 20}\n{"step": "x"}\nnonsense\n{"step": 3, "tokens": 30}\n')
    assert [line["step"] for line in kept.lines(tmp_path)] == [1, 2, 3]
    path.write_text('{"step": 1, "tokens": 10}\n')  # cut back by a resume
    assert [line["step"] for line in kept.lines(tmp_path)] == [1]


def test_a_running_run_says_how_far_it_is_how_long_still_and_what_went_wrong(store):
    write_run(store / "run", "focal", 0, None, lines=0)
    sign = {"signal/small_logits": 1.0, "signal/small_logits/deviation": 0.01}
    with records.lock(store / "run"):
        log = records.Log(store / "run")
        for step in (100, 200):
            log.write(step=step, tokens=1000 * step, seconds=step / 2, **{"tune/nll": 4 - step / 100})
        log.write(step=200, tokens=200_000, seconds=100.0, **sign)
        pages = client(store)
        said = words(pages.get("/runs/run"))
        steps = records.read(store / "run").config.num_steps
        assert f"step 200 of {steps:,}, 2,000 tokens/s" in said and "left" in said
        assert "small logits at step 200" in said and "try a higher learning rate" in said
        assert "signs of trouble: small logits" in words(pages.get("/"))
        assert 'data-watch="/live?runs=run"' in pages.get("/runs/run").text
        rows = charts(pages.get("/runs/run"))["curve-0"]["datasets"]["rows"]
        assert [(row["tokens"], row["value"]) for row in rows] == [(100_000, 3.0), (200_000, 2.0)]


def test_a_stream_tells_of_changes_and_of_nothing_else(store):
    write_run(store / "run", "focal", 0, None, lines=1)
    site = Site(catalog.Catalog(store, clock=lambda: 0.0))
    site.catalog.clock = iter(range(1, 10_000)).__next__  # each look is due

    async def listen():
        looks = []

        async def sleep(seconds):
            looks.append(seconds)
            if len(looks) == 3:
                records.Log(store / "run", step=99).write(step=50, tokens=60, seconds=2.0)
            site.is_closing = len(looks) == 40

        return [(len(looks), text) async for text in live.events(site, live.Watch(["run"]), sleep=sleep)]

    said = asyncio.run(listen())
    assert said[:2] == [(0, "retry: 3000\n\n"), (3, "data: 1\n\n")]
    assert {text for _, text in said[2:]} == {": still here\n\n"}


# --- verdicts ----------------------------------------------------------------------------------

def test_the_verdict_is_the_reports_and_is_a_look_that_is_counted_once(store, tmp_path):
    shutil.copytree(store, tmp_path / "copy")
    found = records.find([tmp_path / "copy"])
    wanted = report.document(comparison.judged(found, tmp_path / "copy"))
    pages, (a, b) = client(store), keys(store)
    page = pages.get(f"/compare?arms={a},{b}")
    assert page.status_code == 200 and wanted["verdict"] in words(page).replace("\u00a0", " ")
    drawn = charts(page)["differences"]
    assert drawn == json.loads(json.dumps(report.charts.charts(wanted)["differences"]))
    ledger = (store / "looks.json").read_bytes()
    assert wanted["looks"] == 1 and b'"level"' in ledger
    pages.get(f"/compare?arms={b}&arms={a}&baseline={a}")
    assert (store / "looks.json").read_bytes() == ledger


def test_nothing_is_counted_while_runs_train_or_for_another_site(store):
    pages, (a, b) = client(store), keys(store)
    asked = f"/compare?arms={a},{b}"
    elsewhere = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert "No verdict yet" in words(pages.get(asked, headers=elsewhere))
    with records.lock(store, "store"):
        said = words(pages.get(asked))
        assert "Another losslab is at work in this store" in said and "Look now" not in said
    write_run(store / "b9", "squentropy", 9, None)
    with records.lock(store / "b9"):
        said = words(pages.get(asked))
        assert "1 of the runs are not over" in said and "Look now, and count it" in said
        assert not (store / "looks.json").exists()
        assert "worse than cross_entropy" in words(pages.get(f"{asked}&look=now"))
    assert (store / "looks.json").exists()


def test_what_does_not_exist_is_said_with_what_does(store):
    pages, (a, _) = client(store), keys(store)
    for address, status, sentence in [
        ("/compare?arms=squentrop", 404, "There is no condition squentrop; did you mean squentropy?"),
        ("/compare", 400, "Choose the conditions to compare"),
        (f"/compare?arms={a}&margin=-1", 400, "The margin is a difference in nats/token above 0"),
        (f"/compare?arms={a}&baseline=mse", 404, "The baseline mse is none of the chosen conditions"),
        ("/runs/nowhere", 404, "There is no run nowhere; it may have been removed"),
        ("/studies/none", 404, "There is no study none here"), ("/nowhere", 404, "There is no such page"),
        ("/?draw=nothing.svg", 404, "This page has no drawing nothing.svg"),
        ("/boards/none", 404, "There is no board none"), ("/tools/none", 404, "There is no calculator none"),
    ]:
        page = pages.get(address)
        assert page.status_code == status and sentence in words(page), address


def test_a_run_that_is_removed_or_spoilt_while_it_is_shown(store):
    pages = client(store)
    assert pages.get("/runs/a1").status_code == 200
    shutil.rmtree(store / "a1")
    (store / "b1" / "spec.json").write_text("{")
    pages.app.app.state.site.catalog._next = 0
    gone = pages.get("/runs/a1")
    assert gone.status_code == 404 and "There is no run a1" in words(gone)
    spoilt = pages.get("/runs/b1")
    assert spoilt.status_code == 404 and "is damaged" in words(spoilt)
    assert pages.get("/").status_code == 200
    shutil.rmtree(store)
    pages.app.app.state.site.catalog._next = 0
    assert "No run is here yet" in words(pages.get("/"))


def test_trials_are_shown_while_they_are_run(store):
    for rate, value in ((0.001, 1.7), (0.002, 1.5), (0.004, 1.6)):
        write_run(store / "trials" / str(rate), "cross_entropy", 9, {**scored(1.0), "scores": {
            "tune_nll": {"value": value, "stderr": 0.01, "n": 8, "unit": "nats/token"}}}, learning_rate=rate)
    page = client(store).get("/tuning")
    rows = charts(page)["tuning"]["datasets"]["rows"]
    assert [(row["value"], row["nll"], row["best"]) for row in rows] == [
        (0.001, 1.7, False), (0.002, 1.5, True), (0.004, 1.6, False)]
    assert "3 of 3 trials done" in words(page)
