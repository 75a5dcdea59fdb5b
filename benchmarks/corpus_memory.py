"""Peak memory and disk of corpora that are one long document: `python benchmarks/corpus_memory.py [folder]`.

Each case runs in its own process: a text without document marks is written, opened as a corpus, verified, and one
batch of it is taken. What counts is the largest resident memory above that at the start (`getrusage`, which counts
mapped files too). Files go to the folder, by default a new one among the system's temporary files, and are removed.
"""

import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "corpus_memory.json"
CASES = [("bytes", 1_000_000_000), ("gpt2", 100_000_000)]
LIMIT = 500_000_000  # bytes above the start
WORDS = ["naïve", "🙂", "你好", "don't", "1,234", "the", "of", "and", "fox", "slowly", "home.\n", "“Yes”", "  ", "it's"]


def write_text(path: Path, size: int) -> None:
    """A text of `size` bytes, about: words of letters and of the list, from a fixed seed."""
    rng = random.Random(0)
    with open(path, "w", encoding="utf-8", newline="") as file:
        while file.tell() < size:
            words = [rng.choice(WORDS) if rng.random() < 0.5 else f"{rng.randrange(36**5):x}" for _ in range(20_000)]
            file.write(" ".join(words) * 5)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(path: str, tokenizer: str) -> dict:
    """In a fresh process: what opening the text takes."""
    from losslab.config import DataConfig
    from losslab.corpus import Corpus
    from losslab.tokenizer import make

    make(tokenizer).encode("a word")  # what the vocabulary itself takes is not the document's
    start = peak()
    corpus = Corpus.open(DataConfig(corpus=path, tokenizer=tokenizer))
    corpus.verify()
    corpus.batches("train", seed=0, batch_size=8, seq_len=256)(0)
    first = corpus.documents("val")[0].tokens[:1000]
    assert len(first) == 1000
    return {"start_bytes": start, "peak_bytes": peak(), "above_start_bytes": peak() - start,
            "digest": corpus.digest, "splits": corpus.meta["splits"]}  # fmt: skip


def main(folder: Path) -> None:
    rows = []
    for tokenizer, size in CASES:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            text = Path(own) / "one.txt"
            write_text(text, size)
            environment = {**os.environ, "LOSSLAB_CACHE": str(Path(own) / "cache")}
            command = [sys.executable, __file__, "--measure", str(text), tokenizer]
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            row = {"tokenizer": tokenizer, "bytes": text.stat().st_size, **json.loads(done.stdout)}
        rows.append(row | {"holds": row["above_start_bytes"] <= LIMIT})
        print(f"{tokenizer}, {row['bytes'] / 1e6:,.0f} MB: {row['above_start_bytes'] / 1e6:,.0f} MB above the start of "
              f"{row['start_bytes'] / 1e6:,.0f} MB")  # fmt: skip
    about = {"python": platform.python_version(), "platform": platform.platform(), "limit_bytes": LIMIT}
    RESULT.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*sys.argv[2:])))
    else:
        main(Path(sys.argv[1]) if sys.argv[1:] else Path(tempfile.gettempdir()))
