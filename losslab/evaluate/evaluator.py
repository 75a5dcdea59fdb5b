"""Every likelihood score of a saved model on a text: the scores on which a verdict is based."""

import math
from pathlib import Path

import numpy as np
import torch

from losslab import checkpoint, formula
from losslab.config import DataConfig, EvaluateConfig, ModelConfig, override
from losslab.corpus import Corpus
from losslab.evaluate.document_scores import per_document, scores
from losslab.evaluate.temperature import tuned_temperature
from losslab.generate import generate

MOST_DOCUMENTS = 2_000  # whose nats a result keeps; more are added up in groups
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def measure(
    path: str | Path, data: DataConfig, config: EvaluateConfig | None = None, *, seq_len: int = 0, device: str = "cpu",
) -> dict:
    """Score the checkpoint at `path` on the whole `val` split of a corpus; see `score`."""
    loaded = checkpoint.load(path, device=device)
    corpus = Corpus.open(data, tokenizer=loaded.tokenizer)
    return score(loaded.model, corpus, loaded.tokenizer, config or EvaluateConfig(), seq_len=seq_len)


def measure_run(request: dict) -> dict:
    """Score the weights of a run as its specification says, and let it write; nothing else of a checkpoint is read.

    Args:
        request: JSON-able: `weights` (the path of a safetensors file), `model`, `vocab_size` and `transform` (what the
            model must be), `corpus` (its name, folder and the sum of its files), `evaluate` (settings),
            `seq_len` (tokens in a window), `device`; perhaps `also`: what else is to be scored, each with a name `as`,
            its own `corpus` and `seq_len`, and `weights`, `sha256` and `model` where they are not those of the run.

    Returns:
        what `score` returns, with `weights` (sha256 of the bytes that were scored), `model` (its sizes), `samples`, and
        the scores of `also` by their names;
        or `weights` and `diverged`, a sentence, where the weights or the scores are not finite.

    Raises:
        ValueError: for weights that are not those of such a model, or another corpus.
    """
    corpus = _whole_corpus(*request["corpus"])
    config = override(EvaluateConfig(), request["evaluate"], source="the request")
    model_config = override(ModelConfig(), request["model"], source="the request")
    tensors, sha256 = checkpoint.read_weights(Path(request["weights"]))
    model = checkpoint.model_from(tensors, model_config, request["vocab_size"],
                                  formula.transforms(request["transform"]), request["weights"]).to(request["device"])
    size = {"num_params": model.num_params, "num_params_non_embedding": model.num_params_non_embedding}
    broken = [name for name, tensor in model.state_dict().items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        return {"weights": sha256, "model": size, "diverged": f"the weights {broken[0]} are not finite"}
    found = score(model, corpus, corpus.tokenizer, config, seq_len=request["seq_len"])
    nll = next(iter(found["scores"].values()))
    if not math.isfinite(nll["value"]):
        return {"weights": sha256, "model": size, "diverged": f"nll is {nll['value']} on the validation text"}
    also = {wanted["as"]: _also(wanted, request, model, config) for wanted in request.get("also", [])}
    return {**found, "weights": sha256, "model": size, "samples": samples(model, corpus, config),
            **({"also": also} if also else {})}


def _whole_corpus(name: str, folder: str, written: str) -> Corpus:
    corpus = Corpus(name, Path(folder))
    corpus.verify()
    if corpus.meta["sum"] != written:
        raise ValueError(f"the cached corpus in {folder} is not the one that this run began with; start again, which "
                         "makes the corpus anew")
    return corpus


def _also(wanted: dict, request: dict, model, config: EvaluateConfig) -> dict:
    """The scores of other weights, or on another text; weights are checked before anything is made of them."""
    if "weights" in wanted:
        sizes = override(ModelConfig(), wanted["model"], source="the request")
        tensors, sha256 = checkpoint.read_weights(Path(wanted["weights"]))
        if sha256 != wanted["sha256"]:
            raise ValueError(f"the weights {wanted['weights']} are not those that this run started from; put them back")
        model = checkpoint.model_from(tensors, sizes, request["vocab_size"], formula.transforms(request["transform"]),
                                      wanted["weights"]).to(request["device"])
    corpus = _whole_corpus(*wanted["corpus"])
    return score(model, corpus, corpus.tokenizer, config, seq_len=wanted["seq_len"])["scores"]


def score(model, corpus: Corpus, tokenizer, config: EvaluateConfig, *, seq_len: int = 0) -> dict:
    """Score a model on the whole `val` split of a corpus, or on `tune` where `config.split` says so.

    The temperature of `nll_calibrated` is fitted on a fixed part of `tune`, which shares no document with `val`. Scores
    on `tune` have it in their names, such as `tune_nll`, so that none is taken for one on `val`.

    Returns:
        a JSON-able dictionary: `scores` (name -> value, stderr, n, unit; `nll` first), `temperature`, `counts`,
        `document_perplexity` (quantile -> perplexity of that share of documents), `corpus`, `floor_bits_per_byte`; on
        `tune` also `tune_documents`: `nats` and `tokens` of each document, or of equal groups of them.
    """
    if config.split == "tune":
        return _on_tune(model, corpus, tokenizer, config, seq_len)
    temperature = tuned_temperature(model, tokenizer, corpus, config, seq_len=seq_len)
    rows = per_document(
        model, corpus.documents("val"), tokenizer, stride=config.stride, batch_size=config.batch_size,
        temperature=temperature, seq_len=seq_len,
    )
    return {
        "scores": {name: score.to_dict() for name, score in scores(rows, stride=config.stride).items()},
        "temperature": temperature,
        "counts": {
            "documents": len(rows.nats),
            "tokens": int(rows.all_tokens.sum()),
            "bytes": int(rows.num_bytes.sum()),
            "words": int(rows.num_words.sum()),
        },
        "unigram_nll": unigram_nll(corpus),
        "document_perplexity": {str(q): float(np.quantile(rows.perplexity, q)) for q in QUANTILES},
        "corpus": {"name": corpus.name, "digest": corpus.digest},
        "floor_bits_per_byte": corpus.floor_bits_per_byte,
    }


def unigram_nll(corpus: Corpus) -> float:
    """The entropy of single tokens of `val`, in nats: no model that knows only how often each occurs is below it."""
    counts = corpus.counts("val")
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _on_tune(model, corpus: Corpus, tokenizer, config: EvaluateConfig, seq_len: int) -> dict:
    rows = per_document(model, corpus.documents("tune"), tokenizer, stride=config.stride, batch_size=config.batch_size,
                        seq_len=seq_len)
    named = scores(rows, stride=config.stride)
    size = -(-len(rows.nats) // MOST_DOCUMENTS)
    starts = np.arange(0, len(rows.nats), size)
    return {
        "scores": {f"tune_{name}": score.to_dict() for name, score in named.items() if "calibrated" not in name},
        "tune_documents": {"nats": np.add.reduceat(rows.all_nats, starts).tolist(),
                           "tokens": np.add.reduceat(rows.all_tokens, starts).tolist()},
        "corpus": {"name": corpus.name, "digest": corpus.digest},
    }


def samples(model, corpus: Corpus, config: EvaluateConfig) -> list[dict]:
    """Texts that a model writes, each with its own prompt and seed."""
    texts = []
    for index in range(config.num_samples):
        prompt = _prompt(corpus, index)
        text = generate(model, corpus.tokenizer, prompt, num_tokens=config.sample_tokens, seed=index)
        texts.append({"prompt": prompt, "text": text})
    return texts


def _prompt(corpus: Corpus, index: int) -> str:
    """A prompt of instruction data; nothing where documents have beginnings; else words of the validation text."""
    documents = corpus.documents("val")
    if corpus.is_instructions:
        document = documents[index % len(documents)]
        return corpus.tokenizer.decode(document.tokens[: int(document.answers.argmax())])
    if documents[0].ends:
        return ""
    words = corpus.tokenizer.decode(documents[0].tokens[200 * index : 200 * index + 200]).split(" ")
    return " ".join(words[1:6])
