"""Pages of documents that losslab wrote next to runs: tasks, judgements, ladders and studies in stages; and boards.

A document may come from somebody else. It is read as data of a bounded size; where it is not what losslab writes, one
sentence says so.
"""

import time
from collections.abc import Callable
from pathlib import Path

from jinja2 import TemplateError
from starlette.requests import Request
from starlette.responses import Response

from losslab import untrusted
from losslab.progress import duration
from losslab.report import evaluation, judgement, ladder, page, staged
from losslab.serve import frame
from losslab.serve.folder import Folder
from losslab.serve.frame import Gone
from losslab.serve.pages.run import documents
from losslab.serve.site import of, parameter

REPORT = "report.json"
WRONG = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, TemplateError)
# the keys by which a document is known -> who makes a page of it
MAKERS: dict[str, Callable] = {"rungs": ladder.html, "tasks": evaluation.html, "protocol": judgement.html,
                               "stages": staged.html, "verdict": page.html}


def of_run(request: Request) -> Response:
    """A document in a run folder, by one of the names that are listed there."""
    place, name = parameter(request, "run"), request.path_params["name"]
    _, row = of(request).run(place)
    if name not in documents(Path(row.path)):
        raise Gone(f"the run {place[:80]} has no document {name[:80]}")
    return laid_out(request, Path(row.path) / name, "/", [(row.loss, f"/runs/{place}")])


def of_store(request: Request) -> Response:
    """The page that a ladder, a study or a study in stages wrote when it ended."""
    name = request.path_params["store"]
    of(request).catalog.refresh()
    folder = of(request).catalog.store(name)
    if folder is None or not (folder.path / REPORT).is_file():
        raise Gone(f"{name[:80]} has no page of its own yet; it is written when the work there ends")
    return laid_out(request, folder.path / REPORT, "/ladders", [("Ladders and studies", "/ladders")])


def laid_out(request: Request, path: Path, section: str, trail: list[tuple[str, str]]) -> Response:
    """The page of a document.

    Raises:
        Gone: where it cannot be read, or is none that losslab writes.
    """
    try:
        document = untrusted.read_object(path)
    except (ValueError, OSError) as error:
        raise Gone(str(error)) from None
    make = next((make for key, make in MAKERS.items() if key in document), None)
    if make is None:
        raise Gone(f"{path.name} is no document that this losslab makes a page of", 422)
    try:
        return make(document, frame.fill(request, section=section, trail=trail))
    except WRONG as error:
        raise Gone(f"{path.name} is not as losslab writes it ({type(error).__name__}: {str(error)[:100]}); write it "
                   "again with the command that made it", 422) from None


# --- lists -------------------------------------------------------------------------------------

def ladders(request: Request) -> Response:
    """Ladders, studies and studies in stages, with what is there of each."""
    site = of(request)
    site.catalog.refresh()
    stores = site.catalog.stores()
    rungs = {folder.name: _rungs(folder, stores) for folder in stores if folder.kind == "ladder"}
    within = {rung.name for found in rungs.values() for rung in found}
    shown = [folder for folder in stores if folder.kind in ("ladder", "stages", "study") and folder.name not in within]
    counts = {folder.name: _counts([folder, *rungs.get(folder.name, [])]) for folder in shown}
    return frame.fill(request, section="/ladders", lists=True)(
        "ladders.html.j2", {}, {}, stores=shown, rungs=rungs, counts=counts,
        pages={folder.name: _age(folder.path / REPORT) for folder in shown},
        titles={folder.name: folder.name or folder.path.resolve().name for folder in shown})


def _rungs(ladder_: Folder, stores: list[Folder]) -> list[Folder]:
    start = f"{ladder_.name}/rungs/" if ladder_.name else "rungs/"
    return [each for each in stores if each.name.startswith(start) and "/" not in each.name.removeprefix(start)]


def _counts(folders: list[Folder]) -> dict[str, int]:
    found: dict[str, int] = {}
    for folder in folders:
        for row in list(folder.rows.values()):
            found[row.status] = found.get(row.status, 0) + 1
    return found


def _age(path: Path) -> str:
    """How long ago a page was written; nothing where there is none."""
    try:
        return duration(max(0.0, time.time() - path.lstat().st_mtime))
    except OSError:
        return ""


# --- boards ------------------------------------------------------------------------------------

def boards(request: Request) -> Response:
    """The boards of the arena on this machine."""
    from losslab.arena import home

    found, problems = [], []
    place = home.folder()
    for path in sorted(place.iterdir()) if place.is_dir() else []:
        if not (path / "board.json").is_file():
            continue
        try:
            board = home.opened(path)
            found.append((path.name, board.challenge.name, board.challenge.about, board.number, board.closed,
                          len(list((path / "rows").glob("*.json")))))
        except ValueError as error:
            problems.append(str(error))
    return frame.fill(request, section="/boards")("boards.html.j2", {}, {}, boards=found, problems=problems)


def board(request: Request) -> Response:
    """One board: what `losslab arena board` writes."""
    from losslab.arena import board as boards_
    from losslab.arena import home, pages

    name, place = request.path_params["name"], home.folder()
    known = {path.name: path for path in place.iterdir()} if place.is_dir() else {}
    if name not in known or not (known[name] / "board.json").is_file():
        raise Gone(f"there is no board {name[:80]} on this machine")
    document = boards_.document(home.opened(known[name]))
    return pages.html(document, frame.fill(request, section="/boards", trail=[("Boards", "/boards")]))
