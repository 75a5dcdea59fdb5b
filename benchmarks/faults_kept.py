"""Files that losslab keeps and reads again, and what it is asked next where one of them may be damaged.

An answer is a dictionary of what a user would be told; sentences that came with it go to `said`. Where it is asked in a
folder, that is the working directory, and `cache` in it is losslab's cache.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import faults_asked as asked
import faults_places as places
from faults_material import study
from faults_works import WORKS, Work

SAYS = ("damaged", "was changed", "was cut", "is missing", "are no lines of a log", "rebuilt", "built again")
TIMES = ("seconds", "time", "at", "command", "report", "version", "created", "cost", "source")  # of no verdict


@dataclass(frozen=True)
class Kept:
    """Files of one kind."""

    kind: str  # `{}` stands for the name of the file
    made: str  # of `MAKERS`: the folder that they lie in
    pattern: str
    ask: Callable[[Path, list[str]], object]  # (the bent file, sentences)

    def name(self, path: Path) -> str:
        return self.kind.format(path.name)


# --- runs, checkpoints, corpora ----------------------------------------------------------------

def document(file: Path, said: list[str]):
    """The report of the store; caveats that name damage are sentences."""
    from losslab import comparison, records, report

    return _plain(report.document(comparison.compare(records.find([Path("store")]))), said)


def weights(file: Path, said: list[str]) -> list:
    """What a measurement or a resumed training would take: the newest whole checkpoint, and each by itself."""
    from losslab import checkpoint, optim
    from losslab.config import TrainConfig

    run = file.parents[1]
    newest = checkpoint.newest(run, warn=said.append)
    found = []
    for path in [newest, *(path for path in checkpoint.steps(run) if path != newest)]:
        try:
            loaded = checkpoint.load(path)
            states = [loaded.model.state_dict()]
            if (path / "optimizer.safetensors").exists():
                optimizer = optim.build(loaded.model, TrainConfig(num_steps=1))
                checkpoint.restore_optimizer(path, loaded.model, optimizer)
                states += list(optimizer.state.values())
            sums = [hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for s in states for tensor in s.values()]
            found.append([path.name, loaded.step, loaded.tokens, loaded.tokenizer.digest, sums])
        except ValueError as error:
            said.append(str(error))
    return found


def corpus(file: Path, said: list[str]) -> dict:
    """The corpus as a run would begin with it and a measurement would read it: every id of every split."""
    from losslab import records
    from losslab.corpus import Corpus

    run = "tuned" if Path("tuned").is_dir() else min(Path("store").glob("*/spec.json")).parent
    found = Corpus.open(records.read(run).config.data, progress=lambda what, done, total: None)
    with contextlib.suppress(AttributeError):
        found.verify()
    splits = {split: [hashlib.sha256(found.stream(split).tobytes()).hexdigest(),
                      [[len(d.tokens), d.num_bytes, d.num_words, d.ends] for d in found.documents(split)]]
              for split in ("train", "val", "tune")}  # fmt: skip
    return {"digest": found.digest, "tokenizer": found.tokenizer.digest, "floor": found.floor_bits_per_byte,
            "tokens": found.num_tokens, "bytes": found.num_bytes, "splits": splits, "about": found.describe(),
            "unigram": hashlib.sha256(found.unigram().tobytes()).hexdigest()}


# --- studies -----------------------------------------------------------------------------------

def again(file: Path, said: list[str]):
    """What `losslab report` says of a study's folder."""
    from losslab import report
    from losslab import study as studies

    found, command = studies.again(Path("store"), tell=said.append)
    return _plain(report.document(found, command=command), said)


def continued(file: Path, said: list[str]):
    """What the command that made a study says when it is given again; what is damaged may be run again."""
    from losslab import study as studies

    name = "tuned" if Path("store/trials").is_dir() else "raced"
    shown: list[dict] = []
    studies.conduct(replace(studies.read(f"{name}.toml"), name=name), "store", tell=said.append, shown=shown.append)
    return _plain(shown[0], said)


def trials(file: Path, said: list[str]):
    """Trials of a journal, once more."""
    from losslab import study, tune

    wanted = study.read("shared.toml")
    found = tune.tune(wanted.configs, tune.Tuning.from_dict(wanted.tune), "store", tell=said.append)
    return _plain({name: each.to_dict() for name, each in found.items()}, said)


def climbed(file: Path, said: list[str]):
    """A ladder, once more."""
    from losslab import ladder, study

    shown: list[dict] = []
    ladder.climb(replace(study.read("ladder.toml"), name="ladder"), "store", resamples=20, tell=said.append,
                 shown=shown.append)  # fmt: skip
    return _plain(shown[0], said)


def before(file: Path, said: list[str]):
    """What the weights of a start score, where that is kept; else another run measures it again."""
    from losslab import records
    from losslab.experiment import Experiment, fine_tuning

    found = fine_tuning.found(Experiment(records.read("tuned").config), {"scores": {}})
    if not (kept := found["fine_tuning"]["new"]["before"]):
        said.append("it is measured again")
    return kept


# --- judging, the arena, the index -------------------------------------------------------------

def graded(file: Path, said: list[str]):
    """A judgement, once more; an answer that was kept and cannot be read is asked for again."""
    from losslab.judge import command
    from losslab.judge.asked import Asked, Sampling
    from losslab.progress import silent

    wanted = Asked(models=(Path("ours"), Path("theirs")), prompts=Path("prompts.txt"), cache=Path("kept"),
                   sampling=Sampling(completions=2, num_tokens=12), url=places.judge().url,
                   judge_model="stub", concurrency=1, out=Path("page.html"), measures=False)  # fmt: skip
    found, _ = command.run(wanted, progress=silent, tell=said.append)
    return {key: found[key] for key in ("models", "differences")}


def game(file: Path, said: list[str]):
    """The ledger of a workspace, what is left, the texts, the board, and the runs that need not be made again."""
    from losslab.arena import board, refereeing, workspace

    with workspace.opened("mine", said.append) as found:
        told = {"entries": found.ledger.entries, "left": found.left(), "challenge": found.challenge.to_dict(),
                "texts": [found.text(sha256) for sha256 in found.history()], "secret": found.board.secret,
                "board": board.document(found.board)}
        again = workspace.Ledger(found.ledger.folder).entries
        assert again == told["entries"], "what was mended is not what was read"
        runs = {path.relative_to(found.board.path): refereeing._kept(path)
                for path in sorted(found.board.path.glob("runs/*/*.json"))}  # fmt: skip
    said += [f"{path} is run again" for path, run in runs.items() if run is None]
    return _plain(told | {"runs": {str(path): run for path, run in runs.items()}}, said)


def listed(file: Path, said: list[str]):
    """What a list of runs and the live page say."""
    from losslab.records import index
    from losslab.serve.catalog import Catalog

    rows = [str(row) for row in index.rows(Path("store"))]
    return {"rows": rows, "page": [str(row) for _, row in Catalog("store").rows()]}


def _plain(found, said: list[str]):
    """Without times and places; caveats that name damage are sentences."""
    here = str(Path.cwd())
    value = _timeless(json.loads(json.dumps(found, default=str).replace(here, "HERE")))
    said += [text for text in _texts(value) if any(word in text for word in SAYS)]
    return value


def _timeless(found):
    if isinstance(found, dict):
        return {key: _timeless(value) for key, value in found.items() if key not in TIMES}
    return [_timeless(value) for value in found] if isinstance(found, list) else found


def _texts(found):
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for value in found.values() if isinstance(found, dict) else found:
            yield from _texts(value)


def runs(folder: Path) -> None:
    """A store of two arms."""
    folder.mkdir(parents=True)
    study(folder)


MAKERS: dict[str, Callable[[Path], object]] = {
    "runs": runs, "plans": Work("", asked.plans, (), dict).make, "served": Work("", asked.served, (), dict).make,
    **{work.name: work.make for work in WORKS if work.name != "a study"},  # of which "runs" has all
}  # fmt: skip
KEPT = (
    Kept("run/{}", "runs", "store/*/*.json*", document),
    Kept("checkpoint/{}", "runs", "store/*/checkpoint/*/*", weights),
    Kept("cache/{}", "runs", "cache/corpora/*/*", corpus),
    Kept("study/{}", "tuning", "store/[!rv]*.*", again),
    Kept("trial/{}", "tuning", "store/trials/*/*.json*", continued),
    Kept("trials/{}", "trials through a journal", "store/trials/journal.log", trials),
    Kept("looks/{}", "looks", "store/[!rv]*.*", again),
    Kept("ladder/{}", "a ladder", "store/ladder.*", climbed),
    Kept("rung/{}", "a ladder", "store/rungs/*/[!rv]*.*", climbed),
    Kept("cache/{} of instructions", "fine-tuning", "cache/corpora/alpaca*/*", corpus),
    Kept("cache/before", "fine-tuning", "cache/before/*.json", before),
    Kept("judge/kept answers", "a judgement", "kept/*/*.json", graded),
    Kept("arena/{}", "the arena", "host/*/*.json", game),
    Kept("arena/ledger.jsonl", "the arena", "host/*/games/*/ledger.jsonl", game),
    Kept("arena/records", "the arena", "host/*/games/*/records/*.json", game),
    Kept("arena/texts", "the arena", "host/*/games/*/files/*.py", game),
    Kept("arena/rows", "the arena", "host/*/rows/*.json", game),
    Kept("arena/runs", "the arena", "host/*/runs/*/*.json", game),
    Kept("arena/{} of the workspace", "the arena", "mine/arena.json", game),
    Kept("index", "an index", "store/.index.sqlite", listed),
)  # fmt: skip
