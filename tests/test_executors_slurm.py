"""A study as jobs of a real SLURM, of which one is out of time, goes back into the queue and continues.

One machine with the Debian packages slurm-wlm and munge will do: `docs/scaling-out.md` has its slurm.conf.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from experiments import change, small_text
from forks import fork_children
from record_runs import refused

from losslab import executors, study

pytest.importorskip("submitit", reason="needs the extra slurm")


def _is_there() -> bool:
    return shutil.which("sbatch") is not None and subprocess.run(["sinfo"], capture_output=True).returncode == 0


pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"),
              pytest.mark.skipif(not _is_there(), reason="needs a SLURM that answers")]
STEPS, EVERY = 12, 4
PATIENCE = 600  # seconds, after which a run goes on, and the test fails
MINUTES, DELAY = 5, 60  # SLURM warns four minutes after the start, by when a busy machine is half done, too
# half done, the run waits until it is asked to stop for the first time
WAITS = f"""
import os, signal, time
calls = 0
def waits(prediction):
    global calls
    calls += 1
    if calls == {STEPS // 2 + 1} and not os.path.exists("warned"):
        before = signal.getsignal(signal.SIGTERM)
        def warned(*given):
            open("warned", "w").close()
            before(*given)
        signal.signal(signal.SIGTERM, warned)
        for _ in range({PATIENCE} * 20):
            if os.path.exists("warned"):
                break
            time.sleep(0.05)
    return prediction.nll
"""
BASE = change(train={"num_steps": STEPS, "checkpoint_every": EVERY, "log_every": 1, "numerics": "reference",
                     "dtype": "float32"}, evaluate={"num_samples": 0})
ARMS = [change(BASE, loss=loss) for loss in ("cross_entropy", "waits.py")]


def test_a_job_out_of_time_is_queued_again_and_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(small_text(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(study.__file__).parents[2]))
    (tmp_path / "waits.py").write_text(WAITS)
    said = []
    options = {"time": str(MINUTES), "signal_delay_s": str(DELAY)}
    with executors.opened("slurm", "far", options=options, tell=said.append) as executor:
        far = study.compare(ARMS, [0], "far", executor=executor, tell=said.append)
        numbers = {job.job_id for job in executor.submitted}
    assert [run.status for run in far.runs] == ["finished"] * 2, said
    assert len({number.split("_")[0] for number in numbers}) == 1 and len(numbers) == 2  # one array
    told = subprocess.run(["scontrol", "show", "job", next(iter(numbers)).split("_")[0]], capture_output=True,
                          text=True).stdout
    restarts = dict(re.findall(r"ArrayTaskId=(\d+).*?Restarts=(\d+)", told, flags=re.DOTALL))
    assert restarts.keys() <= {"0", "1"}  # SLURM forgets a job five minutes after its end
    assert int(restarts["1"]) >= 1  # on a slow machine more
    assert "continuing from step" in (far.runs[1].path / "worker.log").read_text()
    with pytest.MonkeyPatch.context() as patch:
        fork_children(patch)
        near = study.compare(ARMS, [0], "near", tell=said.append)
    assert [run.result["weights"] for run in far.runs] == [run.result["weights"] for run in near.runs]
    assert not [name for name in os.listdir("far") if name.startswith((".probe", ".slurm"))]


def test_what_sbatch_refuses_is_one_sentence(tmp_path):
    def enter():
        with executors.opened("slurm", tmp_path, options={"partition": "nowhere"}):
            raise AssertionError("it was taken")

    assert "SLURM takes no such job: sbatch: error: " in refused(enter)
    assert "an option of --executor slurm is not known" in str(pytest.raises(ValueError, executors.opened(
        "slurm", tmp_path, options={"partitoin": "main"}).__enter__).value)
