"""The site that docs/build makes: complete, in reading order, and nothing in it comes from elsewhere."""

import importlib.util
import re
import subprocess
import sys

import pytest
from reading import PAGES, ROOT, TEXTS

WANTED = ("sphinx", "myst_parser", "furo", "latex2mathml")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    missing = [name for name in WANTED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the site takes the extra docs; {', '.join(missing)} is not installed")
    at = tmp_path_factory.mktemp("site")
    command = (ROOT / "docs" / "build").read_text(encoding="utf-8")
    flags = re.search(r"-m sphinx (.*?) -d", command).group(1).split()
    run = subprocess.run([sys.executable, "-m", "sphinx", *flags, "-d", str(at / "trees"), str(ROOT / "docs"),
                          str(at / "site")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return at / "site"


@pytest.mark.slow
def test_every_page_is_in_it_and_the_navigation_has_their_order(site):
    front = (site / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'<a class="reference internal" href="([\w./-]+)\.html">', front)
    order = [file.removesuffix(".md") for file in
             re.findall(r"^(?:\d+\.|-) \[[^]]+\]\(([^)]+\.md)\)", TEXTS["index.md"], flags=re.MULTILINE)]
    there = [name for name in order if (ROOT / "docs" / f"{name}.md").exists()]
    assert [name for name in links if name in there][: len(there)] == there
    assert all((site / f"{page.stem}.html").exists() for page in PAGES[1:])


@pytest.mark.slow
def test_it_loads_nothing_from_another_host(site):
    for file in site.rglob("*.html"):
        if "_downloads" in file.parts:
            continue
        text = file.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=.(?:https?:)?//[^>]*>", text), file
    for file in site.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?(?:https?:)?//", file.read_text(encoding="utf-8")), file


@pytest.mark.slow
def test_formulas_are_shown_without_a_script(site):
    text = (site / "write-a-loss.html").read_text(encoding="utf-8")
    assert text.count("<math") > 10 and "$" not in re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
