"""Data sets of the hub: read here from local ones in the library's own format, and from a hub that is not there."""

import socket
import sys
import time

import pytest
from corpus_texts import cache as cache
from corpus_texts import texts
from instruction_data import alpaca

from losslab.config import DataConfig
from losslab.corpus import Corpus

datasets = pytest.importorskip("datasets", reason="the extra `hf` is not installed")
huggingface_hub = pytest.importorskip("huggingface_hub")

STORIES = [f"Story number {i}: the fox 🙂 went home. " + "It slept. " * (i % 8) for i in range(150)]


def rows(texts):
    return datasets.Dataset.from_dict({"text": texts})


class Hub:
    """A hub that answers with local data sets; `asked` is what was streamed."""

    def __init__(self, monkeypatch, splits):
        self.splits, self.asked = splits, []
        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
        monkeypatch.setattr(datasets, "load_dataset", self.load)

    def load(self, repository, configuration=None, *, streaming):
        assert streaming
        self.asked.append((repository, configuration))
        return datasets.IterableDatasetDict({k: rows(v).to_iterable_dataset() for k, v in self.splits.items()})


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("tinystories", ("roneneldan/TinyStories", None)),
        ("fineweb-edu", ("HuggingFaceFW/fineweb-edu", "sample-10BT")),
        ("someone/something", ("someone/something", None)),
        ("someone/something:large", ("someone/something", "large")),
    ],
)
def test_a_name_streams_its_repository(monkeypatch, name, repository):
    hub = Hub(monkeypatch, {"train": STORIES})
    corpus = Corpus.open(DataConfig(corpus=name, tokenizer="bpe:300"))
    assert hub.asked == [repository] and sorted(texts(corpus, "train", "val", "tune")) == sorted(STORIES)
    Corpus.open(DataConfig(corpus=name, tokenizer="bpe:300"))
    assert len(hub.asked) == 1  # the second time it is read from the cache, without a network


def test_rows_in_the_keys_of_instruction_data_are_examples(monkeypatch):
    hub = Hub(monkeypatch, {})
    given = datasets.Dataset.from_list([row | {"text": "as the hub has it"} for row in alpaca()])
    hub.load = lambda *_, **__: datasets.IterableDatasetDict({"train": given.to_iterable_dataset()})
    monkeypatch.setattr(datasets, "load_dataset", hub.load)
    about = Corpus.open(DataConfig(corpus="someone/alpaca")).describe()["instructions"]
    assert (about["template"], about["examples"], about["with_input"]) == ("alpaca", 120, 40)


def test_a_stream_stops_at_max_bytes(monkeypatch):
    Hub(monkeypatch, {"train": STORIES})
    corpus = Corpus.open(DataConfig(corpus="openwebtext", max_bytes=5000))
    assert 4800 < sum(corpus.num_bytes.values()) <= 5000
    assert set(texts(corpus, "train", "val", "tune")) < set(STORIES[:120])
    assert Corpus.open(DataConfig(corpus="openwebtext", max_bytes=9000)).digest != corpus.digest


def test_a_validation_split_of_the_hub_is_kept(monkeypatch):
    Hub(monkeypatch, {"train": STORIES[:120], "validation": STORIES[120:]})
    corpus = Corpus.open(DataConfig(corpus="tinystories"))
    assert texts(corpus, "val") == STORIES[120:] and texts(corpus, "tune") == STORIES[:120:50]


def test_a_data_set_without_text_says_which_columns_it_has(monkeypatch):
    Hub(monkeypatch, {})
    one = datasets.Dataset.from_dict({"content": ["a"], "id": [1]}).to_iterable_dataset()
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: {"train": one})
    with pytest.raises(ValueError, match="has the columns content, id and no `text`"):
        Corpus.open(DataConfig(corpus="someone/something"))


def test_a_folder_in_the_librarys_own_format_is_a_corpus(tmp_path):
    rows(STORIES).save_to_disk(str(tmp_path / "plain"))
    datasets.DatasetDict({"train": rows(STORIES[:120]), "validation": rows(STORIES[120:])}).save_to_disk(
        str(tmp_path / "split")
    )
    plain = Corpus.open(DataConfig(corpus=str(tmp_path / "plain"), tokenizer="gpt2"))
    assert sorted(texts(plain, "train", "val", "tune")) == sorted(STORIES)
    split = Corpus.open(DataConfig(corpus=str(tmp_path / "split")))
    assert texts(split, "val") == STORIES[120:]
    assert sorted(texts(split, "train", "tune")) == sorted(STORIES[:120])


def test_parquet_files_are_a_corpus(tmp_path):
    (tmp_path / "data").mkdir()
    rows(STORIES[:120]).to_parquet(str(tmp_path / "data" / "train-00000.parquet"))
    one = Corpus.open(DataConfig(corpus=str(tmp_path / "data" / "train-00000.parquet")))
    assert sorted(texts(one, "train", "val", "tune")) == sorted(STORIES[:120])
    rows(STORIES[120:]).to_parquet(str(tmp_path / "data" / "validation-00000.parquet"))
    both = Corpus.open(DataConfig(corpus=str(tmp_path)))
    assert texts(both, "val") == STORIES[120:]


@pytest.mark.parametrize("error", [ConnectionError("no route"), TimeoutError("slow"), RuntimeError("a layer\nbelow")])
def test_a_hub_that_cannot_be_reached_says_what_works_without_it(monkeypatch, error):
    def refuse(*_, **__):
        raise error

    Hub(monkeypatch, {})
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(ConnectionError, match="tinystories cannot be reached .*`tales`, `pydoc`") as caught:
        Corpus.open(DataConfig(corpus="tinystories"))
    assert "\n" not in str(caught.value)


def test_a_stream_that_breaks_off_is_no_corpus(monkeypatch, tmp_path):
    def broken():
        yield from ({"text": text} for text in STORIES)
        raise ConnectionError("reset by peer")

    Hub(monkeypatch, {})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: {"train": broken()})
    with pytest.raises(ConnectionError, match="reset by peer"):
        Corpus.open(DataConfig(corpus="tinystories"))
    assert not [entry for entry in (tmp_path / "cache" / "corpora").iterdir() if entry.is_dir()]


def test_without_a_network_the_answer_comes_at_once(monkeypatch):
    asked = []

    def no_network(*name, **__):
        asked.append(name)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(time, "sleep", None)  # waiting between tries would fail
    with pytest.raises(ConnectionError, match="someone/something cannot be reached"):
        Corpus.open(DataConfig(corpus="someone/something"))
    assert 0 < len(asked) <= 2


def test_an_unknown_repository_is_named(monkeypatch):
    from unittest.mock import Mock

    from huggingface_hub.errors import RepositoryNotFoundError

    def missing(*_, **__):
        raise RepositoryNotFoundError("404", response=Mock())

    Hub(monkeypatch, {})
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", missing)
    with pytest.raises(ValueError, match="the hub has no data set someone/something"):
        Corpus.open(DataConfig(corpus="someone/something"))


def test_a_missing_extra_gives_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install .* "\.\[hf\]"'):
        Corpus.open(DataConfig(corpus="tinystories"))
