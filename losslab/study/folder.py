"""The folder of a study: its file, its runs, its trials, its looks, its verdict and its page.

A study folder is a store. `study.toml` holds the study as it was begun; the same file continues it, and seeds, arms and
trials may be added. Everything else that decides a verdict stays, from the first update that is trained on.
"""

import os
from collections.abc import Callable
from pathlib import Path

from losslab import records
from losslab.records.looks import NAME as LOOKS
from losslab.study import toml
from losslab.study.definition import Study
from losslab.study.file import read
from losslab.study.growing import difference, growth, joined

NAME = "study.toml"
VERDICT = "verdict.json"
TRIALS = "trials"


def continued(folder: str | Path, study: Study) -> Study:
    """The study as it continues in the folder: with all that was begun there, and all that is asked.

    Where nothing was trained and no look was made, it is the study that is asked, whatever was begun.

    Raises:
        ValueError: naming the field in which the study differs from the one that was begun; for a damaged file.
    """
    begun = as_begun(Path(folder) / NAME)
    if begun is None or begun == study or not is_used(folder):
        return study
    if not (changed := difference(begun, study)):
        try:
            return joined(begun, study)
        except ValueError as error:
            changed = str(error)
    raise ValueError(f"{Path(folder) / NAME} was begun with {changed}; go on with the study as it was, or begin anew "
                     "under another --name or --store")


def begin(folder: str | Path, study: Study) -> str:
    """Write what `continued` gives into the folder.

    Returns:
        a sentence on what it has besides what was begun, or besides what is asked; else nothing.

    Raises:
        ValueError: as `continued`; for a place that cannot be written.
    """
    begun, whole = as_begun(Path(folder) / NAME), continued(folder, study)
    path = Path(folder) / NAME
    if begun != whole:
        whole.write(path, sealed=True)
    if begun is None or not is_used(folder):
        return ""
    at = "" if Path(folder) == Path("runs", study.name) else f" --store {folder}"
    added, kept = growth(begun, whole), growth(study, whole)
    again = f"`losslab compare {path}{at}`"
    if not kept:
        return (f"{path} now has {added} too: what is done is kept, only what is missing is run, and {again} continues "
                "with all of it") if added else ""
    more = f", and now {added} too" if added else ""
    return f"{path} has {kept} besides what is asked{more}: the study continues with all of it, as {again} says"


def is_used(folder: str | Path) -> bool:
    """Whether anything was trained in the folder of a study, or is being trained, or a look was made."""
    folder = Path(folder)
    if os.path.lexists(folder / LOOKS):
        return True
    stores = [store for store in (folder, folder / TRIALS) if store.is_dir()]
    return any(records.is_locked(store) or any(map(_is_trained, records.folders(store))) for store in stores)


def _is_trained(run: Path) -> bool:
    if any(os.path.lexists(run / name) for name in ("checkpoint", "log.jsonl")) or records.is_locked(run):
        return True
    try:
        return records.read(run).status not in ("waiting", "failed")
    except (ValueError, OSError):  # damaged: nobody knows
        return True


def kept(folder: str | Path) -> Study:
    """The study that a folder keeps.

    Raises:
        ValueError: for a damaged file.
        OSError: where there is none.
    """
    path = Path(folder) / NAME
    return as_begun(path) or read(path)  # which says that there is none


def as_begun(
    path: Path, *, what: str = "study", anew: str = "another --name", check: Callable[[Study], object] = lambda _: None,
) -> Study | None:
    """The study that a file in a folder holds, checked; None where there is none.

    Raises:
        ValueError: for a damaged file, saying `what` it should hold and how another one is begun.
    """
    if not os.path.lexists(path):
        return None
    try:
        found = read(path)
        toml.check_seal(path.read_bytes())
        check(found)
        return found
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}, the {what} as it was begun, cannot be read ({error}); put back a copy of it, or "
                         f"begin anew under {anew} or --store") from None
