"""Several stores that hold the same condition: whose verdict is shown is said, and every link and form keeps it."""

import html
import re
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from record_runs import write_run
from serving import client, scored, words

from losslab import records


def arms(store, better, loss="squentropy"):
    """Three seeds of cross_entropy and of another loss, which is better or worse by 0.1."""
    for seed in range(3):
        wiggle = 0.002 * (-1) ** seed
        write_run(store / f"a{seed}", "cross_entropy", seed, scored(1.5 + 0.01 * seed))
        write_run(store / f"b{seed}", loss, seed, scored(1.5 + (-0.1 if better else 0.1) + 0.01 * seed + wiggle))
    return store


@pytest.fixture
def root(tmp_path):
    arms(tmp_path / "root", better=False)
    arms(tmp_path / "root" / "other", better=True)
    return tmp_path / "root"


@pytest.fixture
def keys(root):
    return [records.read(root / name).condition for name in ("a0", "b0")]


def links(page, start):
    return [html.unescape(link) for link in re.findall(r'href="([^"]+)"', page.text)
            if html.unescape(link).startswith(start)]


def queries(found):
    return [dict(parse_qsl(urlsplit(link).query)) for link in found]


def test_each_row_of_the_list_is_of_its_own_store(root, keys):
    page = client(root).get("/")
    boxes = re.findall(r'name="arms" value="([^"]+)" id="([^"]+)"', page.text)
    assert {value for value, _ in boxes} == {f"{store}/{key}" for store in (".", "other") for key in keys}
    assert len({name for _, name in boxes}) == 4 and not any(" " in name for _, name in boxes)
    assert {query["store"] for query in queries(links(page, "/conditions/"))} == {".", "other"}
    assert f'name="arms" value="{keys[0]}"' in client(root / "other").get("/").text  # one store: short addresses


@pytest.mark.parametrize(("store", "verdict"), [
    (".", "worse than cross_entropy"), ("other", "better than cross_entropy")])
def test_a_verdict_is_that_of_the_store_that_is_named(root, keys, store, verdict):
    pages = client(root)
    page = pages.get("/compare", params={"arms": [f"{store}/{key}" for key in keys]})
    assert verdict in words(page)
    form = re.search(r'(?s)<form class="tools" action="/compare".*?</form>', page.text)[0]
    assert f'name="store" value="{store}"' in form
    again = pages.get("/compare", params={"store": store, "arms": keys, "baseline": keys[1]})
    assert ("better" if "worse" in verdict else "worse") + " than squentropy" in words(again)
    one = pages.get(f"/conditions/{keys[1]}", params={"store": store})
    assert queries(links(one, "/compare")) == [{"arms": keys[1], "store": store}]
    assert f'name="store" value="{store}"' in one.text
    assert queries(links(one, "/conditions/")) == [{"store": "other" if store == "." else "."}]
    run = pages.get("/runs/a0" if store == "." else "/runs/other/a0")
    assert queries(links(run, "/conditions/")) == [{"store": store}]
    seeds = run.text.partition("The seeds of this condition:")[2].partition("</p>")[0]
    assert seeds.count("<a href") == 2 and ("/runs/other/" in seeds) == (store == "other")


def test_where_several_stores_could_be_meant_the_page_asks(root, keys):
    pages = client(root)
    page = pages.get("/compare", params={"arms": ",".join(keys), "margin": "0.01"})
    assert page.status_code == 400 and "lies in several stores, and each has its own runs: ., other" in words(page)
    offered = links(page, "/compare")
    assert [query["store"] for query in queries(offered)] == [".", "other"]
    assert all(query["margin"] == "0.01" for query in queries(offered))
    assert "better than cross_entropy" in words(pages.get(offered[1]))
    both = pages.get("/compare", params={"arms": [f"./{keys[0]}", f"other/{keys[0]}"]})
    assert both.status_code == 400 and "is chosen from two stores, . and other, and would be one arm" in words(both)
    assert not (root / "looks.json").exists()


def test_one_store_that_has_all_of_them_is_taken(root, keys):
    write_run(root / "c0", "focal", 0, scored(1.4))
    write_run(root / "c1", "focal", 1, scored(1.41))
    page = client(root).get(f"/compare?arms={keys[0]},focal")
    assert page.status_code == 200 and 'name="store" value="."' in page.text
    apart = client(root).get(f"/compare?arms=other/{keys[0]},focal")  # of two stores, by no ledger
    assert apart.status_code == 200 and f'name="arms" value="other/{keys[0]}"' in apart.text


def test_a_store_that_is_not_there_is_said_with_the_nearest(root):
    pages = client(root)
    page = pages.get("/?store=othr")
    assert "There is no store othr here; did you mean other?" in words(page)
    assert "cross_entropy" not in words(page)
    assert pages.get("/?store=othr&form=csv").status_code == 404
    assert pages.get("/compare?store=othr&arms=x").status_code == 404
    assert "6 runs" in words(pages.get("/?store=.")) and "12 runs" in words(pages.get("/"))


def test_a_trial_leads_to_its_tuning(root):
    write_run(root / "other" / "trials" / "t", "cross_entropy", 9, scored(1.1))
    pages = client(root)
    page = pages.get("/runs/other/trials/t")
    assert not links(page, "/conditions/") and "The seeds of this condition" not in words(page)
    assert links(page, "/tuning?") == [f"/tuning?store={quote('other/trials', safe='')}"]
    assert pages.get(links(page, "/tuning?")[0]).status_code == 200


def test_a_comma_in_a_bracket_parts_no_arms(tmp_path):
    names = ["focal(gamma=1.0, weight=2.0)", "mse"]
    for name in names:
        for seed in range(2):
            write_run(tmp_path / f"{name[:3]}{seed}", name, seed, scored(1.5 + 0.01 * seed + 0.1 * (name == "mse")))
    page = client(tmp_path).get("/compare", params={"arms": ",".join(names)})
    assert page.status_code == 200 and all(name in words(page).replace("\u00a0", " ") for name in names)
    assert client(tmp_path).get("/compare", params={"arms": "mse,f[1,2]"}).text.count("no condition f[1,2]") == 1
