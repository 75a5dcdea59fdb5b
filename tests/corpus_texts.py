"""Small texts, and the sentence with which a corpus is refused."""

import pytest

from losslab.config import DataConfig
from losslab.corpus import Corpus
from losslab.tokenizer import END_OF_TEXT

GPT2_STORIES = [f"Once upon a time, fox number {i} ran home 🙂." + " It slept." * (i % 7) for i in range(200)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))


def refused(path, message, error=ValueError, **config):
    """Opening `path` fails with one sentence that matches `message`, and leaves nothing behind."""
    with pytest.raises(error, match=message) as caught:
        Corpus.open(DataConfig(corpus=str(path), **config))
    assert "\n" not in str(caught.value) and type(caught.value) is error


def texts(corpus, split):
    return [corpus.tokenizer.decode(document.tokens) for document in corpus.documents(split)]


def document_file(path, documents):
    path.write_text("".join(f"{text}\n{END_OF_TEXT}\n" for text in documents))
    return path
