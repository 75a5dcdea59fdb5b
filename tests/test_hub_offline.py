"""What of the hub needs none of its libraries, and what it says where it cannot be reached."""

import contextlib
import io
import sys

import pytest

from losslab import hub
from losslab.cli import main

THEIRS = {"transformers", "huggingface_hub", "datasets"}


def without_theirs():
    """Exit code, output and errors of an import, after an export that loads no library of theirs."""
    assert not THEIRS & set(sys.modules)
    hub.export_run("run", "out")
    assert not THEIRS & set(sys.modules)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        with pytest.raises(SystemExit) as ended:
            main(["import", "owner/nothing-of-the-kind"])
    return ended.value.code, out.getvalue(), err.getvalue()


def test_an_export_needs_no_library_of_theirs_and_a_hub_out_of_reach_is_one_sentence(tmp_path, monkeypatch):
    from forks import forked
    from hub_models import ours  # loads transformers, and this file is read by the process that must not have it

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ours(tmp_path / "run")
    code, out, err = forked(without_theirs)
    assert code == 2 and out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: the hub cannot be reached for the model owner/nothing-of-the-kind (OfflineMode")
    assert (tmp_path / "out" / "model.safetensors").exists() and not (tmp_path / "models").exists()
