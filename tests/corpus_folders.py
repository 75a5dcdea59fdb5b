"""A separate cache, and a text."""

import pytest

from losslab.corpus import cache
from losslab.tokenizer import END_OF_TEXT


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path):
    documents = [f"Document {i}: " + "the fox went home. " * (i % 9 + 1) for i in range(200)]
    path = tmp_path / "many.txt"
    path.write_text("".join(f"{text}\n{END_OF_TEXT}\n" for text in documents))
    return str(path)


@pytest.fixture
def builds(monkeypatch):
    """The corpora that were built, not found."""
    found = []
    original = cache.seal
    monkeypatch.setattr(cache, "seal", lambda folder, meta: (found.append(meta["digest"]), original(folder, meta)))
    return found


def folders(root):
    return [entry for entry in (root / "corpora").iterdir() if entry.is_dir()]
