"""Signs of trouble: how often they appear in healthy runs, and whether they appear where something is wrong.

    python benchmarks/signals.py [--steps 400] [--first 0] [--keep FOLDER]

Thirty healthy runs of the size `tiny` on tales: several losses, settings and seeds, every third with the recipe
`modern`. Seven faults, each injected into the batches or the model from outside: the right sign must appear within 200
steps of the fault. Writes benchmarks/results/signals.json. With --keep the numbers of each run are kept, and read again
instead of training. Half an hour on one core. With --first 30 the healthy runs are thirty others, and alone: nothing is
written, and a rule that was chosen by looking at the first thirty is tried on runs that it has not seen.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from losslab import config as configuration
from losslab import machine, signals
from losslab.corpus import Corpus
from losslab.evaluate.document_scores import nll
from losslab.evaluate.temperature import first_tokens
from losslab.experiment.gauges import frequency_nll, logit_scale
from losslab.model import initialized
from losslab.objective import Objective
from losslab.tables import Column, Table, left
from losslab.training_loop import Diverged, train

RESULT = Path(__file__).parent / "results" / "signals.json"
WITHIN = 200  # steps after a fault
BASES = {recipe: configuration.chosen(size="tiny", recipe=recipe) for recipe in ("classic", "modern")}
SHORT = {"seq_len": 64, "log_every": 10, "device": "cpu"}
LOSSES = ("cross_entropy", "cross_entropy + 1e-4*z_loss", "squentropy", "label_smoothing(0.1)",
          "softcap(15) | cross_entropy", "focal", "poly1", "sigmoid_cap | cross_entropy")
VARIANTS = ({}, {"model": {"dropout": 0.1}}, {"rate": 0.5}, {"train": {"batch_size": 16}},
            {"model": {"tied": False}}, {"model": {"bias": False, "activation": "gelu"}},
            {"rate": 2.0}, {"train": {"betas": (0.9, 0.95), "weight_decay": 0.01}})


@dataclass(frozen=True)
class Case:
    """One run. `inject` takes (model, batches, vocab_size, the step of the fault) and returns batches."""

    name: str
    seed: int = 0
    loss: str = "cross_entropy"
    change: dict = field(default_factory=dict)  # of `model` and `train`; `rate` multiplies the learning rate
    recipe: str = "classic"
    inject: Callable | None = None
    at: int = 0
    right: tuple[str, ...] = ()  # signs of which one must appear; none for a healthy run


def healthy(first: int) -> list[Case]:
    return [Case(f"healthy-{seed}", seed, LOSSES[seed % len(LOSSES)], VARIANTS[(3 * seed + seed // 8) % len(VARIANTS)],
                 "modern" if seed % 3 == 2 else "classic") for seed in range(first, first + 30)]


def faults() -> list[Case]:
    stuck = ("plateau", "slow start")
    return [
        Case("learning rate x30", change={"rate": 30.0}, right=(*stuck, "divergence")),
        Case("learning rate /100", change={"rate": 0.01}, right=stuck),
        Case("repeated tiny corpus", inject=repeated, at=120, right=("gap",)),
        Case("corrupted batch", inject=corrupted, at=200, right=("spike in the loss",)),
        Case("no clipping, one gradient x1000", change={"train": {"grad_clip": 0.0}}, inject=large_gradient, at=200,
             right=("spike in the gradient",)),
        Case("frozen head", change={"model": {"tied": False}}, inject=frozen, right=("small logits",)),
        Case("shuffled targets", inject=shuffled, right=stuck),
    ]


def others() -> list[Case]:
    """Faults in another form: shown, not counted."""
    return [
        Case("no clipping alone", change={"train": {"grad_clip": 0.0}}),
        Case("head frozen at its first weights", change={"model": {"tied": False}}, inject=still),
        Case("shuffled targets from step 120 on", inject=shuffled, at=120),
    ]


def repeated(model, batches, vocab_size: int, at: int):
    four = tuple(np.asarray(part)[:4] for part in batches(0))
    return lambda step: batches(step) if step < at else four


def corrupted(model, batches, vocab_size: int, at: int):
    def given(step):
        tokens, targets = map(np.asarray, batches(step))
        if step != at:
            return tokens, targets
        random = np.random.default_rng(step)
        return tuple(random.integers(vocab_size, size=part.shape) for part in (tokens, targets))

    return given


def large_gradient(model, batches, vocab_size: int, at: int):
    now = {"step": -1}

    def given(step):
        now["step"] = step
        return batches(step)

    model.lm_head.register_hook(lambda gradient: gradient * (1000.0 if now["step"] == at else 1.0))
    return given


def frozen(model, batches, vocab_size: int, at: int):
    with torch.no_grad():
        model.lm_head.zero_()
    return still(model, batches, vocab_size, at)


def still(model, batches, vocab_size: int, at: int):
    model.lm_head.requires_grad_(False)
    return batches


def shuffled(model, batches, vocab_size: int, at: int):
    def given(step):
        tokens, targets = map(np.asarray, batches(step))
        if step < at:
            return tokens, targets
        return tokens, np.random.default_rng(step).permutation(targets.ravel()).reshape(targets.shape)

    return given


def measured(case: Case, steps: int, corpora: dict) -> dict:
    """What a run measures, in the order in which a detector is told: rows of `step`, `batch` and `look`."""
    base = BASES[case.recipe]
    rate = base.train.learning_rate * case.change.get("rate", 1.0)
    config = replace(
        base, loss=case.loss, model=replace(base.model, **case.change.get("model", {})),
        train=replace(base.train, num_tokens=0, num_steps=steps, learning_rate=rate,
                      **SHORT | case.change.get("train", {})))
    corpus = corpora.setdefault(config.data, None) or Corpus.open(config.data)
    corpora[config.data] = corpus
    tokenizer, objective = corpus.tokenizer, Objective.parse(case.loss)
    model = initialized(config.model, tokenizer.vocab_size, case.seed, objective.transforms)
    batches = corpus.batches("train", seed=case.seed, batch_size=config.train.batch_size, seq_len=config.seq_len)
    if case.inject:
        batches = case.inject(model, batches, tokenizer.vocab_size, case.at)
    tune = first_tokens(corpus.documents("tune"), tokenizer, 4096)
    rows: list[list] = []

    def on_step(info) -> None:
        rows.append(["step", info.step, info.objective, info.grad_norm])
        if info.nll is not None:
            rows.append(["batch", info.step, info.nll])
        if info.step % config.evaluate_every == 0 or info.is_last:
            value = nll(model, tune, tokenizer, batch_size=32, seq_len=config.seq_len)["nll"].value
            rows.append(["look", info.step, value, *logit_scale(model, tune, config.seq_len)])

    outcome = train(model, batches, objective, config.train, on_step, seed=case.seed, vocabulary=corpus.vocabulary())
    if isinstance(outcome, Diverged):
        rows.append(["divergence", outcome.step, outcome.objective, outcome.grad_norm])
    return {"vocab_size": tokenizer.vocab_size, "frequencies": frequency_nll(tune, tokenizer.vocab_size), "rows": rows}


def found(told: dict, steps: int) -> list[signals.Event]:
    """The events of a run from what it measured."""
    detector = signals.Detector(steps, told["vocab_size"], SHORT["log_every"], frequencies=told["frequencies"])
    events = []
    for kind, step, *values in told["rows"]:
        if kind == "step":
            events += detector.step(step, *values)
        elif kind == "batch":
            detector.batch(step, *values)
        elif kind == "look":
            events += detector.look(step, tune_nll=values[0], deviation=values[1], largest=values[2])
        else:
            events += signals.events([{"step": step, "diverged/objective": values[0], "diverged/grad_norm": values[1]}])
    return events


def row(case: Case, steps: int, keep: Path | None, corpora: dict) -> dict:
    path = keep and keep / f"{case.name.replace(' ', '-').replace('/', 'over')}-{steps}.json"
    if path and path.exists():
        told = json.loads(path.read_text())
    else:
        told = measured(case, steps, corpora)
        if path:
            path.write_text(json.dumps(told))
    events = found(told, steps)
    after = [event for event in events if case.at < event.step <= case.at + WITHIN]
    last = next(values for values in reversed(told["rows"]) if values[0] == "look")
    return {"name": case.name, "loss": case.loss, "seed": case.seed, "recipe": case.recipe, "change": case.change,
            "fault_at": case.at, "last_tune_nll": last[2], "right": list(case.right),
            "is_right": any(e.kind in case.right for e in after),
            "before": len([event for event in events if event.step <= case.at]),
            "events": [{"kind": e.kind, "step": e.step, "figures": dict(e.figures)} for e in events]}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--steps", type=int, default=400)
    asked.add_argument("--first", type=int, default=0, help="seed of the first healthy run")
    asked.add_argument("--keep", type=Path)
    asked = asked.parse_args()
    torch.set_num_threads(1)
    if asked.keep:
        asked.keep.mkdir(parents=True, exist_ok=True)
    corpora, rows, started = {}, {}, time.monotonic()
    wrong = {} if asked.first else {"faults": faults(), "others": others()}
    for group, cases in {**wrong, "healthy": healthy(asked.first)}.items():
        rows[group] = []
        for case in cases:
            rows[group].append(row(case, asked.steps, asked.keep, corpora))
            print(f"{time.monotonic() - started:6.0f} s  {case.name}", flush=True)
    false = sum(len(each["events"]) for each in rows["healthy"])
    print(Table((left("run"), Column("nll on tune at the end"), left("signs")), [
        (f"{each['name']} ({each['loss']})", f"{each['last_tune_nll']:.4f}",
         ", ".join(f"{e['kind']} at {e['step']}" for e in each["events"]) or "none")
        for group in rows.values() for each in group]).text())
    print(f"{false} events in {len(rows['healthy'])} healthy runs")
    if asked.first:
        return
    right = sum(each["is_right"] for each in rows["faults"])
    print(f"{right} of {len(rows['faults'])} faults raised a right one within {WITHIN} steps")
    about = machine.describe("cpu", "float32") | {"threads": 1}
    result = {"machine": about, "steps": asked.steps, "false_events": false, "healthy_runs": len(rows["healthy"]),
              "faults_found": right, **rows}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
