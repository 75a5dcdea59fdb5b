"""Tiers of a jail: how strong its walls are, what each promises, and what a process in it may read."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from losslab import processes
from losslab.words import extra

WEAKEST_FIRST = ("plain", "landlock", "sandlock", "bwrap")
ABOUT = {
    "plain": "limits on memory, files and time, and a clean environment; it can read what you can read",
    "landlock": "sees only Python and one scratch folder; no network, no processes, no signals (Landlock and seccomp)",
    "sandlock": "the same, with the file rules of the sandlock package",
    "bwrap": "the same, in its own namespaces (bubblewrap)",
}
WALLED = frozenset({"reads", "lists", "writes", "network", "processes", "signals"})
PROMISED = {"plain": frozenset(), "landlock": WALLED, "sandlock": WALLED, "bwrap": WALLED}  # what must not work
# of losslab, what the process inside needs: no text, no evaluator, no records, no challenge
CODE = ("__init__.py", "arena/__init__.py", "arena/inside.py", "arena/memory.py", "arena/walls.py", "arena/calls.py",
        "objective.py", "prediction.py", "formula.py", "grammar.py", "words.py", "untrusted.py", "progress.py",
        "processes.py", "lossfile", "config", "recipes", "losses", "transforms")
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
KEPT = ("LD_LIBRARY_PATH", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS")


class NotToBeHad(ValueError):
    """A tier that this machine does not give."""


def at_least(tier: str) -> list[str]:
    """The tiers that a challenge with this least one accepts, strongest first."""
    return list(reversed(WEAKEST_FIRST[WEAKEST_FIRST.index(tier):]))


def missing(tier: str) -> str:
    """Why a tier cannot be tried here; empty where it can."""
    if tier == "plain":
        return ""
    if not sys.platform.startswith("linux"):
        return "it needs Linux"
    if tier == "bwrap" and shutil.which("bwrap") is None:
        return "there is no program bwrap; install bubblewrap"
    if tier == "sandlock":
        from importlib.util import find_spec

        if find_spec("sandlock") is None:
            return f"the package sandlock is not installed; {extra('sandbox')}"
    return ""


def stage(folder: Path) -> Path:
    """A copy of the code that runs inside, in `folder`; nothing else of losslab is there to be read."""
    package = Path(__file__).resolve().parents[1]
    for name in CODE:
        source, place = package / name, folder / "losslab" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, place)
    return folder / "losslab"


def python_folders() -> list[str]:
    """Folders with the standard library, apart from packages; and Python's own library, where it is a shared one."""
    found = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    if sysconfig.get_config_var("LDLIBRARY") and sysconfig.get_config_var("LIBDIR"):
        found.append(os.path.join(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME") or
                                  sysconfig.get_config_var("LDLIBRARY")))
    return list(dict.fromkeys(os.path.realpath(path) for path in found if path))


def readable(staged: Path, tier: str) -> tuple[list[str], list[str]]:
    """What may be read, and folders of which the names alone may be listed.

    Of each folder of packages that is every package but losslab, which knows how its texts are made.
    """
    whole, listed = [str(staged), *python_folders(), *LIBRARIES, os.path.realpath(sys.executable)], []
    for folder in _package_folders(tier):
        listed.append(folder)
        with os.scandir(folder) as entries:
            whole += [entry.path for entry in entries if not entry.name.startswith("losslab")]
    return whole, listed


def _package_folders(tier: str) -> list[str]:
    found = processes.package_folders()
    if tier == "sandlock":
        from importlib.util import find_spec

        found.append(str(Path(find_spec("sandlock").origin).resolve().parent.parent))
    return list(dict.fromkeys(found))


def command(tier: str, staged: Path, scratch: Path, module: str) -> list[str]:
    """The command line of the process inside."""
    own = [os.path.realpath(sys.executable), "-I", "-S", "-B", "-c", processes.BOOT, str(staged), module,
           *_package_folders(tier)]
    return [*_bwrap(staged, scratch), *own] if tier == "bwrap" else own


def _bwrap(staged: Path, scratch: Path) -> list[str]:
    words = [shutil.which("bwrap"), "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop",
             "ALL", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for path in (*LIBRARIES, *python_folders(), os.path.realpath(sys.executable), *_package_folders("bwrap")):
        if os.path.islink(path) and os.path.isdir(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            words += ["--ro-bind", path, path]
    for folder in _package_folders("bwrap"):
        if os.path.isdir(os.path.join(folder, "losslab")):
            words += ["--tmpfs", os.path.join(folder, "losslab")]
    for name, value in environment(scratch).items():
        words += ["--setenv", name, value]
    return [*words, "--ro-bind", str(staged), str(staged), "--bind", str(scratch), str(scratch), "--chdir",
            str(scratch), "--"]


def environment(scratch: Path) -> dict[str, str]:
    """All that the process inside knows of the environment: one thread, and a folder to write in."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return kept | threads | {"HOME": str(scratch), "TMPDIR": str(scratch), "LANG": "C.UTF-8", "PATH": "/nowhere"}
