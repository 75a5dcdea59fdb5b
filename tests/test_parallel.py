"""Ranks: what one process alone is told, and what two tell each other."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch

from losslab import parallel


def test_alone_this_process_is_the_first_of_one(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert (parallel.rank(), parallel.world_size(), parallel.join("cpu")) == (0, 1, "cpu")
    monkeypatch.setenv("RANK", "2")  # which a cluster may set for its own ends
    assert parallel.rank() == 0
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (parallel.rank(), parallel.world_size()) == (2, 4)


def test_ranks_that_start_again_agree_on_a_new_name_whatever_lies_in_the_store(monkeypatch):
    store, names = torch.distributed.HashStore(), set()
    with ThreadPoolExecutor(4) as pool:
        for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]):
            asked = []
            for rank in order:  # the first ones find the words of those before, and must wait for the last
                asked.append(pool.submit(parallel._start, store, rank, 4))
                time.sleep(0.05)
            found = {each.result(20) for each in asked}
            assert len(found) == 1 and not found & names
            names |= found
    monkeypatch.setattr(parallel, "PATIENCE", timedelta(seconds=0.1))
    with pytest.raises(ValueError, match=r"not all of 4 ranks came within 0:00:00.1"):  # three are those of before
        parallel._start(store, 0, 4)
