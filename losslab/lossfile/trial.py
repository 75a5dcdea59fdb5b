"""A loss file is tried in a separate process; what that process returns is data.

A hostile file can make it say anything: the identity of a file is the hash of its text, which the parent takes itself.
"""

import json
import time

from losslab import processes
from losslab.lossfile.source import LossError, Source
from losslab.progress import Progress, silent
from losslab.untrusted import one_line

CHILD = "losslab.experiment.trial"  # stands higher: it makes an objective and opens a corpus
LIMIT_SECONDS = 600.0
ATTEMPTS = 3  # a trial that is killed from outside is made again
MOST_KEPT = 64  # answers
MOST_BYTES = 100_000  # of an answer
MOST_LETTERS = 2_000  # of a sentence in it


def tried(
    text: str, sources: tuple[Source, ...], corpus: tuple[str, str, str], progress: Progress = silent,
) -> tuple[str, ...]:
    """What the trial of a formula says of each of its files: the function in it, with every parameter.

    Args:
        text: the formula.
        sources: its files, in the order of its terms.
        corpus: name, folder and digest of the corpus on whose vocabulary the objective is tried.
        progress: is told how many seconds it has taken; a loss file may need many.

    Raises:
        LossError: what the trial found wrong, or that it gave no answer.
    """
    asked = text, sources, corpus
    if asked not in _said:  # each seed of an arm asks the same
        while len(_said) >= MOST_KEPT:
            del _said[next(iter(_said))]
        _said[asked] = _tried(*asked, progress)
    return _said[asked]


_said: dict[tuple, tuple[str, ...]] = {}


def _tried(
    text: str, sources: tuple[Source, ...], corpus: tuple[str, str, str], progress: Progress,
) -> tuple[str, ...]:
    files = {source.path: source.text for source in sources}
    request, names = json.dumps({"formula": text, "files": files, "corpus": corpus}), ", ".join(files)
    for _ in range(ATTEMPTS):
        answer, code = _ask(request, names, progress)
        if code >= 0:
            break
    if isinstance(answer.get("error"), str):
        raise LossError(one_line(answer["error"], MOST_LETTERS))
    said = answer.get("said")
    if not isinstance(said, list) or len(said) != len(sources) or not all(isinstance(one, str) for one in said):
        why = f"killed by signal {-code}, {ATTEMPTS} times" if code < 0 else f"exit {code}"
        raise LossError(f"trying {names} gave no usable answer ({why}); a loss file defines one function and does "
                        "nothing else")
    return tuple(one_line(one, MOST_LETTERS) for one in said)


def _ask(request: str, names: str, progress: Progress) -> tuple[dict, int]:
    """The answer of one trial, and the exit code of its process."""
    with processes.workplace() as place:
        out, err = place / "answer", place / "said"
        process = processes.start(processes.ordinary(CHILD), request, out, err,
                                  env=processes.inherited() | processes.thread_variables(1))
        try:
            begun = told = time.monotonic()
            while process.poll() is None:
                now = time.monotonic()
                if now - told >= 1:
                    told = now
                    progress(f"trying {names}", round(now - begun), 0, "seconds")
                if now - begun > LIMIT_SECONDS:
                    raise LossError(f"trying {names} did not end within {LIMIT_SECONDS / 60:.0f} minutes; a loss is "
                                    "computed in a fraction of a second")
                time.sleep(0.02)
        finally:
            processes.end(process)
        with open(out, "rb") as file:
            text = file.read(MOST_BYTES)
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    return answer if isinstance(answer, dict) else {}, process.returncode
