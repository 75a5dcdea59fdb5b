"""The child that tries a formula with loss files: the one process besides that of training that executes them.

It checks the objective on the logits of an untrained model, and says which function it found in each file, with every
parameter. Its parent is `lossfile.tried`.
"""

import json
import os
import sys
from pathlib import Path

from losslab import formula
from losslab.corpus import Corpus
from losslab.objective import Objective


def main() -> int:
    """One JSON object on standard input, one on standard output, which the files cannot print into."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.readline())
    try:
        objective = Objective(formula.parse(request["formula"]), request["files"])
        name, folder, _ = request["corpus"]
        corpus = Corpus(name, Path(folder))
        objective.check(corpus.tokenizer.vocab_size, corpus.vocabulary())
        said = {"said": [term.explicit for term in objective.terms if term.source]}
    except (ValueError, OSError) as error:
        said = {"error": str(error)}
    json.dump(said, answer)
    answer.flush()
    os._exit(0)  # whatever a file has registered for the end of the process
