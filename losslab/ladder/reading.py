"""The page of a ladder from its folder, of the rungs that have ended."""

from collections.abc import Callable
from pathlib import Path

from losslab import study as studies
from losslab.comparison import Comparison
from losslab.ladder import document as documents
from losslab.ladder import folder as folders
from losslab.ladder import table, tasks
from losslab.ladder.conduct import begun_rates, laws_of, once, written
from losslab.ladder.rungs import Rung, notes, rungs
from losslab.ladder.settings import of
from losslab.progress import Progress, silent
from losslab.running import Tell
from losslab.scaling.fit import RESAMPLES
from losslab.study.growing import difference


def again(folder: str | Path, *, page: str | Path | None = None, command: str | None = None,
          resamples: int = RESAMPLES, shown: Callable[[dict], None] = lambda document: None,
          tell: Tell = lambda text: None, progress: Progress = silent) -> dict:  # fmt: skip
    """The page of a ladder as far as it has come: of the rungs that have ended. Nothing is trained or measured.

    A rung that is under way is left out, since each look at part of its runs would spend some of the error rate that
    its verdict is judged at. The corpus is opened, as only it says how many tokens there are.

    Args:
        folder: of the ladder.
        command: what the page repeats where the runs do not say what made them.
        page, resamples, shown, tell, progress: as for `climb`.

    Raises:
        ValueError: for a damaged file, a rung that is not of this ladder, or a ladder of which no rung has ended.
    """
    folder, tell = Path(folder), once(tell)
    study = folders.kept(folder)
    every = rungs(study, progress=progress)
    ended = [rung for rung in every if folders.has_ended(folders.of_rung(folder, rung.name))]
    if not ended:
        raise ValueError(f"no rung of the ladder in {folder} has ended; `losslab ladder {folder / folders.NAME} "
                         f"--store {folder}` runs it")
    said = notes(every)
    if missing := [rung.name for rung in every if rung not in ended]:
        said.append(f"{len(ended)} of {len(every)} rungs have ended; not yet: {', '.join(missing)}")
    done, ran = [], None
    for rung in ended:
        found, kept = _kept(rung, folders.of_rung(folder, rung.name), tell)
        done.append((rung, found))
        ran = kept or ran
    rows = [row for rung, found in done for row in table.rows(rung, found)]
    if study.tasks:
        said += tasks.measure(study, done, rows, kept=True, tell=tell, progress=progress)
    try:
        table.write(rows, folder / folders.TABLE)
    except OSError as error:
        tell(f"the table {folder / folders.TABLE} is not written: {error.strerror}")
    said += [sentence for rung, found in done for sentence in table.lost(rung, found)]
    laws = {}
    if any(rung.rate_follows for rung in ended):
        try:
            laws = laws_of(done)
        except (ValueError, OverflowError) as error:
            said.append(f"the law of learning rates is not shown: {error}")
    told = documents.document(study, of(study), done, rows, laws, notes=said, resamples=resamples,
                              source=str(folder / folders.TABLE), command=ran or command, progress=progress)
    return written(told, folder, page, shown)


def _kept(rung: Rung, at: Path, tell: Tell) -> tuple[Comparison, str | None]:
    """The comparison of a rung that has ended, and the command that ran it."""
    asked = rung.with_rates(begun_rates(at)) if rung.rate_follows else rung
    try:
        changed = difference(studies.folder.kept(at), asked.study)
    except KeyError as arm:  # without the rate of one
        changed = f"no rate of the arm {arm}"
    if changed:
        raise ValueError(f"{at} was begun with {changed}: it is no rung of this ladder; take it away, or put back the "
                         "one that was")
    return studies.again(at, tell=tell)
