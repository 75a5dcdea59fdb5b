"""Run folders written by hand, for documents and pages."""

import math
from html.parser import HTMLParser

import pytest

from losslab import comparison, records, report
from losslab import config as configuration

QUANTILES = ("0.05", "0.25", "0.5", "0.75", "0.95")


def score(value, unit, stderr=0.01, n=800):
    return {"value": value, "stderr": stderr, "n": n, "unit": unit}


def write_run(store, loss, seed, nll=1.5, *, status="finished", corpus=None, floor=None, source=None, dtype="float32",
              calibrated=None, cost=1.0, samples=(), prefix="", **train):
    """One run folder as an experiment leaves it; `nll` decides every score, `train` changes settings."""
    config = configuration.to_dict(configuration.preset("tiny")) | {"loss": loss, "seed": seed}
    config["train"] = config["train"] | train
    corpus = {"name": "tales", "digest": "c0ffee", "tokenizer": "bytes", "vocab_size": 257,
              "floor_bits_per_byte": floor,
              "splits": {s: {"documents": 800, "tokens": 200_000, "bytes": 199_200} for s in ("train", "tune", "val")},
              **(corpus or {})}
    condition = configuration.digest([loss, train, dtype, corpus["digest"], corpus["tokenizer"]])
    folder = store / f"{prefix}{condition}-seed{seed}"
    losses = [{"path": loss, "sha256": "ab" * 32, "source": source}] if source else []
    records.create(folder, {"version": "0.1.0", "condition": condition, "config": config, "corpus": corpus,
                            "losses": losses, "objective": loss},
                   {"torch": "2.13.0", "device": "cpu", "dtype": dtype, "threads": 1})
    log = records.Log(folder)
    for step in range(25, 501, 25):
        value = nll + 2 * math.exp(-step / 90) + 0.01 * math.sin(step + seed)
        log.write(step=step, tokens=1024 * step, seconds=step / 9, **{"tune/nll": value})
        if status != "finished" and step > 200:
            break
    result = {"format": 1, "status": status, "step": 500, "num_steps": 500, "tokens": 512_000}
    bits = nll / math.log(2)
    if status == "diverged":
        result |= {"step": 212, "diverged": {"step": 212, "value": "nan", "previous": 3.25}}
    if status == "failed":
        result |= {"error": "the loss gave shape [2], not [1024]"}
    if status == "finished":
        result |= {
            "scores": {"nll": score(nll, "nats/token"), "bits_per_byte": score(bits, "bits/byte"),
                       "bits_per_byte_with_eot": score(bits + 0.01, "bits/byte"),
                       "perplexity": score(math.exp(nll), "per token"), "word_perplexity": score(152.3, "per word"),
                       "nll_calibrated": score(calibrated or nll - 0.001, "nats/token")},
            "temperature": 1.02, "counts": {"documents": 800, "tokens": 200_000, "bytes": 199_200, "words": 40_000},
            "document_perplexity": {q: 3 + 4 * float(q) for q in QUANTILES},
            "cost": {"train_seconds": 55.0, "tokens_per_second": 9000.0 / cost + seed, "peak_memory_bytes": 712_345_678,
                     "loss_seconds": 0.006 * cost, "cross_entropy_seconds": 0.006, "loss_cost_ratio": cost},
            "model": {"num_params": 842_496, "num_params_non_embedding": 793_088},
            "samples": [{"prompt": p, "text": p + t} for p, t in samples],
        }
    if status != "running":
        records.write_json(folder / "result.json", result)
    return records.read(folder)


NOISE = (0.0, 0.004, -0.003, 0.001, -0.002)


def three_arms(folder):
    """Three arms, four seeds: the baseline, one 0.02 worse, and one that is 0.05 better."""
    return [
        write_run(folder, loss, seed, 1.5 + shift + NOISE[seed] + wiggle * (-1) ** seed, cost=cost)
        for loss, shift, wiggle, cost in (("squentropy", 0.02, 0.001, 1.3), ("cross_entropy", 0, 0, 1.0),
                                          ("cross_entropy + 0.0001*z_loss", -0.05, 0.0005, 1.1))
        for seed in range(4)
    ]


@pytest.fixture
def runs(tmp_path):
    return three_arms(tmp_path)


@pytest.fixture
def unpaged(monkeypatch):
    """For tests of what stands next to a page: to draw one takes half a second, and the first of a process four."""
    monkeypatch.setattr("losslab.report.page.html", lambda document: "<!doctype html>\n")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two finished runs of one arm."""
    return [write_run(tmp_path_factory.mktemp("store"), "mse", seed, 1.5 + seed / 100) for seed in (0, 1)]


def described(runs, command=None, **terms):
    """The document of runs."""
    return report.document(comparison.compare(runs, **terms), command=command)


def arm(document, name):
    return next(arm for arm in document["arms"] if arm["name"] == name)


class Page(HTMLParser):
    """Elements as a browser's parser sees them: `(tag, attributes)` and the text inside."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        self.open = True

    def handle_endtag(self, tag):
        self.open = False

    def handle_data(self, data):
        if self.open:
            self.texts[-1] += data

    def all(self, tag):
        return [(a, x) for (t, a), x in zip(self.elements, self.texts, strict=True) if t == tag]
