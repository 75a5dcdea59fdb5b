"""What was done, as a paragraph for the methods section of a paper, with every figure filled in."""

from collections.abc import Iterable

from losslab.escaping import code, escape
from losslab.report import text, tuning, words

SCHEDULE = "warm-up over {} updates and the {} schedule"
SWITCHED = {  # a switch that is not as GPT-2 has it -> what it does
    ("model.qk_norm", True): "queries and keys normalized", ("model.zero_init", True): "output projections begin at 0",
    ("model.tied", False): "output weights apart from the token embedding", ("model.bias", False): "no biases",
}


def markdown(document: dict) -> str:
    """The paragraph, and the sentence of the verdict below it; whatever came from a run is escaped."""
    told = " ".join(part for part in [
        _asked(document), _data(document), _model(document), _training(document), _matched(document), _tuned(document),
        _measured(document), _statistics(document), _machine(document)] if part)
    result = f"{escape(document['verdict'])}."
    return f"# Methods\n\n{told}\n\n# Result\n\n{result}\n"


def shared(document: dict, key: str) -> str | None:
    """A setting in words: its value, or the value of each arm where they differ; None where no run says it."""
    if key in document["settings"]:
        value = document["settings"][key]
        return None if value is None else escape(words.value(value))
    own = {arm["name"]: arm["differs"][key] for arm in document["arms"] if arm["differs"].get(key) is not None}
    return ", ".join(f"{escape(words.value(value))} ({code(name)})" for name, value in own.items()) or None


def _clause(words_of_it: str, *values: str | None) -> str:
    """The words with the values in them; nothing where a value is not known."""
    return "" if None in values else words_of_it.format(*values)


def _joined(parts: Iterable[str], between: str = ", ") -> str:
    return between.join(part for part in parts if part)


def _asked(document: dict) -> str:
    every = [arm["name"] for arm in [*document["arms"], *document["others"]]]
    others = [code(name) for name in every if name != document["baseline"]]
    named = ", ".join(others[:-1]) + (" and " if others[:-1] else "") + others[-1] if others else ""
    did = f"compared {named} with" if others else "trained"
    asked = f"{escape(text.asked(document))} " if text.asked(document) else ""
    files = [f"{code(loss['path'])} (sha256 {loss['sha256'][:12]})" for loss in document["losses"]]
    written = f" The sources of the loss files {', '.join(files)} are in the report." if files else ""
    version = _clause(" {}", document["version"] and escape(document["version"]))
    return f"{asked}We {did} {code(document['baseline'])} by losslab{version}.{written}"


def _data(document: dict) -> str:
    corpus = document["corpus"]
    train = (corpus["splits"] or {}).get("train", {})
    size = _clause(" ({} documents, {} tokens)", *(None if train.get(key) is None else words.value(train[key])
                                                     for key in ("documents", "tokens")))
    vocabulary = _clause(" into a vocabulary of {}", corpus["vocab_size"] and words.value(corpus["vocab_size"]))
    told = (f"The models were trained on the training split of {escape(corpus['name'])}{size}, tokenized by "
            f"{escape(corpus['tokenizer'])}{vocabulary}; the digest of the corpus is {code(corpus['digest'])}.")
    if len(document["corpora"]) > 1:
        told += f" Arms had different corpora: {escape(text.corpus(document))}."
    return told


def _model(document: dict) -> str:
    layers, heads, width, context = (shared(document, f"model.{name}") for name in (
        "n_layer", "n_head", "n_embd", "num_positions"))
    size = ", ".join(f"{count:,}" for count in document["num_params"]) or None
    said = _joined([_clause("{} layers", layers), _clause("{} attention heads", heads), _clause("width {}", width),
                    _clause("a context of {} tokens", context), _clause("{} parameters", size)])
    kinds = _joined([_clause("{} positions", shared(document, "model.position_embedding")),
                     _clause("{} norm", shared(document, "model.norm")),
                     _clause("activation {}", shared(document, "model.activation")),
                     _clause("dropout {}", shared(document, "model.dropout")),
                     *(told for (key, value), told in SWITCHED.items() if document["settings"].get(key) is value)])
    start = document["settings"].get("start")
    begun = f" Training started from the weights of {code(start)}." if start else ""
    return f"Each model is a decoder-only transformer in the manner of GPT-2: {said}; {kinds}.{begun}"


def _training(document: dict) -> str:
    steps = sorted({run["num_steps"] for arm in document["arms"] for run in arm["runs"] if run["num_steps"]})
    length = document["settings"].get("train.seq_len") or document["settings"].get("model.num_positions")
    seeds = sorted({seed for arm in document["arms"] for seed in arm["seeds"]})
    extent = "; ".join(words.extent(document)[:2])
    update = _clause(", in {} updates of {} sequences of {} tokens", ", ".join(f"{n:,}" for n in steps) or None,
                     shared(document, "train.batch_size"), length and words.value(length) or None)
    rate = _joined([
        _clause("learning rate {}", shared(document, "train.learning_rate")),
        _clause(SCHEDULE, shared(document, "train.warmup_steps"), shared(document, "train.schedule")),
        _clause("down to {} of the highest rate", shared(document, "train.min_learning_rate_ratio")),
        _clause("betas {}", shared(document, "train.betas")),
        _clause("weight decay {}", shared(document, "train.weight_decay")),
        _clause("gradients clipped at norm {}", shared(document, "train.grad_clip"))])
    by = _clause("the optimizer {} ", shared(document, "train.optimizer"))
    return (f"There were {extent}{update}, with {by}({rate}). "
            f"The seeds are {', '.join(map(str, seeds))}. {_alike(document)}").rstrip()


def _alike(document: dict) -> str:
    """What the arms share, where it is the loss alone that they differ in; else what they differ in."""
    keys = dict.fromkeys(key for arm in document["arms"] for key in arm["differs"])
    if keys:
        own = "; ".join(f"{code(key)} {shared(document, key) or 'set for some arms'}" for key in keys)
        return f"Besides the loss, arms differ in these settings: {own}."
    if len(document["arms"]) == 1 or len(document["corpora"]) > 1:
        return ""
    return "Of one seed, all losses had the same initial weights and the same batches in the same order."


def _matched(document: dict) -> str:
    by = document["matching"].get("by")
    return f"The arms were matched by {by}: each was trained for the {by} of the baseline." if by else ""


def _tuned(document: dict) -> str:
    arms = tuning.tuned(document)
    if not arms:
        return ""
    trials = sorted({len(arm["trials"]) for arm in arms})
    keys = ", ".join(key.rpartition(".")[2].replace("_", " ") for key in tuning.searched(document))
    chosen = "; ".join(f"{code(arm['name'])} {escape(tuning.chosen(arm))}" for arm in arms)
    return (f"The settings {keys} were tuned for each loss alike, by {', '.join(map(str, trials))} trials judged by "
            f"plain cross-entropy on a split of its own, with seeds that no result uses; chosen were {chosen}.")


def _measured(document: dict) -> str:
    counts = document["counts"]
    size = (f" ({words.plural(counts['documents'], 'document')}, {words.plural(counts['tokens'], 'token')}, "
            f"{words.plural(counts['bytes'], 'byte')})" if counts else "")
    return ("Every trained model was measured by plain cross-entropy at temperature 1, in nats per token, on the whole "
            f"validation split{size}, in a process that knows no loss; the measure is {code(document['measure'])}.")


def _statistics(document: dict) -> str:
    if document["noise_band"] is None and not document["note"]:
        return ""
    looks = document["looks"]
    many = isinstance(looks, int) and looks > 1
    return (f"Differences are paired by seed; the error rate is {document['alpha']:g}, and a difference "
            f"within {document['margin']:g} nats/token counts as none. "
            + (f"There were {looks} looks, which share this rate. " if many else "")
            + (f"In detail: {escape(document['note'])}." if document["note"] else ""))


def _machine(document: dict) -> str:
    found = document["environment"]
    return _joined([_clause("All was computed with PyTorch {}", escape(words.value(found["torch"]))
                            if "torch" in found else None),
                    _clause("on {}", escape(words.value(found["device"])) if "device" in found else None),
                    _clause("in {}", escape(words.value(found["dtype"])) if "dtype" in found else None)], " ") + "."
