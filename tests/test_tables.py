"""One table: aligned for a terminal, safe in Markdown, on a page the same cells."""

from hypothesis import given, settings
from hypothesis import strategies as st

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
