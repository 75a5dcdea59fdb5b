"""The prompts of CORE: which tokens are read, which are scored."""

import random

import numpy as np

from losslab import tokenizer as tokenizers
from losslab.evaluate import bundle, prompts


def asked(kind, items, tokenizer=None, limit=99, shots=0, delimiter=" "):
    task = bundle.BundleTask("t", "t.jsonl", kind, shots, delimiter)
    return prompts.question(tokenizer or tokenizers.make("bytes"), limit, items, 0, task)


def texts(question):
    return [tuple(bytes([*part]) for part in (np.array(one.request.context)[1:], np.array(one.request.continuation)))
            for one in question.options]


def test_the_prompt_of_a_question_with_an_example():
    items = [{"query": "Who? ", "choices": ["Ann", "Abe"], "gold": 1},
             {"query": "What?", "choices": ["x", "y"], "gold": 1}]
    one = asked("multiple_choice", items, shots=1, delimiter="\nAnswer: ")
    shown = b"What?\nAnswer: y\n\nWho? \nAnswer:"
    assert texts(one) == [(shown, b" Ann"), (shown, b" Abe")]
    assert [option.num_own for option in one.options] == [2, 2] and one.gold == 1
    two = asked("multiple_choice", [items[0] | {"query": "Who?  "}])  # the space before the delimiter's is kept
    assert texts(two)[0] == (b"Who?", b"   Ann")


def test_the_prompt_of_a_schema():
    items = [{"context_options": ["The cat", "The old dog"], "continuation": "sat.", "gold": 1},
             {"context_options": ["Ann", "Bea"], "continuation": "ran.", "gold": 0}]
    one = asked("schema", items, shots=1)
    assert texts(one) == [(b"Ann ran.\n\nThe cat", b" sat."), (b"Ann ran.\n\nThe old dog", b" sat.")]
    same = asked("schema", [items[0] | {"context_options": ["The", "The"]}])
    assert texts(same) == [(b"", b"The sat.")] * 2 and same.options[0].num_own == 8


def test_the_prompt_of_a_completion_loses_the_space_around_its_contexts():
    items = [{"context": " One, ", "continuation": "two"}, {"context": "Three,\n", "continuation": "four"}]
    assert texts(asked("language_modeling", items, shots=1)) == [(b"Three, four\n\nOne,", b" two")]
    assert "how its text with the answer begins" in asked("language_modeling", [items[0] | {"continuation": ""}],
                                                          delimiter="").skipped


def test_the_last_tokens_are_kept_and_an_answer_needs_one_before_it():
    items = [{"context": "abcdef", "continuation": "xyz"}]
    one = asked("language_modeling", items, limit=6).options[0]
    assert bytes(one.request.context.tolist()) == b"ef" and one.num_cut == 5  # the end mark and abcd
    assert asked("language_modeling", items, limit=5).options[0].num_cut == 6
    assert asked("language_modeling", items, limit=4).skipped == "an answer of 4 tokens does not fit a context of 4"


def test_items_are_shuffled_and_cut_and_examples_are_drawn_from_the_rest():
    """The generators that nanochat seeds, drawn from here in its own way."""
    rows = [{"number": number} for number in range(40)]
    order = list(range(40))
    random.Random(1337).shuffle(order)
    items = prompts.chosen(rows, 15)
    assert [item["number"] for item in items] == order[:15] and len(prompts.chosen(rows, 0)) == 40
    for index in (0, 7, 14):
        pool = [i for i in range(15) if i != index]
        drawn = [order[i] for i in random.Random(1234 + index).sample(pool, 10)]
        assert [item["number"] for item in prompts.shots(items, index, 10)] == drawn
