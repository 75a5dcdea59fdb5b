"""Text -> documents -> token shards -> `Batch`. The targets are shifted here, once, and nowhere else."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from losslab.config import DataConfig, Growth, digest
from losslab.corpus import build, cache, sources
from losslab.corpus.batch import Batch, Document, Documents
from losslab.corpus.curriculum import Paced
from losslab.corpus.pacing import Curriculum
from losslab.corpus.packing import Layout, WholeDocuments
from losslab.corpus.splits import RULE, SPLITS
from losslab.corpus.windows import Batches
from losslab.progress import Progress, silent
from losslab.tokenizer import FIXED, Tokenizer, check_name, load, make

__all__ = ["Batch", "Batches", "Corpus", "Document", "Documents", "Progress"]


class Corpus:
    """A text in three splits, as documents and as batches; the same everywhere its digest is the same."""

    def __init__(self, name: str, folder: Path, tokenizer: Tokenizer | None = None):
        self.name, self.folder = name, folder
        self.tokenizer = tokenizer or load(folder / "tokenizer")
        self.meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if self.tokenizer.digest != self.meta["tokenizer"]:
            raise ValueError(f"the cached corpus {folder} has another tokenizer than it was written with; remove that "
                             "folder, and it is made anew")  # fmt: skip
        self.digest: str = self.meta["digest"]  # of the text of all splits, the split rule and the vocabulary
        self.floor_bits_per_byte: float | None = self.meta["floor_bits_per_byte"]  # of `val`, end marks included
        self.num_tokens = {split: self.meta["splits"][split]["tokens"] for split in SPLITS}  # with end marks
        self.num_bytes = {split: self.meta["splits"][split]["bytes"] for split in SPLITS}
        self.is_instructions = "instructions" in self.meta  # its documents are prompts and answers
        self._layouts: dict[tuple, Layout] = {}

    @classmethod
    def open(
        cls, config: DataConfig, *, tokenizer: Tokenizer | None = None, progress: Progress = silent,
        verify: bool = True,
    ) -> "Corpus":
        """The corpus that `config` names, tokenized and cached on first use.

        Args:
            config: the corpus, its tokenizer and the sizes of its splits.
            tokenizer: a checkpoint's, used in place of `config.tokenizer`.
            progress: called with what is being done, the bytes done and the bytes in all (0: not known); news, as of
                damage, has 0 and 0.
            verify: whether a cached corpus is compared with what was written; a damaged one is made again.

        Errors: ValueError and OSError for what a user can mend, ModuleNotFoundError for a missing extra; one sentence.
        """
        if tokenizer is None:
            check_name(config.tokenizer)
        given = tokenizer
        if tokenizer is None and config.tokenizer in FIXED:
            tokenizer = make(config.tokenizer)
        of_shards = tokenizer if given or config.tokenizer == "gpt2" else None  # the default is no choice
        source = sources.find(config, of_shards)
        vocabulary = tokenizer.digest if tokenizer else config.tokenizer
        key = digest([build.FORMAT, RULE, source.identity, config.val_bytes, config.tune_bytes, vocabulary])

        def write(folder: Path) -> None:
            build.write(folder, source, config, tokenizer, progress)

        folder = cache.obtain(source.name, key, write, progress, verify=verify)
        return cls(source.name, folder, tokenizer)

    def verify(self) -> None:
        """An error if a file of this corpus is not what was written; every byte is read anew.

        For a moment on which much rests: what was trained or measured since `open` read these files.
        """
        if (damage := cache.damage_of(self.folder, remember=False)) is not None:
            raise ValueError(
                f"the cached corpus {self.name} is damaged ({damage or 'it is gone'}), so what was just trained or "
                "measured on it is not to be trusted; start again, which makes the corpus anew"
            )

    def stream(self, split: str) -> np.ndarray:
        """The ids of a split on disk: an end mark, then the documents, each with an end mark behind it."""
        assert split in SPLITS, split
        return np.memmap(self.folder / f"{split}.bin", dtype=self.meta["dtype"], mode="r")

    def documents(self, split: str) -> Documents:
        """The documents of a split, in the order of the source."""
        answers = None
        if self.is_instructions:
            answers = self.answers(split), np.load(self.folder / f"{split}.answers-index.npy", mmap_mode="r")
        return Documents(self.stream(split), self._index(split), answers)

    def answers(self, split: str) -> np.ndarray:
        """`[stream]` uint8 of instruction data: 1 where an id of the stream is of an answer, or its end mark."""
        return np.load(self.folder / f"{split}.answers.npy", mmap_mode="r")

    def _index(self, split: str) -> np.ndarray:
        return np.load(self.folder / f"{split}.index.npy", mmap_mode="r")

    def packing(self, config: DataConfig) -> str:
        """How documents share the rows of a batch: `stream`, `packed` or `padded`."""
        return {"auto": "packed" if self.is_instructions else "stream"}.get(config.packing, config.packing)

    def layout(self, split: str, config: DataConfig, seq_len: int) -> Layout:
        """What stands in which row of `packed` or `padded` batches, and what did not fit."""
        packing = self.packing(config)
        asked = split, config.mask_prompts, seq_len, packing, config.too_long
        if asked not in self._layouts:  # the same for every seed
            self._layouts[asked] = Layout(
                self._index(split), self._flags(split, config), f"{self.digest}/{split}", seq_len=seq_len,
                packing=packing, too_long=config.too_long, name=self.name)
        return self._layouts[asked]

    def _flags(self, split: str, config: DataConfig | None) -> np.ndarray | None:
        """Which ids of the stream count as targets; None where all do."""
        masks = self.is_instructions and (config is None or config.mask_prompts)
        return self.answers(split) if masks else None

    def check(self, seq_len: int) -> None:
        """An error if a split is shorter than one context of `seq_len` tokens."""
        for split, num_tokens in self.num_tokens.items():
            if num_tokens < seq_len:
                raise ValueError(
                    f"the {split} split of {self.name} has {num_tokens} tokens, fewer than one context of {seq_len}; "
                    "take a smaller train.seq_len, a larger corpus, or larger data.val_bytes and data.tune_bytes"
                )

    def batches(
        self, split: str, *, seed: int, batch_size: int, seq_len: int, rank: int = 0, world: int = 1,
        growth: Growth | None = None, curriculum: Curriculum | None = None, data: DataConfig | None = None,
    ) -> Callable[[int], Batch]:
        """The batches of a run, by step; rank r of `world` gets the rows r, r + world, ... of each.

        Batch `step` is a pure function of (corpus digest, seed, step), so resuming and replaying need no state. With a
        `growth`, such as `TrainConfig.growth`, it has as many rows as that says. With a `curriculum` its order of the
        documents and the number of steps belong to that function; and with a `data`, its packing and its masks.
        """
        packing, flags = self.packing(data or DataConfig()), self._flags(split, data)
        if packing == "stream":
            self.check(seq_len)
        growth = growth or Growth(batch_size)
        if world > (first := len(growth.rows(0))):
            name = "batch_size" if first == growth.full else "initial_batch_size"
            raise ValueError(f"train.{name} (={first}) must be at least the number of ranks, {world}")
        key = f"{self.digest}/{split}/{seed}"
        sizes = {"seq_len": seq_len, "rank": rank, "world": world}
        if packing != "stream":
            layout = self.layout(split, data or DataConfig(), seq_len)
            return WholeDocuments(self.stream(split), flags, layout, key, growth, eot=self.tokenizer.eot, rank=rank,
                                  world=world)
        if curriculum is None:
            return Batches(self.stream(split), key, growth, flags=flags, **sizes)
        return Paced(self.documents(split), curriculum, key, growth, **sizes)

    def unigram(self) -> np.ndarray:
        """`[vocab_size]` float64: how often each token is a target in `train`, one added to each count; sums to 1."""
        counts = np.ones(self.tokenizer.vocab_size) + self.counts("train")
        return counts / counts.sum()

    def counts(self, split: str) -> np.ndarray:
        """`[vocab_size]` int64: how often each token is a target; in instruction data, of those of answers."""
        counts = np.zeros(self.tokenizer.vocab_size, dtype=np.int64)
        targets, flags = self.stream(split)[1:], self._flags(split, None)
        for start in range(0, len(targets), 1 << 22):  # a part at a time: bincount makes int64 of it
            part = targets[start : start + (1 << 22)]
            part = part if flags is None else part[flags[start + 1 : start + 1 + len(part)] == 1]
            counts += np.bincount(part, minlength=len(counts))
        return counts

    def prefix_of(self) -> np.ndarray:
        """`[vocab_size]` int64: the longest other token with which the bytes of each begin; -1 where there is none."""
        tokens = self.tokenizer.tokens
        ids = {token: i for i, token in reversed(list(enumerate(tokens))) if token}
        prefixes = ((ids.get(token[:length], -1) for length in range(len(token) - 1, 0, -1)) for token in tokens)
        return np.array([next((i for i in found if i >= 0), -1) for found in prefixes], dtype=np.int64)

    def vocabulary(self) -> Mapping[str, "torch.Tensor"]:  # noqa: F821 imported where it is needed
        """The `[vocab_size]` vectors that a loss may ask for, by name, as tensors."""
        from losslab.corpus.vectors import VocabularyVectors  # which needs torch, as nothing else here does

        return VocabularyVectors({"unigram": self.unigram, "prefix_of": self.prefix_of})

    def describe(self) -> dict:
        """What `losslab corpus NAME` shows."""
        return {
            "name": self.name,
            "digest": self.digest,
            "tokenizer": self.tokenizer.name,
            "vocab_size": self.tokenizer.vocab_size,
            "tokenizer_trained_on_bytes": self.meta["tokenizer_bytes"],  # of `train`; 0 if no vocabulary was trained
            "floor_bits_per_byte": self.floor_bits_per_byte,
            "extent": self.meta["extent"],
            "split_rule": self.meta["split_rule"],
            "dropped_documents": sum(self.meta["dropped"].values()),
            "dropped": self.meta["dropped"],  # why -> how many
            **self._instructions(),
            "splits": {
                split: {**c, "bytes_per_token": c["bytes"] / (c["tokens"] - c["end_marks"])}  # of text
                for split, c in self.meta["splits"].items()
            },
            # a token has at least one byte and a character at most four
            "sample": self.tokenizer.decode(self.stream("train")[1:801])[:200],
            "folder": str(self.folder),
        }

    def _instructions(self) -> dict:
        """What was counted in instruction data; how varied it is stands apart, being long."""
        if not self.is_instructions:
            return {}
        about = dict(self.meta["instructions"])
        return {"variety": about.pop("variety"), "instructions": about}
