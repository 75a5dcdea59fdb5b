"""Instruction data: what is read of rows, the text that templates make, and which tokens are of answers."""

import hashlib
import json

import numpy as np
import pytest
from corpus_texts import cache as cache
from hypothesis import given, settings
from hypothesis import strategies as st
from instruction_data import alpaca, chats, corpus_of, write

from losslab import instruct
from losslab.config import DataConfig
from losslab.corpus import Corpus, instructions
from losslab.instruct import rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
SAID = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)


def conversation(system, pairs, given=""):
    turns = [m for asked, answer in pairs for m in ({"role": "user", "content": asked},
                                                    {"role": "assistant", "content": answer})]
    turns[0] = turns[0] | ({"input": given} if given else {})
    return ([{"role": "system", "content": system}] if system else []) + turns


def test_the_alpaca_template_is_the_published_one():
    asked = {"role": "user", "content": "{instruction}"}
    texts = instruct.render("alpaca", [asked | {"input": "{input}"}]), instruct.render("alpaca", [asked])
    # sha256 of PROMPT_DICT in train.py of tatsu-lab/stanford_alpaca (15b51ae), joined by a line break
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest() == PUBLISHED
    assert texts[0].endswith("### Input:\n{input}\n\n### Response:")


PUBLISHED = "bade803c4bece4990cf83bc51349dcf914441e55f1967a309e4c10b4335a224b"


@given(st.sampled_from(list(instruct.TEMPLATES)), st.one_of(st.just(""), TEXT), SAID, st.one_of(st.just(""), TEXT))
def test_what_a_model_is_asked_is_the_beginning_of_what_it_learned(name, system, pairs, given):
    messages = conversation(system, pairs, given)
    parts = instruct.parts(name, messages)
    whole = "".join(part.text for part in parts)
    for i in [i for i, message in enumerate(messages) if message["role"] == "user"]:
        prompt = instruct.render(name, messages[: i + 1])
        assert whole.startswith(prompt) and whole[len(prompt) :].startswith(messages[i + 1]["content"])
    assert parts[-1] == (messages[-1]["content"], True)
    assert [part.is_answer for part in parts] == [False, True] * len(pairs)


@pytest.mark.parametrize(("messages", "sentence"), [
    ([], "got none"), ([{"role": "assistant", "content": "Yes."}], "got assistant"),
    ([{"role": "user", "content": "a"}] * 2, "got user, user"),
])
def test_messages_out_of_order_are_refused(messages, sentence):
    with pytest.raises(ValueError, match=f"then user and assistant in turn, {sentence}"):
        instruct.parts("chat", messages)


def test_an_unknown_template_is_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="unknown template 'alpacca'; did you mean alpaca\\?; the templates are "
                                         "alpaca, chat, plain"):
        corpus_of(tmp_path / "a.json", alpaca(), template="alpacca")
    with pytest.raises(ValueError, match="unknown template"):
        Corpus.open(DataConfig(template="x"))  # of a plain text, too


PAIR = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
HALF = json.loads('"\\ud800"')


@pytest.mark.parametrize(("row", "found"), [
    ({"instruction": "a", "output": "b"}, PAIR), ({"instruction": "a", "input": None, "output": "b"}, PAIR),
    ({"instruction": "a", "instances": [{"input": "", "output": "b"}]}, PAIR),
    ({"prompt": "a", "completion": "b"}, PAIR), ({"question": "a", "answer": "b"}, PAIR),
    ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, PAIR),
    ({"messages": [*PAIR, {"role": "user", "content": "and?"}]}, PAIR),
    ({"instruction": "a"}, rows.MISSING), ({"output": "b"}, rows.MISSING), ("a", rows.MISSING), (None, rows.MISSING),
    ({"instruction": "a", "output": " \n"}, rows.EMPTY_OUTPUT), ({"instruction": "a", "output": None},
                                                                 rows.EMPTY_OUTPUT),
    ({"instruction": "", "input": "x", "output": "b"}, rows.EMPTY_PROMPT),
    ({"instruction": "a", "output": 5}, rows.NO_TEXT), ({"instruction": "a", "output": HALF}, rows.NO_TEXT),
    ({"instruction": "a", "input": ["x"], "output": "b"}, rows.NO_TEXT),
    ({"messages": []}, rows.MISSING), ({"messages": "a"}, rows.MISSING), ({"messages": ["a"]}, rows.MISSING),
    ({"messages": [{"role": "user", "content": "a"}]}, rows.EMPTY_OUTPUT),
    ({"messages": list(PAIR[::-1])}, rows.ROLES), ({"messages": [{"role": "tool", "content": "a"}, *PAIR]}, rows.ROLES),
    ({"instruction": "a", "instances": 3}, rows.MISSING),
])
def test_rows_are_read_or_counted_with_a_reason(row, found):
    if isinstance(found, str):
        with pytest.raises(rows.Unusable, match=found):
            instruct.read(row)
    else:
        assert instruct.read(row)[0].messages == found


def test_the_corpus_counts_what_it_left_out_and_what_came_twice(tmp_path):
    good = alpaca()
    bad = [{"instruction": "a"}, {"instruction": "a", "output": ""}, ["x"], {"instruction": "b", "output": "  "}]
    again = {**good[4], "instruction": good[4]["instruction"].upper() + "!", "output": "Another answer."}
    corpus = corpus_of(tmp_path / "a.json", [*good, *bad, good[7], good[7], again])
    about = corpus.describe()["instructions"]
    assert (about["rows"], about["examples"], about["left_out"]) == (127, 123, 4)
    assert about["left_out_because"] == {"missing keys": 2, "empty outputs": 2}
    assert (about["duplicates"], about["same_prompt"], about["with_input"]) == (2, 1, 40)
    assert instructions.told(about) == (
        "123 examples of 127 rows, in the template alpaca; rows left out: 2 with missing keys, 2 with empty outputs; "
        "2 duplicates of an earlier one, kept, on one side of the split; 1 with the prompt of an earlier one, on its "
        "side of the split")


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_no_prompt_is_on_two_sides_of_the_split(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    picked = [alpaca()[rng.integers(120)] | {"output": f"{rng.integers(3)} is an answer"} for _ in range(200)]
    corpus = corpus_of(tmp_path_factory.mktemp("rows") / "a.json", picked)
    prompts = {split: {corpus.tokenizer.decode(d.tokens[~d.answers]) for d in corpus.documents(split)}
               for split in ("train", "val", "tune")}
    assert not (prompts["train"] & prompts["val"] or prompts["train"] & prompts["tune"] or
                prompts["val"] & prompts["tune"])
    assert sum(len(corpus.documents(split)) for split in prompts) == 200


@pytest.mark.parametrize(("name", "given", "template"), [
    ("a.json", alpaca(), "alpaca"), ("a.jsonl", chats(), "chat"),
    ("a.jsonl", [{"prompt": f"Say {i}", "response": f"{i}. " * 9} for i in range(60)], "plain"),
])
def test_answers_are_marked_to_the_token_and_the_text_is_the_template(tmp_path, name, given, template):
    corpus = corpus_of(tmp_path / name, given)
    assert corpus.describe()["instructions"]["template"] == template
    examples = [instruct.parts(template, instruct.read(row)[0].messages) for row in given]
    expected = {("".join(p.text for p in parts), "".join(p.text for p in parts if p.is_answer)) for parts in examples}
    documents = [d for split in ("train", "val", "tune") for d in corpus.documents(split)]
    decode = corpus.tokenizer.decode
    assert {(decode(d.tokens), decode(d.tokens[d.answers])) for d in documents} == expected
    assert all(d.num_bytes == d.answers.sum() and d.ends for d in documents)
    assert corpus.meta["splits"]["val"]["answer_tokens"] == sum(d.scored.sum() for d in corpus.documents("val"))


def test_another_template_or_another_form_of_file_and_the_digest(tmp_path):
    first = corpus_of(tmp_path / "a.json", alpaca())
    assert corpus_of(tmp_path / "b.jsonl", alpaca()).digest == first.digest
    (tmp_path / "c.json").write_text("\n".join(map(json.dumps, alpaca())))  # lines under the name of a list
    assert Corpus.open(DataConfig(corpus=str(tmp_path / "c.json"))).digest == first.digest
    assert corpus_of(tmp_path / "a.json", alpaca(), template="chat").digest != first.digest
    text = [{"text": "".join(p.text for p in instruct.parts("alpaca", instruct.read(row)[0].messages))}
            for row in alpaca()]
    plain = corpus_of(tmp_path / "d.jsonl", text)
    assert plain.digest != first.digest and not plain.is_instructions  # the same text, with nothing in it an answer


def test_a_folder_with_a_file_for_each_split(tmp_path):
    write(tmp_path / "train.json", alpaca(100))
    write(tmp_path / "valid.json", alpaca(110)[95:])
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path)))
    assert len(corpus.documents("val")) == 15
    assert corpus.meta["dropped"] == {"copies of validation documents": 5}


@pytest.mark.parametrize(("name", "content", "sentence"), [
    ("a.json", "[{}]", "a.json has 1 rows and no example among them: 1 with missing keys; a row is"),
    ("a.json", "{}", "a.json holds dict, and not a list of rows"),
    ("a.json", "[]", "a.json has 0 rows and no example among them; a row is"),
    ("a.json", '"x"', "a.json holds str, and not a list of rows"), ("a.json", "[1", "a.json is not JSON"),
    ("a.json", "[" * 10**5, "a.json is not JSON \\(its brackets are nested too deeply\\)"),
    ("a.json.gz", "[]", "a.json.gz is not a whole gzip file"), ("a.json", "[\0]", "is a binary file"),
    ("a.jsonl", '{"instruction": "a", "output": "b"}\n{', "line 2 of .*a.jsonl is not JSON"),
])
def test_files_that_are_no_instruction_data_are_a_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=sentence) as caught:
        Corpus.open(DataConfig(corpus=str(tmp_path / name)))
    assert "\n" not in str(caught.value)
