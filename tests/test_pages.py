"""README and the pages under docs/ do not promise what losslab does not have. Their commands: test_page_commands.py."""

import importlib.util
import re

import pytest
from reader import folder
from reading import APART, GENERATED, PAGES, ROOT, TEXTS, WRITTEN, blocks

import losslab
from losslab.config import PRESETS

EVERY = [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
         *sorted((ROOT / "docs").rglob("*.md"))]
LONG = {"trust.md"}  # its tables are written by benchmarks/faults_page.py


def made_by(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_commands = made_by("make_commands")


def test_every_command_and_flag_they_show_exists():
    helps = dict(re.findall(r"## losslab ([a-z -]+)\n\n```\n(.*?)\n```", TEXTS["commands.md"], flags=re.DOTALL))
    assert {*make_commands.COMMANDS} == helps.keys()
    shown = set()
    for name, text in TEXTS.items():
        if name in GENERATED:
            continue
        text = text.replace("\\\n", " ").replace("losslab ", "\nlosslab ")
        for command, rest in re.findall(rf"^losslab ({'|'.join(helps)})\b([^\n`]*)", text, flags=re.MULTILINE):
            shown.add(command)
            for flag in re.findall(r"--[a-z][\w.-]*", rest):
                assert flag == "--help" or flag in helps[command], f"{name}: {command} has no {flag}"
    assert shown >= set(make_commands.COMMANDS) - {"runs rm", "corpus"}


def test_the_commands_are_those_of_the_program():
    assert TEXTS["commands.md"] == make_commands.page(), "run python docs/make_commands.py"


def test_the_pages_of_the_public_functions_are_those_of_the_docstrings():
    made = made_by("make_api").pages()
    there = {"api.md", *(f"api/{file.name}" for file in (ROOT / "docs" / "api").glob("*.md"))}
    assert there == made.keys(), "run python docs/make_api.py"
    for file, text in made.items():
        assert (ROOT / "docs" / file).read_text(encoding="utf-8") == text, f"{file}: run python docs/make_api.py"


def runnable(page):
    return not page.name.startswith("add-a-") and page.name not in {*APART, "arena.md"} and blocks(page.name, "python")


@pytest.mark.parametrize("page", [page.name for page in WRITTEN if runnable(page)])
def test_their_python_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path, tmp_path)
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), {})


def test_the_attacks_that_the_arena_shows_are_among_those_that_are_tried():
    tried = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "attacks").glob("*.py"))
    shown = [line.strip() for code in blocks("arena.md", "python") for line in code.splitlines() if line.strip()]
    assert len(shown) > 8 and all(line in tried for line in shown)


def test_the_guide_names_every_preset():
    assert all(f"`{name}`" in TEXTS["train.md"] for name in PRESETS)


@pytest.mark.parametrize("page", EVERY, ids=lambda page: str(page.relative_to(ROOT)))
def test_their_links_lead_somewhere(page):
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target, _, part in re.findall(r"\]\(([^)#\s]*)(#([^)\s]+))?\)", text):
        if target.startswith("http") or target in APART:
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        if part:
            titles = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            names = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
            assert part in names, f"{target}#{part}"


def test_each_page_has_a_place_in_the_reading_order_and_is_short():
    order = re.findall(r"^(?:\d+\.|-) \[[^]]+\]\(([^)]+\.md)\)", TEXTS["index.md"], flags=re.MULTILINE)
    assert len(order) == len(set(order))
    folders = {file for file in order if "/" in file}
    assert {page.name for page in PAGES[1:]} - {"index.md"} == set(order) - folders - APART | {
        name for name in APART if name in TEXTS}
    rest = {str(file.relative_to(ROOT / "docs")) for part in ("design", "results") for file in
            (ROOT / "docs" / part).glob("*.md")}
    assert folders - {"losses/README.md"} == rest
    for page in WRITTEN:
        assert page.name in LONG or TEXTS[page.name].count("\n") <= 150, page.name


def test_the_example_loss_is_the_one_in_examples():
    example = (ROOT / "examples" / "margin.py").read_text(encoding="utf-8")
    body = [line.strip() for line in example.splitlines() if "prediction." in line]
    assert body and all(line in TEXTS[name] for line in body for name in ("README.md", "start.md", "write-a-loss.md"))


def test_the_quantities_of_a_prediction_are_all_named():
    from losslab.prediction import Prediction

    public = {name for name in dir(Prediction) if not name.startswith("_")} - {"dense"}
    assert all(re.search(rf"`{name}\b", TEXTS["write-a-loss.md"]) for name in public)


def test_citation_changes_and_package_have_one_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, flags=re.MULTILINE).group(1) == losslab.__version__
    assert f"\n## {losslab.__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_is_short():
    assert TEXTS["README.md"].count("\n") <= 90
