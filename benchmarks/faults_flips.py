"""Accidental byte flips over everything that a verdict rests on: the files of runs, studies, caches, ledgers.

A flip turns one to three bits of one file. Then the program is asked what it would be asked next: for a run folder the
document of the report, with its verdict, arms and curves; for a checkpoint the weights that would be measured or
trained on; for a ledger what is left. Allowed: the same answer as before, or a sentence that says what is damaged. A
silent change is another answer without a sentence.
"""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import faults_material as material
import faults_mutate as mutate
import faults_places as places
from faults_kept import KEPT, MAKERS, Kept
from faults_works import difference


@dataclass(frozen=True)
class Flip:
    """What one flip did."""

    number: int
    file: str  # with the seed and step of a run taken out of its name
    outcome: str  # same, said, silent, traceback
    said: str = ""


class Flips:
    """Folders with work that is done, copied afresh for every flip.

    Args:
        made: a folder for each name of `MAKERS`, each with its own `cache`.
        folder: for the copies.
        seed: with the number of a flip, names it.
        kept: the kinds of files.
    """

    def __init__(self, made: Path, folder: Path, seed: int, kept: tuple[Kept, ...] = KEPT):
        self.made, self.folder, self.seed = made, folder, seed
        self.files: dict[str, list[tuple[Kept, Path]]] = {}
        for kind in kept:
            for path in sorted((made / kind.made).glob(kind.pattern)):
                if path.is_file() and not path.name.startswith("report") and path.name != ".lock":
                    self.files.setdefault(kind.name(path), []).append((kind, path.relative_to(made)))
        self.truths: dict[tuple, tuple] = {}

    def run(self, number: int) -> Flip:
        """Flip number `number` of this seed."""
        rng = random.Random(f"{self.seed}/flip/{number}")
        name = sorted(self.files)[number % len(self.files)]  # every kind of file as often
        kind, path = rng.choice(self.files[name])
        truth, usual = self._truth(kind, path)
        file = self._copied(kind, path)
        data = file.read_bytes()
        if not data:
            return Flip(number, name, "same")
        flipped = mutate.bits(rng, data, 3)
        file.write_bytes(flipped if flipped != data else bytes([data[0] ^ 1]) + data[1:])
        try:
            found, said = self._asked(kind, file)
        except (ValueError, OSError, ModuleNotFoundError) as error:
            return Flip(number, name, "said", str(error)[:300])
        except Exception as error:
            return Flip(number, name, "traceback", f"{type(error).__name__}: {error}"[:300])
        said = "; ".join(text for text in said if text not in usual)[:300]
        if found == truth:
            return Flip(number, name, "said" if said else "same", said)
        wrong = f"bits of {path} change {difference(truth, found)}"
        return Flip(number, name, "said" if said else "silent", said or wrong)

    def _truth(self, kind: Kept, path: Path) -> tuple[object, list[str]]:
        key = kind.ask, path.parent  # what is asked depends on the run, and not on the file in it
        if key not in self.truths:
            self.truths[key] = self._asked(kind, self._copied(kind, path))
        return self.truths[key]

    def _copied(self, kind: Kept, path: Path) -> Path:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.made / kind.made, self.folder / kind.made)
        return self.folder / path

    def _asked(self, kind: Kept, file: Path) -> tuple[object, list[str]]:
        place, said = self.folder / kind.made, []
        with places.inside(place), places.quickly(), material.cache(place / "cache"):
            return kind.ask(file, said), said


def make(folder: Path, names=None, tell=lambda what, done, total: None) -> Path:
    """The folders of all makers, or of those named; one that is there stays as it is."""
    chosen = [name for name in MAKERS if (names is None or name in names) and not (folder / name).is_dir()]
    for number, name in enumerate(chosen):
        tell("what is bent", number, len(chosen))
        shutil.rmtree(folder / "making", ignore_errors=True)
        with places.quickly(), material.cache(folder / "making" / "cache"):
            MAKERS[name](folder / "making" / name)
        if (folder / "making" / "cache").is_dir():
            shutil.move(folder / "making" / "cache", folder / "making" / name / "cache")
        shutil.move(folder / "making" / name, folder / name)
    return folder
