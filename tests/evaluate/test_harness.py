"""losslab in lm-evaluation-harness: its rules, without a network."""

from types import SimpleNamespace

import pytest
from harness_models import BYTES, LIMIT, TEXT, Parrot, asked, log_p, random_model

from losslab import tokenizer as tokenizers
from losslab.evaluate import harness
from losslab.evaluate.requests import Request


@pytest.mark.parametrize("first", [False, True])
def test_context_and_continuation_are_split_where_the_context_ends(first):
    rules = harness.Harnessed(None, BYTES, first)
    eot, encode = [BYTES.eot], rules.encode
    expected = {("A cat", " sat"): ("A cat", " sat"), ("A cat ", "sat"): ("A cat", " sat"),
                ("A\n \n", "B"): ("A", "\n \nB")}  # fmt: skip
    for asked_for, (context, text) in expected.items():
        found = rules.request(*asked_for)
        assert found == Request(eot * first + encode(context), encode(text))
    assert rules.request("", " sat") == Request(eot, encode(" sat"))
    assert rules.request(" ", "sat") == Request(eot, encode(" sat"))


def test_a_pair_that_merges_over_the_border_is_encoded_as_one_text():
    tokenizer = tokenizers.make("bpe:262", ["the cat and the hat "] * 50)
    rules = harness.Harnessed(None, tokenizer)
    found = rules.request("the ", "cat")
    assert found.context == rules.encode("the") and tokenizer.decode(found.continuation) == " cat"
    assert list(found.context) + list(found.continuation) == rules.encode("the cat")


@pytest.mark.parametrize("length", [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT, 2 * LIMIT + 5])
def test_rolling_windows_score_each_token_once_and_the_last_reads_a_full_context(length):
    rules = harness.Harnessed(SimpleNamespace(config=SimpleNamespace(num_positions=LIMIT)), BYTES)
    windows = list(rules.windows(TEXT[:length]))
    assert sum([list(w.continuation) for w in windows], []) == list(TEXT[:length].encode())
    for window in windows:
        assert len(window.context) + len(window.continuation) - 1 <= LIMIT
    if length > LIMIT:
        assert len(windows[-1].context) + len(windows[-1].continuation) - 1 == LIMIT
    if windows:
        assert windows[0].context == [BYTES.eot]


def test_log_probabilities_are_those_of_the_model():
    model = random_model()
    rules = harness.Harnessed(model, BYTES)
    ((found, greedy),) = rules.loglikelihood([asked("A cat", " sat")])
    assert found == pytest.approx(log_p(model, b"A cat sat")[4:].sum(), rel=1e-5) and greedy is False
    best = rules.generate_until([asked("A cat", {"max_gen_toks": 3})])[0]
    if "\ufffd" not in best:
        assert rules.loglikelihood([asked("A cat", best)])[0][1] is True
    best = rules.generate_until([asked("", {"max_gen_toks": 1})])[0]
    if best.isascii():
        assert rules.loglikelihood([asked("", best + "\x00\x01")])[0][1] is False  # all of it, not a part
    with_mark = harness.Harnessed(model, BYTES, True).loglikelihood([asked("A cat", " sat")])[0][0]
    assert with_mark == pytest.approx(log_p(model, [256, *b"A cat sat"])[5:].sum(), rel=1e-5) != found


def test_rolling_is_the_sum_over_windows():
    model, text = random_model(), TEXT[: LIMIT + 10]
    (found,) = harness.Harnessed(model, BYTES).loglikelihood_rolling([asked(text)])
    first = log_p(model, [256, *text[:LIMIT].encode()]).sum()
    last = log_p(model, text[9 : LIMIT + 10].encode())[-10:].sum()  # LIMIT tokens are read, 10 are scored
    assert found == pytest.approx(first + last, rel=1e-5)
    both = harness.Harnessed(model, BYTES).loglikelihood_rolling([asked(text), asked(""), asked(text)])
    assert both == pytest.approx([found, 0.0, found])


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ({"until": ["."], "max_gen_toks": 20}, "bc"), ({"until": ".", "max_gen_toks": 20}, "bc"),
        ({"until": [".a", "zz"], "max_gen_toks": 20}, "bc"), ({"until": ["c.", "b"], "max_gen_toks": 20}, ""),
        ({"until": [], "max_gen_toks": 6}, "bc.abc"), ({"until": ["\n"], "max_gen_toks": 2, "temperature": 0.0}, "bc"),
        ({"until": ["cab"], "max_gen_toks": 5}, "bc.ab"), ({"until": None, "max_gen_toks": 1}, "b"),
        ({"until": [".", "c."], "max_gen_toks": 5}, "b"),
        ({"do_sample": True, "temperature": 0.7, "max_gen_toks": 4}, "bc.a"),
        ({"do_sample": False, "temperature": 0.7, "max_gen_toks": 4, "top_k": 2}, "bc.a"),
    ],
    ids=str,
)  # fmt: skip
def test_generation_stops_where_it_is_told(settings, written):
    assert harness.Harnessed(Parrot(), BYTES).generate_until([asked("a", settings)]) == [written]


def test_generation_without_a_limit_has_the_usual_one_and_from_nothing_begins_a_document():
    told = []
    rules = harness.Harnessed(Parrot(), BYTES, progress=lambda *counts: told.append(counts))
    assert [len(text) for text in rules.generate_until([asked("a", {}), asked("", {})])] == [harness.MAX_GEN_TOKS] * 2
    assert rules.generate_until([asked("", {"max_gen_toks": 2})]) == ["ab"] and told == [(1, 2), (2, 2), (1, 1)]


def test_samples_differ_by_request_and_greedy_ones_do_not():
    rules = harness.Harnessed(random_model(), BYTES)
    sampled = rules.generate_until([asked("A", {"do_sample": True, "temperature": 1.0, "max_gen_toks": 20})] * 2)
    greedy = rules.generate_until([asked("A", {"max_gen_toks": 20})] * 2)
    assert sampled[0] != sampled[1] and greedy[0] == greedy[1]


def test_an_unknown_setting_of_generation_is_refused():
    with pytest.raises(ValueError, match="generation takes do_sample, max_gen_toks, .*, got num_beams"):
        harness.Harnessed(Parrot(), BYTES).generate_until([asked("a", {"num_beams": 4})])


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lm_eval", None)
    for call in (harness.model, lambda *a: harness.run(*a, ["copa"])):
        with pytest.raises(ModuleNotFoundError, match=r'not installed: run `pip install .*\[eval\]') as error:
            call(None, BYTES)
        assert error.value.name == "lm_eval"
