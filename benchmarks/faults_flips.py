"""Accidental byte flips over everything that a verdict rests on: the files of runs, checkpoints and the cached corpus.

A flip turns one to three bits of one file. Then the program is asked what it would be asked next: for a run folder the
document of the report, with its verdict, arms and curves; for a checkpoint the weights that would be measured or
trained on; for the cache the corpus that a run would begin with and a measurement would read. Allowed: the same answer
as before, or a sentence that says what is damaged. A silent change is another answer without a sentence.
"""

import contextlib
import hashlib
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import faults_mutate as mutate

SAYS = ("damaged", "was changed", "was cut", "is missing", "are no lines of a log", "rebuilt", "built again")


@dataclass(frozen=True)
class Flip:
    """What one flip did."""

    number: int
    file: str  # with the seed and step of a run taken out of its name
    outcome: str  # same, said, silent, traceback
    said: str = ""


class Flips:
    """A study and its cache, copied afresh for every flip."""

    def __init__(self, store: Path, cache: Path, folder: Path, seed: int):
        self.store, self.cache, self.folder, self.seed = store, cache, folder, seed
        self.files = [path for path in sorted(store.rglob("*")) if path.is_file() and _counts(path)]
        self.files += [path for path in sorted(cache.rglob("*")) if path.is_file() and not path.name.endswith(".lock")]
        self.truth = self.answers(store, cache, Path(".none"))

    def run(self, number: int) -> Flip:
        """Flip number `number` of this seed."""
        rng = random.Random(f"{self.seed}/flip/{number}")
        kinds = sorted({self.kind(path) for path in self.files})
        kind = kinds[number % len(kinds)]  # every kind of file as often
        path = rng.choice([path for path in self.files if self.kind(path) == kind])
        store, cache = self.folder / "store", self.folder / "cache"
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.store, store)
        shutil.copytree(self.cache, cache)
        file = store / path.relative_to(self.store) if path.is_relative_to(self.store) else \
            cache / path.relative_to(self.cache)  # fmt: skip
        data = file.read_bytes()
        if not data:
            return Flip(number, kind, "same")
        flipped = mutate.bits(rng, data, 3)
        file.write_bytes(flipped if flipped != data else bytes([data[0] ^ 1]) + data[1:])
        try:
            found = self.answers(store, cache, file)
        except (ValueError, OSError, ModuleNotFoundError) as error:
            return Flip(number, kind, "said", str(error)[:300])
        except Exception as error:
            return Flip(number, kind, "traceback", f"{type(error).__name__}: {error}"[:300])
        said = found.pop("said")
        before = {name: value for name, value in self.truth.items() if name in found}
        different = [name for name, value in found.items() if value != before[name]]
        if not different:
            return Flip(number, kind, "said" if said else "same", "; ".join(said)[:300])
        if said:
            return Flip(number, kind, "said", "; ".join(said)[:300])
        return Flip(number, kind, "silent", f"{', '.join(different)} changed by bits of {file}")

    def kind(self, path: Path) -> str:
        """The file's name, and what it is a file of."""
        if path.is_relative_to(self.cache):
            return f"cache/{path.name}"
        return f"checkpoint/{path.name}" if path.parent.name.startswith("step-") else f"run/{path.name}"

    def answers(self, store: Path, cache: Path, file: Path) -> dict:
        """All that is asked after a flip, and the sentences that came with it; only what `file` can have changed."""
        said: list[str] = []
        found: dict = {"said": said}
        everything = file == Path(".none")
        if everything or (file.is_relative_to(store) and "checkpoint" not in file.parts):
            found["document"] = _document(store, said)
        if everything or "checkpoint" in file.parts:
            run = file.parents[2] if not everything else None
            for path in [run] if run else sorted(p for p in store.iterdir() if (p / "checkpoint").is_dir()):
                found[f"weights of {path.name}"] = _weights(path, said)
        if everything or file.is_relative_to(cache):
            found["corpus"] = _corpus(store, cache, said)
        return found


def _counts(path: Path) -> bool:
    return path.suffix in (".json", ".jsonl", ".safetensors") and not path.name.startswith("report")


def _document(store: Path, said: list[str]) -> dict:
    """The report of the store; caveats that name damage are sentences."""
    from losslab import comparison, records, report

    found = report.document(comparison.compare(records.find([store])))
    document = json.loads(json.dumps(found, default=str).replace(str(store), "STORE"))
    said += [text for text in _texts(document) if any(word in text for word in SAYS)]
    return document


def _texts(found):
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for value in found.values() if isinstance(found, dict) else found:
            yield from _texts(value)


def _weights(run: Path, said: list[str]) -> list:
    """What a measurement or a resumed training would take: the newest whole checkpoint, and each by itself."""
    from losslab import checkpoint, optim
    from losslab.config import TrainConfig

    newest = checkpoint.newest(run / "checkpoint", warn=said.append)
    found = []
    for path in [newest, *(path for path in checkpoint.steps(run / "checkpoint") if path != newest)]:
        try:
            loaded = checkpoint.load(path)
            states = [loaded.model.state_dict()]
            if (path / "optimizer.safetensors").exists():
                optimizer = optim.build(loaded.model, TrainConfig(num_steps=1))
                checkpoint.restore_optimizer(path, loaded.model, optimizer)
                states += list(optimizer.state.values())
            sums = [hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for s in states for tensor in s.values()]
            found.append([path.name, loaded.step, loaded.tokens, loaded.tokenizer.digest, sums])
        except ValueError as error:
            said.append(str(error))
    return found


def _corpus(store: Path, cache: Path, said: list[str]) -> dict:
    """The corpus as a run would begin with it and a measurement would read it: every id of every split."""
    import faults_material

    from losslab import records
    from losslab.corpus import Corpus

    config = records.find([store])[0].config.data
    with faults_material.cache(cache):
        corpus = Corpus.open(config, progress=lambda what, done, total: None)
        with contextlib.suppress(AttributeError):
            corpus.verify()
        splits = {
            split: [hashlib.sha256(corpus.stream(split).tobytes()).hexdigest(),
                    [[len(d.tokens), d.num_bytes, d.num_words, d.ends] for d in corpus.documents(split)]]
            for split in ("train", "val", "tune")
        }  # fmt: skip
        return {"digest": corpus.digest, "tokenizer": corpus.tokenizer.digest, "floor": corpus.floor_bits_per_byte,
                "tokens": corpus.num_tokens, "bytes": corpus.num_bytes, "splits": splits,
                "unigram": hashlib.sha256(corpus.unigram().tobytes()).hexdigest()}
