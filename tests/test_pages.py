"""README and the pages under docs/ do not promise what losslab does not have."""

import importlib.util
import re
from pathlib import Path

import pytest

from losslab import study, tune
from losslab.config import PRESETS, load

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in (
    "guide", "write-a-loss", "verdicts", "recipes", "fine-tuning", "commands", "architecture", "glossary", "trust",
    "lesson", "scaling", "arena", "stories", "live-page"))]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
spec = importlib.util.spec_from_file_location("make_commands", ROOT / "docs" / "make_commands.py")
make_commands = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_commands)


def blocks(name, language):
    return re.findall(rf"```{language}\n(.*?)```", TEXTS[name], flags=re.DOTALL)


def test_every_command_and_flag_they_show_exists():
    helps = dict(re.findall(r"## losslab ([a-z ]+)\n\n```\n(.*?)\n```", TEXTS["commands.md"], flags=re.DOTALL))
    assert {*make_commands.COMMANDS} == helps.keys()
    shown = set()
    for name, text in TEXTS.items():
        if name == "commands.md":
            continue
        text = text.replace("\\\n", " ").replace("losslab ", "\nlosslab ")
        for command, rest in re.findall(rf"^losslab ({'|'.join(helps)})\b([^\n`]*)", text, flags=re.MULTILINE):
            shown.add(command)
            for flag in re.findall(r"--[a-z][\w.-]*", rest):
                assert flag == "--help" or flag in helps[command], f"{name}: {command} has no {flag}"
    assert shown >= set(make_commands.COMMANDS) - {"runs rm", "corpus"}


def test_the_commands_are_those_of_the_program():
    assert TEXTS["commands.md"] == make_commands.page(), "run python docs/make_commands.py"


def test_their_python_runs_and_their_specification_loads(tmp_path):
    for name in ("README.md", "guide.md", "write-a-loss.md"):
        for code in blocks(name, "python"):
            exec(compile(code, name, "exec"), {})
    searched, asked, specification = blocks("guide.md", "toml")
    (tmp_path / "tuned.toml").write_text(searched)
    tuned = study.read(tmp_path / "tuned.toml")
    assert tune.Tuning.from_dict(tuned.tune).method == "tpe" and list(tuned.spaces.values()) == [
        {"epsilon": {"low": 0.01, "high": 0.3, "log": False}}, {"gamma": {}}]
    (tmp_path / "study.toml").write_text(asked)
    assert len(study.read(tmp_path / "study.toml").configs) == 3
    (tmp_path / "spec.toml").write_text(specification)
    assert load(tmp_path / "spec.toml").train.num_tokens == 200_000


def test_the_guide_names_every_preset():
    assert all(f"`{name}`" in TEXTS["guide.md"] for name in PRESETS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_their_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_example_loss_is_the_one_in_examples():
    example = (ROOT / "examples" / "margin.py").read_text(encoding="utf-8")
    body = [line.strip() for line in example.splitlines() if "prediction." in line]
    assert body and all(line in TEXTS[name] for line in body for name in ("README.md", "write-a-loss.md"))


def test_the_quantities_of_a_prediction_are_all_named():
    from losslab.prediction import Prediction

    public = {name for name in dir(Prediction) if not name.startswith("_")} - {"dense"}
    assert all(re.search(rf"`{name}\b", TEXTS["write-a-loss.md"]) for name in public)


def test_the_readme_is_short():
    assert TEXTS["README.md"].count("\n") <= 90
