"""Numbers of runs in trackers: grouped by arm, never waited for, said once where one fails, and no keys anywhere."""

import json
import os
import threading

import pytest
from commands import losslab
from experiments import SPEC
from experiments import place as place

from losslab import trackers
from losslab.trackers import Run, Tracker

LINE = {"step": 10, "tokens": 640, "seconds": 1.5, "num_steps": 30, "train/nll": 2.5, "cost/loss_seconds": 0.1}


def run_of(seed, group="cross_entropy-ab12"):
    return Run(f"{group}-seed{seed}", group, seed, "losslab", {"train.learning_rate": 1e-3})


class Kept:
    """A tracker that keeps what it is given."""

    def __init__(self, run, folder):
        self.run, self.lines, self.is_closed = run, [], False
        Kept.all.append(self)

    def log(self, step, values):
        self.lines.append((step, values))

    def close(self):
        self.is_closed = True


def test_each_run_has_its_own_lines_and_only_known_names_are_passed_on(tmp_path):
    Kept.all = []
    tracker = Tracker("kept", tmp_path, open_run=Kept)
    for seed in (0, 1):
        tracker.takes(run_of(seed))(LINE)
    tracker.close()
    assert [(kept.run.seed, kept.run.group, kept.is_closed) for kept in Kept.all] == [
        (0, "cross_entropy-ab12", True), (1, "cross_entropy-ab12", True)]
    assert Kept.all[0].lines == [(10, {"tokens": 640.0, "train/nll": 2.5})]


def test_a_tracker_that_fails_is_said_once_and_holds_nothing_up(tmp_path, monkeypatch):
    def unreachable(run, folder):
        raise OSError("no route\nto host")

    said = []
    tracker = Tracker("wandb", tmp_path, tell=said.append, open_run=unreachable)
    for _ in range(3):
        tracker.takes(run_of(0))(LINE)
    tracker.close()
    assert said == ["wandb cannot be reached (no route to host); the runs go on without it, and their logs have every "
                    "number"]

    class Breaks(Kept):
        def log(self, step, values):
            raise SystemExit(7)

    said.clear()
    tracker = Tracker("wandb", tmp_path, tell=said.append, open_run=Breaks)
    for _ in range(3):
        tracker.takes(run_of(0))(LINE)
        tracker._thread.join(0.05)
    tracker.close()
    assert len(said) == 1 and "(7)" in said[0]

    answered, said = threading.Event(), []
    monkeypatch.setattr(trackers, "LAST_SECONDS", 0.2)
    tracker = Tracker("wandb", tmp_path, tell=said.append, open_run=lambda run, folder: answered.wait(30))
    tracker.takes(run_of(0))(LINE)
    tracker.close()
    answered.set()
    assert len(said) == 1 and "did not take the last numbers within" in said[0]


def test_a_tracker_that_is_unknown_or_not_installed_is_said_before_anything_is_trained(place, capsys, monkeypatch):
    (place / "spec.toml").write_text(SPEC.format(steps=5, every=0))
    assert losslab("train", "spec.toml", "--track", "mlflow") == 2
    assert "--track takes tensorboard, wandb or trackio, got 'mlflow'" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert losslab("train", "spec.toml", "--track", "wandb") == 3
    assert "--track wandb needs wandb, which is not installed; run `pip install -c constraints.txt -e " in " ".join(
        capsys.readouterr().err.split())
    assert not (place / "runs").exists()


def test_a_process_that_trains_gets_no_keys(monkeypatch):
    given = {"WANDB_API_KEY": "secret", "PATH": "/bin"}
    assert trackers.without_keys(given) == {"PATH": "/bin"}


def test_a_command_passes_its_run_on_and_shows_its_result_alone(place, capsys, monkeypatch):
    Kept.all = []
    monkeypatch.setattr(trackers, "_opener", lambda name: Kept)
    (place / "spec.toml").write_text(SPEC.format(steps=5, every=0))
    assert losslab("train", "spec.toml", "--track", "tensorboard", "--json") == 0
    found, = Kept.all
    result = json.loads(capsys.readouterr().out)
    assert result["run"].endswith(found.run.name) and found.run.name == f"{found.run.group}-seed0" and found.is_closed
    assert found.run.settings["train.learning_rate"] == 1e-2
    assert [step for step, values in found.lines if "train/nll" in values] == [1, 2, 3, 4, 5]


# --- the trackers themselves -------------------------------------------------------------------

def write_two(name, folder):
    said = []
    tracker = Tracker(name, folder, tell=said.append)
    for seed in (0, 1):
        for step in (10, 20):
            tracker.takes(run_of(seed))(LINE | {"step": step})
    tracker.close()
    assert said == []


def test_tensorboard_has_a_folder_for_each_seed_of_an_arm(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra `trackers` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_two("tensorboard", tmp_path)
    folders = sorted((tmp_path / "tensorboard" / "cross_entropy-ab12").iterdir())
    assert [folder.name for folder in folders] == ["cross_entropy-ab12-seed0", "cross_entropy-ab12-seed1"]
    found = EventAccumulator(str(folders[1]))
    found.Reload()
    assert [(each.step, each.value) for each in found.Scalars("train/nll")] == [(10, 2.5), (20, 2.5)]


@pytest.mark.filterwarnings("ignore")
def test_wandb_offline_keeps_every_run_in_the_store_and_no_key(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="the extra `trackers` is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_two("wandb", tmp_path)
    wandb.teardown()  # its own process has written everything
    kept = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(kept) == 2 and all(path.stat().st_size > 200 for path in kept)
    assert b"cross_entropy-ab12" in kept[0].read_bytes()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"0123456789" * 4 in path.read_bytes() for path in files)


@pytest.mark.filterwarnings("ignore")
def test_trackio_keeps_runs_of_one_group(tmp_path, monkeypatch, capfd):
    pytest.importorskip("trackio", reason="the extra `trackers` is not installed")
    import sqlite3

    from trackio import sqlite_storage

    monkeypatch.setattr(sqlite_storage, "TRACKIO_DIR", tmp_path / "trackio")
    write_two("trackio", tmp_path)
    (path,) = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY run_name, step").fetchall()
    assert [(name, step) for name, step, _ in rows] == [
        (f"cross_entropy-ab12-seed{seed}", step) for seed in (0, 1) for step in (10, 20)]
    assert json.loads(rows[0][2])["train/nll"] == 2.5
    assert capfd.readouterr().out == "" and "TRACKIO_SPACE_ID" not in os.environ
