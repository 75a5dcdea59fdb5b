"""Models side by side: only what is the same quantity shares a row, and one bad run hides no other."""

import html
import json
import math
import re
import shutil

import pytest
from record_runs import CORPUS, spec, write_run
from serving import charts, client, scored, words

from losslab import records
from losslab.serve import references


def of_corpus(store, run, value, **corpus):
    """A finished run of a corpus and tokenizer."""
    loss = f"focal(gamma={len(run)}.0)"
    write_run(store / run, loss, 0, scored(value))
    records.update(store / run, spec(loss, 0) | {"corpus": CORPUS | corpus})


def evaluation():
    scores = {"nll": {"value": 2.5, "stderr": 0.03, "n": 67, "unit": "nats/token"},
              "bits_per_byte": {"value": 1.1, "stderr": 0.01, "n": 67, "unit": "bits/byte"}}
    task = {"name": "likelihood", "scores": scores,
            "counts": {"documents": 3, "bytes": 4000}, "notes": [], "is_evidence": True, "tables": {}, "parts": []}
    return {"run": "r", "loss": "mse", "num_params": 10, "context": 8, "tokenizer": "bytes", "corpus": "other.txt",
            "command": "losslab evaluate", "version": "0.1.0", "failures": [], "is_evidence": True, "tasks": [task]}


def rows(page):
    """Label of a score -> its cells by heading, of the table."""
    parsed = re.search(r"(?s)<table.*?</table>", page.text)[0]
    cells = [[" ".join(html.unescape(re.sub(r"<(?!wbr)[^>]+>", " ", cell).replace("<wbr>", "")).split())
              for cell in re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row)]
             for row in re.findall(r"(?s)<tr[^>]*>(.*?)</tr>", parsed)]
    return {row[0]: dict(zip(cells[0][1:], row[1:], strict=True)) for row in cells[1:]}


def test_another_text_or_tokenizer_is_another_row(tmp_path):
    of_corpus(tmp_path, "a", 1.5)
    of_corpus(tmp_path, "bb", 1.6)
    of_corpus(tmp_path, "ccc", 3.5, name="tales", digest="dada", tokenizer="gpt2")
    of_corpus(tmp_path, "dddd", 1.2, name="novels", digest="beef")
    pages = client(tmp_path)
    found = rows(pages.get("/metrics?runs=a,bb,ccc,dddd"))
    values = {label: [value.partition(" ")[0] for name, value in row.items() if name.startswith("focal")]
              for label, row in found.items() if label.startswith("likelihood: nll")}
    assert values == {"likelihood: nll (val of tales, bytes)": ["1.500", "1.600", "–", "–"],
                      "likelihood: nll (val of tales, gpt2)": ["–", "–", "3.500", "–"],
                      "likelihood: nll (val of novels, bytes)": ["–", "–", "–", "1.200"]}
    drawn = charts(pages.get("/metrics?runs=a,bb,ccc,dddd&metric=likelihood: nll (val of tales, bytes)"))
    assert [row["value"] for row in drawn["scores"]["datasets"]["rows"]] == [1.5, 1.6]
    assert "val of tales" in words(pages.get("/metrics?runs=a&metric=likelihood: nll"))  # as older addresses have it


def test_published_figures_are_shown_with_the_same_quantity_alone(tmp_path):
    of_corpus(tmp_path, "a", 1.2, name="openwebtext")
    of_corpus(tmp_path, "bb", 3.1, name="openwebtext", tokenizer="gpt2", digest="dada")
    of_corpus(tmp_path, "ccc", 3.1, name="novels", tokenizer="gpt2", digest="beef")
    pages = client(tmp_path)
    assert "GPT-2 124M" not in words(pages.get("/metrics?runs=a")) + words(pages.get("/metrics?runs=ccc"))
    page = pages.get("/metrics?runs=a,bb,ccc")
    published = {label for label, row in rows(page).items() if row["GPT-2 124M published"] != "–"}
    assert published == {"likelihood: nll (val of openwebtext, gpt2)"}
    assert references.of("likelihood", "nll", "openwebtext", "gpt2")[0].value == 3.12
    assert references.of("lambada", "accuracy") and not references.of("likelihood", "accuracy", "lambada", "gpt2")


def test_a_task_of_another_text_leaves_the_runs_own_score(tmp_path):
    of_corpus(tmp_path, "a", 1.5)
    (tmp_path / "a" / "evaluation.json").write_text(json.dumps(evaluation()))
    found = rows(client(tmp_path).get("/metrics"))
    (heading,) = (name for name in found["likelihood: nll (val of tales, bytes)"] if name.startswith("focal"))
    assert found["likelihood: nll (val of tales, bytes)"][heading].startswith("1.5")
    assert found["likelihood: nll (other.txt, bytes)"][heading].startswith("2.5")
    assert found["likelihood: bits_per_byte (other.txt)"][heading].startswith("1.1")  # of any vocabulary


def test_a_bad_run_hides_no_other(tmp_path):
    for name in ("a", "bb", "ccc", "dddd"):
        of_corpus(tmp_path, name, 1.5)
    pages = client(tmp_path)
    (tmp_path / "bb" / "environment.json").write_text('{"torch": [1]}')
    (tmp_path / "dddd" / "evaluation.json").write_text('{"tasks": [3]}')
    pages.app.app.state.site.catalog.refresh(now=True)
    shutil.rmtree(tmp_path / "ccc")
    pages.app.app.state.site.catalog._next = 1e18  # it is removed while it is listed
    page = pages.get("/metrics?runs=a,bb,ccc,dddd,nowhere")
    said = words(page)
    assert page.status_code == 200 and "likelihood: nll" in said and "There" not in said
    for one in ("focal(gamma=2.0), seed 0 cannot be read, and is left out", "focal(gamma=3.0), seed 0 cannot be read",
                "focal(gamma=4.0), seed 0 cannot be read: evaluation.json is not as losslab writes it",
                "nowhere cannot be read, and is left out: there is no run nowhere"):
        assert one in said, one
    assert "cannot be read" in words(pages.get("/metrics?runs=nowhere"))


@pytest.mark.parametrize("value", [10**400, 1e308, True, "x", None, -1])
@pytest.mark.parametrize("field", ["value", "stderr", "n", "unit"])
def test_a_number_that_is_none_is_no_fault_of_the_page(tmp_path, field, value):
    of_corpus(tmp_path, "a", 1.5)
    document = evaluation()
    document["tasks"][0]["scores"]["nll"][field] = value
    (tmp_path / "a" / "evaluation.json").write_text(json.dumps(document))
    pages = client(tmp_path)
    page = pages.get("/metrics?metric=likelihood: nll (other.txt, bytes)")
    assert page.status_code == 200 and "val of tales" in words(page)
    found = charts(page)["scores"]["datasets"]["rows"]
    assert all(math.isfinite(row[key]) for row in found for key in ("low", "high", "value") if key in row)
