"""A state of the arena, and a workspace, in a folder of the test."""

import pytest

from losslab.arena import challenge, home, workspace


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSLAB_ARENA", str(tmp_path / "host"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def made(place):
    return workspace.made(home.board(challenge.read("loss-laptop")), place / "mine")
