"""A small study in stages, a folder with its texts, and how it is conducted."""

from pathlib import Path

import pytest
from experiments import small_text
from experiments import untimed as untimed
from instruction_data import alpaca, write

from losslab import stages
from losslab.stages import conducting, reading

EVALUATE = {"tune_tokens": 256, "num_samples": 0, "every": 10}
TRAIN = {"batch_size": 4, "device": "cpu", "dtype": "float32", "checkpoint_every": 5, "log_every": 5}
TABLES = {
    "name": "small", "question": "Does it tell?", "notes": ["it is small"],
    "published": {"source": "a run", "figures": [
        {"label": "base", "measure": "perplexity", "value": 10.18, "unit": "per token"}]},
    "stage": [
        {"name": "base", "kind": "train", "size": "tiny", "recipe": "classic", "corpus": "text.txt",
         "tokenizer": "bytes", "epochs": 1, "seed": 3,
         "settings": {"model": {"n_layer": 1, "n_head": 2, "n_embd": 16, "num_positions": 384, "dropout": 0.1},
                      "data": {"val_bytes": 2000, "tune_bytes": 2000}, "evaluate": EVALUATE,
                      "train": TRAIN | {"seq_len": 64, "batch_size": 8}}},
        {"name": "tune", "kind": "train", "start": "base", "corpus": "rows.json", "epochs": 3, "warmup_share": 0.1,
         "settings": {"train": TRAIN | {"seq_len": 320, "batch_size": 2}, "evaluate": EVALUATE, "data": {
             "template": "alpaca", "val_bytes": 3000, "tune_bytes": 2000}}},
        {"name": "stories", "kind": "generate", "models": ["base", "tune"], "prompts": "base", "num_prompts": 2,
         "prompt_words": 5, "completions": 2, "num_tokens": 12},
        {"name": "answers", "kind": "generate", "models": ["tune"], "prompts": "tune", "num_prompts": 3,
         "num_tokens": 12},
        {"name": "grades", "kind": "judge", "texts": "stories", "protocol": "tinystories"},
    ],
    "scales": {"smoke": {"stage": {"base": {"settings": {"train.num_steps": 12}},
                                   "tune": {"settings": {"train.num_steps": 11}}}},
               "full": {}},
}  # fmt: skip
SMALL = reading.from_dict(TABLES)
SMOKE = SMALL.at("smoke")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(small_text(tmp_path))
    write(Path("rows.json"), alpaca())
    return tmp_path


def undrawn(monkeypatch):
    """Where it is not the page that is tested, none is drawn."""
    monkeypatch.setattr(conducting.page, "write", lambda document, path: path)


def go(store, stub=None, **options):
    asked = conducting.Asked(url=stub and stub.url, judge_model="m" if stub else None, command="typed")
    return stages.conduct(SMOKE, SMALL, Path(store), asked, threads=1, **options)
