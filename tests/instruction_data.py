"""Small instruction data in each of its forms, and a corpus of it."""

import json

from losslab.config import DataConfig
from losslab.corpus import Corpus

VERBS = ["Describe", "Name", "Write", "List", "Explain"]
THINGS = ["a naïve fox", "the old house", "two poems 🙂", "some colors", "你好"]


def alpaca(num=120):
    """Rows in Alpaca's keys; every third has an input."""
    return [{"instruction": f"{VERBS[i % 5]} {THINGS[i // 5 % 5]} number {i}.", "input": f"Input {i}" * (i % 3 == 0),
             "output": f"Answer {i}: " + "so it is. " * (i % 7)} for i in range(num)]


def chats(num=60):
    """Rows of two questions and two answers, half of them with a system message."""
    def row(i):
        turns = [("user", f"Hello {i}?"), ("assistant", f"Yes, {i}."), ("user", "And then?"), ("assistant", f"{i} on.")]
        system = [("system", "Be short.")] * (i % 2)
        return {"messages": [{"role": role, "content": content} for role, content in system + turns]}
    return [row(i) for i in range(num)]


def write(path, rows):
    """A JSON list, or a row a line, by the name of the file."""
    lines = ".jsonl" in path.name
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    return str(path)


def corpus_of(path, rows, **data):
    return Corpus.open(DataConfig(corpus=write(path, rows), **data))
