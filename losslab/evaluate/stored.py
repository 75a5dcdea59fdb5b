"""Weights that are those of their record, and task results that are kept and used again where nothing has changed."""

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from losslab import __version__, checkpoint, untrusted
from losslab.corpus import Corpus
from losslab.corpus.disk import root
from losslab.evaluate import harness, tasks
from losslab.evaluate.paired import outcomes
from losslab.evaluate.sharing import Ranks
from losslab.evaluate.task import Settings
from losslab.records import Record, files

OF_A_TEXT = ("likelihood", "wikitext2")  # tasks that take the run's corpus
FORMAT = 1  # of a kept result
MOST_FILES = 10_000  # of a folder of benchmarks


def partial() -> Path:
    """Where a long pass over a text is kept: not in the run folder, where the training could have left sums too."""
    return root() / "evaluations" / "partial"


def find(record: Record, warn: Callable[[str], None] = lambda text: None) -> tuple[Path, str]:
    """The newest checkpoint of a run and the sha256 of its weights.

    Raises:
        ValueError: if the record names the weights that were measured, and these are others.
    """
    path = checkpoint.newest(record.path / "checkpoint", warn=warn)
    now, then = checkpoint.verify(path)[checkpoint.WEIGHTS], record.result.get("weights")
    if isinstance(then, str) and now != then:
        raise ValueError(
            f"the weights of {record.path} are not those that were measured when it finished (sha256 {then[:12]}..., "
            f"now {now[:12]}...); evaluate the run that they are of, or train this one again"
        )
    return path, now


def load(record: Record, *, device: str = "cpu", warn: Callable[[str], None] = lambda text: None):
    """The model of a run, if its weights are those that were measured."""
    path, weights = find(record, warn)
    return checkpoint.load(path, device=device, weights_sha256=weights)


def run(name: str, record: Record, settings: Settings, *, device: str = "cpu", kept: bool = False) -> dict:
    """A task of a run: its result without items, `outcomes` (see `paired.outcomes`), `weights`, and `is_stored`.

    The result is kept in the cache, and used again where weights, tokenizer, settings, data and code are the same.

    Raises:
        ValueError: with `kept`, for what was not measured before; as the task does, otherwise.
    """
    path, weights = find(record)
    file = None
    if Ranks.here().world == 1:  # ranks must measure together, or none of them
        file = root() / "evaluations" / f"{_key(name, path, record, settings, device)}.json"
        if (known := _read(file)) is not None:
            return known | {"weights": weights, "is_stored": True}
    if kept:
        raise ValueError(f"{name} was not measured yet")
    loaded = checkpoint.load(path, device=device, weights_sha256=weights)
    result = tasks.run(name, loaded.model, loaded.tokenizer, settings)
    about = {"num_params": loaded.model.num_params, "tokenizer": loaded.tokenizer.name}
    found = {"result": result.to_dict(), "outcomes": outcomes(result.to_dict(with_items=True)), "about": about}
    if file is not None:
        _write(file, found)
    return found | {"weights": weights, "is_stored": False}


def _key(name: str, path: Path, record: Record, settings: Settings, device: str) -> str:
    manifest = checkpoint.verify(path)
    rules = {
        "task": name,
        "checkpoint": {file: sha256 for file, sha256 in manifest.items() if not file.startswith("optimizer.")},
        "limit": settings.limit, "prefix": settings.prefix, "split": settings.split, "device": device,
        "seq_len": settings.seq_len, "evaluate": asdict(settings.evaluate), "torch": torch.__version__, "code": _code(),
        "benchmarks": _listing(settings.benchmarks), "text": settings.text and _sha256(settings.text),
    }
    if name.startswith(tasks.HARNESS):
        rules["harness"], rules["tasks"] = harness.version(), _listing(harness.own_tasks())
    if name in OF_A_TEXT and settings.data is not None:
        from losslab import tokenizer as tokenizers

        corpus = Corpus.open(settings.data, tokenizer=tokenizers.load(path))
        rules["corpus"] = [corpus.name, corpus.digest, asdict(settings.data)]
    return hashlib.sha256(json.dumps(rules, sort_keys=True, default=str).encode()).hexdigest()[:32]


@functools.cache
def _code() -> str:
    """Names the code that measures: the version, and the sources that a score depends on."""
    package = Path(__file__).parents[1]
    parts = ("model", "evaluate", "tokenizer")
    files = [file for part in parts for file in package.glob(f"{part}/*.py")]
    sources = b"".join(file.name.encode() + b"\0" + file.read_bytes() for file in sorted(files))
    return f"{__version__} {hashlib.sha256(sources).hexdigest()}"


def _listing(folder: Path | None) -> list | None:
    """Names, sizes and times of the files of a folder of benchmarks; None: they come from the hub."""
    if folder is None:
        return None
    found = []
    for file in sorted(folder.rglob("*"))[:MOST_FILES]:
        if file.is_file():
            state = file.stat()
            found.append([str(file.relative_to(folder)), state.st_size, state.st_mtime_ns])
    return found


def _sha256(path: Path) -> str:
    with untrusted.open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(file: Path) -> dict | None:
    """What is kept in `file`; None where there is nothing, or not what was written."""
    try:
        return files.read_sealed(file, FORMAT, always=True)["found"]
    except (ValueError, OSError, KeyError):
        return None


def _write(file: Path, found: dict) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write_sealed(file, {"format": FORMAT, "found": found})
    except OSError:
        pass  # the result is there all the same; it is measured again next time
