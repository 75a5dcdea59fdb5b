"""Climb a ladder: run its rungs from the smallest compute on, and keep table, verdicts and page in its folder."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from losslab import running
from losslab import study as studies
from losslab.comparison import Comparison
from losslab.ladder import document as documents
from losslab.ladder import folder as folders
from losslab.ladder import rates, table, tasks
from losslab.ladder.rungs import Rung, notes, rungs
from losslab.ladder.settings import of
from losslab.progress import Progress, silent
from losslab.running import Tell, Track
from losslab.scaling.fit import RESAMPLES
from losslab.scaling.law import FLOPS_PER_PARAMETER
from losslab.study import Study


def climb(
    study: Study, folder: str | Path, *, workers: int = 1, threads: int = 1, trusted: Collection[str] | None = None,
    page: str | Path | None = None, command: str | None = None, extrapolate: bool = False, resamples: int = RESAMPLES,
    shown: Callable[[dict], None] = lambda document: None, tell: Tell = lambda text: None, progress: Progress = silent,
    track: Track | None = None, executor: Executor | None = None,
) -> dict:
    """Run what a ladder asks and is not done yet, fit its law, and write the table and the page.

    Args:
        study: with a `ladder`.
        folder: of the ladder; each rung is a study in its folder `rungs`.
        workers, threads, trusted, tell, progress, track, executor: of every rung, as for `study.conduct`.
        page: where the HTML page goes; `report.html` in the folder unless given.
        command: what was typed, which the page repeats.
        extrapolate: forecast more than a decade beyond the runs, too.
        resamples: how often runs are drawn again for the intervals of the law.
        shown: is given the document before the page is written.

    Returns:
        the document of the page; see `ladder.document`.

    Raises:
        ValueError: for a ladder that is not the one that was begun in this folder, an arm that cannot be run at some
            rung, or a page that cannot be written.
        running.Stopped: after SIGTERM or Ctrl-C; called again, the ladder continues.
    """
    folder, tell = Path(folder), once(tell)
    whole, todo = _checked(study, folder, trusted=trusted, tell=tell, progress=progress)
    if sentence := folders.begin(folder, study):
        tell(sentence)
    study = whole
    said = notes(todo)
    for sentence in said:
        tell(sentence)
    before = table.read(folder / folders.TABLE)  # so that a ladder that is stopped has what it had
    done: list[tuple[Rung, Comparison]] = []
    rows: list[dict] = []
    laws: dict[str, rates.RateLaw] = {}
    for number, rung in enumerate(todo, 1):
        if rung.rate_follows:
            laws = laws or laws_of(done)
            follow = {name: law.at(rung.counts.flops_6nd) for name, law in laws.items()}
            begun = begun_rates(folders.of_rung(folder, rung.name))
            if moved := [name for name, rate in begun.items() if rate != follow.get(name, rate)]:
                tell(f"the rung {rung.name} keeps the learning rates that it was begun with, and those of "
                     f"{', '.join(moved)} are not what the power law says now")
            rung = rung.with_rates(follow | dict(begun))
        tell(f"rung {number} of {len(todo)}: {rung.name}, {rung.counts.num_params:,} parameters, "
             f"{rung.counts.num_tokens:,} tokens")
        found = studies.conduct(rung.study, folders.of_rung(folder, rung.name), workers=workers, threads=threads,
                                trusted=trusted, command=command, tell=tell, progress=progress, track=track,
                                executor=executor)
        done.append((rung, found))
        rows += table.rows(rung, found)
        left = {each.name for each in todo[number:]}
        table.write(rows + [row for row in before if row.get("rung") in left], folder / folders.TABLE)
    if study.tasks:
        said += tasks.measure(study, done, rows, tell=tell, progress=progress)
        table.write(rows, folder / folders.TABLE)
    said += [sentence for rung, found in done for sentence in table.lost(rung, found)]
    told = documents.document(study, of(study), done, rows, laws, notes=said, extrapolate=extrapolate,
                              resamples=resamples, source=str(folder / folders.TABLE), command=command,
                              progress=progress)
    return written(told, folder, page, shown)


def written(told: dict, folder: Path, page: str | Path | None, shown: Callable[[dict], None]) -> dict:
    """The document with the place of its page, which is shown before the page is written."""
    from losslab.report import ladder as report
    from losslab.report import page_at

    path = page_at(page or folder / folders.PAGE)
    whole = told | {"report": str(path)}
    shown(whole)
    report.write(told, path)
    return whole


def _checked(study: Study, folder: Path, *, trusted, tell: Tell, progress: Progress) -> tuple[Study, list[Rung]]:
    """The ladder as it continues, and its rungs, each of whose arms could begin."""
    of(study)
    study = folders.continued(folder, study)
    todo = rungs(study, progress=progress)
    if study.tasks:
        tasks.check(study.tasks)
    for rung in todo:
        at = folders.of_rung(folder, rung.name)
        checked = rung.study
        if rung.rate_follows:  # not known yet, but of a rung that was begun
            begun = begun_rates(at)
            checked = rung.with_rates(begun).study if begun else replace(rung.study, name="")
        try:
            studies.prepared(checked, at, seeds=1, trusted=trusted, progress=progress)
        except ValueError as error:
            raise ValueError(f"the rung {rung.name}: {error}") from None
    for sentence in filter(None, [thin(study)]):
        tell(sentence)
    return study, todo


def thin(study: Study) -> str:
    """Said before anything is spent: what so few seeds or arms cannot show."""
    if len(study.seeds) < 2:
        return ("one seed, so there will be no interval at any rung and no verdict; --seeds 3 shows how much seeds "
                "differ")
    return "one loss, so there will be no compute multiplier; add another [[arm]]" if len(study.arms) < 2 else ""


def once(tell: Tell) -> Tell:
    """What holds at every rung is said at the first."""
    said: set[str] = set()

    def told(sentence: str) -> None:
        if sentence not in said:
            said.add(sentence)
            tell(sentence)

    return told


def laws_of(done: Sequence[tuple[Rung, Comparison]]) -> dict[str, rates.RateLaw]:
    """Arm -> the power law of its tuned rates."""
    chosen: dict[str, list[tuple[float, float]]] = {}
    for rung, found in done:
        for name, told in found.tuned.items() if rung.tuned else ():
            if (rate := told["tuned"].get(rates.RATE, 0.0)) > 0:
                chosen.setdefault(name, []).append((rung.counts.flops_6nd, float(rate)))
    return {name: rates.power_law(*zip(*points, strict=True)) for name, points in chosen.items()}


# --- what it would take ----------------------------------------------------------------------------

def estimated(
    study: Study, folder: str | Path, *, workers: int, threads: int, trusted: Collection[str] | None = None,
    tell: Tell = lambda text: None, progress: Progress = silent,
) -> dict:
    """What a ladder would cost, from a few timed updates of each arm at each rung; nothing is trained or written.

    Returns:
        JSON-able: `rungs` (each with `name`, `num_params`, `num_tokens`, `tokens_per_param` and what
        `running.estimate` says), `runs`, `done`, `tokens`, `flops` (6 N D of all runs), `seconds`, `disk_bytes` and
        `notes`.

    Raises:
        ValueError: as `climb`.
    """
    folder = Path(folder)
    study, todo = _checked(study, folder, trusted=trusted, tell=tell, progress=progress)
    told = []
    for rung in todo:
        at = folders.of_rung(folder, rung.name)
        if rung.rate_follows:
            rung = rung.with_rates(begun_rates(at))
        asked, _, planned = studies.prepared(rung.study if not rung.rate_follows else replace(rung.study, name=""), at,
                                             trusted=trusted, progress=progress)
        one = running.estimate(planned, workers=workers, threads=threads, tuning=studies.tuning(asked),
                               names=list(asked.configs))
        told.append({"name": rung.name, "num_params": rung.counts.num_params, "num_tokens": rung.counts.num_tokens,
                     "tokens_per_param": rung.ratio, "flops_6nd": rung.counts.flops_6nd,
                     "flops": FLOPS_PER_PARAMETER * rung.counts.num_params * one["tokens"],  # trials have fewer tokens
                     **{key: one[key] for key in ("arms", "runs", "done", "tokens", "seconds", "disk_bytes")}})
    return {
        "rungs": told, "arms": list(study.configs), "notes": notes(todo),
        **{key: sum(one[key] for one in told) for key in ("runs", "done", "tokens", "seconds", "disk_bytes")},
        "flops": sum(one["flops"] for one in told),
    }


def begun_rates(at: Path) -> Mapping[str, float]:
    """The rates that a rung was begun with; nothing where it was not."""
    try:
        begun = studies.folder.kept(at)
    except (ValueError, OSError):
        return {}
    return {name: config.train.learning_rate for name, config in begun.configs.items()}
