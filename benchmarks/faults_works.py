"""Work that a kill may hit: what lies there before, its commands, and what it comes to in the end.

What `came` gives is the same for every unbroken run of the same commands, to the bit; times, paths and what was said
are left out of it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faults_places as places
from faults_material import SMALL, losslab

STUDY = ("compare", "cross_entropy", "gentle.py", "--seeds", "2", "--store", "store", "--workers", "2", *SMALL)
CHANGED = {"--model.n-embd": "32", "--model.num-positions": "64", "--train.num-steps": "60",
           "--train.batch-size": "8", "--data.max-bytes": "200000"}  # fmt: skip
FOLLOWED = ("--train.num-steps", "--train.batch-size", "--train.checkpoint-every", "--train.device", "--train.dtype",
            "--evaluate.tune-tokens", "--evaluate.sample-tokens")  # fmt: skip


JAIL = "in a jail"
OF_ARMS = ("name", "status", "outcome", "difference", "tuned", "trials", "tuning")  # in a verdict; others are times


def never(folder: Path, number: int) -> bool:
    return False


def difference(truth, found, at: str = "") -> str:
    """The first place where two values differ."""
    if isinstance(truth, dict) and isinstance(found, dict):
        for key in [*truth, *found]:
            if truth.get(key) != found.get(key):
                return difference(truth.get(key), found.get(key), f"{at}/{key}")
    if isinstance(truth, list | tuple) and isinstance(found, list | tuple) and len(truth) == len(found):
        for number, (one, other) in enumerate(zip(truth, found, strict=True)):
            if one != other:
                return difference(one, other, f"{at}/{number}")
    return f"{at}: {str(truth)[:160]!r} became {str(found)[:160]!r}"


@dataclass(frozen=True)
class Work:
    """One kind of work."""

    name: str
    given: Callable[[], None]  # puts into the working directory what is there before
    commands: tuple[tuple[str, ...], ...]
    came: Callable[[Path], object]
    is_done: Callable[[Path, int], bool] = never
    """Whether command `number` had done all of its work: then a user who looks does not repeat it."""
    spent: Callable[[], int] = lambda: 0
    """What was paid for so far: a kill may make that one more, if that was on its way."""
    spares: str = ""
    """Processes that are not killed alone: a jail that dies is the end of what is in it."""
    share: int = 1

    def words(self, number: int) -> list[str]:
        """A command, with the address of the judge in it."""
        return [places.judge().url if word == "URL" else word for word in self.commands[number]]

    def begin(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        with places.inside(folder):
            self.given()

    def make(self, folder: Path) -> Path:
        """All of it, in this process and unbroken."""
        self.begin(folder)
        with places.inside(folder):
            for number in range(len(self.commands)):
                losslab(*self.words(number))
        return folder


# --- what it comes to --------------------------------------------------------------------------

def bits(store: Path) -> dict[str, tuple]:
    """Run -> its status, the sum of its weights and all its scores."""
    found = {}
    for run in sorted(path for path in store.iterdir() if (path / "spec.json").is_file()):
        result = _json(run / "result.json") if (run / "result.json").exists() else {}
        weights = sorted((run / "checkpoint").glob("step-*/model.safetensors"))
        digest = hashlib.sha256(weights[-1].read_bytes()).hexdigest() if weights else None
        found[run.name] = (result.get("status"), digest, result.get("scores"), result.get("temperature"))
    return found


def study(folder: Path) -> dict:
    """Runs, trials and looks of a study, and its verdict."""
    store = folder / "store"
    found: dict = {"runs": bits(store)} | {"trials": bits(store / "trials") if (store / "trials").is_dir() else {}}
    if (store / "looks.json").exists():
        found["looks"] = [{key: look[key] for key in ("level", "arms")} for ledger in _json(store / "looks.json")[
            "ledgers"] for look in ledger["looks"]]
    if (store / "verdict.json").exists():
        said = _json(store / "verdict.json")
        found["verdict"] = [said["verdict"], [[arm.get(key) for key in OF_ARMS] for arm in said["arms"]]]
    return found


def trials(folder: Path) -> dict:
    """Trials that a journal shares, in any order."""
    return bits(folder / "store" / "trials")


def ladder(folder: Path) -> dict:
    """The table of a ladder, and all of its rungs."""
    rungs = sorted((folder / "store" / "rungs").iterdir())
    return {"table": (folder / "store" / "ladder.csv").read_text(encoding="utf-8"),
            **{rung.name: bits(rung) for rung in rungs}}  # fmt: skip


def fine_tuned(folder: Path) -> dict:
    """Weights, scores, and what is said of before and after."""
    return {"run": bits(folder)["tuned"], "before and after": _json(folder / "tuned" / "result.json")["fine_tuning"]}


def judgement(folder: Path) -> dict:
    """Grades and texts."""
    said = _json(folder / "page.json")
    texts = (folder / "page.jsonl").read_text(encoding="utf-8")
    return {"grades": [said["models"], said["differences"]], "texts": texts}


def requests() -> int:
    """How often the judge was asked."""
    return len(places.judge().requests)


def game(folder: Path) -> dict:
    """The entries of the ledger and the rows of the board."""
    (game_folder,) = (folder / "host").glob("*/games/*")
    lines = (game_folder / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [{key: value for key, value in entry.items() if key not in ("time", "chain", "repeated")}
               for entry in map(json.loads, lines)]  # fmt: skip
    rows = {path.name: [_json(path)[key] for key in ("status", "sha256", "lines", "visible")] +
            [[run["scores"], run["weights"]] for run in _json(path)["runs"].values()]
            for path in sorted((folder / "host").glob("*/rows/*.json"))}  # fmt: skip
    return {"entries": entries, "rows": rows, "records": len(list((game_folder / "records").glob("*.json")))}


def ended(folder: Path, number: int) -> bool:
    """Whether the ledger says how command `number` ended."""
    verbs = [entry["verb"] for entry in game(folder)["entries"]]
    return ("tested", "submitted")[number] in verbs


def index(folder: Path) -> list:
    """What a list says, by the index and without it."""
    from losslab.records import index as indexes

    by_index = [str(row) for row in indexes.rows(folder / "store")]
    (folder / "store" / indexes.NAME).unlink(missing_ok=True)
    assert by_index == [str(row) for row in indexes.rows(folder / "store")]
    return [row.replace(str(folder), "") for row in by_index]


def _json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def _sized(words: tuple[str, ...]) -> tuple[str, ...]:
    """The same work somewhat larger, so that a kill meets every phase of it."""
    return tuple(CHANGED.get(words[i - 1], word) for i, word in enumerate(words))


def _flags(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for name in names for word in (name, SMALL[SMALL.index(name) + 1]))


WORKS = (
    Work("a study", places.losses, (_sized(STUDY),), study, share=4),
    Work("tuning", places.studies, (("compare", "tuned.toml", "--store", "store"),), study),
    Work("trials through a journal", places.studies, (("tune", "shared.toml", "--stale", "15", "--store", "store",
                                                       "--workers", "1"),), trials),
    Work("looks", places.studies, (("compare", "raced.toml", "--store", "store"),), study),
    Work("a ladder", places.studies, (("ladder", "ladder.toml", "--store", "store", "--resamples", "50"),), ladder),
    Work("fine-tuning", places.base, (("finetune", "base", "--data", "alpaca.json", "--out", "tuned", *_flags(
        FOLLOWED)),), fine_tuned),
    Work("a judgement", places.writers, ((
        "judge", "ours", "--against", "theirs", "--prompts", "prompts.txt", "--completions", "2", "--num-tokens", "12",
        "--cache", "kept", "--url", "URL", "--judge-model", "stub", "--concurrency", "1", "--out", "page.html"),),
        judgement, spent=requests),
    Work("the arena", places.workspace, (("arena", "test", "mine"), ("arena", "submit", "mine")), game, ended,
         spares=JAIL),
    Work("an index", places.many, (("runs", "list", "store"),), index),
)  # fmt: skip
