"""The examples in the docstrings of losslab come out as they are printed."""

import doctest
import importlib
from pathlib import Path

import pytest

import losslab

ROOT = Path(losslab.__file__).parent
OPTIONAL = {"datasets", "mcp", "transformers"}  # of the extras
FILES = sorted(file for file in ROOT.rglob("*.py") if ">>> " in file.read_text(encoding="utf-8"))


def module_of(file):
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", [module_of(file) for file in FILES])
def test_examples_are_true(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"{name} needs {error.name}, which is not installed")
    failed, attempted = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert attempted > 0 and failed == 0


def test_every_loss_and_transform_is_among_them():
    shown = {module_of(file) for file in FILES}
    family = [*(ROOT / "losses").glob("[a-z]*.py"), *(ROOT / "transforms").glob("[a-z]*.py")]
    assert len(family) >= 7 and {module_of(file) for file in family} <= shown


def test_a_wrong_example_would_be_found():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1
