"""What a submitter does: check, test and submit. Every verb returns plain values, with `status` and `reason`."""

import contextlib
import secrets
from collections.abc import Callable

from losslab import processes
from losslab.arena import board as boards
from losslab.arena import checks, editing, ladder, refereeing, tiers, tuning
from losslab.arena.home import Board
from losslab.arena.jail import Ended, Jail, Submission
from losslab.arena.memory import Layout
from losslab.arena.overrides import overrides_in
from losslab.arena.refereeing import Entry
from losslab.arena.worker import limits
from losslab.arena.workspace import FILE, Workspace
from losslab.corpus import Corpus

Tell = Callable[[str], None]


def entry_of(workspace: Workspace, text: str) -> Entry:
    """What is trained of a loss file.

    Raises:
        ValueError: for settings that the challenge does not allow.
    """
    given = overrides_in(text)
    workspace.challenge.settings(given)
    return Entry(f'file("{FILE}")', {FILE: text}, given)


def check(workspace: Workspace, tell: Tell = lambda text: None) -> dict:
    """Try the file in a jail on invented logits: the contract, the speed, what its gradient is like. Free."""
    try:
        return tried(workspace, entry_of(workspace, workspace.read()), tell)
    except Ended as error:
        return {"status": error.status, "reason": error.reason}


def tried(workspace: Workspace, entry: Entry, tell: Tell, *, timed: bool = True) -> dict:
    """As `check`.

    Raises:
        Ended: for a file that is no loss.
        NotToBeHad: where the jail that the challenge asks for is not to be had.
    """
    challenge = workspace.challenge
    processes.adopt_orphans()
    train = challenge.config.train
    vocab_size = Corpus.open(challenge.config.data).tokenizer.vocab_size
    small = Layout(checks.ROWS, checks.SEQ, vocab_size)
    own, plain = Submission(entry.formula, entry.files), Submission("cross_entropy")
    seed = secrets.randbits(60)

    def jail(what: Submission, layout: Layout) -> Jail:  # which starts while others do
        return Jail(what, layout, limits(challenge), tiers.at_least(challenge.tier), waits=False)

    tell("trying the file in a jail")
    with contextlib.closing(jail(own, small)) as ahead, jail(own, small) as one:
        told = checks.check(one, lambda: ahead, seed, challenge.gradient)
        found = {"status": "passed", "reason": "", "tier": one.tier, "checks": told,
                 "anatomy": checks.anatomy(one, seed)}
    if timed:
        rows = train.micro_batch_size or train.batch_size
        full = Layout(rows, challenge.config.seq_len, vocab_size)
        with contextlib.closing(jail(plain, full)) as ahead, jail(own, full) as one, ahead as other:
            taken, usual = checks.seconds([one, other], rows, challenge.config.seq_len, seed)
        found["speed"] = {"milliseconds": 1e3 * taken, "cross_entropy_milliseconds": 1e3 * usual,
                          "time_ratio": taken / usual}
    return found


def test(workspace: Workspace, tell: Tell = lambda text: None) -> dict:
    """Train from scratch on the visible seeds and measure; spends a test once the file has passed its checks.

    A test of the same file that was broken off is gone on with, and spends nothing.

    Raises:
        ValueError: for a spent budget, or a file that cannot be read; nothing is spent then.
    """
    begun = may_test(workspace)
    sha256 = workspace.take_up()
    if begun is not None and begun["file"] == sha256:
        return _finish_test(workspace, begun, tell)
    workspace.need("tests")
    workspace.need("actions")
    entry = entry_of(workspace, workspace.text(sha256))
    try:
        tried(workspace, entry, tell, timed=False)
    except Ended as error:
        return {"status": error.status, "reason": error.reason, "left": workspace.left()}
    number = workspace.ledger.spent("tests") + 1
    begun = workspace.ledger.add("test", test=number, file=sha256)  # spent from here on, whatever happens
    return _finish_test(workspace, begun, tell)


def may_test(workspace: Workspace) -> dict | None:
    """A test that was broken off, which costs nothing more; without one, an error where the budget is spent."""
    begun = workspace.broken_off("test")
    if begun is None:
        workspace.need("tests")
        workspace.need("actions")
    return begun


def _finish_test(workspace: Workspace, begun: dict, tell: Tell) -> dict:
    entry = entry_of(workspace, workspace.text(begun["file"]))
    found = _run(workspace.board, entry, "visible", tell)
    workspace.ledger.add("tested", test=begun["test"], **found)
    return {"test": begun["test"], **found, "left": workspace.left()}


def submit(workspace: Workspace, number: int | None = None, tell: Tell = lambda text: None) -> dict:
    """Freeze an earlier test, train it on the hidden seeds, and write its row.

    A submission that was broken off is gone on with, and spends nothing.

    Raises:
        ValueError: for a test that is not there or did not finish, a spent budget, or a closed board.
    """
    chosen, begun = may_submit(workspace, number)
    if begun is None:
        sha256 = next(one["file"] for one in workspace.ledger.entries
                      if one["verb"] == "test" and one["test"] == chosen["test"])
        name = boards.free_name(workspace.board, workspace.name)
        begun = workspace.ledger.add("submit", test=chosen["test"], file=sha256, name=name)
    number, sha256, name = begun["test"], begun["file"], begun["name"]
    text = workspace.text(sha256)
    entry = entry_of(workspace, text)
    runs = refereeing.run(workspace.board, entry, workspace.board.secret["hidden"], "val", tell=tell)
    reference(workspace.board, "hidden", tell)
    written = boards.row(name, entry, runs, text=text, visible=chosen, sha256=sha256,
                         searched=workspace.searched())
    boards.write_row(workspace.board, written)
    _climb(workspace.board, written, entry, tell)
    row = next((one for one in boards.document(workspace.board)["rows"] if one["name"] == name), None)
    status, reason = refereeing.status(runs)
    found = {"status": status, "reason": reason, "test": number, "name": name}
    if row is not None:
        found |= {key: row[key] for key in ("difference", "p_value", "rank", "metrics", "tier", "verdict")}
    workspace.ledger.add("submitted", **found)
    return {**found, "left": workspace.left()}


def may_submit(workspace: Workspace, number: int | None) -> tuple[dict, dict | None]:
    """The test that is to be submitted, and a submission of it that was broken off; an error where none may be."""
    if workspace.board.closed:
        raise ValueError(f"this board of {workspace.challenge.name} is closed; `losslab arena new` makes a workspace "
                         "for the next one")
    begun = workspace.broken_off("submit")
    if begun is None:
        workspace.need("submissions")
    done = {one["test"]: one for one in workspace.ledger.entries if one["verb"] == "tested"}
    if begun is not None:
        if number not in (None, begun["test"]):
            raise ValueError(f"the submission of test {begun['test']} was broken off; `losslab arena submit "
                             f"{workspace.place} --test {begun['test']}` goes on with it, and comes first")
        number = begun["test"]
    if number is None:
        number = max((test for test, one in done.items() if one["status"] == "finished"), default=0)
    if number not in done:
        raise ValueError(f"there is no test {number} to submit; `losslab arena test {workspace.place}` makes one"
                         if number else f"no test finished that could be submitted; `losslab arena test "
                                        f"{workspace.place}` makes one")
    if done[number]["status"] != "finished":
        raise ValueError(f"test {number} ended {done[number]['status']} ({done[number]['reason']}) and cannot be "
                         "submitted; submit one that finished")
    return done[number], begun


def withdraw(workspace: Workspace, *, tell: Tell = lambda text: None) -> dict:
    """Take the rows of this workspace off the board; the board still counts them."""
    names = [one["name"] for one in workspace.ledger.entries if one["verb"] == "submit"]
    gone = [name for name in names if boards.withdraw(workspace.board, name)]
    if not gone:
        raise ValueError(f"{workspace.place} has no row on the board that could be withdrawn")
    workspace.ledger.add("withdraw", names=gone)
    return {"status": "withdrawn", "reason": "", "names": gone}


def reference(board: Board, seeds: str, tell: Tell) -> dict[int, dict]:
    """The runs of cross-entropy, tuned where a submitter may set what is tuned."""
    secret = board.secret
    entry = Entry("cross_entropy", {}, tuning.settings(board, tell) if board.challenge.overrides else {})
    split = "tune" if seeds == "visible" else "val"
    runs = refereeing.run(board, entry, secret[seeds], split, tell=tell)
    if refereeing.status(runs)[0] != "finished":
        why = refereeing.status(runs)
        raise ValueError(f"cross_entropy itself ended {why[0]} on the {seeds} seeds ({why[1]}); nothing can be "
                         "compared with it")
    if seeds == "hidden" and not boards.has_row(board, "cross_entropy"):
        boards.write_row(board, boards.row("cross_entropy", entry, runs, kind="baseline"))
    return runs


def baselines(board: Board, tell: Tell = lambda text: None) -> dict:
    """Train every baseline on the visible and on the hidden seeds."""
    reference(board, "visible", tell)
    reference(board, "hidden", tell)
    for formula in board.challenge.baselines[1:]:
        entry = Entry(formula)
        refereeing.run(board, entry, board.secret["visible"], "tune", tell=tell)
        runs = refereeing.run(board, entry, board.secret["hidden"], "val", tell=tell)
        if not boards.has_row(board, formula):
            written = boards.row(formula, entry, runs, kind="baseline")
            boards.write_row(board, written)
            _climb(board, written, entry, tell)
    return boards.document(board)


def _climb(board: Board, written: dict, entry: Entry, tell: Tell) -> None:
    """On a ladder, the rungs above the first, for an entry that survives it."""
    row = next((one for one in boards.document(board)["rows"] if one["name"] == written["name"]), None)
    if board.challenge.rungs and row is not None:
        boards.write_row(board, written | {"rungs": ladder.climb(board, entry, row["difference"]["value"], tell)})


def _run(board: Board, entry: Entry, seeds: str, tell: Tell) -> dict:
    """Of a test: `status`, `reason`, and for one that finished the difference from cross-entropy and the metrics."""
    runs = refereeing.run(board, entry, board.secret[seeds], "tune", tell=tell)
    status, reason = refereeing.status(runs)
    found = {"status": status, "reason": reason, "tier": refereeing.weakest(runs),
             "calls": sum(one.get("calls", 0) for one in runs.values()),
             "repeated": sum(one.get("repeated", 0) for one in runs.values())}
    if status != "finished":
        return found
    usual = reference(board, seeds, tell)
    return found | {"difference": boards.visible_difference(board, runs, usual),
                    "metrics": boards.metrics(runs, board.challenge.visible, "tune_"),
                    "cross_entropy": boards.metrics(usual, board.challenge.visible, "tune_"),
                    "lines": editing.code_lines(next(iter(entry.files.values()), ""))}
