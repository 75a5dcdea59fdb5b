"""The snippets of docs/notebook.md run on runs written by hand, and the example notebooks train for real."""

import re
import runpy
from pathlib import Path

import pytest
from experiments import small_text
from report_runs import write_run

from losslab import checkpoint, comparison, formula, objective
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.model import initialized
from losslab.notebook import comparing

ROOT = Path(__file__).parents[1]
EXAMPLES = ("my_first_loss", "why_is_my_loss_worse", "figures_for_a_paper")
SMALL = """{"corpus": "text.txt", "num_tokens": 1_000, "seeds": 1, "device": "cpu", "progress": False, "workers": 1,
"settings": {"model.n_layer": 1, "model.n_head": 2, "model.n_embd": 16, "model.num_positions": 32,
"train.batch_size": 4, "data.val_bytes": 2000, "data.tune_bytes": 2000,
"evaluate.tune_tokens": 256, "evaluate.num_samples": 0}}"""


def as_trained(study, folder, **options):
    """What `study.conduct` returns, of runs that nothing was trained for, with untrained weights."""
    tokenizer = tokenizers.make("bytes")
    model = initialized(ModelConfig(n_layer=1, n_head=1, n_embd=8), tokenizer.vocab_size, 0)
    names, found = {}, []
    for place, (name, config) in enumerate(study.configs.items()):
        for seed in study.seeds:
            loss = objective.label(formula.parse(config.loss))
            found.append(write_run(folder, loss, seed, 1.5 + place / 50 + seed / 1000, prefix=f"{place}-{len(names)}-"))
            checkpoint.save(found[-1].path / "checkpoint", model, tokenizer, step=500, tokens=1, seconds=0.0)
        names[found[-1].condition] = name
    return comparison.compare(found, labels=names)


def test_the_snippets_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stores = iter(range(10))  # each comparison of the page is one of its own

    def conduct(study, folder, **options):
        number = next(stores)
        return as_trained(study, folder if number == 0 else Path(f"store-{number}"), **options)

    monkeypatch.setattr(comparing.studies, "conduct", conduct)
    page = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(snippets) == 6
    (tmp_path / "cells.py").write_text("\n".join(snippets).replace("print(found)  ", "str(found)  "))
    cells = runpy.run_path("cells.py")  # a function of a cell has its source in a file, too
    assert cells["found"].arm("squentropy").difference.value == pytest.approx(0.02)
    assert (tmp_path / "report.html").exists() and "F.softplus(width - lead)" in Path(cells["path"]).read_text()
    assert len(cells["runs"]) == 10 and cells["best"].loss == "cross_entropy" and next(stores) == 3


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(small_text(tmp_path))
    for name in EXAMPLES:  # in one folder: the later ones find the runs of the earlier
        text = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
        small, count = re.subn(r'^SIZE = \{"corpus".*?\}', f"SIZE = {SMALL}", text, flags=re.MULTILINE)
        assert count == 1
        (tmp_path / f"{name}.py").write_text(small)
        runpy.run_path(f"{name}.py")
        said = capsys.readouterr().out
        assert "margin" in said if name == "my_first_loss" else "focal" in said
    assert (tmp_path / "my_first_loss.html").exists() and (tmp_path / "paper" / "METHODS.md").exists()
    assert (tmp_path / "curves-narrow.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_in_cells_and_named_on_the_page(name):
    text = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # ") and text.count("\n# %%\n") >= 3
    assert f"examples/{name}.py" in (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
