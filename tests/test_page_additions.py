"""The pages on adding to losslab are followed, word for word, in a copy of it."""

import os
import shutil
import subprocess
import sys

import pytest
from reading import ROOT, blocks, commands


def test_each_file_that_they_write_names_its_place():
    for name in ("loss", "transform", "task", "study"):
        files = [block for language in ("python", "toml") for block in blocks(f"add-a-{name}.md", language)]
        assert files and all(block.startswith("# ") and (ROOT / block[2:].split("\n")[0]).parent.is_dir()
                             for block in files)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loss", "transform", "task", "study"])
def test_what_they_add_passes_the_tests_that_they_name(name, tmp_path):
    page = f"add-a-{name}.md"
    for part in ("losslab", "tests", "benchmarks"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for block in (block for language in ("python", "toml") for block in blocks(page, language)):
        place, text = block[2:].split("\n", 1)
        (tmp_path / place).write_text(text, encoding="utf-8")
    for block in blocks(page, "diff"):
        applied = subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=block, capture_output=True, text=True)
        assert applied.returncode == 0, applied.stderr
    asked = commands(page, "python")
    assert asked
    for arguments in asked:
        run = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True,
                             env={**os.environ, "PYTHONPATH": str(tmp_path)})
        assert run.returncode == 0, run.stdout + run.stderr
        assert " passed" in run.stdout
