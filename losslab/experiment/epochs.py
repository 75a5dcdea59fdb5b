"""A horizon in epochs, as updates."""

from losslab.config import ExperimentConfig
from losslab.corpus import Corpus


def updates(config: ExperimentConfig, corpus: Corpus, epochs: float) -> int:
    """Updates in which each row of the training data is seen so often, at least one."""
    batches = corpus.batches("train", seed=0, batch_size=config.train.batch_size, seq_len=config.seq_len,
                             data=config.data)
    return max(1, config.train.growth.updates(max(1, round(epochs * batches.num_rows))))
