"""A study on a real Ray cluster of two machines (two raylets here), one of which is lost in the middle."""

import json
import os
from pathlib import Path

import pytest
from experiments import change, small_text
from forks import fork_children

from losslab import executors, study

ray = pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray leaves files and sockets to the collector
STEPS, EVERY = 12, 4
PATIENCE = 600  # seconds, after which a run goes on, and the test fails
# each run says when it is half done, and waits there until a machine was lost
WAITS = f"""
import os, time
calls = 0
def waits(prediction):
    global calls
    calls += 1
    if calls == {STEPS // 2 + 1} and not os.path.exists("lost"):
        open(f"half-done-{{os.getpid()}}", "w").close()
        for _ in range({PATIENCE} * 20):
            if os.path.exists("lost"):
                break
            time.sleep(0.05)
    return prediction.nll
"""
BASE = change(train={"num_steps": STEPS, "checkpoint_every": EVERY, "log_every": 1, "numerics": "reference",
                     "dtype": "float32"}, evaluate={"num_samples": 0})
ARMS = [change(BASE, loss=loss) for loss in ("waits.py", 'file("waits.py") + 0.1*z_loss')]


@pytest.fixture
def cluster(monkeypatch):
    """Two machines with one core each; the second one can be lost."""
    from ray.cluster_utils import Cluster

    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_health_check_period_ms": "1000", "RAY_worker_niceness": "0",
                "PYTHONPATH": str(Path(study.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def test_a_machine_is_lost_and_the_verdict_is_that_of_one_machine(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(small_text(tmp_path))
    (tmp_path / "waits.py").write_text(WAITS)
    said, nodes = [], []

    def lose_one(*report) -> None:
        if len(list(tmp_path.glob("half-done-*"))) == 2 and not nodes:
            nodes.append(len([node for node in ray.nodes() if node["Alive"]]))
            cluster.remove_node(cluster.second, allow_graceful=False)
            (tmp_path / "lost").touch()

    with executors.opened("ray", "far", address=cluster.address, tell=said.append) as executor:
        far = study.compare(ARMS, [0, 1], "far", executor=executor, tell=said.append, progress=lose_one)
        nodes.append(len([node for node in ray.nodes() if node["Alive"]]))
    assert nodes == [2, 1]
    continued = [run for run in far.runs if "continuing from step" in (run.path / "worker.log").read_text()]
    assert len(continued) == 1, said  # the run of the lost machine, on the other one
    with pytest.MonkeyPatch.context() as patch:
        fork_children(patch)
        near = study.compare(ARMS, [0, 1], "near", tell=said.append)
    assert far.verdict == near.verdict
    assert [run.result["weights"] for run in far.runs] == [run.result["weights"] for run in near.runs]
    assert json.loads((continued[0].path / "spec.json").read_text())["config"]["train"]["numerics"] == "reference"
    assert not [name for name in os.listdir("far") if name.startswith(".probe")]
