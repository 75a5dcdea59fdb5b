"""A separate cache for each test, small texts, and the sentence with which a corpus is refused."""

import gzip

import numpy as np
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


def texts(corpus, *splits):
    return [corpus.tokenizer.decode(document.tokens) for split in splits for document in corpus.documents(split)]


def stories(num, seed=0):
    """Different short documents with characters of one to four bytes."""
    rng = np.random.default_rng(seed)
    words = ["fox", "naïve", "🙂", "你好", "ran", "slowly", "Ω", "home.\n"]
    return [f"Story {seed}.{i}: " + " ".join(rng.choice(words, rng.integers(5, 40))) for i in range(num)]


def write(path, documents):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{text}\n{END_OF_TEXT}\n" for text in documents).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


@pytest.fixture
def many(tmp_path):
    return write(tmp_path / "many.txt", stories(300))
