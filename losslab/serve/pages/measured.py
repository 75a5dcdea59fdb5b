"""What was measured of a model: its own scores and those of its tasks, each with the text and tokens that it is of.

Scores a token of another vocabulary, or of another text, are other quantities by the same name. They never share a row.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from losslab import records, untrusted
from losslab.records import Record
from losslab.serve import references
from losslab.serve.folder import spoken
from losslab.serve.folding import row_name
from losslab.serve.frame import Gone
from losslab.serve.pages.run import documents
from losslab.serve.site import Site

LIKELIHOOD = "likelihood"
FIXED = ("bytes", references.TOKENIZER)  # tokenizers that are the same whatever text they are for
MOST = 1e300  # no chart has a place for more
FIRST = (("core", "core_v1"), ("core", "core_v2"), ("core", "short_seven"), ("blimp", "accuracy"),
         (LIKELIHOOD, "nll"), (LIKELIHOOD, "bits_per_byte"), (LIKELIHOOD, "perplexity"))


@dataclass(frozen=True)
class Key:
    """A score that is the same quantity for all models that have it."""

    task: str
    score: str
    text: str = ""
    """What is scored, where the task does not say it."""
    split: str = ""
    """The part of that text, where it is the run's own corpus."""
    tokenizer: str = ""
    """Whose tokens are counted; empty where none are."""
    more: str = ""
    """Tells texts and tokenizers of one name apart; only shown where there are several."""

    @property
    def name(self) -> str:
        return f"{self.task}: {self.score}"

    def label(self, *, whole: bool = False) -> str:
        text = f"{self.split} of {self.text}" if self.split and self.text else self.text
        of = ", ".join(filter(None, (text, self.tokenizer, self.more if whole else "")))
        return f"{self.name} ({of})" if of else self.name


@dataclass(frozen=True)
class Measured:
    """One model with what was measured of it."""

    name: str
    place: str
    """The address of its run."""
    scores: dict[Key, dict] = field(default_factory=dict)
    """value, stderr, n and unit of each; the error is None where none can be drawn."""
    is_evidence: bool = True
    problem: str = ""
    """What of it cannot be read."""


def models(site: Site, places: Sequence[str]) -> list[Measured]:
    """The models at these addresses; of one that cannot be read the reason alone, so that it hides no other."""
    found = [_measured(site, place) for place in places]
    count = Counter(one.name for one in found)
    return [replace(one, name=f"{one.name}, {one.place}") if count[one.name] > 1 else one for one in found]


def keys(found: Sequence[Measured]) -> dict[Key, str]:
    """Every score that one of them has, the usual first, with its label."""
    every = dict.fromkeys(key for one in found for key in one.scores)
    usual = {pair: number for number, pair in enumerate(FIRST)}
    every = sorted(every, key=lambda key: (usual.get((key.task, key.score), len(FIRST)), key.task, key.score, key.label(
        whole=True)))
    count = Counter(key.label() for key in every)
    return {key: key.label(whole=count[key.label()] > 1) for key in every}


def number(value) -> float | None:
    """A number that can be drawn; None for anything else."""
    is_one = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST
    return float(value) if is_one else None


def _measured(site: Site, place: str) -> Measured:
    try:
        folder, row = site.run(place)
        name = f"{row_name(row)}, seed {row.seed}" + (f", {spoken(folder)}" if site.has_several else "")
    except Gone as error:
        return Measured(place[:120], place, problem=str(error))
    try:
        record = records.read(row.path)
    except (ValueError, OSError) as error:
        return Measured(name, place, problem=str(error))
    scores, problem, evidence = _own(record), "", True
    if "evaluation.json" in documents(Path(row.path)):
        try:
            document = untrusted.read_object(Path(row.path) / "evaluation.json")
            for task in document["tasks"]:
                scores |= _of_task(task, document, record)
            evidence = document.get("is_evidence") is True
        except (ValueError, OSError, LookupError, TypeError, AttributeError) as error:
            evidence, problem = False, f"evaluation.json is not as losslab writes it ({type(error).__name__})"
    return Measured(name, place, scores, evidence, problem)


def _own(record: Record) -> dict[Key, dict]:
    """The scores of the run itself, on `val` of its corpus."""
    corpus = record.spec["corpus"]
    counts = corpus.get("splits", {}).get("val", {})
    size = f"{counts.get('bytes', '?')} bytes in {counts.get('documents', '?')} documents"
    found = {}
    for name, score in record.scores.items():
        key = Key(LIKELIHOOD, name, corpus.get("name") or "its corpus", "val")
        key = replace(key, tokenizer=corpus.get("tokenizer") or "its tokenizer", more=f"corpus {corpus.get('digest')}"
                      ) if _counts_tokens(score) else replace(key, more=size)
        found |= _kept(key, score)
    return found


def _of_task(task: dict, document: dict, record: Record) -> dict[Key, dict]:
    tokenizer = str(document.get("tokenizer", "its tokenizer"))
    digest = "" if tokenizer in FIXED else f"tokenizer of corpus {record.spec['corpus'].get('digest')}"
    found = {}
    for name, score in task["scores"].items():
        key = Key(str(task["name"]), str(name))
        size = ""
        if key.task == LIKELIHOOD:
            key = replace(key, text=str(document.get("corpus", "a text")))
            size = ", ".join(f"{value:,} {what}" for what in ("bytes", "documents")
                             if isinstance(value := task.get("counts", {}).get(what), int))
        if _counts_tokens(score) and (key.text or "token" in str(score.get("unit"))):
            key = replace(key, tokenizer=tokenizer)
            size = ", ".join(filter(None, (size, digest)))
        found |= _kept(replace(key, more=size), score)
    return found


def _counts_tokens(score: dict) -> bool:
    """Whether another vocabulary gives another quantity: of all units those of bytes and words alone do not."""
    return not any(unit in str(score.get("unit")) for unit in ("byte", "word"))


def _kept(key: Key, score: dict) -> dict[Key, dict]:
    value, error, n = number(score.get("value")), number(score.get("stderr")), score.get("n")
    if value is None:
        return {}
    return {key: {"value": value, "stderr": error if error is not None and error >= 0 else None,
                  "n": n if isinstance(n, int) and not isinstance(n, bool) and 0 < n < MOST else None,
                  "unit": str(score.get("unit") or "")}}
