"""WikiText-2 by pages and as a stream: what is divided by what."""

import math

import pytest
import torch
from known_models import Bytes, Table, count_table

from losslab.evaluate import tasks, wikitext
from losslab.evaluate.likelihood import text_documents
from losslab.evaluate.tasks import Settings

TEXT = "\n = Cats = \n \n A cat = a pet \n = = Food = = \n Fish .\n = Dogs = \n Dogs bark .\n"


def test_pages_begin_at_titles_and_add_up_to_the_text():
    pages = wikitext.pages(TEXT)
    assert [page.split("\n")[0 if i else 1] for i, page in enumerate(pages)] == [" = Cats = ", " = Dogs = "]
    assert "".join(pages) == TEXT
    assert wikitext.pages("no title\nat all") == ["no title\nat all"]


def test_the_stream_reads_across_pages_and_has_no_end():
    table = count_table(TEXT, order=2)
    result = wikitext.score(Table(table, 16), Bytes(), TEXT, "a test", Settings())
    log_p, stream = table.double(), [256, *TEXT.encode()]
    nats = -log_p[stream[:-1], stream[1:]].sum().item()
    size, words = len(TEXT.encode()), len(TEXT.split())
    assert result.scores["stream_bits_per_byte"].value == pytest.approx(nats / math.log(2) / size, rel=1e-6)
    assert result.scores["stream_perplexity"].value == pytest.approx(math.exp(nats / size), rel=1e-6)
    assert result.scores["stream_word_perplexity"].value == pytest.approx(math.exp(nats / words), rel=1e-5)
    by_page = 0.0
    for page in wikitext.pages(TEXT):
        stream = [256, *page.encode(), 256]
        by_page -= log_p[stream[:-1], stream[1:]].sum().item()
    assert result.scores["pages_perplexity"].value == pytest.approx(math.exp(by_page / (size + 2)), rel=1e-6)
    assert [part.counts["end_marks"] for part in result.parts] == [2, 0]
    assert [part.counts["bytes"] for part in result.parts] == [size, size] and result.counts["pages"] == 2
    assert any("not the published test text" in note for note in result.notes)


def test_line_ends_of_windows_give_the_same_pages_with_their_own_bytes():
    dos = TEXT.replace("\n", "\r\n")
    found = wikitext.pages(dos)
    assert [page.replace("\r\n", "\n") for page in found] == wikitext.pages(TEXT) and "".join(found) == dos
    result = wikitext.score(Table(torch.zeros(257, 257), 16), Bytes(), dos, "a test", Settings())
    assert result.counts["pages"] == 2 and result.counts["bytes"] == len(TEXT) + TEXT.count("\n")
    assert result.parts[0].counts["bytes"] == result.counts["bytes"]


@pytest.mark.parametrize("limit", [0, 1])
def test_a_text_without_titles_has_no_score_by_pages(limit):
    text = "no title\n = = Food = = \nat all\n"
    result = wikitext.score(Table(torch.zeros(257, 257), 16), Bytes(), text, "a test", Settings(limit=limit))
    assert not [name for name in result.scores if name.startswith("pages")] and result.counts["pages"] == 0
    assert result.scores["stream_bits_per_byte"].value == pytest.approx(math.log2(257))
    assert any("nothing is scored by pages" in note for note in result.notes)


def test_a_limited_run_has_pages_only():
    result = wikitext.score(Table(torch.zeros(257, 257), 16), Bytes(), TEXT, "a test", Settings(limit=1))
    assert [part.name for part in result.parts] == ["pages"] and not result.is_evidence


def test_the_validation_text_has_60_articles_and_its_published_words(real_data):
    path = wikitext.benchmark_rows.find(real_data, wikitext.FILES)
    text = wikitext.benchmark_rows.text(path)
    pages = wikitext.pages(text)
    assert len(pages) == 60 and "".join(pages) == text  # Merity et al., table 1
    documents = text_documents(pages, Bytes())
    assert sum(document.num_words for document in documents) == 213_886
    assert sum(document.num_bytes for document in documents) == len(text.encode()) == 1_139_323


def test_the_text_is_looked_for_by_name(tmp_path):
    (tmp_path / "wiki.test.raw").write_text(TEXT)
    result = tasks.run("wikitext2", Table(torch.zeros(257, 257), 16), Bytes(), Settings(benchmarks=tmp_path))
    assert result.notes[0] == "the text is wiki.test.raw" and result.is_evidence
