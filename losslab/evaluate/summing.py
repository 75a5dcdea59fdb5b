"""Sums over fixed batches: spread over processes, and kept on disk while they grow."""

import hashlib
import json
import math
import os
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from losslab.evaluate.sharing import Ranks
from losslab.stats import Score, ratio_score

Sums = dict[str, np.ndarray]  # float64 arrays that batches are added to


@dataclass(frozen=True)
class Summing:
    """How a pass over a text is done: by whom, where its sums are kept so that a killed one resumes, and who is told.

    Batches are fixed beforehand and each is read whole by one process, so that any number of processes, and any
    number of interruptions, adds up the same numbers; only the order of float64 sums differs.
    """

    ranks: Ranks = Ranks()
    partial: Path | None = None  # a folder for the sums so far; None keeps nothing
    progress: Callable[[int, int], None] = lambda done, total: None  # tokens read, of all that this process reads
    save_seconds: float = 10.0

    def add_up(
        self, add: Callable[[int, Sums], None], sizes: Sequence[int], sums: Sums, key: Callable[[], str],
        device: torch.device | str = "cpu",
    ) -> Sums:
        """Call `add(number, sums)` for every batch, and add up the sums of all processes.

        Args:
            sizes: tokens of each batch.
            sums: zeros, in the shapes of the result.
            key: names model, data and rules; sums of another key are not taken up again.
            device: where processes exchange tensors.
        """
        own = [number for number in range(len(sizes)) if self.ranks.takes(number)]
        file = self.partial and self.partial / f".sums-{key()}-{self.ranks.rank}of{self.ranks.world}.npz"
        sums["seconds"] = np.zeros(1)
        done = _restore(file, sums) if file else 0
        total, read, saved = sum(sizes[i] for i in own), sum(sizes[i] for i in own[:done]), time.monotonic()
        for number in own[done:]:
            started = time.perf_counter()
            add(number, sums)
            sums["seconds"] += time.perf_counter() - started
            done, read = done + 1, read + sizes[number]
            self.progress(read, total)
            if file and time.monotonic() - saved >= self.save_seconds:
                _save(file, sums, done)
                saved = time.monotonic()
        for name in sorted(sums):
            sums[name] = self.ranks.summed(sums[name], device)
        if file:
            file.unlink(missing_ok=True)
        return sums


def ratio(nats: np.ndarray, count: np.ndarray, unit: str) -> Score:
    """`stats.ratio_score`; infinite and without an error where a token that came was called impossible."""
    if not np.isfinite(nats).all():
        return Score(math.inf, None, len(nats), unit)
    return ratio_score(nats, count, unit)


def fingerprint(model, documents: Sequence, rules: dict) -> str:
    """Names exactly these weights, these tokens and these rules."""
    sha = hashlib.sha256(json.dumps(rules, sort_keys=True).encode())
    about = [type(model).__name__, repr(model.config), getattr(model, "transform_text", ""), torch.__version__]
    sha.update("\0".join(about).encode())
    for name, tensor in model.state_dict().items():
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)} {tensor.device.type}".encode())
        sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    for document in documents:
        sha.update(f"{len(document.tokens)} {document.ends}".encode())
        if (answers := getattr(document, "answers", None)) is not None:
            sha.update(np.packbits(answers))
        for first in range(0, len(document.tokens), 1 << 20):  # a part at a time: a document may be a whole text
            sha.update(np.ascontiguousarray(document.tokens[first : first + (1 << 20)], dtype=np.int64))
    return sha.hexdigest()[:16]


def _save(file: Path, sums: Sums, done: int) -> None:
    """Whole or not at all."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as handle:
            np.savez(handle, done=np.array(done), **sums)
        os.replace(temporary, file)
    except OSError as error:
        raise OSError(f"cannot keep the evaluation so far in {file}: {error.strerror}; free some space") from None
    finally:
        temporary.unlink(missing_ok=True)


def _restore(file: Path, sums: Sums) -> int:
    """Batches that are in `file`, with `sums` filled from it; 0 where there is none, or none that can be read."""
    try:
        with open(file, "rb") as handle:
            kept = np.load(handle, allow_pickle=False)
            found = {name: kept[name] for name in sums}
            done = int(kept["done"])
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile):
        return 0
    if done < 0 or any(found[name].shape != sums[name].shape or found[name].dtype != float for name in sums):
        return 0
    sums.update(found)
    return done
