"""arena: the board of a challenge and what repeats it, a search, and the verbs as tools for programs."""

from pathlib import Path

from losslab.cli import arena_words as words
from losslab.cli.arena import Flag, arena_app, refusing
from losslab.cli.flags import Json, Whole
from losslab.cli.speech import OK, RUNS_FAILED, show, tell
from losslab.drawing import Ticker
from losslab.words import extra, printable, printable_lines


@arena_app.command(sort_key=9)
def replay(transcript: Path, folder: Path, *, json: Json = False):
    """Play a transcript again, in a new workspace: the same edits and tests, in the same order.

    Parameters
    ----------
    transcript
        What `losslab arena log DIR --json` printed.
    folder
        A new folder.
    """
    from losslab.arena import replaying

    found = replaying.replay(transcript, folder, tell)
    show(found, printable_lines("\n".join(found["told"])), json)
    return OK if found["same"] else RUNS_FAILED


@arena_app.command(sort_key=10)
def board(challenge: str, *, report: Path | None = None, close: Flag = False, json: Json = False):
    """Show the board of a challenge.

    Parameters
    ----------
    challenge
        Its name, or the path of its file.
    report
        Write it as a page, with Markdown and JSON next to it.
    close
        Close the board: no more submissions, and the hidden seeds are shown, so that anybody can verify.
    """
    from losslab.arena import board as boards
    from losslab.arena import home, pages
    from losslab.arena.challenge import read

    found = home.board(read(challenge))
    if close:
        found.close()
        found = home.opened(found.path)
    document = boards.document(found)
    if report is not None:
        tell(f"the board is in {pages.write(document, report)}")
    told = [pages.table(document).text(160, rule=True), "", *pages.remarks(document)]
    show(document, printable_lines("\n".join(told)), json)


@arena_app.command(sort_key=11)
def baselines(challenge: str, *, json: Json = False):
    """Train the baselines of a challenge on the visible and on the hidden seeds.

    Parameters
    ----------
    challenge
        Its name, or the path of its file.
    """
    from losslab.arena import game, home, pages
    from losslab.arena.challenge import read

    document = game.baselines(home.board(read(challenge)), tell)
    show(document, printable_lines(pages.table(document).text(160, rule=True)), json)


@arena_app.command(sort_key=12)
def verify(row: str, *, board: Path | None = None, json: Json = False):
    """Repeat a row of a closed board, and say whether it holds.

    Parameters
    ----------
    row
        The name of the row, or its digest.
    board
        The JSON file of the board, as `losslab arena board CHALLENGE --report` wrote it; a closed board of this host
        unless given.
    """
    from losslab.arena import verifying

    found = verifying.verify(row, board, tell)
    show(found, printable(found["told"]), json)
    return OK if found["holds"] else RUNS_FAILED


@arena_app.command(sort_key=13)
def search(challenge: str, folder: Path, *, candidates: Whole = 12, seed: Whole = 0, seeds: Whole = 2,
           tokens: Whole = 0, promote: Whole = 2, name: str = "", json: Json = False):
    """Try random formulas of the family on a cheap proxy, and test the best of them.

    Parameters
    ----------
    challenge
        Its name, or the path of its file.
    folder
        A new folder, or the workspace of a search that was broken off.
    candidates
        Formulas that are tried on the proxy.
    seed
        Of the draws: the same seed draws the same formulas.
    seeds
        Trainings of each formula on the proxy.
    tokens
        Training tokens on the proxy; a quarter of those of the challenge unless given.
    promote
        Tests that may be spent on the best.
    name
        Of the workspace on the board; the name of the folder unless given.
    """
    from losslab.arena import searching
    from losslab.arena.challenge import read

    asked = searching.Search(candidates, seed, seeds, tokens, promote)
    with refusing(json):
        found = searching.search(read(challenge), folder, asked, name=name, tell=tell, progress=Ticker())
        show(found, printable_lines("\n".join(found["told"]) + f"\nleft: {words.left(found['left'])}"), json)


@arena_app.command(name="serve-mcp", sort_key=14)
def serve_mcp(challenge: str, *, folder: Path = Path(".")):
    """Serve the verbs as tools for programs, over the Model Context Protocol on standard input and output.

    Parameters
    ----------
    challenge
        Its name, or the path of its file.
    folder
        Where the workspaces are made.
    """
    from importlib.util import find_spec

    if find_spec("mcp") is None:
        raise ModuleNotFoundError(f"the tools for programs need the package mcp, which is not installed; "
                                  f"{extra('agents')}", name="mcp")
    from losslab.arena import serving

    serving.serve(challenge, folder)
