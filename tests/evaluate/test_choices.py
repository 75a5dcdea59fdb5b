"""Picks, ties, normalizers and what is left out; the benchmarks' prompts compared with the words of their papers."""

import gzip
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.evaluate import questions, tasks
from losslab.evaluate.choices import Option, Question, language_modeling, multiple_choice, option, pick
from losslab.evaluate.requests import Request
from losslab.evaluate.task import Settings

BYTES = tokenizers.make("bytes")


class Letters(nn.Module):
    """Every byte has its own price in nats, whatever came before; the rest is shared by the others."""

    vocab_size = 257

    def __init__(self, prices, seq_len=64):
        super().__init__()
        p = torch.zeros(257, dtype=torch.float64)
        for letter, nats in prices.items():
            p[letter if isinstance(letter, int) else ord(letter)] = math.exp(-nats)
        p[p == 0] = (1 - p.sum()) / (p == 0).sum()
        self.row, self.config = nn.Parameter(p.log()), ModelConfig(num_positions=seq_len)

    def forward(self, tokens):
        return torch.zeros(*tokens.shape, 1)

    def logits(self, hidden):
        return self.row.expand(*hidden.shape[:-1], -1)


def ask(*endings, gold=0, context="Q:"):
    return questions.question(BYTES, 64, questions.Asked([context] * len(endings), endings, gold))


def test_each_normalizer_picks_by_its_own_count():
    """Prices of 2 nats for a, 3 for b, 2.5 for each byte of é, 1 for the space that joins."""
    model = Letters({"a": 2, "b": 3, " ": 1, 0xC3: 2.5, 0xA9: 2.5})
    one = multiple_choice("t", model, [ask("aab", "ab", "é")], Settings())
    costs = one.items[0]["costs"]
    assert costs["sum"] == pytest.approx([8, 6, 6])
    assert costs["per_token"] == pytest.approx([8 / 4, 6 / 3, 6 / 3])
    # the space that joins is paid and not counted
    assert costs["per_character"] == pytest.approx([8 / 3, 6 / 2, 6 / 1])
    assert costs["per_byte"] == pytest.approx([8 / 3, 6 / 2, 6 / 2])
    assert costs["per_own_token"] == pytest.approx([7 / 3, 5 / 2, 5 / 2])
    assert one.items[0]["picked"] == {"sum": 1, "per_token": 0, "per_character": 0, "per_byte": 0, "per_own_token": 0}
    assert one.counts["tied_sum"] == 1 and one.counts["tied_per_token"] == 1 and one.counts["tied_per_byte"] == 0
    assert one.scores["accuracy_sum"].value == 0 and one.scores["accuracy_per_byte"].value == 1


def test_what_options_begin_with_is_not_their_own():
    one = multiple_choice("t", Letters({"a": 2, "b": 3, " ": 1}), [ask("aaab", "aaaa")], Settings())
    assert one.items[0]["costs"]["per_own_token"] == pytest.approx([3, 2])
    assert one.items[0]["costs"]["per_token"] == pytest.approx([10 / 5, 9 / 5])


def test_pick_takes_the_cheapest_and_the_first_of_equals():
    assert pick([3.0, 1.0, 2.0]) == (1, False)
    assert pick([2.0, 1.0, 1.0 + 1e-12]) == (1, True) and pick([1.0 + 1e-12, 1.0]) == (0, True)
    assert pick([1.0 + 1e-7, 1.0]) == (1, False)
    assert pick([math.inf, math.inf]) == (0, True) and pick([0.0, 0.0]) == (0, True)


@pytest.mark.parametrize("costs", [[None, 1.0], [1.0, None], [2.0, None, 1.0], [None, None], [None, 1.0, 0.5]])
def test_an_option_of_nothing_is_picked_as_python_picks_nan(costs):
    """nanochat's own words: mean_losses.index(min(mean_losses)), with nan for the mean of nothing."""
    theirs = [math.nan if cost is None else cost for cost in costs]
    assert pick(costs)[0] == theirs.index(min(theirs))


def test_options_that_are_the_same_or_have_nothing_of_their_own_are_counted_and_said():
    model = Letters({"a": 2, "b": 3, " ": 1})
    asked = [ask("ab", "ab", gold=1), ask("a", "ab", gold=0), ask("ab", "a", gold=1), ask("a", "b")]
    result = multiple_choice("t", model, asked, Settings())
    assert result.counts["same_options"] == 1 and result.counts["empty_options"] == 3
    assert [item["picked"]["per_own_token"] for item in result.items] == [0, 0, 0, 0]
    assert result.items[1]["costs"]["per_own_token"] == [None, pytest.approx(3.0)]
    assert [note for note in result.notes if "the same; they tie, and the first is picked" in note] == [
        "t: 1 items have options that are the same; they tie, and the first is picked"]
    assert len(result.notes) == 2 and "3 items have an option that adds no token" in result.notes[1]
    numbers = [number for score in result.scores.values() for number in (score.value, score.stderr)]
    assert all(math.isfinite(number) for number in numbers) and "NaN" not in json.dumps(result.to_dict(with_items=True))


def test_an_option_without_any_token_makes_no_request():
    tokens = np.array([256, 65, 66])
    nothing = option(tokens, "", start=3, own_start=3, num_cut=0)
    assert nothing.request is None
    something = option(np.array([256, 65, 66, 67]), "C", start=3, own_start=3, num_cut=0)
    result = multiple_choice("t", Letters({"C": 1}), [Question([something, nothing], 0)], Settings())
    assert result.items[0]["costs"]["sum"] == [pytest.approx(1.0), None] and result.scores["accuracy_sum"].value == 1


def test_an_option_that_was_cut_is_scored_from_its_first_token_with_a_context():
    tokens = np.array([256, *b"text option"])
    cut = option(tokens, "option", start=5, own_start=9, num_cut=6)
    assert bytes(cut.request.context.tolist()) == b"o" and bytes(cut.request.continuation.tolist()) == b"ption"
    assert (cut.num_own, cut.num_cut) == (3, 6)
    whole = option(tokens, "option", start=5, own_start=9, num_cut=2)
    assert bytes(whole.request.context.tolist()) == b"ext" and bytes(whole.request.continuation.tolist()) == b" option"


def test_a_model_whose_logits_are_nan_ties_everywhere():
    model = Letters({"a": 2})
    model.row.data[:] = math.nan
    result = multiple_choice("t", model, [ask("a", "b", gold=1)], Settings())
    assert result.counts["tied_sum"] == 1 and result.scores["accuracy_sum"].value == 0
    assert result.items[0]["costs"]["sum"] == [math.inf, math.inf]


def test_scores_have_the_error_of_a_mean_and_n_of_what_was_scored():
    model = Letters({"a": 2, "b": 3, " ": 1})
    asked = [ask("a", "b"), ask("b", "a"), ask("a", "b"), ask("a", "b"), Question([], 0, "of a reason")]
    result = multiple_choice("t", model, asked, Settings(limit=5))
    score = result.scores["accuracy_sum"]
    assert (score.value, score.n) == (0.75, 4) and score.stderr == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert result.counts["items"] == 4 and result.counts["skipped"] == 1 and not result.is_evidence
    assert result.items[4] == {"index": 4, "skipped": "of a reason"} and result.items[3]["index"] == 3
    assert result.notes == ["t: 1 of 5 items were skipped, the first because of a reason"]


def test_where_nothing_can_be_scored_there_is_no_score():
    result = multiple_choice("t", Letters({"a": 2}), [Question([], 0, "of a reason")], Settings())
    assert result.scores == {} and result.counts["items"] == 0


def test_an_item_is_cut_where_any_of_its_options_is():
    model = Letters({"a": 2, "b": 3}, seq_len=8)
    asked = [ask("a", "b", context="1234567"), ask("a", "bb", context="123456")]
    result = multiple_choice("t", model, asked, Settings())
    # context, joining space, option: 9 and 9 tokens, of which a model of 8 reads all but the last
    assert result.counts["cut"] == 0
    result = multiple_choice("t", model, [ask("a", "bb", context="1234567"), ask("a", "b")], Settings())
    assert result.counts["cut"] == 1 and result.scores["share_cut"].value == 0.5
    assert result.notes == ["t: 1 of 2 items are longer than the context of 8 tokens and lost their beginning"]


def test_a_completion_is_right_where_every_token_is_the_likeliest():
    model = Letters({"a": 0.5})
    asked = [
        Question([Option(Request([256], list(text.encode())), text, len(text))], 0) for text in ("aaa", "aab", "a")
    ]
    result = language_modeling("t", model, asked, Settings())
    assert [item["correct"] for item in result.items] == [True, False, True]
    assert result.items[0]["nats"] == pytest.approx(1.5)
    assert result.scores["accuracy"].value == pytest.approx(2 / 3) and result.scores["accuracy"].n == 3


# --- benchmarks --------------------------------------------------------------------------------

def worded(name, row):
    asked = questions.BENCHMARKS[name].ask(row)
    return [f"{context} {ending}" for context, ending in zip(asked.contexts, asked.endings, strict=True)], asked.gold


def test_prompts_are_those_of_the_harness():
    choices = {"text": ["fish", "sharks"], "label": ["A", "B"]}
    for name in ("arc_easy", "arc_challenge"):
        assert worded(name, {"question": "What swims?", "choices": choices, "answerKey": "B"}) == (
            ["Question: What swims?\nAnswer: fish", "Question: What swims?\nAnswer: sharks"], 1)
    assert worded("openbookqa", {"question_stem": "In the sea are", "choices": choices, "answerKey": "A"}) == (
        ["In the sea are fish", "In the sea are sharks"], 0)
    assert worded("piqa", {"goal": "Open it", "sol1": "push", "sol2": "pull", "label": 1}) == (
        ["Question: Open it\nAnswer: push", "Question: Open it\nAnswer: pull"], 1)
    row = {"premise": "It rained.", "choice1": "It was wet.", "choice2": "I slept.", "question": "effect", "label": 0}
    assert worded("copa", row) == (["It rained therefore  it was wet.", "It rained therefore  i slept."], 0)
    assert worded("copa", row | {"question": "cause"})[0][0] == "It rained because  it was wet."
    assert worded("commonsense_qa", {"question": " What swims? ", "choices": choices, "answerKey": "B"}) == (
        [f"Question: What swims?\nA. fish\nB. sharks\nAnswer: {letter}" for letter in "AB"], 1)
    row = {"context": "Sam slept.", "question": "Why?", "answerA": "a", "answerB": "b", "answerC": "c", "label": "3"}
    assert worded("social_i_qa", row) == ([f"Q: Sam slept. Why?\nA: {letter}" for letter in "abc"], 2)
    row = {"activity_label": "Roof", "ctx_a": "A man  sits.", "ctx_b": "he", "label": "1",
           "endings": ["falls [substeps] down.", "sings [title] Loud."]}
    assert worded("hellaswag", row) == (["Roof: A man sits. He falls down.", "Roof: A man sits. He sings. Loud."], 1)
    row = {"sentence": "Ann thanked Bea as _ was kind.", "option1": "Ann", "option2": "Bea", "answer": "2"}
    assert worded("winogrande", row) == (["Ann thanked Bea as Ann was kind.", "Ann thanked Bea as Bea was kind."], 1)


def test_an_option_begins_with_the_space_that_joins_it_and_the_context_keeps_none():
    one = ask("ab", "b", context="Q: ")
    assert bytes(one.options[0].request.continuation.tolist()) == b"  ab" and one.options[0].num_own == 2
    assert one.options[0].request.context.tolist() == [*b"Q:"]


def test_the_ending_of_winogrande_is_what_is_scored(tmp_path):
    row = {"sentence": "The a or the b: _ is it.", "option1": "b", "option2": "aa", "answer": "1"}
    (tmp_path / "winogrande.validation.jsonl").write_text(json.dumps(row))
    result = tasks.run("winogrande", Letters({"a": 2, "b": 3}), BYTES, Settings(tmp_path))
    assert list(result.scores) == ["accuracy_sum", "share_cut"] and result.counts["tied_sum"] == 1


def test_an_answer_that_does_not_fit_is_skipped_with_the_reason(tmp_path):
    rows = [{"goal": "g", "sol1": "short", "sol2": "long " * 9, "label": 0}, {"goal": "g", "sol1": "a", "sol2": "b",
                                                                              "label": 0}]
    (tmp_path / "piqa.validation.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = tasks.run("piqa", Letters({"a": 2}, seq_len=20), BYTES, Settings(tmp_path))
    assert result.counts["skipped"] == 1 and result.counts["items"] == 1
    assert result.items[0]["skipped"] == "an answer of 46 tokens does not fit a context of 20"


@pytest.mark.parametrize("name", ["arc_easy", "arc_challenge", "commonsense_qa", "copa", "openbookqa", "piqa",
                                  "social_i_qa", "hellaswag", "winogrande"])
def test_every_benchmark_runs_from_local_files(name, benchmark_data):
    result = tasks.run(name, Letters({"a": 2, "e": 1.5}, seq_len=1024), BYTES, Settings(benchmark_data, limit=8))
    assert result.name == name and result.counts["items"] == 8 and not result.is_evidence
    assert 0 <= result.scores["accuracy_sum"].value <= 1 and result.scores["accuracy_sum"].n == 8
    assert result.notes[0].startswith(f"{name}: no examples, 8 items of ") and "not evidence" in result.notes[-1]


@pytest.mark.parametrize(("content", "said"), [
    (b'{"goal": "g"}\n', r"does not hold rows of piqa \(KeyError: 'sol1'\)"),
    (b"", "holds no row of piqa"),
])
def test_a_damaged_file_is_named(tmp_path, content, said):
    with gzip.open(tmp_path / "piqa.validation.jsonl.gz", "wb") as file:
        file.write(content)
    with pytest.raises(ValueError, match=rf"piqa.validation.jsonl.gz.*{said}"):
        tasks.run("piqa", Letters({"a": 2}), BYTES, Settings(tmp_path))


def test_a_folder_without_the_benchmark_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="has none of piqa.validation.jsonl"):
        tasks.run("piqa", Letters({"a": 2}), BYTES, Settings(tmp_path))


def test_without_a_folder_the_rows_come_from_the_hub(monkeypatch):
    asked = []
    monkeypatch.setattr(questions.benchmark_rows, "hub_rows", lambda *names: asked.append(names) or [
        {"goal": "g", "sol1": "a", "sol2": "b", "label": 0}])
    result = tasks.run("piqa", Letters({"a": 2}), BYTES, Settings())
    assert result.scores["accuracy_sum"].value == 1 and asked == [("baber/piqa", None, "validation", ())]
    assert result.notes[0] == "piqa: no examples, 1 items of baber/piqa, split validation"


def test_an_unknown_task_is_an_error_with_the_names():
    with pytest.raises(ValueError, match="unknown task 'piq'; did you mean piqa[?]; the tasks are .*core, "):
        tasks.run("piq", Letters({"a": 2}), BYTES, Settings())
