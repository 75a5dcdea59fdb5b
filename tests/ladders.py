"""Ladders whose runs are written down and not trained."""

import math
from dataclasses import replace

import pytest

from losslab import comparison, config, records
from losslab.ladder import rates
from losslab.scaling.counts import counts
from losslab.study import VERDICT, Arm, Study
from losslab.study.verdict import keep, told

SIZES = [{"n_layer": 1, "n_head": 1, "n_embd": width, "num_positions": 32} for width in (8, 16, 32)]
SMALL = {"train.batch_size": 1, "data.val_bytes": 3000, "data.tune_bytes": 3000, "data.max_bytes": 200_000}
STUDY = Study((Arm("cross_entropy"), Arm("squentropy")), name="steps", preset="tiny", settings=SMALL, seeds=(0, 1, 2),
              ladder={"sizes": SIZES, "tokens_per_param": [10, 40]})
FILE = """
preset = "tiny"
seeds = 3
[settings]
train.batch_size = 1
data.val_bytes = 3000
data.tune_bytes = 3000
data.max_bytes = 200_000
[[arm]]
loss = "cross_entropy"
[[arm]]
loss = "squentropy"
[ladder]
sizes = [{n_layer = 1, n_head = 1, n_embd = 8, num_positions = 32},
         {n_layer = 1, n_head = 1, n_embd = 16, num_positions = 32},
         {n_layer = 1, n_head = 1, n_embd = 32, num_positions = 32}]
tokens_per_param = [10, 40]
"""
WORTH = 1.3  # compute of the baseline that squentropy is worth


QUICK = "--json", "--resamples", "50"


def law(n, d):
    return 0.5 + 30 / n**0.45 + 60 / d**0.4


def ran(study, folder, **options):
    """In place of training: runs whose nll follows a law, squentropy as with more compute, and their comparison."""
    for name, made in study.configs.items():
        for seed in study.seeds:
            known = counts(made.model, 257, made.num_tokens, made.seq_len)
            more = math.sqrt(WORTH) if name == "squentropy" else 1.0
            nll = law(known.num_params * more, made.num_tokens * more) + 0.002 * math.sin(seed + known.num_params)
            values = config.to_dict(replace(made, seed=seed))
            condition = config.digest({**values, "seed": 0})
            at = folder / f"{condition}-seed{seed}"
            if not records.is_run(at):
                records.create(at, {"version": "0", "condition": condition, "config": values, "objective": made.loss,
                                    "corpus": {"name": "tales", "digest": "c0ffee", "tokenizer": "bytes",
                                               "vocab_size": 257, "splits": {}}, "losses": []}, {"device": "cpu"})
                records.Log(at).write(step=1, tokens=made.num_tokens, seconds=1.0, **{"tune/nll": nll})
                unit = {"stderr": 0.01, "n": 64}
                records.write_result(at, {
                    "status": "finished", "step": 1, "num_steps": 1, "tokens": made.num_tokens,
                    "scores": {"nll": {"value": nll, "unit": "nats/token", **unit},
                               "bits_per_byte": {"value": nll / math.log(2), "unit": "bits/byte", **unit},
                               "bits_per_byte_with_eot": {"value": 1.1 * nll / math.log(2), "unit": "bits/byte",
                                                          **unit}},
                    "floor_bits_per_byte": 1.1 * 0.5 / math.log(2),  # the law's own floor, 1.1 tokens a byte
                    "model": {"num_params": known.num_params}})
    study.write(folder / "study.toml", sealed=True)
    keep(folder, {name: next(run.condition for run in records.find([folder]) if run.loss == made.loss)
                  for name, made in study.configs.items()}, tuned={}, costs={}, equal={}, command="losslab ladder it")
    (folder / VERDICT).write_text("{}")
    labels = {run.condition: run.loss for run in records.find([folder])}
    found = comparison.compare(records.find([folder]), baseline=study.reference, labels=labels)
    tuned = {name: {"tuned": {rates.RATE: 1e-2 * made.num_tokens**-0.1}, "tuning": {"edge": False}}
             for name, made in study.configs.items()} if study.tune else {}
    return replace(told(study, found), tuned=tuned)


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Studies that are not trained but written down."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("losslab.study.conduct", ran)
    monkeypatch.setattr("losslab.study.prepared", lambda study, *args, **options: (study, [], None))
    (tmp_path / "steps.toml").write_text(FILE)
    return tmp_path


@pytest.fixture
def unfitted(monkeypatch):
    """Where neither the law nor the page matters."""
    def fit(*arguments, **options):
        raise ValueError("not fitted here")

    monkeypatch.setattr("losslab.scaling.arms.fit", fit)
    monkeypatch.setattr("losslab.report.ladder.write", lambda document, path: path)
