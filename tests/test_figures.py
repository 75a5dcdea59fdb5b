"""`losslab report --figures`: charts on paper, tables that LaTeX and programs read as they are, and methods."""

import csv
import io
import re

import pytest
from commands import losslab, refuses
from hypothesis import given
from hypothesis import strategies as st
from record_runs import refused
from report_runs import described, three_arms, write_run

from losslab import escaping
from losslab.report import figures, methods, numbers
from losslab.report.charts import charts
from losslab.tables import Column, Table, name

ODD = r"""a_b & 50 % of {c} \n "q" [x] *y* <|end|> $5 #1 ~ ^ ' ` -- −1 – ± → é"""


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return described(three_arms(tmp_path_factory.mktemp("store")))


def read_back(text):
    """What a reader sees of LaTeX, by a parser that takes nothing unbalanced."""
    pytest.importorskip("pylatexenc", reason="reads LaTeX; it comes with the extra dev")
    from pylatexenc import latex2text, latexwalker, macrospec

    def sign(node):
        return chr(int(node.nodeargd.argnlist[0].nodelist[0].chars))

    known, shown = latexwalker.get_default_latex_context_db(), latex2text.get_default_latex_context_db()
    known.add_context_category("symbols", macros=[macrospec.MacroSpec("symbol", "{")], prepend=True)
    shown.add_context_category("symbols", prepend=True, macros=[
        latex2text.MacroTextSpec("symbol", sign), latex2text.MacroTextSpec("texttt", "%s"),
        latex2text.MacroTextSpec("textquotesingle", "'"),
        latex2text.MacroTextSpec("textasciigrave", "`"), latex2text.MacroTextSpec("textbar", "|"),
        latex2text.MacroTextSpec("textasciicircum", "^"), latex2text.MacroTextSpec("textasciitilde", "~")])
    walker = latexwalker.LatexWalker(text, latex_context=known, tolerant_parsing=False)
    nodes, _, _ = walker.get_latex_nodes()
    return latex2text.LatexNodes2Text(shown, strict_latex_spaces=True).nodelist_to_text(nodes), nodes


@given(st.text(alphabet=ODD, max_size=30))
def test_latex_reads_as_the_text_and_holds_no_command_of_it(text):
    for form in (escaping.latex, escaping.latex_code):
        seen, _ = read_back(f"({form(text)})")
        plain = text.replace("−", "-")
        assert seen.replace("−", "-").replace("--", "–") == f"({plain})".replace("--", "–"), form(text)


def test_a_table_in_latex_has_its_cells_in_its_columns():
    cells = [("[a] & b", "−0.5"), ("*c* \\\\ d", "1 % [+0.1, +0.2]")]
    table = Table((name("loss"), Column("nll", "nats/token")), cells)
    _, nodes = read_back(table.latex())
    (environment,) = [node for node in nodes if node.isNodeType(type(node)) and hasattr(node, "environmentname")]
    assert environment.environmentname == "tabular"
    lines = table.latex().splitlines()
    assert lines[:2] == [r"\begin{tabular}{lr}", r"\toprule"] and lines[3] == r"\midrule"
    rows = [re.split(r"(?<!\\)&", line.removesuffix(r"\\")) for line in (lines[2], *lines[4:-2])]
    assert [len(row) for row in rows] == [2, 2, 2]
    read = [tuple(read_back(cell.strip())[0] for cell in row) for row in rows[1:]]
    assert [tuple(cell.replace("−", "-") for cell in row) for row in read] == [
        tuple(cell.replace("−", "-") for cell in row) for row in cells]


def test_every_table_of_a_comparison_is_latex_csv_and_markdown(document):
    found = figures.tables(document)
    assert {*found} == {"arms", "every-arm", "seeds", "scores", "costs", "curves", "perplexities", "signals",
                        "settings"}
    for table in found.values():
        read_back(table.latex())
        rows = list(csv.reader(io.StringIO(table.csv())))
        assert rows[0] == [column.heading for column in table.columns] and len(rows) == len(table.rows) + 1
        assert len(table.markdown().splitlines()) == len(table.rows) + 2


def test_the_numbers_have_all_their_digits(document):
    rows = list(csv.DictReader(io.StringIO(numbers.csv(document))))
    best, baseline, worst = rows
    assert [row["loss"] for row in rows] == ["cross_entropy + 0.0001*z_loss", "cross_entropy", "squentropy"]
    assert float(best["nll"]) == pytest.approx(1.4505, abs=1e-12) and baseline["difference"] == ""
    assert float(worst["difference"]) == pytest.approx(0.02, abs=1e-12)
    assert float(worst["low"]) < 0.02 < float(worst["high"]) and worst["outcome"] == "worse"


def test_the_name_of_a_loss_is_no_formula_of_a_spreadsheet(document):
    score = {"value": -0.5, "stderr": 0.1, "n": 4, "unit": "=2"}
    odd = [arm | {"name": f"{sign}HYPERLINK(A1)", "scores": arm["scores"] | {f"{sign}1": score}}
           for arm, sign in zip(document["arms"], "=@-", strict=True)]
    stranger = document | {"arms": odd, "baseline": odd[0]["name"]}
    texts = [numbers.csv(stranger), *(table.csv() for table in figures.tables(stranger).values())]
    cells = [cell for text in texts for row in csv.reader(io.StringIO(text)) for cell in row]
    assert {"'=HYPERLINK(A1)", "'@HYPERLINK(A1)", "'-HYPERLINK(A1)", "'=1", "-0.5"} <= {*cells}
    assert not [cell for cell in cells if cell[:1] in ("=", "@") or cell.startswith("-HYPER")]


def test_the_methods_name_every_figure_and_leave_none_open(document):
    told = methods.markdown(document)
    for figure in ("`squentropy`", "c0ffee", "842,496 parameters", "4 seeds an arm", "512,000 training tokens",
                   "500 updates of 8 sequences of 128 tokens", "learning rate 0.004", "800 documents, 200,000 tokens",
                   "within 0.002 nats/token", "0, 1, 2, 3", "PyTorch 2.13.0", "Of one seed, all losses had the same"):
        assert figure in told, figure
    assert not re.search(r"\bNone\b|\{\}|  ", told) and told.count("\n\n") == 3
    assert escaping.escape(document["verdict"]) in told


def test_methods_of_arms_with_settings_of_their_own_do_not_claim_that_they_are_alike(tmp_path):
    told = methods.markdown(described([write_run(tmp_path, "cross_entropy", 0), write_run(
        tmp_path, "mse", 0, 1.6, learning_rate=0.01)]))
    assert "Besides the loss, arms differ in these settings: `train.learning_rate` 0.004 (`cross_" in told
    assert "the same initial weights" not in told and "learning rate 0.004 (`cross_entropy`), 0.01 (`mse`)" in told


def test_a_chart_stands_alone(document):
    drawn = figures.figure(charts(document)["curves"], legend=True)
    assert "var(" not in str(drawn) and drawn["width"] == figures.WIDTH and drawn["config"]["background"] == "white"
    assert all(layer["encoding"]["color"]["legend"]["orient"] == "top" for layer in drawn["layer"])


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "store", "cross_entropy", 0)
    (tmp_path / "paper.pdf").write_text("")
    assert refuses(capsys, "report", "store", "--figures", "paper.pdf") == (
        "error: paper.pdf is a file, and figures are many files; give a folder, such as paper-figures")
    assert not (tmp_path / "report.html").exists()


def no_folder(tmp_path):
    (tmp_path / "afile").write_text("")
    return "afile/sub/figs", "because afile is a file; give another folder"


def a_folder_for_a_file(tmp_path):
    (tmp_path / "figs" / "arms.csv").mkdir(parents=True)
    return "figs", "figs/arms.csv is no plain file, and a figure would be written there; take it away"


def a_link_for_a_file(tmp_path):
    (tmp_path / "figs").mkdir()
    (tmp_path / "figs" / "tuning.svg").symlink_to(tmp_path / "mine.svg")
    return "figs", "figs/tuning.svg is no plain file"


def files_of_somebody(tmp_path):
    (tmp_path / "figs").mkdir()
    (tmp_path / "figs" / "settings.md").write_text("mine")
    return "figs", "figs/settings.md would be written over, and figs is no folder of earlier figures; give"


@pytest.mark.parametrize("made", [no_folder, a_folder_for_a_file, a_link_for_a_file, files_of_somebody])
def test_a_place_that_cannot_be_written_is_refused_before_anything(tmp_path, monkeypatch, capsys, made):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "store", "cross_entropy", 0)
    folder, says = made(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert says in refuses(capsys, "report", "store", "--figures", folder)
    assert sorted(tmp_path.rglob("*")) == before  # no page, and no look is counted


@pytest.mark.parametrize("closed", ["", "figs", "figs/arms.csv"])
def test_what_is_not_writable_is_refused(tmp_path, monkeypatch, closed):
    monkeypatch.setattr(figures.os, "access", lambda path, mode: path != tmp_path / closed)
    if closed:
        (tmp_path / "figs").mkdir()
        for file in (*figures.ALWAYS, "arms.csv"):
            (tmp_path / "figs" / file).write_text("")
    assert f"{tmp_path / closed} is not writable for you" in refused(figures.place, tmp_path / "figs")


def test_earlier_figures_are_replaced_and_nothing_else(document, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "charts", lambda document: {})
    first = figures.write(document, tmp_path / "figs")
    for file in ("tuning.csv", "tuning.svg", "curves.png", "notes.txt", "tuning.pdf"):
        (tmp_path / "figs" / file).write_text("old")
    assert figures.write(document, tmp_path / "figs") == first
    kept = {file.name for file in (tmp_path / "figs").iterdir()}
    assert kept == {file.name for file in first} | {"notes.txt", "tuning.pdf"}


def test_every_figure_is_named(document):
    assert {*charts(document)} <= {*figures.CHARTS} and {*figures.tables(document)} <= {*figures.TABLES}


@pytest.mark.slow
def test_the_command_writes_charts_tables_and_words(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    three_arms(tmp_path / "store")
    assert losslab("report", "store", "--figures", "paper") == 0 and "figures: paper" in capsys.readouterr().err
    files = {file.name: file.read_bytes() for file in (tmp_path / "paper").iterdir()}
    drawn = {"differences", "curves", "gaps", "finals", "speed", "perplexities"}
    assert {name.removesuffix(".svg") for name in files if name.endswith(".svg")} == drawn
    for chart in drawn:
        assert files[f"{chart}.png"][:8] == b"\x89PNG\r\n\x1a\n" and b"var(" not in files[f"{chart}.svg"]
        assert b"squentropy" in files[f"{chart}.svg"]
    assert {"METHODS.md", "numbers.csv", "arms.csv", "arms.md", "arms.tex"} <= files.keys()
    assert b"z_loss is 0.0500 nats/token better than cross_entropy" in files["verdict.txt"]
