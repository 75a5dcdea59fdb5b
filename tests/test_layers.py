"""A module imports only from layers below its own; some modules never reach each other, and some load no torch.

Not seen by reading files: dynamic imports. There are two, both in `formula`: a loss or a transform by its name.
"""

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import losslab

ROOT = Path(losslab.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LAYERS = {
    11: "cli",
    10: "serve",
    9: "ladder arena stages notebook",
    8: "study",
    7: "tune judge lesson",
    6: "running",
    5: "experiment executors",
    4: "training_loop evaluate hub anatomy start",
    3: "fused checkpoint generate report spread",
    2: "objective comparison model",
    1: "lossfile corpus records scaling optim kernels memory drawing",
    0: "losses transforms formula instruct config machine progress processes tokenizer tensors tables tales stats units"
       " prediction signals trackers",
    -1: "elsewhere escaping grammar parallel",
    -2: "untrusted",
    -3: "words",
}
LAYER = {module: layer for layer, modules in LAYERS.items() for module in modules.split()}
NEVER = [
    ("evaluate", "losses"), ("evaluate", "objective"), ("evaluate", "fused"), ("evaluate", "training_loop"),
    ("training_loop", "records"), ("training_loop", "comparison"), ("training_loop", "report"),
    ("training_loop", "serve"), ("training_loop", "evaluate"),
    ("checkpoint", "objective"), ("generate", "objective"), ("model", "objective"),
]  # fmt: skip
TORCH_FREE = ["config", "progress", "drawing", "signals", "records", "stats", "units", "scaling.documents",
              "scaling.plan", "scaling.counts", "comparison", "report", "formula", "lesson", "serve",
              "serve.catalog", "cli"]
CORE = {"torch", "numpy", "safetensors"}  # all that layers 0 to 5 import at the top of a file
EXTRAS = {"datasets", "transformers", "huggingface_hub", "lm_eval", "mcp", "ray", "submitit"}
APART = {"kernels/triton_rows.py": {"triton"},  # imported when a kernel is first used
         "hub/modeling_losslab.py": {"transformers"},  # written into exports, and never imported
         "arena/serving.py": {"mcp"}}  # imported by its command alone


def module_of(file):
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(node):
    """The full names that the import statements under `node` ask for."""
    for found in ast.walk(node):
        match found:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module, names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)


@cache
def tree_of(file):
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def imported_modules(file):
    return [name.split(".")[1] for name in imports(tree_of(file)) if name.startswith("losslab.")]


def imported_at_the_top(file):
    body = tree_of(file).body
    return imports(ast.Module([node for node in body if isinstance(node, ast.Import | ast.ImportFrom)], []))


def reached(module):
    """Every module that importing `module` can load, by the imports in the files."""
    found, todo = set(), {module}
    while todo:
        found |= todo
        todo = {other for file in FILES if module_of(file) in todo for other in imported_modules(file)} - found
    return found


def test_every_module_has_a_layer():
    assert {module_of(file) for file in FILES} - {"__init__"} <= LAYER.keys()
    assert sum(len(modules.split()) for modules in LAYERS.values()) == len(LAYER)


def test_imports_only_go_down():
    up = []
    for file in FILES:
        if (module := module_of(file)) == "__init__":  # loads names on demand; its imports are for type checkers
            up += [(file, name) for name in imported_at_the_top(file) if name.startswith("losslab.")]
            continue
        others = set(imported_modules(file)) - {"__version__", module}
        up += [f"{file}: layer {LAYER[module]} imports {other}" for other in others if LAYER[other] >= LAYER[module]]
    assert not up


def test_imports_are_absolute():
    assert not [file for file in FILES
                if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree_of(file)))]


@pytest.mark.parametrize(("module", "forbidden"), NEVER)
def test_a_module_never_reaches_another(module, forbidden):
    assert forbidden not in reached(module)


def test_nothing_imports_the_command_line_and_only_it_the_live_page():
    importing = {(module_of(file), name) for file in FILES for name in imported_modules(file)
                 if name in ("cli", "serve")}
    assert all(module in (name, "cli") for module, name in importing)


def test_what_is_imported_by_an_imported_module_is_reached_too():
    assert {"config", "corpus", "tokenizer", "model", "formula"} <= reached("evaluate")
    assert {"objective", "prediction", "fused", "records"} <= reached("experiment")


@pytest.mark.parametrize("folder", ["losses", "transforms"])
def test_a_loss_or_transform_imports_nothing_of_losslab(folder):
    names = [name for file in (ROOT / folder).glob("*.py") for name in imports(ast.parse(file.read_text()))]
    assert {name.split(".")[0] for name in names} <= {"torch", "math"}


def test_below_layer_6_only_the_numeric_core_is_imported_at_the_top():
    wrong = {}
    for file in FILES:
        outside = {name.split(".")[0] for name in imported_at_the_top(file)} - sys.stdlib_module_names - {"losslab"}
        outside -= APART.get(file.relative_to(ROOT).as_posix(), set())
        if LAYER.get(module_of(file), 0) <= 5:
            wrong[file] = outside - CORE
        else:
            wrong[file] = outside & EXTRAS
    assert not {file: names for file, names in wrong.items() if names}


def test_nothing_imports_a_kernel_or_the_code_of_exports_at_its_top():
    names = {f"losslab.{name.removesuffix('.py').replace('/', '.')}" for name in APART}
    assert not [file for file in FILES if names & set(imported_at_the_top(file))]


# --- what is really loaded ---------------------------------------------------------------------

def loaded_by(code):
    """The modules that a fresh process has loaded after `code`."""
    report = "; import sys, json; print('\\n' + json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_what_is_to_load_no_torch_does_not():
    code = "; ".join(f"import losslab.{module}; assert 'torch' not in __import__('sys').modules, {module!r}"
                     for module in TORCH_FREE)  # one process for all: the first that loads it is named
    loaded = loaded_by(code)
    assert {f"losslab.{module}" for module in TORCH_FREE} <= loaded and "torch" not in loaded


def test_importing_losslab_loads_nothing_else():
    loaded = loaded_by("import losslab; assert losslab.__version__")
    assert {name for name in loaded if name.startswith("losslab.")} == set()
    assert not loaded & {"torch", "numpy", "scipy", "cyclopts", "rich"}


HELP = """
import contextlib, io, sys
from losslab.cli import main
with contextlib.redirect_stdout(io.StringIO()) as out:
    try:
        main({arguments})
    except SystemExit as end:
        assert not end.code, end.code
assert {word!r} in out.getvalue(), out.getvalue()
"""


def test_help_is_shown_without_torch_or_numpy():
    asked = (["--help"], "compare"), (["train", "--help"], "learning-rate"), (["--version"], "0.1.0")
    code = "".join(HELP.format(arguments=arguments, word=word) for arguments, word in asked)
    loaded = loaded_by(f"exec({code!r})")
    assert not loaded & {"torch", "numpy", "scipy", "pandas", "altair", "datasets", "transformers"}


def test_the_evaluator_loads_no_loss_even_for_a_model_with_a_transform():
    code = (
        "import losslab.evaluate.evaluator, losslab.evaluate.__main__; from losslab.model import GPT2; "
        "from losslab import formula; from losslab.config import ModelConfig; "
        "GPT2(ModelConfig(n_embd=8), 5, formula.transforms('softcap(15)'))"
    )
    loaded = loaded_by(code)
    assert {"losslab.transforms.softcap", "torch"} <= loaded  # what is loaded is seen
    assert not [name for name in loaded if name.split(".")[1:2] in (["losses"], ["objective"], ["fused"], ["train"])]
