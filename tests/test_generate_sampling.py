"""How a token is chosen: by the published definitions, in the order of transformers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.generate.sampling import Sampling, penalized

P = torch.tensor([0.4, 0.1, 0.3, 0.15, 0.05])  # probabilities of five tokens


def kept(**settings):
    filtered = Sampling(temperature=1.0, **settings).filtered(P.double().log())
    return {token for token, value in enumerate(filtered.tolist()) if value > -math.inf}


@pytest.mark.parametrize(("how", "tokens"), [
    ({}, {0, 1, 2, 3, 4}), ({"top_k": 2}, {0, 2}), ({"top_k": 9}, {0, 1, 2, 3, 4}),
    ({"top_p": 0.39}, {0}), ({"top_p": 0.41}, {0, 2}), ({"top_p": 0.69}, {0, 2}), ({"top_p": 0.71}, {0, 2, 3}),
    ({"top_p": 1e-9}, {0}), ({"min_p": 0.3}, {0, 2, 3}), ({"min_p": 0.74}, {0, 2}), ({"min_p": 1.0}, {0}),
    ({"top_k": 2, "top_p": 0.57}, {0}), ({"top_k": 2, "top_p": 0.58}, {0, 2}),  # 0.4 of 0.7 is 0.571
], ids=str)  # fmt: skip
def test_which_tokens_are_kept(how, tokens):
    assert kept(**how) == tokens


def test_the_penalty_divides_positive_logits_of_what_was_there_and_multiplies_negative_ones():
    logits = torch.tensor([2.0, -2.0, 3.0, -1.0, 0.0])
    assert penalized(logits, [0, 1, 0, 4], 2.0).tolist() == [1.0, -4.0, 3.0, -1.0, 0.0]
    assert logits.tolist() == [2.0, -2.0, 3.0, -1.0, 0.0]
    assert Sampling(0, repetition_penalty=2.0).choose(torch.tensor([3.0, 2.0]), [0], torch.Generator()) == 1


@pytest.fixture(scope="module")
def theirs():
    transformers = pytest.importorskip("transformers", reason="transformers, of the extra hf, is not installed")
    sizes = {"n_layer": 0, "n_embd": 2, "n_head": 1, "vocab_size": 40, "bos_token_id": 0, "eos_token_id": 0}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))

    def processors(**options):
        config = transformers.GenerationConfig(do_sample=True, **options)
        return model._get_logits_processor(config, input_ids_seq_length=1, device="cpu")

    return processors


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from([0.3, 0.8, 1.0, 2.5]), st.integers(0, 30), st.floats(0.01, 1.0),
       st.floats(0.0, 1.0), st.sampled_from([0.5, 1.0, 1.3, 3.0]),
       st.lists(st.integers(0, 39), min_size=1, max_size=12))
def test_it_is_what_the_processors_of_transformers_give_in_their_order(
    theirs, seed, temperature, k, p, least, penalty, ids
):
    logits = 3 * torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    processors = theirs(temperature=temperature, top_k=k, top_p=p, min_p=least, repetition_penalty=penalty)
    assert len(processors) == sum([temperature != 1, k > 0, p < 1, True, penalty != 1])
    ours = Sampling(temperature, k, p, least, penalty).filtered(penalized(logits, ids, penalty))
    torch.testing.assert_close(ours, processors(torch.tensor([ids]), logits[None])[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("how", "sentence"), [
    ({"top_p": 0.0}, "top_p is a probability above 0, at most 1, which keeps all tokens; got 0.0"),
    ({"top_p": 1.1}, "top_p is a probability above 0"), ({"top_p": math.nan}, "top_p is a probability above 0"),
    ({"min_p": -0.1}, "min_p is a share from 0, which keeps all tokens, to 1; got -0.1"),
    ({"min_p": 2.0}, "min_p is a share"),
    ({"repetition_penalty": 0.0}, "repetition_penalty is above 0, and 1 changes nothing; got 0.0"),
    ({"repetition_penalty": math.inf}, "repetition_penalty is above 0"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(how, sentence):
    with pytest.raises(ValueError, match=sentence):
        Sampling(**how)


def test_draws_follow_the_probabilities_that_are_left():
    generator, settings = torch.Generator().manual_seed(0), Sampling(0.5, top_k=3, min_p=0.2)
    counts = torch.zeros(5)
    for _ in range(4000):
        counts[settings.choose(P.log(), [], generator)] += 1
    squares = torch.tensor([0.16, 0.0, 0.09, 0.0, 0.0])  # 0.15^2 is 0.14 of 0.4^2
    torch.testing.assert_close(counts / 4000, squares / squares.sum(), rtol=0, atol=0.03)
