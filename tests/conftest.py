"""One thread, a separate cache, and the same random numbers every time."""

import os
import shutil
import tempfile
from pathlib import Path

CACHE = tempfile.mkdtemp(prefix="losslab-tests-")
os.environ["LOSSLAB_CACHE"] = CACHE  # before losslab is imported, and for every process it starts
os.environ["HF_HOME"] = os.path.join(CACHE, "hub")
os.environ["LOSSLAB_STATE"] = os.path.join(CACHE, "state")
os.environ["OMP_NUM_THREADS"] = "1"

import numpy  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from data import invented_benchmarks  # noqa: E402
from hypothesis import settings  # noqa: E402

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels for a GPU run in numpy; Triton asks when it is imported

# modules that tests share: what they assert is explained as in a test
pytest.register_assert_rewrite("commands", "corpus_texts", "hub_models", "known_models", "record_runs")
torch.set_num_threads(1)
settings.register_profile("losslab", derandomize=True, deadline=None, max_examples=25, database=None)
settings.load_profile("losslab")


# each takes ten seconds or more: they begin first, so that no worker has one of them left when the others are done
LONGEST = (
    "test_cheats.py", "test_arena_attacks.py", "test_study.py", "test_resume.py", "test_cli.py", "test_anatomy.py",
    "test_study_folder.py", "test_tune.py", "test_faults.py", "test_experiment.py", "test_hub.py",
    "test_report_page.py",
)


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # by their number, files of few and long tests would come last


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_unconfigure(config):
    shutil.rmtree(CACHE, ignore_errors=True)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    numpy.random.seed(0)


REAL = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def benchmark_data(tmp_path_factory):
    """A folder of benchmarks and corpora in the published layouts, with invented rows."""
    return invented_benchmarks.write(tmp_path_factory.mktemp("benchmarks"))


@pytest.fixture(scope="session")
def real_data():
    """The published data sets: for what only they can show, such as that they have the published numbers of rows."""
    if not REAL.is_dir():
        pytest.skip("shows something of the published data alone, which are not on this machine")
    return REAL
