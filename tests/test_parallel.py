"""Ranks: what one process alone is told, and what two tell each other."""

from losslab import parallel


def test_alone_this_process_is_the_first_of_one(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert (parallel.rank(), parallel.world_size(), parallel.join("cpu")) == (0, 1, "cpu")
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (parallel.rank(), parallel.world_size()) == (2, 4)
