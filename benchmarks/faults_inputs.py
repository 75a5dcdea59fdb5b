"""Mutated inputs: every kind of file that losslab reads, bent in thousands of ways; each must end in a sentence.

Input `number` of `seed` is always the same mutation. It is read in this process, by the command line or the
function that reads it for one. What is allowed: a result, or ValueError, OSError or ModuleNotFoundError with one
sentence. What is a failure: any other exception, more than `LIMIT_SECONDS`, more than `LIMIT_BYTES` of memory, a
message of several lines, one that only repeats Python's own words, control characters on their way to a terminal.
"""

import hashlib
import json
import random
import resource
import shutil
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import faults_mutate as mutate
import faults_pages
import faults_studies
import faults_subjects
from faults_subjects import Sentence, Subject, Terminal, check_sentence

SUBJECTS = (*faults_subjects.SUBJECTS, *faults_studies.SUBJECTS, *faults_pages.SUBJECTS)

LIMIT_SECONDS = 60
LIMIT_BYTES = 4 * 2**30  # of memory that one input allocates; more counts as an attack on memory


class Hang(BaseException):
    """An input took longer than it may."""


@dataclass(frozen=True)
class Finding:
    """One input that did not end as it should."""

    number: int
    subject: str
    kind: str  # traceback, hang, sentence, terminal
    said: str
    where: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind} | {self.where or self.said[:80]}"


class Bench:
    """A place where one input after the other is bent and read."""

    def __init__(self, material: Path, folder: Path, seed: int):
        self.material, self.folder, self.seed = material, folder, seed
        self.folder.mkdir(parents=True, exist_ok=True)

    def bend(self, number: int) -> tuple[Subject, Path, Path]:
        """The subject, its folder and its bent file of input `number`, on disk."""
        rng = random.Random(f"{self.seed}/{number}")
        subject = rng.choices(SUBJECTS, weights=[subject.weight for subject in SUBJECTS])[0]
        shutil.rmtree(self.folder, ignore_errors=True)
        place = self.folder / "input"
        shutil.copytree(self.material / subject.root, place)
        files = sorted(path for path in place.glob(subject.pattern) if path.is_file())
        file = rng.choice(files)
        mutation = subject.mutation
        if mutation is mutate.as_json and file.suffix != ".json":
            mutation = {".safetensors": mutate.as_safetensors}.get(file.suffix, mutate.raw)
        if mutation is mutate.as_lines and file.suffix == ".json":
            mutation = mutate.as_json
        file.write_bytes(mutation(rng, file.read_bytes()))
        if rng.random() < 0.6:
            reseal(file)
        return subject, place, file

    def run(self, number: int) -> tuple[str, str, Finding | None]:
        """The subject of input `number`, and how it ended: `read` or `refused`, or with a finding."""
        subject, place, file = self.bend(number)
        outcome, kind, error = "read", "", None
        signal.signal(signal.SIGALRM, _too_long)
        signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
        try:
            subject.read(place, file)
        except (Sentence, Terminal) as found:
            kind, error = type(found).__name__.lower(), found
        except Hang as found:
            kind, error = "hang", found
        except (ValueError, OSError, ModuleNotFoundError) as found:
            outcome = "refused"
            try:
                check_sentence(str(found))
            except Sentence:
                kind, error = "sentence", found
        except BaseException as found:
            if isinstance(found, KeyboardInterrupt):
                raise
            kind, error = "traceback", found
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if error is None:
            return subject.name, outcome, None
        said = f"{type(error).__name__}: {str(error)[:400]!r}"
        return subject.name, kind, Finding(number, subject.name, kind, said, _where(error))


def _too_long(*_) -> None:
    raise Hang(f"more than {LIMIT_SECONDS} s")


def _where(error: BaseException) -> str:
    """The deepest line of losslab that the exception went through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/losslab/" in f.filename]
    if not frames:
        return type(error).__name__
    return f"{frames[-1].filename.rpartition('/losslab/')[2]}:{frames[-1].name} {type(error).__name__}"


def reseal(file: Path) -> None:
    """Make the sums around `file` fit again, as someone would who bent it on purpose."""
    from losslab.records import index
    from losslab.records.files import checksum
    from losslab.study import toml

    manifest, result = file.with_name("manifest.json"), file.with_name("result.json")
    try:
        if manifest.is_file() and file != manifest:
            sums = json.loads(manifest.read_bytes())
            sums[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
            manifest.write_bytes(mutate.dumps(sums))
        if file.name == "log.jsonl" and result.is_file():
            data, found = file.read_bytes(), json.loads(result.read_bytes())
            found["log"] = {"lines": data.count(b"\n"), "sha256": hashlib.sha256(data).hexdigest()}
            result.write_bytes(mutate.dumps(found | {"checksum": checksum(found)}))
        if file.suffix == ".toml":
            text = file.read_text("utf-8")
            if f"\n{toml.SEAL}" in text:
                file.write_text(toml.sealed(text.rpartition(toml.SEAL)[0]), "utf-8")
        if file.suffix == ".sqlite":
            data = file.read_bytes()[: -index.DIGEST_BYTES]
            file.write_bytes(data + hashlib.sha256(data).digest())
        found = json.loads(file.read_bytes()) if file.suffix == ".json" else None
        if isinstance(found, dict) and "checksum" in found:
            file.write_bytes(mutate.dumps(found | {"checksum": checksum(found)}))
    except (ValueError, TypeError, RecursionError):
        return


def work(connection, material: str, folder: str, seed: int, numbers: range) -> None:
    """Inputs one after the other, each reported before and after; runs in a separate process."""
    import os

    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    os.environ["LOSSLAB_CACHE"] = f"{folder}/cache"
    sys.stdin = open(os.devnull, encoding="utf-8")
    bench = Bench(Path(material), Path(folder) / "bench", seed)
    for count, number in enumerate(numbers):
        connection.send((number, "", "begun", None))
        connection.send((number, *bench.run(number)))
        if count % 100 == 0:
            shutil.rmtree(f"{folder}/cache", ignore_errors=True)
    connection.send((None, "", "done", None))
