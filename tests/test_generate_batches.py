"""Several texts at once: each as if it were alone and read without a cache, whatever its length."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.config import ModelConfig
from losslab.generate import Sampling, continuation, window_start, write
from losslab.generate.reading import Reader
from losslab.generate.text import Text
from losslab.model import initialized
from losslab.tokenizer import Bytes

BYTES = Bytes()
V, LIMIT = 30, 10
PLAIN = ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=LIMIT, tied=False)
MODERN = dataclasses.replace(PLAIN, position_embedding="rotary", norm="rms", qk_norm=True, activation="relu_squared",
                             bias=False)
GREEDY = Sampling(temperature=0)


def random_model(config=PLAIN, vocab_size=V, dtype=torch.float64):
    """In float64, so that the order in which numbers are added decides nothing."""
    model = initialized(config, vocab_size, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape, generator=generator))
    return model.to(dtype)


class Numbers:
    """Tokens that are characters from U+0100 on; the mark is none of the model's tokens."""

    eot = -1

    def decode(self, ids):
        return "".join(chr(0x100 + token) for token in ids)


@torch.no_grad()
def alone(model, ids):
    """The logits after a text by the definition: what the window says is read anew, without a cache."""
    return model.logits(model(torch.tensor([ids[window_start(len(ids), LIMIT) :]])))[0, -1]


PROMPTS = [[1, 2, 3], [4], [5] * 9, list(range(25)), [1, 2, 3], list(range(11)), list(range(10))]


@pytest.mark.parametrize("config", [PLAIN, MODERN], ids=["classic", "modern"])
def test_every_logit_is_that_of_a_text_alone_without_a_cache(config):
    model, texts = random_model(config), [list(prompt) for prompt in PROMPTS]
    reader = Reader(model, 60)
    with torch.inference_mode():
        for step in range(30):  # three times the context: every row slides, some at the same time and some not
            found = reader.logits(texts)
            for text, row in zip(texts, found, strict=True):
                torch.testing.assert_close(row, alone(model, text), rtol=1e-9, atol=1e-9)
                text.append(int(row.argmax()))
            if step in (8, 17):  # the first ones end
                reader.keep(range(1, len(texts)))
                texts = texts[1:]


def test_the_window_depends_on_the_length_alone():
    lengths = [length - window_start(length, LIMIT) for length in range(1, 31)]
    assert lengths == [*range(1, 11), *range(5, 11), *range(5, 11), *range(5, 11), 5, 6]
    model, prompt = random_model(), [3, 1, 4]
    whole = continuation(model, Numbers(), prompt, num_tokens=40, temperature=0)
    for cut in (5, 9, 17, 32):  # a text continues alike whether it was written here or given as a prompt
        given = [*prompt, *(ord(letter) - 0x100 for letter in whole[:cut])]
        assert continuation(model, Numbers(), given, num_tokens=40 - cut, temperature=0) == whole[cut:]


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=6), st.booleans())
def test_a_sample_is_that_of_its_prompt_and_seed_whatever_is_written_beside_it(asked, greedy):
    model, sampling = random_model(), GREEDY if greedy else Sampling(1.5, top_k=9, top_p=0.95, repetition_penalty=1.1)
    prompts, seeds = [PROMPTS[which] for which, _ in asked], [seed for _, seed in asked]
    together = write(model, Numbers(), prompts, sampling, num_tokens=14, seeds=seeds)
    for prompt, seed, sample in zip(prompts, seeds, together, strict=True):
        (single,) = write(model, Numbers(), [prompt], sampling, num_tokens=14, seeds=[seed])
        assert single.tokens == sample.tokens and single.text == sample.text
        assert single.logprobs == pytest.approx(sample.logprobs, abs=1e-9)


def test_rows_that_end_leave_the_others_alone():
    model = random_model(vocab_size=257)
    single = [write(model, BYTES, [prompt], Sampling(3.0), num_tokens=60, seeds=[seed])[0]
              for seed, prompt in enumerate(PROMPTS)]
    model.lm_head.data[256] = model.lm_head.data.mean(0) + 2  # now some end early
    ended = [write(model, BYTES, [prompt], Sampling(3.0), num_tokens=60, seeds=[seed])[0]
             for seed, prompt in enumerate(PROMPTS)]
    assert len({len(sample.tokens) for sample in ended}) > 2 and ended != single
    assert write(model, BYTES, PROMPTS, Sampling(3.0), num_tokens=60, seeds=list(range(len(PROMPTS)))) == [
        dataclasses.replace(sample, logprobs=pytest.approx(sample.logprobs, abs=1e-9)) for sample in ended]
    for sample in ended:
        assert (sample.tokens[-1] == 256) == (sample.end == "end mark")
        assert BYTES.decode(sample.tokens) == sample.text and 256 not in sample.tokens[:-1]


@pytest.mark.parametrize("tied", [True, False])
def test_weights_laid_out_for_one_row_are_the_same_weights(tied):
    model = random_model(dataclasses.replace(PLAIN, tied=tied))
    other = random_model(dataclasses.replace(PLAIN, tied=tied))
    other.lay_out_for_one_row()
    assert other.lm_head.stride() == (1, V) and other.h[1].mlp.c_fc.weight.stride() == (1, 64)
    assert (other.wte.weight is other.lm_head) == tied
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name])
    for prompts in (PROMPTS[:1], PROMPTS):
        one, two = (write(each, Numbers(), prompts, GREEDY, num_tokens=20, seeds=[0] * len(prompts))
                    for each in (model, other))
        assert [sample.tokens for sample in one] == [sample.tokens for sample in two]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_writes_the_same_tokens():
    model, sampling = random_model(MODERN), Sampling(1.5, top_p=0.9)
    there = random_model(MODERN).to("cuda")
    here, other = (write(each, Numbers(), PROMPTS, sampling, num_tokens=30, seeds=[0] * len(PROMPTS))
                   for each in (model, there))
    assert [sample.tokens for sample in here] == [sample.tokens for sample in other]


def test_log_probabilities_are_the_models_own_before_any_setting():
    model, prompt = random_model(), PROMPTS[0]
    settings = Sampling(0.5, top_k=3, repetition_penalty=2.0)
    (sample,) = write(model, Numbers(), [prompt], settings, num_tokens=7, seeds=[3])
    ids = [*prompt, *sample.tokens]
    wanted = [float(alone(model, ids[:end]).log_softmax(-1)[ids[end]]) for end in range(3, 10)]
    assert sample.logprobs == pytest.approx(wanted, abs=1e-9)


# --- the text as it comes ----------------------------------------------------------------------

WRITTEN = "naïve — 你好 👩‍👩‍👧 end"


@settings(max_examples=50)
@given(st.lists(st.integers(0, 255), max_size=12), st.lists(st.text("ab\né你", min_size=1, max_size=3), max_size=2),
       st.text("ab\né你", max_size=12))
def test_the_pieces_are_the_text_up_to_the_first_stop(rest, stop, text):
    tokens, pieces, grown = [*text.encode(), *rest], [], Text(BYTES, stop)
    for token in tokens:
        grown.add(token)
        pieces.append(grown.news())
        if grown.stopped:
            break
    grown.finish()
    pieces.append(grown.news())
    whole = bytes(tokens).decode(errors="replace")
    first = min((whole.index(end) for end in stop if end in whole), default=len(whole))
    assert "".join(pieces) == grown.whole == whole[:first] and grown.stopped == (first < len(whole))


def test_no_part_of_a_character_or_of_a_stop_text_is_shown():
    grown, pieces = Text(BYTES, ["THE END"]), []
    for token in f"{WRITTEN} THE E. THE ENDless".encode():
        grown.add(token)
        pieces.append(grown.news())
        if grown.stopped:
            break
    assert "\ufffd" not in "".join(pieces) and "".join(pieces) == f"{WRITTEN} THE E. "
    assert "T" not in pieces and " " in pieces  # what may become the stop text waits


def test_pieces_are_told_as_they_are_certain_and_the_end_once():
    told, model = [], random_model(vocab_size=257)
    samples = write(model, BYTES, PROMPTS[:3], Sampling(2.0), num_tokens=20, seeds=[0, 1, 2],
                    show=lambda *news: told.append(news))
    for index, sample in enumerate(samples):
        mine = [(piece, ended) for which, piece, ended in told if which == index]
        assert "".join(piece for piece, _ in mine) == sample.text
        assert [ended for _, ended in mine] == [False] * (len(mine) - 1) + [True]
    assert [which for which, _, _ in told[:6]] == [0, 1, 2, 0, 1, 2]


def test_no_tokens_or_no_prompts():
    told = []
    samples = write(random_model(), Numbers(), PROMPTS[:2], GREEDY, num_tokens=0, seeds=[0, 0],
                    show=lambda *news: told.append(news))
    assert [sample.tokens for sample in samples] == [[], []] and told == [(0, "", True), (1, "", True)]
    assert write(random_model(), Numbers(), [], GREEDY, num_tokens=5, seeds=[]) == []
