"""The verbs of a submitter by the folder of a workspace: what the command line and the tools for programs both call.

Each returns plain values, and raises one sentence for what cannot be done.
"""

from collections.abc import Callable
from pathlib import Path

from losslab.arena import board as boards
from losslab.arena import editing, game, home, pages, workspace
from losslab.arena.challenge import Challenge
from losslab.arena.workspace import FILE, Workspace

Tell = Callable[[str], None]


def silent(text: str) -> None:
    """Takes sentences for people, and says none."""


def new(challenge: Challenge, place: str | Path, name: str = "") -> dict:
    """Make a workspace; what `about` says of it."""
    return about(workspace.made(home.board(challenge, fresh=True), place, name))


def about(found: Workspace) -> dict:
    """What a workspace is and has left."""
    return {"challenge": found.challenge.name, "digest": found.challenge.digest, "folder": str(found.place),
            "name": found.name, "file": str(found.place / FILE), "left": found.left(),
            "budget": vars(found.challenge.budget), "commitment": found.board.commitment}


def show(place: str | Path) -> dict:
    """The statement, the text of the file, and what is left; does not wait for a command that is at work there."""
    found = workspace.seen(place)
    text = found.read()
    return about(found) | {"at_work": found.at_work(), "statement": pages.statement(found.board), "text": text,
                           "protected": sorted(editing.protected(text))}


def edit(place: str | Path, how: str, text: str, lines: str = "", tell: Tell = silent) -> dict:
    """Change the file.

    Args:
        place: the workspace.
        how: `create` (the whole file anew), `insert` or `replace`.
        text: the new text; an empty one removes the lines that it replaces.
        lines: behind which line to insert, such as `9` (0 is the beginning), or which to replace, such as `4-7`.
        tell: takes sentences for people.
    """
    change = {"create": lambda old: text, "insert": lambda old: editing.insert(old, _line(lines), text),
              "replace": lambda old: editing.replace(old, lines, text)}[how]
    with workspace.opened(place, tell) as found:
        return _changed("edited", found.edit(f"{how} {lines}".strip(), change), found)


def undo(place: str | Path, steps: int = 1, tell: Tell = silent) -> dict:
    """Go back so many edits."""
    with workspace.opened(place, tell) as found:
        return _changed("undone", found.undo(steps), found)


def check(place: str | Path, tell: Tell = silent) -> dict:
    """As `game.check`."""
    with workspace.opened(place, tell) as found:
        return game.check(found, tell)


def test(place: str | Path, tell: Tell = silent) -> dict:
    """As `game.test`."""
    with workspace.opened(place, tell) as found:
        return game.test(found, tell)


def submit(place: str | Path, number: int | None = None, tell: Tell = silent) -> dict:
    """As `game.submit`."""
    with workspace.opened(place, tell) as found:
        return game.submit(found, number, tell)


def withdraw(place: str | Path, tell: Tell = silent) -> dict:
    """As `game.withdraw`."""
    with workspace.opened(place, tell) as found:
        return game.withdraw(found, tell=tell)


def log(place: str | Path) -> dict:
    """What was done, a transcript for `replay`; does not wait for a command that is at work there."""
    found = workspace.seen(place)
    return {"challenge": found.challenge.name, "digest": found.challenge.digest, "at_work": found.at_work(),
            "entries": workspace.transcript(found), "left": found.left()}


def board(challenge: Challenge) -> dict:
    """The newest board, as `board.document` has it."""
    return boards.document(home.board(challenge))


def _changed(status: str, text: str, found: Workspace) -> dict:
    return {"status": status, "reason": "", "text": text, "left": found.left()}


def _line(text: str) -> int:
    if not text.strip().isdecimal() or len(text) > 9:
        raise ValueError(f"an insert needs the line behind which it goes, such as 9, got {text[:40]!r}")
    return int(text)
