"""The README does not promise what the command line does not have."""

import re
from pathlib import Path

from losslab.cli import app
from losslab.config import PRESETS, load

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_every_verb_and_flag_it_shows_exists(capsys):
    helps = {}
    commands = TEXT.replace("\\\n", " ").replace("losslab ", "\nlosslab ")
    verbs = "compare|train|evaluate|generate|losses|corpus|report|export|import|convert|audit|runs \\w+"
    for verb, rest in re.findall(rf"^losslab ({verbs})([^\n`]*)", commands, flags=re.MULTILINE):
        if verb not in helps:
            app([*verb.split(), "--help"], result_action="return_value")
            helps[verb] = capsys.readouterr().out
        for flag in re.findall(r"--[a-z][\w.-]*", rest):
            assert flag == "--help" or flag in helps[verb], f"{verb} has no {flag}"
    assert {"compare", "train", "evaluate", "generate", "losses", "report", "export", "import", "convert",
            "audit", "runs list", "runs show"} <= set(helps)


def test_its_python_runs_and_its_specification_loads(tmp_path):
    blocks = dict(re.findall(r"```(python|toml)\n(import torch\nfrom losslab.*?|preset.*?)```", TEXT, flags=re.DOTALL))
    exec(compile(blocks["python"], "README.md", "exec"), {})
    (tmp_path / "spec.toml").write_text(blocks["toml"])
    assert load(tmp_path / "spec.toml").train.num_tokens == 200_000


def test_nothing_in_it_is_left_to_fill_in():
    assert not re.search(r"@[A-Z]+@|TODO", TEXT)


def test_every_preset_is_named():
    assert all(f"`{name}`" in TEXT for name in PRESETS)


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (Path(__file__).parents[1] / target).exists(), target


def test_its_example_loss_is_the_one_in_examples():
    example = (Path(__file__).parents[1] / "examples" / "margin.py").read_text()
    body = [line.strip() for line in example.splitlines() if "prediction." in line]
    assert body and all(line in TEXT for line in body)
