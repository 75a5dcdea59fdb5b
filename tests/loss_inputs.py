"""Logits, targets and files of losses for the tests of objectives."""

import textwrap

import pytest
import torch
import torch.nn.functional as F

from losslab.config import IGNORE_INDEX

V = 11


@pytest.fixture
def logits():
    return (2 * torch.randn(2, 4, V, dtype=torch.float64)).requires_grad_()


@pytest.fixture
def targets():
    return torch.randint(V, (2, 4))


@pytest.fixture
def masked(targets):
    return targets.index_put((torch.tensor([0, 1, 1]), torch.tensor([3, 0, 2])), torch.tensor(IGNORE_INDEX))


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a loss file into the current folder; its path from there."""
    monkeypatch.chdir(tmp_path)

    def writer(source, path="my_loss.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    return writer


def nll(logits, targets):
    return F.cross_entropy(logits.transpose(1, -1), targets, reduction="none")
