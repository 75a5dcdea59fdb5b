"""LAMBADA on models whose answer is known."""

import json
import math

import pytest
import torch
from known_models import Bytes, Table

from losslab.evaluate import lambada, tasks
from losslab.evaluate.tasks import Settings


def test_perplexity_is_of_whole_words_and_accuracy_of_every_token():
    table = torch.randn(257, 257, generator=torch.Generator().manual_seed(0))
    text = "who let the dog out"
    for a, b in zip("t out", " out", strict=False):
        table[ord(a), ord(b)] = 9.0  # " out" is what the model says; after its t comes a space
    rows = ["who let the dog out", "it was a cat", "let it out"]
    result = lambada.score(Table(table, 64), Bytes(), rows, Settings())
    log_p, nats = table.double().log_softmax(1), []
    for text in rows:
        word = text.rindex(" ")
        pairs = zip(text.encode()[word - 1 :], text.encode()[word:], strict=False)
        nats.append(-sum(log_p[a, b].item() for a, b in pairs))
    assert [item["nats"] for item in result.items] == pytest.approx(nats, rel=1e-5)
    assert result.scores["perplexity"].value == pytest.approx(math.exp(sum(nats) / 3), rel=1e-5)
    assert result.scores["perplexity"].unit == "per word" and result.scores["perplexity"].n == 3
    assert [item["right"] for item in result.items] == [False, False, True]  # "g" before a space is not foretold
    assert result.scores["accuracy"].value == pytest.approx(1 / 3)
    assert [item["word"] for item in result.items] == ["out", "cat", "out"] and result.counts["tokens"] == 12


def test_a_word_with_one_wrong_token_is_wrong():
    table = torch.zeros(257, 257)
    for a, b in ("a ", " b", "bc", "cx"):
        table[ord(a), ord(b)] = 5.0
    items = lambada.score(Table(table, 16), Bytes(), ["a bc", "a bcd"], Settings()).items
    assert [item["right"] for item in items] == [True, False]


def test_a_long_passage_is_cut_from_the_left_and_counted():
    model = Table(torch.zeros(257, 257), 8)
    result = lambada.score(model, Bytes(), ["a long passage ends so", "it is", "a incomprehensible"], Settings())
    assert result.counts == {"passages": 2, "tokens": 6, "cut": 1, "skipped": 1}
    assert result.scores["perplexity"].value == pytest.approx(257**3, rel=1e-5)


def test_the_end_mark_before_the_passage_takes_a_place():
    texts, settings = ["123456 7", "1234567 8"], Settings(prefix="end-of-text")
    items = lambada.score(Table(torch.zeros(257, 257), 8), Bytes(), texts, settings).items
    assert [item["cut"] for item in items] == [0, 1]  # a mark, six letters and two to score are the 8 + 1 that fit


def test_both_forms_of_a_row_are_the_same_passage():
    assert lambada.passages([{"text": "it was so"}, {"context": "it was", "continuation": "so"}]) == ["it was so"] * 2
    for row in ({"context": "it"}, {"text": 3}, {"text": "word"}):
        with pytest.raises(ValueError, match="row 1 of LAMBADA is no passage"):
            lambada.passages([row])


def test_a_local_file_is_found(tmp_path):
    (tmp_path / "lambada_test.jsonl").write_text(json.dumps({"text": "it was so"}) + "\n")
    result = tasks.run("lambada", Table(torch.zeros(257, 257), 16), Bytes(), Settings(benchmarks=tmp_path))
    assert result.scores["perplexity"].value == pytest.approx(257**3, rel=1e-5) and result.is_evidence


def test_a_limited_run_takes_the_passages_of_a_bundle_and_is_no_evidence(benchmark_data):
    model = Table(torch.zeros(257, 257), 512)
    result = tasks.run("lambada", model, Bytes(), Settings(benchmarks=benchmark_data, limit=4))
    assert result.counts["passages"] == 4 and not result.is_evidence


def test_lambada_itself_has_5153_words(real_data):
    path = real_data / lambada.FILES[1]
    texts = lambada.passages(lambada.benchmark_rows.rows(path.with_name(path.name + ".gz"), ()))
    assert len(texts) == 5153 and all(text.rpartition(" ")[2].strip() for text in texts)
