"""The curriculum of a run: how hard each document of `train` is, by its length or by the nll of a reference model."""

from pathlib import Path

import numpy as np

from losslab import checkpoint, elsewhere, start
from losslab.config import ExperimentConfig, digest
from losslab.corpus import Corpus, cache
from losslab.corpus.pacing import Curriculum, Pacing, ranking
from losslab.evaluate.document_scores import per_document
from losslab.evaluate.summing import Summing
from losslab.progress import Progress

FORMAT, FILE = 1, "nll.npy"  # the format is raised when the numbers below change their meaning
DOCUMENTS = 8_192  # scored at once
BATCH_SIZE = 32  # windows; fixed, so that no setting moves the last digits of a difficulty


def reference(config: ExperimentConfig, corpus: Corpus) -> start.Start | None:
    """The model whose nll orders the documents, known without reading its weights.

    Raises:
        ValueError: for a folder that holds none, or one that was trained with another vocabulary.
    """
    if config.data.curriculum != "nll":
        return None
    found = start.read(config.data.curriculum_model)
    if found.tokenizer.digest != corpus.tokenizer.digest:
        raise ValueError(
            f"data.curriculum_model {config.data.curriculum_model} has the vocabulary {found.tokenizer.name} "
            f"({found.tokenizer.digest}) and {corpus.name} is in {corpus.tokenizer.name} ({corpus.tokenizer.digest}), "
            "so that it cannot read these documents; give a model that was trained on the same vocabulary"
        )
    return found


def curriculum(
    config: ExperimentConfig, corpus: Corpus, model: start.Start | None, progress: Progress
) -> Curriculum | None:
    """The curriculum that `config` asks for; None where documents are shuffled.

    Args:
        model: what `reference` found.
        progress: is told how far the model is with reading `train`, the first time.

    Raises:
        ValueError: where `train` is one document, which has no order.
    """
    if not config.data.curriculum:
        return None
    documents = corpus.documents("train")
    if len(documents) < 2:
        raise ValueError(
            f"data.curriculum {config.data.curriculum} orders documents, and the training text of {corpus.name} is one "
            "document; separate documents by lines with <|endoftext|>, or leave data.curriculum out"
        )
    if model is None:
        difficulty = documents.index[:, 1] - documents.index[:, 0]  # tokens of text
    else:
        # planned for other machines, whose device this one may not have
        device = "cpu" if elsewhere.nodes() else config.train.device
        difficulty = _nll(corpus, model, device, progress)
    order = ranking(np.asarray(difficulty), hardest_first=config.data.hardest_first)
    return Curriculum(order, Pacing.of(config.data, config.num_steps))


def _nll(corpus: Corpus, model: start.Start, device: str, progress: Progress) -> np.ndarray:
    """`[documents]` float64: mean nll of a token of each training document, its end mark included; kept on disk."""
    about = {"format": FORMAT, "corpus": corpus.digest, "weights": model.weights}

    def write(folder: Path) -> None:
        found = _scored(corpus, model, device, progress)
        np.save(folder / FILE, found, allow_pickle=False)
        cache.seal(folder, about)

    folder = cache.obtain(f"nll of {corpus.name}", digest(["nll of documents", about]), write, progress)
    found = np.load(folder / FILE, allow_pickle=False)
    if found.dtype != np.float64 or found.shape != (len(corpus.documents("train")),):
        raise ValueError(f"{folder} does not hold a number of each training document of {corpus.name}; remove that "
                         "folder, and it is made anew")  # fmt: skip
    return found


def _scored(corpus: Corpus, model: start.Start, device: str, progress: Progress) -> np.ndarray:
    loaded = checkpoint.load(model.path, device=device, weights_sha256=model.weights).model
    documents, found, before = corpus.documents("train"), [], 0
    for first in range(0, len(documents), DOCUMENTS):
        def told(done: int, total: int, before=before) -> None:
            progress(f"nll of the documents of {corpus.name}", before + done, corpus.num_tokens["train"], "tokens")

        rows = per_document(loaded, documents[first : first + DOCUMENTS], corpus.tokenizer, batch_size=BATCH_SIZE,
                            summing=Summing(progress=told))
        found.append(rows.all_nats / np.maximum(rows.all_tokens, 1))
        before += int(rows.all_tokens.sum())
    found = np.concatenate(found)
    if np.isnan(found).any():
        raise ValueError(f"the model {model.path} gives documents of {corpus.name} an nll that is no number; give "
                         "another data.curriculum_model")
    return found
