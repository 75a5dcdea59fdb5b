"""What stands before a text, and that each task asks the very tokens that lm-evaluation-harness asks."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.evaluate import lambada, questions, tasks
from losslab.evaluate import requests as requests_module
from losslab.evaluate.requests import Request, answers, request
from losslab.evaluate.tasks import Settings
from losslab.model import initialized

BYTES = tokenizers.make("bytes")
LETTERED = {"choices": {"text": ["fish", "sharks"], "label": ["A", "B"]}, "answerKey": "B"}

# A row of each task, and what the templates of lm-evaluation-harness 0.4.13 make of it (lm_eval/tasks/<task>:
# doc_to_text, then target_delimiter, a space, and each of doc_to_choice), written out by hand.
ASKED = {
    "arc_easy": ({"question": "What swims?", **LETTERED}, ["Question: What swims?\nAnswer:"], [" fish", " sharks"]),
    "arc_challenge": ({"question": "What swims?", **LETTERED}, ["Question: What swims?\nAnswer:"],
                      [" fish", " sharks"]),
    "openbookqa": ({"question_stem": "In the sea are", **LETTERED}, ["In the sea are"], [" fish", " sharks"]),
    "commonsense_qa": ({"question": " What swims? ", **LETTERED},
                       ["Question: What swims?\nA. fish\nB. sharks\nAnswer:"], [" A", " B"]),
    "piqa": ({"goal": "Open it", "sol1": "push", "sol2": "pull", "label": 1}, ["Question: Open it\nAnswer:"],
             [" push", " pull"]),
    # doc_to_choice of COPA has its own space
    "copa": ({"premise": "It rained.", "choice1": "It was wet.", "choice2": "I slept.", "question": "effect",
              "label": 0}, ["It rained therefore"], ["  it was wet.", "  i slept."]),
    "social_i_qa": ({"context": "Sam slept.", "question": "Why?", "answerA": "a", "answerB": "b", "answerC": "c",
                     "label": "3"}, ["Q: Sam slept. Why?\nA:"], [" a", " b", " c"]),
    "hellaswag": ({"activity_label": "Roof", "ctx_a": "A man sits.", "ctx_b": "he", "label": "1",
                   "endings": ["falls.", "sings [title] Loud."]}, ["Roof: A man sits. He"],
                  [" falls.", " sings. Loud."]),
    # the options stand in the contexts, and what comes after them is scored
    "winogrande": ({"sentence": "Ann thanked Bea as _ was kind.", "option1": "Ann", "option2": "Bea", "answer": "2"},
                   ["Ann thanked Bea as Ann", "Ann thanked Bea as Bea"], [" was kind.", " was kind."]),
}  # fmt: skip


@pytest.fixture
def said(monkeypatch):
    """The requests that a task makes, whatever the model is."""
    found = []

    def note(model, requests, progress=None):
        found.extend(requests)
        return answers(model, requests)

    for place in ("losslab.evaluate.choices.answers", "losslab.evaluate.lambada.answers"):
        monkeypatch.setattr(place, note)
    return found


def random_model(limit=512):
    config = ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=limit)
    model = initialized(config, BYTES.vocab_size, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model.eval()


def ids(requests):
    return [(list(map(int, one.context)), list(map(int, one.continuation))) for one in requests]


@pytest.mark.parametrize(("prefix", "before", "suffix"), [("none", [], ""),
                                                          ("end-of-text", [256], "_prefix_end_of_text")])
def test_each_task_asks_what_the_template_of_the_harness_says(tmp_path, said, prefix, before, suffix):
    assert set(tasks.PREFIXED) == {*ASKED, "lambada"} and set(questions.BENCHMARKS) == set(ASKED)
    model = random_model()
    for name, (row, contexts, continuations) in ASKED.items():
        said.clear()
        (tmp_path / f"{name}.validation.jsonl").write_text(json.dumps(row))
        found = tasks.run(name, model, BYTES, Settings(tmp_path, prefix=prefix))
        contexts = contexts if len(contexts) > 1 else contexts * len(continuations)
        assert ids(said) == [(before + list(context.encode()), list(text.encode()))
                             for context, text in zip(contexts, continuations, strict=True)], name
        assert f"accuracy_sum{suffix}" in found.scores and all(key.endswith(suffix) for key in found.scores)
        assert found.notes[1].startswith(f"{name}: ") and f"prefix {prefix}" in found.notes[1]


@pytest.mark.parametrize("prefix", requests_module.PREFIXES)
def test_lambada_asks_for_the_last_word_with_its_space(said, prefix):
    """doc_to_text: all words but the last; doc_to_target: a space and the last word."""
    found = lambada.score(random_model(), BYTES, ["it was so"], Settings(prefix=prefix))
    assert ids(said) == [([256] * (prefix != "none") + list(b"it was"), list(b" so"))]
    assert set(found.scores) == ({"perplexity", "accuracy"} if prefix == "none"
                                 else {"perplexity_prefix_end_of_text", "accuracy_prefix_end_of_text"})


def test_a_text_without_a_context_begins_with_the_end_mark_under_either_prefix():
    for prefix in requests_module.PREFIXES:
        assert request(BYTES, "", " so", prefix) == Request([256], list(b" so"))
        assert request(BYTES, "  ", "so", prefix) == Request([256], list(b"  so"))
        asked = questions.question(BYTES, 64, questions.Asked(["", ""], ["a", "b"], 0), prefix)
        assert ids(one.request for one in asked.options) == [([256], list(b" a")), ([256], list(b" b"))]
    assert request(BYTES, "it ", "was") == Request(list(b"it"), list(b" was"))


def test_the_first_option_that_differs_by_an_end_mark_can_be_another():
    """The setting matters: the first letter of a document is foretold by the mark, and this model knows it well."""
    row, *_ = ASKED["winogrande"]
    asked = questions.BENCHMARKS["winogrande"].ask(row)
    costs = []
    for prefix in requests_module.PREFIXES:
        options = questions.question(BYTES, 64, asked, prefix).options
        costs.append([answer.nats.sum() for answer in answers(random_model(), [one.request for one in options])])
    assert not np.allclose(*costs)


def test_another_prefix_is_refused():
    with pytest.raises(ValueError, match="prefix must be none or end-of-text, got 'bos'"):
        Settings(prefix="bos")


# --- compared with the harness itself -----------------------------------------------------------------

SOURCES = {"arc_easy": "arc/arc_easy", "arc_challenge": "arc/arc_challenge", "openbookqa": "openbookqa/openbookqa",
           "commonsense_qa": "commonsense_qa/default", "piqa": "piqa/piqa", "copa": "super_glue/copa/default",
           "social_i_qa": "siqa/siqa", "hellaswag": "hellaswag/hellaswag", "winogrande": "winogrande/default",
           "lambada": "lambada/lambada_openai"}  # fmt: skip
NUM_ITEMS = 12


def items(folder, name):
    """The first items of a benchmark, in the columns that the harness reads."""
    inside = folder / "core_eval" / "eval_data" / "language_understanding"
    path = {"hellaswag": inside / "hellaswag.jsonl.gz", "winogrande": inside / "winogrande.jsonl",
            "lambada": inside / "lambada_openai.jsonl.gz"}.get(name, folder / "hf_eval" / f"{name}.validation.jsonl.gz")
    lines = (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8")
    return [columns(name, json.loads(next(lines))) for _ in range(NUM_ITEMS)]


def columns(name, row):
    if name == "lambada":
        return {"text": f"{row['context']} {row['continuation']}"}
    if name == "winogrande":
        words = [text.split(" ") for text in row["context_options"]]
        same = next(i for i, (a, b) in enumerate(zip(*words, strict=False)) if a != b)
        before, options = " ".join(words[0][:same]), [" ".join(part[same:]) for part in words]
        return {"sentence": f"{before} _ {row['continuation']}", "option1": options[0], "option2": options[1],
                "answer": str(row["gold"] + 1)}
    if name == "hellaswag":
        label, _, text = row["query"].partition(": ")
        before, _, last = text.rpartition(" ")
        return {"ind": 0, "activity_label": label, "ctx_a": before, "ctx_b": last, "endings": row["choices"],
                "label": str(row["gold"])}
    return row


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SOURCES)
def test_the_harness_asks_the_same_tokens_and_finds_the_same_accuracies(
    name, tmp_path, monkeypatch, said, benchmark_data
):
    lm_eval = pytest.importorskip("lm_eval", reason="the extra `eval` is not installed")
    import datasets
    from lm_eval.api.model import TemplateLM
    from lm_eval.tasks import TaskManager

    for variable in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows, folder, model, theirs = items(benchmark_data, name), tmp_path / "tasks", random_model(1024), []
    folder.mkdir()
    data = tmp_path / ("lambada_test.jsonl" if name == "lambada" else f"{name}.validation.jsonl")
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    about = {"include": str(Path(lm_eval.__file__).parent / "tasks" / f"{SOURCES[name]}.yaml"), "task": "ours",
             "tag": [], "dataset_path": "json", "dataset_name": None, "training_split": None, "test_split": None,
             "validation_split": "validation", "dataset_kwargs": {"data_files": {"validation": str(data)}}}
    (folder / "ours.yaml").write_text(json.dumps(about))

    class Plain(TemplateLM):
        """Their splitting and their encoding of pairs; only the probabilities are ours."""

        eot_token_id = BYTES.eot

        def tok_encode(self, string, add_special_tokens=None, **kwargs):
            return BYTES.encode(string).tolist()

        def _loglikelihood_tokens(self, requests, **kwargs):
            theirs.extend((context, text) for _, context, text in requests)
            found = answers(model, [Request(context, text) for _, context, text in requests])
            return [(-float(one.nats.sum()), bool(one.is_greedy.all())) for one in found]

        def loglikelihood_rolling(self, requests, **kwargs):
            raise NotImplementedError

        generate_until = loglikelihood_rolling

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = lm_eval.simple_evaluate(model=Plain(), tasks=["ours"], task_manager=manager, bootstrap_iters=0)
    ours = tasks.run(name, model, BYTES, Settings(tmp_path))
    assert len(theirs) >= NUM_ITEMS and sorted(ids(said)) == sorted((list(a), list(b)) for a, b in theirs)
    measured = found["results"]["ours"]
    if name == "lambada":
        assert ours.scores["perplexity"].value == pytest.approx(measured["perplexity,none"], rel=1e-9)
    assert ours.scores["accuracy" if name == "lambada" else "accuracy_sum"].value == measured["acc,none"]
    if "acc_norm,none" in measured:
        assert ours.scores["accuracy_per_character"].value == measured["acc_norm,none"]
