"""The live page's calculators and losses say what the command line says; a store that is none is refused."""

import json
import math
import socket
from urllib.parse import urlencode

import pytest
from commands import losslab
from serving import charts, client, two_arms, words

from losslab.grammar import parse
from losslab.scaling import plan
from losslab.serve import catalog, sliders
from losslab.units import convert as units


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return client(two_arms(tmp_path_factory.mktemp("served") / "store", seeds=1))


def test_calculators_give_what_the_commands_give(pages):
    said = words(pages.get("/tools/units?value=1.83&bytes_per_token=4.39"))
    for line in units.convert(1.83, units.unit("nats"), bytes_per_token=4.39):
        assert line.missing or f"{line.value:.6g}" in said
    found = plan.plan(plan.constants("epoch"), num_params=124e6)
    said = words(pages.get("/tools/plan?start=params&amount=124M"))
    assert f"124,000,000 parameters and {found.num_tokens:,.0f} tokens" in said
    assert "13 seeds of each arm" in words(pages.get("/tools/seeds?sd=0.002&difference=0.002"))
    assert "It cannot be true. exp(1.83) = 6.23" in words(pages.get("/tools/audit?row=loss=1.83, perplexity=3.8"))
    for address, mistake in (("units?value=x", "The value should be a number"), ("units?unit=miles", "Unknown unit"),
                             ("plan?amount=1e40", "Flops must be at most"),
                             ("plan?law=/etc/passwd", "No constants are called"),
                             ("plan?device=h100&devices=1.9", "Devices should be a whole number, such as 8"),
                             ("seeds?level=1e-320", "The level must be at least 1e-06"),
                             ("seeds?level=0.6", "The level must be at most 0.5"),
                             ("seeds?power=0.9999999999999999", "The power must be at most 0.9999"),
                             ("seeds?difference=0", "difference"), ("audit?row=a", "column=value")):
        page = pages.get(f"/tools/{address}")
        assert page.status_code == 200 and mistake in words(page), address


def test_a_slider_draws_the_loss_that_inspect_finds(pages):
    from losslab import anatomy

    page = pages.get("/inspect?formula=cross_entropy %2B 1e-4*z_loss&1.weight=0.01")
    assert "cross_entropy + 0.01*z_loss" in words(page)
    wanted = anatomy.shapes("cross_entropy + 0.01*z_loss", sizes=(27,))["curves"][0]
    rows = charts(page)["value"]["datasets"]["rows"]
    assert [row["value"] for row in rows if row["classes"] == "27 classes"] == wanted["value"]
    assert "takes a gamma of at least 0" in words(pages.get("/inspect?formula=focal&0.gamma=-1"))


@pytest.mark.parametrize(("formula", "said"), [
    ("power(1e308)", "cross_entropy + power(1e+308) has a gradient that is not finite"),
    ("power(-1)", "power takes a positive alpha, got -1"),
    ("focal(gamma=1.7e308)", "has a gradient that is not finite")])
def test_of_numbers_that_it_does_not_take_a_loss_says_so_itself(pages, formula, said):
    page = pages.get("/inspect", params={"formula": formula})
    assert page.status_code == 200 and said in words(page).replace("_ ", "_")


def test_sliders_of_the_largest_and_the_smallest_numbers(monkeypatch):
    monkeypatch.setattr(sliders, "drawn", lambda text: {"x": float(text.rpartition("=")[2].rstrip(")"))})
    for start in (1.7e308, -1.7e308, 1e300, 1e-323, 5, 0, 2.5):
        text = f"power({start!r})"
        (one,) = sliders.of(parse(text), parse(text))
        assert math.isfinite(one.low) and math.isfinite(one.high) and one.low < one.high and one.step > 0, start
        assert one.low <= start <= one.high

    def refuses(text):
        raise ValueError(text)

    monkeypatch.setattr(sliders, "drawn", refuses)  # around a number that is not taken there is a way, too
    sliders._range.cache_clear()
    (one,) = sliders.of(parse("power(1e308)"), parse("power(1e308)"))
    assert one.low < 1e308 < one.high
    sliders._range.cache_clear()


def test_a_transform_alone_is_offered_with_a_loss(pages):
    for formula, meant in (("softcap(15)", "softcap(15) | cross_entropy"),
                           ("softcap(15) + focal", "softcap(15) | focal"),
                           ("temperature(2) | softcap(15)", "temperature(2) | softcap(15) | cross_entropy")):
        page = pages.get("/inspect", params={"formula": formula})
        said = words(page).replace("_ ", "_")
        assert page.status_code == 400 and f"and a loss follows it behind a bar: {meant}" in said
        assert f'href="/inspect?{urlencode({"formula": meant})}"' in page.text


@pytest.mark.parametrize("formula", ["my_loss.py", "/tmp/x.py:f", 'file("x.py")', "__import__('os')", "focall",
                                     "1" * 400])
def test_only_losses_of_the_family_are_drawn(pages, formula, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_loss.py").write_text("raise SystemExit('it ran')")
    page = pages.get("/inspect", params={"formula": formula})
    assert page.status_code == 400 and "That is not to be had" in words(page)


def test_the_list_of_losses_loads_no_torch_and_says_what_each_is(pages):
    said = words(pages.get("/losses"))
    assert "focal Cross-entropy that counts less the better the target is already predicted." in said
    assert "z_loss term" in said.replace("_ ", "_") and "softcap transform" in said


@pytest.mark.parametrize(("place", "sentence"), [
    ("nowhere", "there is no folder"), ("file", "is a file"), ("a0", "is one run; give the store that it lies in"),
    ("other", "holds no run, no study and no ladder")])
def test_a_store_that_is_none(tmp_path, place, sentence):
    two_arms(tmp_path, seeds=1)
    (tmp_path / "file").write_text("")
    (tmp_path / "other" / "texts").mkdir(parents=True)
    with pytest.raises(ValueError, match=sentence):
        catalog.Catalog(tmp_path / place)
    (tmp_path / "new").mkdir()
    assert not list(catalog.Catalog(tmp_path / "new").rows())  # runs may come


def test_a_port_in_use_and_an_open_address_without_a_token(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LOSSLAB_TOKEN", raising=False)
    store = two_arms(tmp_path / "store", seeds=1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert losslab("serve", str(store), "--port", str(taken.getsockname()[1])) == 2
    assert "give another one with --port" in capsys.readouterr().err
    assert losslab("serve", str(store), "--host", "0.0.0.0") == 2
    assert "LOSSLAB_TOKEN" in capsys.readouterr().err
    assert losslab("serve", str(store), "--name", "http://lab.example.org:80") == 2
    assert "--name takes a name alone" in capsys.readouterr().err


def test_a_chart_is_given_as_data(pages):
    page = pages.get("/")
    rows = charts(page)["curves"]["datasets"]["rows"]
    lines = pages.get("/?draw=curves.csv").text.splitlines()
    assert len(lines) == len(rows) + 1 and lines[0].startswith("arm,loss,of,seed,tokens,value")
    assert json.loads(pages.get("/?draw=curves.json").text)["datasets"]["rows"] == rows


@pytest.mark.slow
def test_a_chart_is_given_as_a_drawing_in_the_colors_of_paper(pages):
    svg = pages.get("/?draw=curves.svg")
    assert svg.headers["content-type"].startswith("image/svg") and "var(" not in svg.text and "#33373d" in svg.text
    assert pages.get("/?draw=curves.png").content.startswith(b"\x89PNG")
