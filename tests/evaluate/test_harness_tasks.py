"""Tasks that lm-evaluation-harness runs with losslab's models, and its numbers."""

import gzip
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from harness_models import BYTES, LIMIT, TEXT, Parrot, asked, log_p, random_model

from losslab import tokenizer as tokenizers
from losslab.evaluate import harness
from losslab.evaluate.document_scores import nll
from losslab.evaluate.requests import Request, answers
from losslab.evaluate.task import Settings
from losslab.evaluate.tasks import check
from losslab.evaluate.tasks import run as run_task


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A folder of local tasks; `add(name, rows, **definition)` writes one."""
    pytest.importorskip("lm_eval", reason="the extra `eval` is not installed")
    for name, value in {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"),
                        "HF_DATASETS_CACHE": str(tmp_path / "cache")}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "tasks"
    folder.mkdir()

    def add(name, rows, **definition):
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        metrics = [{"metric": metric} for metric in definition.pop("metrics")]
        about = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"validation": str(data)}},
                 "validation_split": "validation", "metric_list": metrics, "metadata": {"version": 1.0}, **definition}
        (folder / f"{name}.yaml").write_text(json.dumps(about))  # JSON is YAML
        return folder

    return add


CHOICES = dict(output_type="multiple_choice", doc_to_text="{{query}}", doc_to_choice="{{choices}}",
               doc_to_target="{{gold}}", metrics=["acc", "acc_norm"])  # fmt: skip
ROLLING = dict(output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="{{text}}",
               metrics=["word_perplexity", "byte_perplexity", "bits_per_byte"])  # fmt: skip
inside = pytest.mark.filterwarnings("ignore")


def copa_rows(path):
    rows = [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]
    joined = {"cause": "because", "effect": "therefore"}
    return [{"query": f"{row['premise'].rstrip('.')} {joined[row['question']]}",
             "choices": [row[c][0].lower() + row[c][1:] for c in ("choice1", "choice2")], "gold": row["label"]}
            for row in rows]  # fmt: skip


@inside
def test_copa_is_the_same_through_our_requests_and_through_the_harness(tasks, benchmark_data):
    """Agree: the accuracy of summed log-probabilities, over contexts that begin with the end mark."""
    rows = copa_rows(benchmark_data / "hf_eval" / "copa.validation.jsonl.gz")
    model = random_model(limit=256)
    folder = tasks("copa_rows", rows, **CHOICES)
    result = harness.run(model, BYTES, ["copa_rows"], include_path=folder, end_mark_first=True)
    requests = [Request([256, *row["query"].encode()], list(f" {choice}".encode()))
                for row in rows for choice in row["choices"]]  # fmt: skip
    nats = np.array([answer.nats.sum() for answer in answers(model, requests)]).reshape(-1, 2)
    right = nats.argmin(1) == [row["gold"] for row in rows]
    score = result.parts[0].scores["acc"]
    assert score.value == pytest.approx(right.mean()) and score.n == 100 and 0 < right.sum() < 100
    assert score.stderr == pytest.approx(right.std(ddof=1) / 10)
    # Not so: acc_norm, where the harness divides by the option's characters; CORE divides by tokens
    lengths = np.array([[len(choice) for choice in row["choices"]] for row in rows])
    normed = (nats / lengths).argmin(1) == [row["gold"] for row in rows]
    assert result.parts[0].scores["acc_norm"].value == pytest.approx(normed.mean())


@inside
def test_acc_norm_is_by_characters_and_not_by_bytes_or_tokens(tasks):
    """A uniform model over bytes prefers fewer bytes; an option of long characters costs more of them a character."""
    row = {"query": "x", "choices": ["\u00e9\u00e9\u00e9", "aaaa"], "gold": 0}
    folder = tasks("long", [row], **CHOICES)
    scores = harness.run(uniform(), BYTES, ["long"], include_path=folder).parts[0].scores
    # with the space 7 and 5 bytes are scored: over 3 and 4 characters the second wins; over bytes or tokens they tie,
    # and a tie is the first's
    assert scores["acc_norm"].value == 0.0


def uniform():
    model = random_model()
    model.logits = lambda hidden: torch.tensor([0.0] * 256 + [-1e9]).expand(*hidden.shape[:-1], 257)
    return model


@inside
def test_a_uniform_model_over_bytes_has_exactly_8_bits_per_byte(tasks):
    folder = tasks("text", [{"text": TEXT}, {"text": "na\u00efve \u00e9tude"}], **ROLLING)
    scores = harness.run(uniform(), BYTES, ["text"], include_path=folder).parts[0].scores
    assert scores["bits_per_byte"].value == pytest.approx(8.0, abs=1e-12)
    assert scores["byte_perplexity"].value == pytest.approx(256, rel=1e-12)
    assert scores["bits_per_byte"].unit == "bits/byte" and scores["bits_per_byte"].stderr is None


@inside
@pytest.mark.parametrize("length", [20, LIMIT, 3 * LIMIT])
def test_bits_per_byte_of_a_document_is_ours_where_windows_are_whole(tasks, length):
    """Agree: a text within the context, or of whole windows. The word counts agree here too (no double blanks)."""
    text, model = TEXT[:length].strip(".").replace(" .", "."), random_model()
    text = text + "x" * (length - len(text))
    folder = tasks("text", [{"text": text}], **ROLLING)
    scores = harness.run(model, BYTES, ["text"], include_path=folder).parts[0].scores
    ours = nll(model, [document(text)], BYTES)
    assert scores["bits_per_byte"].value == pytest.approx(ours["bits_per_byte"].value, rel=1e-6)
    assert scores["word_perplexity"].value == pytest.approx(ours["word_perplexity"].value, rel=1e-5)


@inside
def test_where_rolling_differs_from_ours(tasks):
    """Not so, 1: the harness's last window looks back over a full context, ours begins where the one before ended.
    Not so, 2: the harness counts words by splitting at blanks, which counts an empty one at a blank end; we do not."""
    text, model = TEXT[: 2 * LIMIT + 7].rstrip() + " ", random_model()
    folder = tasks("text", [{"text": text}], **ROLLING)
    scores = harness.run(model, BYTES, ["text"], include_path=folder).parts[0].scores
    ours = nll(model, [document(text)], BYTES)
    assert scores["bits_per_byte"].value != pytest.approx(ours["bits_per_byte"].value, rel=1e-6)
    nats = scores["bits_per_byte"].value * math.log(2) * len(text)
    assert scores["word_perplexity"].value == pytest.approx(math.exp(nats / (len(text.split()) + 1)), rel=1e-9)


def document(text):
    tokens = BYTES.encode(text)
    return SimpleNamespace(tokens=tokens, num_bytes=len(tokens), num_words=len(text.split()), ends=False)


@inside
def test_the_harness_own_template_gives_the_same_numbers(tasks):
    """Another program for the same rules: `TemplateLM` splits and windows, we only look probabilities up one by one."""
    from lm_eval.api.model import TemplateLM
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    tokenizer = tokenizers.make("bpe:275", [TEXT])
    model = random_model(tokenizer)

    class Plain(TemplateLM):
        eot_token_id = tokenizer.eot

        def tok_encode(self, string, add_special_tokens=None, **kwargs):
            return tokenizer.encode(string).tolist()

        def _loglikelihood_tokens(self, requests, **kwargs):
            return [(log_p(model, context + text)[len(context) - 1 :].sum(), False) for _, context, text in requests]

        def loglikelihood_rolling(self, requests, disable_tqdm=False):
            return [sum(log_p(model, context + text)[len(context) - 1 :].sum() for context, text in map(
                make_disjoint_window, get_rolling_token_windows(self.tok_encode(r.args[0]), tokenizer.eot, LIMIT, 1)))
                for r in requests]  # fmt: skip

        def generate_until(self, requests, disable_tqdm=False):
            raise NotImplementedError

    ours = harness.model(model, tokenizer)
    pairs = [asked("Once there", " was a cat"), asked("the cat ", "was"), asked("", "Once"), asked("a cat,\n", "and")]
    assert [p for p, _ in ours.loglikelihood(pairs)] == pytest.approx(
        [p for p, _ in Plain().loglikelihood(pairs, disable_tqdm=True)], rel=1e-5)  # fmt: skip
    texts = [asked(TEXT[:length]) for length in (3, 90, 300)]
    assert ours.loglikelihood_rolling(texts) == pytest.approx(Plain().loglikelihood_rolling(texts), rel=1e-5)


@inside
def test_a_generating_task_runs_and_a_limit_is_no_evidence(tasks):
    rows = [{"query": "a", "answer": "bc"}, {"query": "b", "answer": "zz"}, {"query": "c", "answer": ""}]
    folder = tasks(
        "write", rows, output_type="generate_until", doc_to_text="{{query}}", doc_to_target="{{answer}}",
        generation_kwargs={"until": ["."], "max_gen_toks": 8, "do_sample": False}, metrics=["exact_match"],
    )
    result = harness.run(Parrot(), BYTES, ["write"], include_path=folder)
    assert result.parts[0].scores["exact_match"].value == pytest.approx(2 / 3) and result.is_evidence
    limited = harness.run(Parrot(), BYTES, ["write"], include_path=folder, limit=1)
    assert limited.parts[0].scores["exact_match"].value == 1.0 and not limited.is_evidence
    assert limited.parts[0].counts == {"items": 1} and json.dumps(limited.to_dict())


@inside
def test_a_perplexity_per_continuation_has_an_error_and_standard_output_stays_empty(tasks, capsys):
    rows = [{"query": "Once", "answer": " there"}, {"query": "A cat", "answer": " sat"}, {"query": "x", "answer": "y"}]
    folder = tasks("last", rows, output_type="loglikelihood", doc_to_text="{{query}}", doc_to_target="{{answer}}",
                   target_delimiter="", metrics=["perplexity", "acc"])  # fmt: skip
    model = random_model()
    scores = harness.run(model, BYTES, ["last"], include_path=folder).parts[0].scores
    sums = [log_p(model, (r["query"] + r["answer"]).encode())[len(r["query"]) - 1 :].sum() for r in rows]
    assert scores["perplexity"].value == pytest.approx(math.exp(-np.mean(sums)), rel=1e-4)
    assert scores["perplexity"].stderr > 0 and scores["acc"].stderr == 0 and capsys.readouterr().out == ""


@inside
def test_an_unknown_task_is_refused_by_name(tasks):
    folder = tasks("text", [{"text": "a"}], **ROLLING)
    with pytest.raises(ValueError, match="has no task texd; it has text"):
        harness.run(uniform(), BYTES, ["texd"], include_path=folder)


@inside
def test_a_task_by_name_stands_next_to_ours(tasks, monkeypatch, benchmark_data):
    """COPA by our rules and by the harness's: the same accuracy, through the one table of tasks."""
    model = random_model(limit=256)
    rows = copa_rows(benchmark_data / "hf_eval" / "copa.validation.jsonl.gz")
    rows = [row | {"choices": [f" {choice}" for choice in row["choices"]]} for row in rows]  # as the harness's own COPA
    monkeypatch.setenv(harness.OWN_TASKS, str(tasks("copa_rows", rows, **CHOICES)))
    said = []
    settings = Settings(benchmarks=benchmark_data, prefix="end-of-text", progress=lambda *told: said.append(told[:4]))
    theirs = run_task("lm_eval:copa_rows", model, BYTES, settings)
    ours = run_task("copa", model, BYTES, settings)
    assert theirs.name == "lm_eval:copa_rows" and theirs.notes[0].startswith("lm-evaluation-harness 0.")
    name = "prefix_end_of_text"
    assert theirs.scores[f"acc_{name}"].value == ours.scores[f"accuracy_sum_{name}"].value
    assert "the end mark stands before every text" in theirs.notes[-1]
    assert ("lm_eval:copa_rows", 200, 200, "requests") in said


@inside
def test_a_task_by_name_that_cannot_be_had_is_one_sentence(tasks, monkeypatch):
    folder = tasks("text", [{"text": "a"}], **ROLLING)
    monkeypatch.setenv(harness.OWN_TASKS, str(folder))
    with pytest.raises(ValueError, match="has no task texd; it has text"):
        run_task("lm_eval:texd", uniform(), BYTES, Settings())
    (folder / "text.jsonl").unlink()
    with pytest.raises(ConnectionError, match="the data of the task text could not be read from the folder"):
        run_task("lm_eval:text", uniform(), BYTES, Settings())
    with pytest.raises(ValueError, match="unknown task 'lm_eval:'.* and lm_eval:NAME for a task"):
        check("lm_eval:")
