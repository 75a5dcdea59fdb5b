"""The host's own folder: boards with their seeds, the runs of each, and the ledgers of its workspaces.

    HOME/loss-laptop-16aa0ea3ac0d-1/   board.json  secret.json  runs/  rows/  games/GAME/{ledger.jsonl,records/,files/}

It is the user's own, and no workspace and no jail leads into it.
"""

import hashlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from losslab import records
from losslab.arena import challenge as challenges
from losslab.arena.challenge import Challenge
from losslab.lossfile import allowed
from losslab.records import files

FORMAT = 2  # of board.json; 1 had no checksum
LOWEST_SEED, HIGHEST_SEED = 10_000, 999_999  # trials of tuning have those above


def folder() -> Path:
    """`LOSSLAB_ARENA`, or `arena` in the folder where losslab keeps the state of this user."""
    given = os.environ.get("LOSSLAB_ARENA")
    return Path(given).expanduser() if given else allowed.folder() / "arena"


@dataclass(frozen=True)
class Board:
    """One board: a challenge, its seeds, and everything that was run for it."""

    path: Path
    challenge: Challenge
    number: int
    commitment: str
    closed: bool

    @property
    def secret(self) -> dict:
        """`visible` and `hidden` seeds, and the `nonce` that hides them in the commitment."""
        found = files.parse(files.read_bytes(self.path / "secret.json"))
        if committed(found) != self.commitment:
            raise ValueError(f"{self.path / 'secret.json'} is not what the board {self.challenge.name} was committed "
                             "to; put back a copy of it")
        return found

    def lock(self):
        """Hold the board alone."""
        return records.lock(self.path, "the board")

    def game(self, name: str) -> Path:
        """The folder of a workspace's ledger."""
        return self.path / "games" / name

    def close(self) -> None:
        """No more submissions; the seeds are no secret any longer."""
        files.write_sealed(self.path / "board.json", _about(self) | {"closed": True, "secret": self.secret})


def committed(secret: dict) -> str:
    """The sha256 that is published while the seeds are not."""
    return hashlib.sha256(json.dumps(secret, sort_keys=True).encode()).hexdigest()


def board(challenge: Challenge, *, fresh: bool = False) -> Board:
    """The newest board of a challenge; one is made where there is none, or where that is closed and `fresh` is said."""
    home = folder()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with records.lock(home, "the arena in"):
        known = boards(challenge)
        if known and not (fresh and known[-1].closed):
            return known[-1]
        return _made(challenge, len(known) + 1)


def boards(challenge: Challenge) -> list[Board]:
    """Every board of a challenge, oldest first."""
    found = []
    while (path := _place(challenge, len(found) + 1)).is_dir():
        found.append(opened(path))
    return found


def opened(path: Path) -> Board:
    """The board in a folder.

    Raises:
        ValueError: for a folder that holds none, or a damaged one.
    """
    try:
        about = files.read_sealed(path / "board.json", FORMAT)
    except FileNotFoundError:
        raise ValueError(f"{path} holds no board; put back a copy of its board.json") from None
    number, commitment, closed = (about.get(name) for name in ("number", "commitment", "closed"))
    if type(number) is not int or not isinstance(commitment, str) or not isinstance(closed, bool):
        raise files.damaged(path / "board.json", "it does not say its number, its commitment and whether it is closed")
    if not isinstance(asked := about.get("challenge"), dict):
        raise files.damaged(path / "board.json", "it does not say its challenge")
    try:
        return Board(path, challenges.from_dict(asked), number, commitment, closed)
    except ValueError as error:
        raise files.damaged(path / "board.json", str(error)) from None


def _place(challenge: Challenge, number: int) -> Path:
    return folder() / f"{challenge.name}-{challenge.digest}-{number}"


def _made(challenge: Challenge, number: int) -> Board:
    drawn = secrets.SystemRandom().sample(range(LOWEST_SEED, HIGHEST_SEED), challenge.visible_seeds
                                          + challenge.hidden_seeds)
    secret = {"visible": drawn[: challenge.visible_seeds], "hidden": drawn[challenge.visible_seeds:],
              "nonce": secrets.token_hex(16)}
    place = _place(challenge, number)
    made = Board(place, challenge, number, committed(secret), False)
    for left in place.parent.glob(f".{place.name}.*"):  # by a process that was killed here
        shutil.rmtree(left)
    half = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    for name in ("runs", "rows", "games"):
        (half / name).mkdir(parents=True, mode=0o700)
    files.write_whole(half / "secret.json", json.dumps(secret, indent=1).encode() + b"\n")
    os.chmod(half / "secret.json", 0o600)
    files.write_sealed(half / "board.json", _about(made))
    os.rename(half, place)  # whole or not at all: a folder without its board.json could never be opened
    return made


def _about(board: Board) -> dict:
    return {"format": FORMAT, "challenge": board.challenge.to_dict(), "number": board.number,
            "commitment": board.commitment, "closed": board.closed}
