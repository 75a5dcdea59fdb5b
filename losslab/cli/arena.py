"""arena: losses that are proposed, and judged by a referee that they cannot touch."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from losslab.cli import arena_words as words
from losslab.cli.application import app
from losslab.cli.flags import WHOLE, Json, Whole
from losslab.cli.speech import DIVERGED, OK, RUNS_FAILED, USER_ERROR, show, tell
from losslab.words import printable_lines

arena_app = App(name="arena", help="Propose a loss for a challenge, and have it judged.", sort_key=10)
app.command(arena_app)
CODES = {"refused": USER_ERROR, "diverged": DIVERGED, "killed": RUNS_FAILED, "disqualified": RUNS_FAILED,
         "failed": RUNS_FAILED}
Text = Annotated[str | None, Parameter(help="The new text; - reads it from standard input.", allow_leading_hyphen=True)]
Flag = Annotated[bool, Parameter(negative="")]


@arena_app.command(sort_key=1)
def new(challenge: str, folder: Path, *, name: str = "", json: Json = False):
    """Make a workspace: the statement, the rules, and one loss file to edit.

    Parameters
    ----------
    challenge
        loss-laptop, loss-124m, loss-355m, loss-open, or the path of a challenge file.
    folder
        A new folder.
    name
        What the submission is called on the board; the name of the folder unless given.
    """
    from losslab.arena import verbs
    from losslab.arena.challenge import read

    show(verbs.new(read(challenge), folder, name), f"{folder} has the statement, the rules (program.md) and the loss "
         f"(loss.py); `losslab arena check {folder}` tries it", json)


@arena_app.command(name="show", sort_key=2)
def show_workspace(folder: Path, *, json: Json = False):
    """Show the statement, the loss file with the numbers of its lines, and what is left of the budget.

    Parameters
    ----------
    folder
        The workspace.
    """
    from losslab.arena import editing, verbs

    found = verbs.show(folder)
    told = f"{found['statement']}\n{editing.numbered(found['text'])}\n\nleft: {words.left(found['left'])}"
    show(found, printable_lines(told + words.at_work(found)), json)


@arena_app.command(sort_key=3)
def edit(folder: Path, *, create: Flag = False, insert: Annotated[int | None, WHOLE] = None,
         replace: str | None = None, text: Text = None, json: Json = False):
    """Change the loss file; an edit is an action, a refused one costs nothing.

    Parameters
    ----------
    folder
        The workspace.
    create
        Write the whole file anew.
    insert
        Insert the text behind this line; 0 is the beginning.
    replace
        Replace these lines, such as 4 or 4-7; without a text they are removed.
    """
    from losslab.arena import verbs

    if create + (insert is not None) + (replace is not None) != 1:
        raise ValueError("an edit is one of --create, --insert LINE and --replace FIRST-LAST")
    if text is None and replace is None:
        raise ValueError("this edit needs its text: give --text TEXT, or --text - and standard input")
    given = sys.stdin.read() if text == "-" else text or ""
    how, lines = (("create", "") if create else ("insert", str(insert)) if insert is not None else
                  ("replace", replace))
    return _changed(json, lambda: verbs.edit(folder, how, given, lines, tell))


@arena_app.command(sort_key=4)
def undo(folder: Path, steps: Whole = 1, *, json: Json = False):
    """Go back to what the loss file was before.

    Parameters
    ----------
    folder
        The workspace.
    steps
        How many edits.
    """
    from losslab.arena import verbs

    return _changed(json, lambda: verbs.undo(folder, steps, tell))


@arena_app.command(sort_key=5)
def check(folder: Path, *, json: Json = False):
    """Try the loss file in a jail: is it a loss, what does it cost, what is its gradient like. Free.

    Parameters
    ----------
    folder
        The workspace.
    """
    return _verb(folder, json, "check")


@arena_app.command(sort_key=6)
def test(folder: Path, *, json: Json = False):
    """Spend a test: train from scratch on the visible seeds, and compare with cross-entropy.

    Parameters
    ----------
    folder
        The workspace.
    """
    return _verb(folder, json, "test")


@arena_app.command(sort_key=7)
def submit(folder: Path, *, test: Annotated[int | None, WHOLE] = None, withdraw: Flag = False, json: Json = False):
    """Put an earlier test on the board: it is trained on the hidden seeds.

    Parameters
    ----------
    folder
        The workspace.
    test
        The number of the test; the last that finished unless given.
    withdraw
        Take the row of this workspace off the board instead; the board still counts it.
    """
    return _verb(folder, json, "withdraw") if withdraw else _verb(folder, json, "submit", test)


@arena_app.command(sort_key=8)
def log(folder: Path, *, json: Json = False):
    """Show what was done in a workspace; with --json, a transcript for `arena replay`.

    Parameters
    ----------
    folder
        The workspace.
    """
    from losslab.arena import verbs

    found = verbs.log(folder)
    rows = [f"{one['n']:3d}  {one['time']}  {one['verb']:9s} {words.what(one)}" for one in found["entries"]]
    told = "\n".join(rows) + f"\n\nleft: {words.left(found['left'])}"
    show(found, printable_lines(told + words.at_work(found)), json)


def _verb(folder: Path, json: bool, name: str, *arguments) -> int:
    from losslab.arena import verbs

    with refusing(json):
        said = getattr(verbs, name)(folder, *arguments, tell=tell)
        show(said, printable_lines(words.told(said)), json)
        return CODES.get(said["status"], OK)


def _changed(json: bool, change) -> None:
    from losslab.arena import editing

    with refusing(json):
        said = change()
        show(said, printable_lines(editing.numbered(said["text"])), json)


class refusing:
    """A refusal is one JSON document, too, where a program asked for one; its sentence and exit code come as ever."""

    def __init__(self, json: bool):
        self.json = json

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        if self.json and isinstance(error, ValueError | OSError):
            show({"status": "refused", "reason": str(error)}, "", True)
