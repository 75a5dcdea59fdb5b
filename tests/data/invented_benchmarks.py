"""A folder of benchmarks in the published layouts, with invented rows, for tests on a machine without the real ones.

    python tests/data/invented_benchmarks.py FOLDER

The same rows every time. `core_eval/` is a CORE bundle of all 22 tasks, `hf_eval/` has the columns of the hub's data
sets, `blimp/` has minimal pairs, `text/` has corpora in three formats.
"""

import gzip
import json
import random
import sys
from pathlib import Path

# label, folder, file, kind, shots, options, what a guesser scores in percent: as DCLM's bundle has them
CHOICE, SCHEMA, COMPLETION = "multiple_choice", "schema", "language_modeling"
TASKS = [
    ("hellaswag_zeroshot", "language_understanding", "hellaswag.jsonl.gz", CHOICE, 0, 4, 25),
    ("jeopardy", "world_knowledge", "jeopardy_all.jsonl", COMPLETION, 10, 0, 0),
    ("bigbench_qa_wikidata", "world_knowledge", "bigbench_qa_wikidata.jsonl.gz", COMPLETION, 10, 0, 0),
    ("arc_easy", "world_knowledge", "arc_easy.jsonl", CHOICE, 10, 4, 25),
    ("arc_challenge", "world_knowledge", "arc_challenge.jsonl", CHOICE, 10, 4, 25),
    ("copa", "commonsense_reasoning", "copa.jsonl", CHOICE, 0, 2, 50),
    ("commonsense_qa", "commonsense_reasoning", "commonsense_qa.jsonl", CHOICE, 10, 5, 20),
    ("piqa", "commonsense_reasoning", "piqa.jsonl", CHOICE, 10, 2, 50),
    ("openbook_qa", "commonsense_reasoning", "openbook_qa.jsonl", CHOICE, 0, 4, 25),
    ("lambada_openai", "language_understanding", "lambada_openai.jsonl.gz", COMPLETION, 0, 0, 0),
    ("hellaswag", "language_understanding", "hellaswag.jsonl.gz", CHOICE, 10, 4, 25),
    ("winograd", "language_understanding", "winograd_wsc.jsonl", SCHEMA, 0, 2, 50),
    ("winogrande", "language_understanding", "winogrande.jsonl", SCHEMA, 0, 2, 50),
    ("bigbench_dyck_languages", "symbolic_problem_solving", "bigbench_dyck_languages.jsonl", COMPLETION, 10, 0, 0),
    ("agi_eval_lsat_ar", "symbolic_problem_solving", "agi_eval_lsat_ar.jsonl", CHOICE, 3, 5, 20),
    ("bigbench_cs_algorithms", "symbolic_problem_solving", "bigbench_cs_algorithms.jsonl", COMPLETION, 10, 0, 0),
    ("bigbench_operators", "symbolic_problem_solving", "bigbench_operators.jsonl", COMPLETION, 10, 0, 0),
    ("bigbench_repeat_copy_logic", "symbolic_problem_solving", "bigbench_repeat_copy_logic.jsonl", COMPLETION, 10, 0,
     0),
    ("squad", "reading_comprehension", "squad.jsonl.gz", COMPLETION, 10, 0, 0),
    ("coqa", "reading_comprehension", "coqa.jsonl.gz", COMPLETION, 0, 0, 0),
    ("boolq", "reading_comprehension", "boolq.jsonl.gz", CHOICE, 10, 2, 62),
    ("bigbench_language_identification", "language_understanding", "bigbench_language_identification.jsonl.gz", CHOICE,
     10, 11, 9.1),
]
ANSWERED = ("jeopardy", "arc_easy", "arc_challenge", "piqa", "boolq")  # tasks with "Answer: " before the answer
MANY, FEW = 200, 14

WHO = ["the baker", "a tall girl", "my uncle", "Ann", "Bea", "the old dog", "Señor Peña", "a goat", "the twins"]
DID = ["painted", "lost", "found", "counted", "carried", "forgot", "repaired", "hid", "wanted", "sold"]
WHAT = ["a red kite", "two coins", "the letter", "some warm bread", "a boat", "1,024 nails", "the crème", "a drum"]
WHERE = ["at home", "in the rain", "near the mill", "by noon", "under a bridge", "without a word", "again"]
NAMES = ["Ann", "Bea", "Carl", "Dora", "Emil", "Fay"]


class Maker:
    """Invented sentences and rows, drawn from one seed."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def clause(self):
        return " ".join(self.rng.choice(words) for words in (WHO, DID, WHAT, WHERE))

    def passage(self, sentences):
        clauses = [self.clause() for _ in range(sentences)]
        return " ".join(clause[0].upper() + clause[1:] + "." for clause in clauses)

    def options(self, count):
        """Different short texts, no one the beginning of another."""
        texts = [f"{who} {did}." for who in WHO for did in DID]
        return self.rng.sample(texts, count)

    def choice(self, label, count):
        """A row of CORE with `choices`."""
        options, passage = self.options(count), self.passage(self.rng.randint(1, 2))
        if label in ("copa", "openbook_qa"):
            query = f"{passage[:-1]}, so"
        elif label.startswith("hellaswag"):
            query = f"{self.rng.choice(WHAT).title()}: {passage} She"
        elif label == "commonsense_qa":
            shown = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCDE", options, strict=True))
            query, options = f"Question: {passage}\nChoices:\n{shown}\nAnswer:", list("ABCDE")
        elif label == "boolq":
            query, options = f"Passage: {self.passage(9)}\nQuestion: did {self.clause()}?", ["no", "yes"]
        elif label == "bigbench_language_identification":
            options = ["Low", "Low Saxon", *options[2:]]  # one begins another
            query = f"Select the language\nSentence: {passage}\nLanguage:"
        else:
            query = f"Question: {passage}"
        return {"query": query, "choices": options, "gold": self.rng.randrange(count)}

    def schema(self):
        """A row of CORE with `context_options`: two names at one place, and an ending for both."""
        one, other = self.rng.sample(NAMES, 2)
        before = f"{one} helped {other} since"
        return {"context_options": [f"{before} {one}", f"{before} {other}"],
                "continuation": f"{self.rng.choice(DID)} {self.rng.choice(WHAT)}.", "gold": self.rng.randrange(2)}

    def completion(self, label):
        """A row of CORE with a `context` and its `continuation`."""
        words = self.passage(6 if label in ("squad", "coqa") else 2).rstrip(".").split(" ")
        return {"context": " ".join(words[:-1]), "continuation": words[-1]}

    def row(self, label, kind, count):
        return {CHOICE: lambda: self.choice(label, count), SCHEMA: self.schema,
                COMPLETION: lambda: self.completion(label)}[kind]()  # fmt: skip

    def hub_row(self, name):
        """A row in the columns of a data set of the hub."""
        letters, gold = "ABCDE" if name == "commonsense_qa" else "ABCD", self.rng.randrange(4)
        question = self.passage(1)[:-1] + "?"
        lettered = {"choices": {"text": self.options(len(letters)), "label": list(letters)}, "answerKey": letters[gold]}
        two = [text.capitalize() for text in self.options(2)]
        return {
            "arc_easy": lambda: {"id": "1", "question": question, **lettered},
            "arc_challenge": lambda: {"id": "1", "question": question, **lettered},
            "commonsense_qa": lambda: {"id": "1", "question": question, **lettered},
            "openbookqa": lambda: {"id": "1", "question_stem": question, **lettered},
            "piqa": lambda: {"goal": question, "sol1": two[0], "sol2": two[1], "label": gold % 2},
            "copa": lambda: {"premise": self.passage(1), "choice1": two[0], "choice2": two[1], "idx": 0,
                             "question": self.rng.choice(["cause", "effect"]), "label": gold % 2},
            "social_i_qa": lambda: {"context": self.passage(1), "question": "Why did they do this?",
                                    **{f"answer{letter}": text for letter, text in zip("ABC", self.options(3),
                                                                                       strict=True)},
                                    "label": str(gold % 3 + 1)},
        }[name]()  # fmt: skip


HUB = ("arc_easy", "arc_challenge", "commonsense_qa", "openbookqa", "piqa", "copa", "social_i_qa")
SAMPLED = ("hellaswag_zeroshot", "copa", "openbook_qa", "lambada_openai", "winograd", "winogrande",
           "bigbench_operators")  # fmt: skip


def put(path, text):
    """Write a file, packed where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def core_bundle(folder):
    yaml, table = ["icl_tasks:"], ["Eval Task,Task Category,Random baseline"]
    for number, (label, place, file, kind, shots, count, guess) in enumerate(TASKS):
        yaml += ["-", f"  label: {label}", f"  dataset_uri: {place}/{file.removesuffix('.gz')}",
                 f"  num_fewshot: [{shots}]", f"  icl_task_type: {kind}"]
        yaml += [r'  continuation_delimiter: "\nAnswer: "'] * (label in ANSWERED)
        table.append(f"{label},{place},{guess}")
        maker = Maker(number)
        if label != "hellaswag":  # which has the file of hellaswag_zeroshot
            put(folder / "eval_data" / place / file,
                lines(maker.row(label, kind, count) for _ in range(MANY if label in SAMPLED else FEW)))
    put(folder / "core.yaml", "\n".join(yaml) + "\n")
    put(folder / "eval_meta_data.csv", "\n".join(table) + "\n")


def minimal_pairs(folder):
    rng = random.Random(100)
    pairs = [("agreement", "verbs", "bakes", "bake"), ("agreement", "nouns", "drinks", "drink"),
             ("order", "words", "was", "saw")]
    rows = [{"sentence_good": f"{name} {good} {rng.choice(WHAT)}.", "sentence_bad": f"{name} {bad} this.",
             "linguistics_term": term, "UID": paradigm} for term, paradigm, good, bad in pairs for name in NAMES]
    put(folder / "blimp.jsonl.gz", lines(rows))


def texts(folder):
    """The same stories as text with end marks, packed and not, and as JSON lines."""
    maker = Maker(200)
    stories = [maker.passage(maker.rng.randint(3, 9)) + " 🙂\n\n" * (n % 5 == 0) for n in range(80)]
    for name, part in (("train", stories[:60]), ("valid", stories[60:])):
        put(folder / "marked" / f"{name}.txt.gz", "".join(f"{story}\n<|endoftext|>\n" for story in part))
        put(folder / "rows" / f"{name}.jsonl.gz", lines({"id": n, "text": story} for n, story in enumerate(part)))
    put(folder / "one" / "play.txt", "\n".join(stories))


def write(folder):
    core_bundle(folder / "core_eval")
    for number, name in enumerate(HUB, start=50):
        maker = Maker(number)
        put(folder / "hf_eval" / f"{name}.validation.jsonl.gz", lines(maker.hub_row(name) for _ in range(100)))
    minimal_pairs(folder / "blimp")
    texts(folder / "text")
    return folder


if __name__ == "__main__":
    write(Path(sys.argv[1]))
