"""A loss file is tried in a process of its own; what that process says is data.

The child executes the files of a formula, checks the objective on the logits of an untrained model, and says which
function it found in each file, with every parameter. A hostile file can make it say anything: the identity of a file is
the hash of its text, which the parent takes itself.
"""

import functools
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from losslab import formula, processes
from losslab.corpus import Corpus
from losslab.experiment.vocabulary import Vocabulary
from losslab.lossfile import LossError, Source
from losslab.objective import Objective, Outline
from losslab.untrusted import one_line

LIMIT_SECONDS = 600.0
ATTEMPTS = 3  # a trial that is killed from outside is made again
MOST_BYTES = 100_000  # of an answer
MOST_LETTERS = 2_000  # of a sentence in it


def outline(parsed: formula.Formula, sources: Sequence[Source], corpus: Corpus) -> Outline:
    """The outline of a formula with loss files, once they were tried on the vocabulary of a corpus.

    Raises:
        LossError: what the trial found wrong, or that it gave no answer.
        ValueError: for parameters that a loss or transform does not have.
    """
    files = tuple((source.path, source.text) for source in sources)
    said = _said(str(parsed), files, corpus.name, str(corpus.folder), corpus.digest)
    if len(said) != len(sources):
        raise LossError(f"trying {sources[0].path} gave no usable answer")
    return Outline.of(parsed, sources, said)


@functools.lru_cache(maxsize=64)  # each seed of an arm asks the same
def _said(text: str, files: tuple[tuple[str, str], ...], name: str, folder: str, digest: str) -> tuple[str, ...]:
    request = json.dumps({"formula": text, "files": dict(files), "corpus": [name, folder]})
    names = ", ".join(path for path, _ in files)
    for _ in range(ATTEMPTS):
        answer, code = _ask(request, names)
        if code >= 0:
            break
    if isinstance(answer.get("error"), str):
        raise LossError(one_line(answer["error"], MOST_LETTERS))
    found = answer.get("said")
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        why = f"killed by signal {-code}, {ATTEMPTS} times" if code < 0 else f"exit {code}"
        raise LossError(f"trying {names} gave no usable answer ({why}); a loss file defines one function and does "
                        "nothing else")
    return tuple(one_line(one, MOST_LETTERS) for one in found)


def _ask(request: str, names: str) -> tuple[dict, int]:
    """The answer of one trial, and the exit code of its process."""
    with processes.workplace() as place:
        out, err = place / "answer", place / "said"
        process = processes.start(processes.ordinary("losslab.experiment.trial"), request, out, err,
                                  env=os.environ | processes.thread_variables(1))
        try:
            deadline = time.monotonic() + LIMIT_SECONDS
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise LossError(f"trying {names} did not end within {LIMIT_SECONDS / 60:.0f} minutes; a loss is "
                                    "computed in a fraction of a second")
                time.sleep(0.02)
        finally:
            processes.end(process)
        return _read(out), process.returncode


def _read(path: Path) -> dict:
    with open(path, "rb") as file:
        text = file.read(MOST_BYTES)
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def main() -> int:
    """The child: one JSON object on standard input, one on standard output, which the files cannot print into."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.readline())
    try:
        objective = Objective(formula.parse(request["formula"]), request["files"])
        name, folder = request["corpus"]
        corpus = Corpus(name, Path(folder))
        objective.check(corpus.tokenizer.vocab_size, Vocabulary(corpus.vocabulary()))
        said = {"said": [term.call for term in objective.terms if term.source]}
    except (ValueError, OSError) as error:
        said = {"error": str(error)}
    json.dump(said, answer)
    answer.flush()
    os._exit(0)  # whatever a file has registered for the end of the process
