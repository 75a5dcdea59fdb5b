"""Stories, and corpora of them."""

import gzip

import numpy as np
import pytest

from losslab.tokenizer import END_OF_TEXT


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))


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
