"""A workspace: one editable file for the submitter, and the ledger that the host keeps of it."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from losslab import records, untrusted
from losslab.arena import benchmarks, editing, home, pages
from losslab.arena.home import Board
from losslab.arena.ledger import Ledger
from losslab.records import files

FILE, POINTER = "loss.py", "arena.json"
GAME = re.compile(r"[0-9a-f]{16}")
ENDS = {"test": "tested", "submit": "submitted"}  # verb -> the entry that says how it ended


class Workspace:
    """A folder of a submitter, opened by `opened` or `made`, which hold its ledger alone, or looked at by `seen`.

    Args:
        place: the folder.
        board: that it plays on.
        name: by which it stands on the board.
        ledger: of the host.
    """

    def __init__(self, place: Path, board: Board, name: str, ledger: Ledger):
        self.place, self.board, self.name, self.ledger = place, board, name, ledger
        self.challenge = board.challenge

    # --- what is there -------------------------------------------------------------------------

    def history(self) -> list[str]:
        """The digests of the texts that the file went through; the last is what the ledger takes it to be."""
        found: list[str] = []
        for entry in self.ledger.entries:
            if entry["verb"] == "undo":
                del found[len(found) - entry["steps"]:]
            elif "after" in entry:
                found.append(entry["after"])
        return found

    def read(self) -> str:
        """The text of the file as it lies there.

        Raises:
            ValueError: for a link, no file, a longer text than the challenge allows, or what is not UTF-8.
        """
        most = self.challenge.budget.source_bytes
        try:
            raw = untrusted.read_bytes(self.place / FILE, most)
        except ValueError as error:
            if "more than" not in str(error):
                raise
            raise ValueError(f"{self.place / FILE} has more than {most:,} bytes, the most that {self.challenge.name} "
                             "takes; a loss is one function") from None
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.place / FILE} is not UTF-8: {error.reason} at byte {error.start}") from None

    def text(self, sha256: str) -> str:
        """A text that the file once had."""
        raw = files.read_bytes(self.ledger.folder / "files" / f"{sha256}.py")
        if hashlib.sha256(raw).hexdigest() != sha256:
            raise ValueError(f"{self.ledger.folder / 'files' / sha256}.py is damaged; put back a copy of it")
        return raw.decode("utf-8")

    @staticmethod
    def digest(text: str) -> str:
        """By which the ledger knows a text."""
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def left(self) -> dict[str, int]:
        """What is left of the budget."""
        budget = self.challenge.budget
        return {what: max(0, getattr(budget, what) - self.ledger.spent(what))
                for what in ("actions", "tests", "submissions")}

    def need(self, what: str, how_many: int = 1) -> None:
        """An error where the budget has not so many left."""
        if self.left()[what] < how_many:
            whole = getattr(self.challenge.budget, what)
            raise ValueError(f"the budget of {whole} {what} is spent; `losslab arena log {self.place}` shows on what"
                             + ("" if what == "submissions" else ", and a test that finished can be submitted"))

    def searched(self) -> int:
        """How many formulas were tried by `losslab arena search` here."""
        return sum(one["tried"] for one in self.ledger.entries if one["verb"] == "searched")

    def at_work(self) -> bool:
        """Whether a command is at work in it."""
        return records.is_locked(self.ledger.folder)

    def broken_off(self, verb: str) -> dict | None:
        """The last entry of `test` or `submit` if nothing came of it: it is paid for, and is gone on with for free."""
        last = next((one for one in reversed(self.ledger.entries) if one["verb"] in (verb, ENDS[verb])), None)
        return last if last is not None and last["verb"] == verb else None

    # --- what changes it -----------------------------------------------------------------------

    def edit(self, how: str, change: Callable[[str], str]) -> str:
        """Change the file; the new text.

        Args:
            how: for the log, such as `replace 4-7`.
            change: the old text to the new one; it raises for an edit that is refused, which costs nothing.
        """
        self.need("actions")
        self.take_up()
        self.need("actions")
        new = change(self.read())
        if len(new.encode("utf-8")) > self.challenge.budget.source_bytes:
            raise ValueError(f"the file would have more than {self.challenge.budget.source_bytes:,} bytes, the most "
                             f"that {self.challenge.name} takes; a loss is one function")
        self._set(new)
        self.ledger.add("edit", how=how, after=self._keep(new))
        return new

    def undo(self, steps: int) -> str:
        """Go back so many edits; the text of then."""
        self.need("actions")
        self.take_up()
        self.need("actions")
        past = self.history()
        if not 1 <= steps < len(past):
            raise ValueError(f"there are {len(past) - 1} edits to undo, got {steps}")
        old = self.text(past[-1 - steps])
        self._set(old)
        self.ledger.add("undo", steps=steps)
        return old

    def take_up(self) -> str:
        """The digest of the file; one that was changed by hand is an edit, too."""
        text = self.read()
        sha256 = self.digest(text)
        if sha256 != self.history()[-1]:
            self.need("actions")
            self.ledger.add("edit", how="by hand", after=self._keep(text))
        return sha256

    def _set(self, text: str) -> None:
        files.write_whole(self.place / FILE, text.encode("utf-8"))

    def _keep(self, text: str) -> str:
        raw, sha256 = text.encode("utf-8"), self.digest(text)
        kept = self.ledger.folder / "files" / f"{sha256}.py"
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            files.write_whole(kept, raw)
        return sha256


def made(board: Board, place: str | Path, name: str = "") -> Workspace:
    """A new workspace in `place`, with the file, the statement and the rules in it.

    Raises:
        ValueError: for a folder that is not empty, or a hidden benchmark that this host does not have.
    """
    place = Path(place)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ValueError(f"{place} is not an empty folder; give a new one")
    name = name or place.resolve().name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", name):
        raise ValueError(f"{name!r} cannot be the name of a submission; give --name one of letters, digits, - and _")
    benchmarks.check(board.challenge)
    place.mkdir(parents=True, exist_ok=True)
    game = secrets.token_hex(8)
    ledger = Ledger(board.game(game))
    workspace = Workspace(place, board, name, ledger)
    literal = "CONFIG_OVERRIDES = {}\n" if board.challenge.overrides else ""
    text = editing.NEW_FILE.format(overrides=literal)
    ledger.add("new", name=name, challenge=board.challenge.name, after=workspace._keep(text))
    workspace._set(text)
    (place / "STATEMENT.md").write_text(pages.statement(board), encoding="utf-8")
    (place / "program.md").write_text(pages.program(board.challenge), encoding="utf-8")
    files.write_json(place / POINTER, {"board": board.path.name, "game": game})
    return workspace


@contextmanager
def opened(place: str | Path, tell: Callable[[str], None] = lambda text: None) -> Iterator[Workspace]:
    """The workspace in `place`, held alone.

    Raises:
        ValueError: for a folder that is none; `records.StoreBusy` where another process is at work in it.
    """
    place = Path(place)
    folder, game = _known(place)
    with records.lock(game, f"the workspace {place}, in"):
        yield _read(place, folder, Ledger(game, tell))


def seen(place: str | Path) -> Workspace:
    """The workspace in `place` to look at, also while another process is at work in it; nothing may be changed.

    Raises:
        ValueError: for a folder that is none.
    """
    place = Path(place)
    folder, game = _known(place)
    return _read(place, folder, Ledger(game, mends=False))


def _known(place: Path) -> tuple[Path, Path]:
    """The folders of the host that belong to a workspace: that of its board, and in it that of its ledger."""
    try:
        pointer = untrusted.read_object(place / POINTER, 10_000)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{place} is no workspace; `losslab arena new CHALLENGE {place}` makes one") from None
    board, game = pointer.get("board"), pointer.get("game")
    folder = home.folder() / board if isinstance(board, str) and os.path.basename(board) == board else None
    if folder is None or not (isinstance(game, str) and GAME.fullmatch(game) and (folder / "games" / game).is_dir()):
        raise ValueError(f"{place / POINTER} names no workspace that this host knows; `losslab arena new` makes one, "
                         "and LOSSLAB_ARENA says where the host keeps them")
    return folder, folder / "games" / game


def _read(place: Path, folder: Path, ledger: Ledger) -> Workspace:
    if not ledger.entries:
        raise ValueError(f"the ledger {ledger.path} is empty; put back a copy of that folder, or make a new workspace")
    return Workspace(place, home.opened(folder), ledger.entries[0]["name"], ledger)


def transcript(workspace: Workspace) -> list[dict]:
    """All entries, with the texts of the file: what `arena replay` takes."""
    return [json.loads(json.dumps(entry)) | ({"text": workspace.text(entry["after"])} if "after" in entry else {})
            for entry in workspace.ledger.entries]
