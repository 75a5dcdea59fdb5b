"""Sampling: repeatable, within what was asked, and the same with a cache as without."""

import pytest
import torch

from losslab.config import ModelConfig
from losslab.generate import generate
from losslab.model import initialized


class Letters:
    """Twenty-six letters and an end mark."""

    eot = 26

    def encode(self, text):
        return [ord(letter) - ord("a") for letter in text]

    def decode(self, ids):
        return "".join(chr(ord("a") + token) for token in ids)


@pytest.fixture
def model():
    """A model whose next letter depends on every letter so far, and which hardly ever ends."""
    model = initialized(ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=12, tied=False), 27, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.ln_f.bias[0] = 10
        model.lm_head[:, 0], model.lm_head[26, 0] = 0, -10
    return model.eval()


@torch.no_grad()
def naively(model, ids, num_tokens, *, temperature=0.0, top_k=0, seed=0):
    """Every token from the whole text anew."""
    generator = torch.Generator().manual_seed(seed)
    ids = list(ids)
    for _ in range(num_tokens):
        logits = model.logits(model(torch.tensor([ids])))[0, -1]
        if temperature == 0:
            ids.append(int(logits.argmax()))
            continue
        if top_k:
            kept = set(logits.topk(top_k).indices.tolist())
            logits = torch.tensor([z if i in kept else -torch.inf for i, z in enumerate(logits.tolist())])
        ids.append(int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)))
    return ids


@pytest.mark.parametrize("how", [{}, {"temperature": 1.5}, {"temperature": 1.5, "top_k": 3}, {"temperature": 0.0}])
def test_within_the_window_it_equals_the_loop_without_a_cache(model, how):
    ids = [26, *Letters().encode("start")]
    wanted = naively(model, ids, 6, **{"temperature": 0.8, **how}, seed=4)
    assert generate(model, Letters(), "start", num_tokens=6, seed=4, **how) == Letters().decode(wanted[1:])


def test_a_seed_repeats_a_text_and_another_gives_another(model):
    texts = [generate(model, Letters(), num_tokens=30, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_it_does_not_touch_the_random_numbers_of_training(model):
    torch.manual_seed(8)
    wanted = torch.rand(2)
    torch.manual_seed(8)
    generate(model, Letters(), num_tokens=5)
    assert torch.equal(torch.rand(2), wanted)


def test_temperature_zero_takes_the_most_likely_token_whatever_the_seed(model):
    texts = {generate(model, Letters(), "a", num_tokens=10, temperature=0, seed=seed) for seed in range(4)}
    assert texts == {Letters().decode(naively(model, [26, 0], 10)[1:])}


def test_top_1_is_the_most_likely_token(model):
    greedy = generate(model, Letters(), "a", num_tokens=10, temperature=0)
    assert generate(model, Letters(), "a", num_tokens=10, temperature=2.0, top_k=1) == greedy


@pytest.mark.parametrize("k", [1, 2, 5, 40])
def test_top_k_leaves_k_tokens_even_where_logits_tie(model, k):
    drawn = generate(saying(model, [1.0, 1.0, 1.0, 0.9, 0.8, 0.7]), Letters(), "a", num_tokens=200, top_k=k)[1:]
    assert len(drawn) == 200 and len(set(drawn)) == min(k, 6)


def test_a_high_temperature_spreads_and_a_low_one_gathers(model):
    model = saying(model, [1.0, 0.5, 0.0, -0.5])
    hot, cold = (generate(model, Letters(), "a", num_tokens=300, temperature=t)[1:] for t in (100.0, 0.01))
    assert set(cold) == {"a"} and min(hot.count(letter) for letter in "abcd") > 40


@torch.no_grad()
def saying(model, logits):
    """The model with these logits of its first letters after any text, and with next to nothing for all others."""
    model.ln_f.weight.zero_()
    model.ln_f.bias.zero_()
    model.ln_f.bias[0] = 1
    model.lm_head[:, 0] = -1e5
    model.lm_head[: len(logits), 0] = torch.tensor(logits)
    return model


def test_it_stops_at_the_end_mark_which_is_not_text(model):
    with torch.no_grad():
        model.lm_head[26, 0] = 10
    assert generate(model, Letters(), "abc", num_tokens=50) == "abc"
    assert generate(model, Letters(), num_tokens=50) == ""


@pytest.mark.parametrize("prompt", ["", "a", "abcdefghijk", "abcdefghijklmnopqrstuvwxyz"])
def test_it_goes_on_beyond_the_context_window(model, prompt):
    text = generate(model, Letters(), prompt, num_tokens=40)
    assert text.startswith(prompt) and len(text) == len(prompt) + 40


def test_beyond_the_window_each_token_still_follows_from_the_letters_before_it(model):
    text = generate(model, Letters(), num_tokens=40, temperature=0)
    ids = [26, *Letters().encode(text)]
    for end in range(13, 41):  # after the window filled: some window of the last 6 to 12 letters explains each letter
        explained = {naively(model, ids[end - length : end], 1)[-1] for length in range(6, 13)}
        assert ids[end] in explained


def test_a_context_of_one_token_is_enough():
    model = initialized(ModelConfig(n_layer=1, n_head=1, n_embd=4, num_positions=1), 27, seed=0)
    text = generate(model, Letters(), "ab", num_tokens=5, top_k=3)
    assert text.startswith("ab") and len(text) <= 7


def test_no_tokens_asked_for_gives_the_prompt(model):
    assert generate(model, Letters(), "abc", num_tokens=0) == "abc"


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(model, training):
    model.train(training)
    generate(model, Letters(), num_tokens=3)
    assert model.training == training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_temperature_next_to_zero_is_one_of_zero(model):
    texts = [generate(model, Letters(), "a", num_tokens=10, temperature=t) for t in (0, 1e-320, 1e-45)]
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("temperature", [0, 0.8])
def test_a_model_that_diverged_is_said_to_have(model, value, temperature):
    with torch.no_grad():
        model.lm_head[3, 0] = value
    with pytest.raises(ValueError, match="gives logits that are not finite, and no token can be drawn from them; its"):
        generate(model, Letters(), "a", num_tokens=3, temperature=temperature)


@pytest.mark.parametrize("how", [{"temperature": -0.1}, {"temperature": torch.nan}, {"top_k": -1}])
def test_negative_settings_are_refused(model, how):
    with pytest.raises(ValueError, match="temperature and top_k must not be negative, got"):
        generate(model, Letters(), **how)
