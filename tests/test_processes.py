"""Child processes: what an isolated one sees, wherever losslab is installed, and that nothing outlives a child."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import losslab
from losslab import processes

SPOILED = "raise SystemExit('a planted module was imported')"
PROBE = """
import os, subprocess, sys
from losslab import processes
done = subprocess.run(processes.isolated("losslab.evaluate.__main__"), input="{}", capture_output=True, text=True,
                      env=processes.environment(1, sys.argv[1]))
print(done.stderr)
"""
LEAVING = """
import pathlib, subprocess, sys
from losslab import processes
processes.adopt_orphans()
place = pathlib.Path(sys.argv[1])
code = ("import os, signal, sys\\n"
        "read, write = os.pipe()\\n"
        "if os.fork() == 0:\\n"
        "    os.setsid()\\n"
        "    if os.fork() == 0:\\n"
        "        os.write(write, str(os.getpid()).encode())\\n"
        "        signal.pause()\\n"
        "    os._exit(0)\\n"
        "print(os.read(read, 20).decode())\\n")
process = processes.start([sys.executable, "-c", code], "{}", place / "out", place / "err")
process.wait()
stray = pathlib.Path("/proc", (place / "out").read_text().strip())
there = stray.exists()
processes.end(process)
print(there, stray.exists())
"""


def run(python, code, place, **environment):
    done = subprocess.run([python, "-P", "-c", code, str(place)], cwd=place, capture_output=True, text=True, timeout=99,
                          env=os.environ | {"PYTHONPATH": "", **environment})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def plant(folder):
    for name in ("torch", "json", "numpy", "losslab", "sitecustomize", "usercustomize"):
        (folder / f"{name}.py").write_text(SPOILED)


def test_an_isolated_process_finds_its_packages_in_a_virtual_environment_and_nothing_that_was_planted(tmp_path):
    plant(tmp_path)
    root = str(Path(losslab.__file__).parents[1])
    said = run(sys.executable, f"import sys; sys.path.append({root!r})\n{PROBE}", tmp_path)
    assert "KeyError: 'corpus'" in said  # it came as far as the empty request
    assert "planted" not in said


def test_an_isolated_process_finds_its_packages_in_a_user_installation(tmp_path):
    base = getattr(sys, "_base_executable", sys.executable)
    if base == sys.executable:
        pytest.skip("this Python is no virtual environment, so there is no other one to try")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tmp_path / "user" / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    folders = [str(Path(losslab.__file__).parents[1]), *(path for path in sys.path if path.endswith("site-packages"))]
    (site / "packages.pth").write_text("\n".join(folders))  # what only the user's site folder leads to
    plant(tmp_path)
    said = run(base, PROBE, tmp_path, PYTHONUSERBASE=str(tmp_path / "user"))
    assert "KeyError: 'corpus'" in said and "planted" not in said


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are adopted on Linux alone")
def test_a_process_that_left_its_session_ends_with_the_child_that_started_it(tmp_path):
    root = str(Path(losslab.__file__).parents[1])
    assert run(sys.executable, f"import sys; sys.path.append({root!r})\n{LEAVING}", tmp_path) == "True False\n"


def test_a_child_that_trains_by_itself_is_told_nothing_of_ranks(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "of a rank")
    assert processes.inherited() == {name: value for name, value in os.environ.items() if value != "of a rank"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_becomes_a_question_and_the_old_answer_comes_back(number):
    before = signal.getsignal(number)
    with processes.stop_requests() as asked:
        assert not asked()
        os.kill(os.getpid(), number)
        assert asked()
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_stops_at_once_and_a_second_sigterm_does_not():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        with processes.stop_requests() as asked:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert asked()
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("sent", "told"), [
    ("SIGTERM", "SIGTERM"), ("SIGTERM SIGUSR2", "SIGUSR2"), ("SIGUSR2 SIGTERM", "SIGUSR2"), ("SIGTERM SIGINT", None)])
def test_of_several_signals_that_of_slurm_is_told(sent, told):
    stops = pytest.raises(KeyboardInterrupt) if told is None else contextlib.nullcontext()
    with stops, processes.stop_requests() as asked:
        for name in sent.split():
            os.kill(os.getpid(), getattr(signal, name))
        assert asked() == getattr(signal, told)


def test_outside_the_main_thread_nothing_is_asked():
    answers, before = [], signal.getsignal(signal.SIGTERM)

    def work():
        with processes.stop_requests() as asked:
            answers.append((asked(), signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [(False, True)]
