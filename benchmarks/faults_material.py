"""A small study and one of every kind of file that losslab reads: what the faults are done to."""

import contextlib
import csv
import gzip
import io
import json
import os
from pathlib import Path

import numpy as np

SMALL = ("--model.n-layer", "1", "--model.n-embd", "16", "--model.n-head", "2", "--model.num-positions", "32",
         "--train.num-steps", "20", "--train.batch-size", "4", "--data.max-bytes", "60000", "--data.val-bytes", "4000",
         "--data.tune-bytes", "4000", "--evaluate.tune-tokens", "512", "--evaluate.sample-tokens", "8",
         "--train.checkpoint-every", "10", "--train.device", "cpu", "--train.dtype", "float32")  # fmt: skip
STORIES = [f"Anna has {n} apples. She gives {m} to Ben — and smiles." for n in range(9) for m in range(7)]
LOSS = '''"""The mean square of the logits, added to cross-entropy."""


def gentle(prediction, *, weight=0.001):
    """Cross-entropy and a little of the mean square."""
    return prediction.nll + weight * prediction.sum_squares / prediction.vocab_size
'''

SPEC = """preset = "tiny"
loss = "softcap(15) | cross_entropy + 1e-4*z_loss"
seed = 3

[data]
corpus = "tales"
tokenizer = "bytes"
val_bytes = 4_000

[model]
n_layer = 2
n_head = 4
n_embd = 64
dropout = 0.1
tied = true

[train]
num_steps = 100
learning_rate = 3e-3
betas = [0.9, 0.95]
device = "cpu"

[evaluate]
tune_tokens = 4096
"""

CLAIMS = """name,loss,perplexity,bits_per_byte,tokens,bytes,vocab_size,accuracy,stderr,n,claim
small,3.2785 ± 0.0004 (n=16),26.5,1.05,1000000,4500000,50257,,,,
wide,1.83,6.23,,,,,55.3%,0.5,1000,"a perplexity of 6.23, two times better than 12.5"
gpt2,3.11,22.4,,2.4k,10k,50257,0.32,,5153,GPT-2 has a CORE of 0.114
"""

ROWS = {  # two rows of each benchmark whose files are read
    "hf_eval/arc_easy.validation.jsonl": [{"question": "What is wet?", "choices": {"text": ["rain", "sun"], "label": [
        "A", "B"]}, "answerKey": "A"}] * 2,
    "hf_eval/commonsense_qa.validation.jsonl": [{"question": "What is wet?", "choices": {"text": ["rain", "sun"],
        "label": ["A", "B"]}, "answerKey": "A"}] * 2,
    "hf_eval/openbookqa.validation.jsonl": [{"question_stem": "Rain is", "choices": {"text": ["wet", "dry"], "label": [
        "A", "B"]}, "answerKey": "B"}] * 2,
    "hf_eval/copa.validation.jsonl": [{"premise": "It rained.", "question": "effect", "choice1": "It was wet.",
        "choice2": "It was dry.", "label": 0}] * 2,
    "hf_eval/hellaswag.validation.jsonl": [{"activity_label": "Rain", "ctx_a": "It [title] rains.", "ctx_b": "then",
        "endings": ["it stops", "it is dry"], "label": "0"}] * 2,
    "hf_eval/piqa.validation.jsonl": [{"goal": "Dry a cup", "sol1": "wipe it", "sol2": "wet it", "label": 0}] * 2,
    "hf_eval/social_i_qa.validation.jsonl": [{"context": "Ann gave.", "question": "Why?", "answerA": "a", "answerB":
        "b", "answerC": "c", "label": "1"}] * 2,
    "hf_eval/winogrande.validation.jsonl": [{"sentence": "Ann met Eve and _ smiled", "option1": "Ann", "option2": "Eve",
        "answer": "2"}] * 2,
    "lambada_openai.jsonl": [{"text": "Ann gave the cup to Ben"}, {"context": "Ben gave it", "continuation": "back"}],
    "blimp.jsonl": [{"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps.", "linguistics_term": "agreement",
        "UID": "one"}, {"sentence_good": "A cat sleeps.", "sentence_bad": "A cat sleep.", "linguistics_term":
        "agreement", "UID": "two"}],
    "eval_data/choice.jsonl": [{"query": "Rain is", "choices": ["wet", "dry"], "gold": 0}] * 3,
    "eval_data/schema.jsonl": [{"context_options": ["Ann", "Eve"], "continuation": "smiled", "gold": 1}] * 3,
    "eval_data/model.jsonl": [{"context": "1 + 1 =", "continuation": "2"}] * 3,
}  # fmt: skip
CORE = """icl_tasks:
-
  label: copa
  dataset_uri: choice.jsonl
  num_fewshot: [0]
  icl_task_type: multiple_choice
-
  label: winograd
  dataset_uri: schema.jsonl
  num_fewshot: [1]
  icl_task_type: schema
-
  label: bigbench_operators
  dataset_uri: model.jsonl
  num_fewshot: [1]
  icl_task_type: language_modeling
  continuation_delimiter: " "
"""
BASELINES = "Eval Task,Task Category,Random baseline\ncopa,a,50\nwinograd,b,50\nbigbench_operators,c,0\n"
WIKI = " \n = First = \n \n One page of text .\n \n = = Part = = \n More .\n \n = Second = \n \n Another page .\n"


def losslab(*arguments: str) -> None:
    """The command line, in this process and quiet; an error here is one of the harness."""
    from losslab.cli import main

    said = io.StringIO()
    code = None
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    if code:
        raise RuntimeError(f"losslab {' '.join(map(str, arguments))} ended with {code}: {said.getvalue()[-2000:]}")


def study(folder: Path, *, with_file: bool = True) -> Path:
    """Two arms and two seeds; with a file, one arm is a loss file, which takes separate processes."""
    (folder / "gentle.py").write_text(LOSS, encoding="utf-8")
    for name, loss in (("plain", "cross_entropy"), ("other", str(folder / "gentle.py") if with_file else "mse")):
        for seed in "01":
            losslab("train", "--loss", loss, "--seed", seed, "--out", folder / "store" / f"{name}-{seed}", *SMALL)
    losslab("runs", "tag", folder / "store" / "plain-0", "first")
    return folder / "store"


def everything(folder: Path, *, with_file: bool = True) -> Path:
    """All kinds of files, below `folder`."""
    run = study(folder, with_file=with_file) / "plain-0"
    _index(folder / "store")
    losslab("train", "--tokenizer", "bpe:300", "--out", folder / "bpe", *SMALL)
    losslab("train", "--loss", "softcap(15) | cross_entropy", "--out", folder / "capped-run", *SMALL)
    losslab("export", folder / "bpe", folder / "hf")
    losslab("export", folder / "capped-run", folder / "capped", "--remote-code")
    losslab("import", folder / "hf", "--out", folder / "imported")
    _merges(folder / "hf", folder / "merges")
    _parts(folder / "hf", folder / "parts")
    _put(folder / "spec", {"spec.toml": SPEC, "spec.json": json.dumps(_spec(run))})
    rows = [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(io.StringIO(CLAIMS))]
    _put(folder / "tables", {"claims.csv": CLAIMS, "claims.json": json.dumps(rows)})
    _texts(folder / "texts")
    _put(folder / "bench", {"core.yaml": CORE, "eval_meta_data.csv": BASELINES, "wiki.test.raw": WIKI} | {
        name: "".join(json.dumps(row) + "\n" for row in rows) for name, rows in ROWS.items()})  # fmt: skip
    _put(folder / "formula", _formulas())
    return folder


def _index(store: Path) -> None:
    """The index of a store, which is kept for large ones alone."""
    from losslab.records import index

    kept, index.WORTH_KEEPING = index.WORTH_KEEPING, 0
    try:
        index.rows(store)
    finally:
        index.WORTH_KEEPING = kept


def _formulas() -> dict[str, str]:
    """The formulas that are bent, a file each."""
    from losslab import formula

    texts = ["softcap(15) | cross_entropy + 1e-4*z_loss", "label_smoothing(0.1) - 0.5*entropy + 2*brier",
             "temperature(0.7) | isru_cap(15) | focal(gamma=2)", "poly_n(coefficients=[1.0, 0.5])",
             "multi_token(weights=[1, 0.5])", "no_such_loss.py", "dir/mine.py:margin", 'file("mine.py", weight=2)',
             *formula.names("losslab.losses")]  # fmt: skip
    return {f"{number:02}.txt": text for number, text in enumerate(texts)}


def _put(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _spec(run: Path) -> dict:
    return json.loads((run / "spec.json").read_text(encoding="utf-8"))["config"]


def _texts(folder: Path) -> None:
    marked = "\n<|endoftext|>\n".join(STORIES)
    lines = "".join(json.dumps({"text": story}) + "\n" for story in STORIES)
    _put(folder, {"marked.txt": marked, "plain.txt": "\n".join(STORIES * 3), "rows.jsonl": lines,
                  "folder/train.txt": marked, "folder/valid.jsonl": lines})  # fmt: skip
    for name in ("marked.txt", "rows.jsonl"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes(), mtime=0))
    ids = np.tile(np.r_[np.arange(1, 900, 7), 50256], 30).astype("<u2")
    (folder / "plain.bin").write_bytes(ids.tobytes())
    header = np.zeros(256, dtype="<i4")
    header[:3] = 20240520, 1, len(ids)
    (folder / "headed.bin").write_bytes(header.tobytes() + ids.tobytes())


def _merges(model: Path, folder: Path) -> None:
    """The same model with `vocab.json` and `merges.txt`."""
    folder.mkdir()
    parts = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in parts["merges"]]
    _put(folder, {"vocab.json": json.dumps(parts["vocab"]), "merges.txt": "\n".join(["#version: 0.2", *pairs, ""])})
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((model / name).read_bytes())


def _parts(model: Path, folder: Path) -> None:
    """The same model with its weights in two files."""
    import safetensors.torch

    folder.mkdir()
    tensors = sorted(safetensors.torch.load_file(model / "model.safetensors").items())
    names = [f"model-{number:05d}-of-00002.safetensors" for number in (1, 2)]
    for name, part in zip(names, (tensors[::2], tensors[1::2]), strict=True):
        safetensors.torch.save_file(dict(part), folder / name)
    index = {"metadata": {}, "weight_map": {key: names[i % 2] for i, (key, _) in enumerate(tensors)}}
    _put(folder, {"model.safetensors.index.json": json.dumps(index)})
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((model / name).read_bytes())


@contextlib.contextmanager
def cache(folder: Path):
    """A separate cache for this process and those that it starts."""
    before = os.environ.get("LOSSLAB_CACHE")
    os.environ["LOSSLAB_CACHE"] = str(folder)
    try:
        yield folder
    finally:
        os.environ.pop("LOSSLAB_CACHE")
        if before is not None:
            os.environ["LOSSLAB_CACHE"] = before
