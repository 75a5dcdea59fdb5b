"""What fine-tuning changed: scores of the weights that a run started from, and of both on the text they came from.

The evaluator measures all of it. What the weights of the start score is the same for every seed and arm, so it is kept.
"""

import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from losslab import records
from losslab.config import digest
from losslab.corpus import Corpus, disk
from losslab.experiment.plan import Experiment

FORMAT = 2  # of what is kept; 1 had no checksum
BEFORE, OLD_AFTER, OLD_BEFORE = "before", "old_after", "old_before"


@dataclass(frozen=True)
class Old:
    """The text that the weights of the start were trained on."""

    corpus: Corpus
    seq_len: int
    scores: dict  # of those weights, as their own run has them; empty where it has none


def is_asked(experiment: Experiment) -> bool:
    rules = experiment.config.evaluate
    return experiment.start is not None and rules.before_and_after and rules.split == "val"


def requests(experiment: Experiment) -> list[dict]:
    """What else the evaluator is to score, besides the run on its own text."""
    if not is_asked(experiment):
        return []
    start, config = experiment.start, experiment.config
    first = {"weights": str((start.path / "model.safetensors").absolute()), "sha256": start.weights,
             "model": asdict(start.model)}
    wanted = [] if _kept(experiment) else [first | {"as": BEFORE, **_text(experiment.corpus, config.seq_len)}]
    old, _ = old_text(experiment)
    if old:
        wanted.append({"as": OLD_AFTER, **_text(old.corpus, old.seq_len)})
        if not old.scores:
            wanted.append(first | {"as": OLD_BEFORE, **_text(old.corpus, old.seq_len)})
    return wanted


def _text(corpus: Corpus, seq_len: int) -> dict:
    return {"corpus": [corpus.name, str(corpus.folder.absolute()), corpus.meta["sum"]], "seq_len": seq_len}


def old_text(experiment: Experiment) -> tuple[Old | None, str]:
    """The text that the start was trained on, or a sentence why it is not scored; neither where it is the same text."""
    start = records.read(experiment.config.start)
    if start.status == "imported":
        return None, "an imported model does not say what it was trained on"
    if start.spec["corpus"]["digest"] == experiment.corpus.digest:
        return None, ""
    try:
        corpus = Corpus.open(start.config.data)
        if corpus.tokenizer.digest != experiment.start.tokenizer.digest:
            corpus = Corpus.open(start.config.data, tokenizer=experiment.start.tokenizer)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        return None, f"the text that {experiment.config.start} was trained on cannot be read: {error}"
    if corpus.digest != start.spec["corpus"]["digest"]:
        return None, f"the text that {experiment.config.start} was trained on has changed since"
    own = start.result.get("weights") == experiment.start.weights and start.config.evaluate.split == "val"
    stride = start.config.evaluate.stride == experiment.config.evaluate.stride
    return Old(corpus, start.config.seq_len, dict(start.scores) if own and stride else {}), ""


def found(experiment: Experiment, measured: dict) -> dict:
    """`fine_tuning` of a result, of what the evaluator found; empty where nothing was asked or the run diverged."""
    if not is_asked(experiment) or "scores" not in measured:
        return {}
    also = measured.get("also", {})
    if BEFORE in also:
        _keep(experiment, also[BEFORE])
    corpus = experiment.corpus
    new = {"corpus": {"name": corpus.name, "digest": corpus.digest}, "instructions": corpus.is_instructions,
           "before": also.get(BEFORE) or _kept(experiment), "after": measured["scores"]}
    told = {"start": experiment.config.start, "weights": experiment.start.weights, "new": new}
    old, why_not = old_text(experiment)
    if old and OLD_AFTER in also:
        told["old"] = {"corpus": {"name": old.corpus.name, "digest": old.corpus.digest},
                       "instructions": old.corpus.is_instructions,
                       "before": also.get(OLD_BEFORE) or old.scores, "after": also[OLD_AFTER]}
    elif why_not:
        told["no_old"] = why_not
    return {"fine_tuning": told}


# --- kept --------------------------------------------------------------------------------------

def _place(experiment: Experiment) -> Path:
    rules, config = experiment.config.evaluate, experiment.config
    key = digest(["before", FORMAT, experiment.start.weights, experiment.corpus.meta["sum"], rules.stride,
                  rules.tune_tokens, config.seq_len, config.train.device])
    return disk.root() / "before" / f"{key}.json"


def _kept(experiment: Experiment) -> dict:
    """Scores of the start that were kept; empty where there are none that can be read."""
    stride = experiment.config.evaluate.stride
    try:
        known = records.files.read_sealed(_place(experiment), FORMAT, always=True)["scores"]
        return known if math.isfinite(known[f"nll_stride_{stride}" if stride else "nll"]["value"]) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _keep(experiment: Experiment, scores: dict) -> None:
    place = _place(experiment)
    with suppress(OSError):  # they are measured again
        place.parent.mkdir(parents=True, exist_ok=True)
        records.files.write_sealed(place, {"format": FORMAT, "scores": scores})
