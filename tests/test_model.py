"""GPT-2: its shapes, its size, its likeness to the published implementation, its cache."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losslab import checkpoint, formula
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig, TrainConfig, preset
from losslab.corpus import Document
from losslab.evaluate.document_scores import nll
from losslab.generate import generate
from losslab.model import GPT2, MLP, Cache, LanguageModel, initialized
from losslab.objective import Objective
from losslab.training_loop import train

CONFIG = ModelConfig(n_layer=2, n_head=4, n_embd=32, num_positions=16)
V = 37


@pytest.fixture
def tokens():
    return torch.randint(V, (3, 16))


def random_model(config=CONFIG, vocab_size=V, transform=""):
    """Weights large enough that every part of the model shows in the outcome."""
    model = initialized(config, vocab_size, seed=1, transforms=formula.transforms(transform))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("seq", [1, 5, 16])
def test_tokens_become_hidden_states_and_these_become_logits(tokens, seq):
    model = random_model()
    hidden = model(tokens[:, :seq])
    assert hidden.shape == (3, seq, 32) and model.lm_head.shape == (V, 32)
    assert model.logits(hidden).shape == (3, seq, V)
    assert_close(model.logits(hidden), hidden @ model.lm_head.T)


@pytest.mark.parametrize("changed", [1, 7, 15])
def test_what_comes_later_does_not_move_what_came_before(tokens, changed):
    model = random_model()
    other = tokens.clone()
    other[:, changed] = (other[:, changed] + 1) % V
    before, after = model(tokens), model(other)
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert (before[:, changed:] != after[:, changed:]).any(-1).all()


@pytest.mark.parametrize(
    ("name", "num_params"),
    [("gpt2", 124_439_808), ("gpt2-medium", 354_823_168), ("gpt2-large", 774_030_080), ("gpt2-xl", 1_557_611_200)],
)
def test_has_as_many_parameters_as_the_published_model(name, num_params):
    with torch.device("meta"):  # counted, never allocated
        model = GPT2(preset(name).model, 50_257)
    assert model.num_params == num_params
    width = preset(name).model.n_embd
    assert model.num_params_non_embedding == num_params - (50_257 + 1024) * width


def test_without_biases_only_weights_are_left():
    model = GPT2(ModelConfig(n_layer=2, n_head=2, n_embd=8, num_positions=4, bias=False), 5)
    assert not [name for name, _ in model.named_parameters() if name.endswith("bias")]
    assert model.num_params == (5 + 4) * 8 + 2 * (2 * 8 + 12 * 64) + 8


def test_hidden_states_and_logits_are_those_of_transformers(tokens):
    transformers = pytest.importorskip("transformers", reason="the hf extra is not installed")
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=V, n_positions=16, n_embd=32, n_layer=2, n_head=4)
    ).eval()
    ours = GPT2(CONFIG, V).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    state = theirs.transformer.state_dict()
    linear = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # stored transposed there
    ours.load_state_dict({name: w.T if name.endswith(linear) else w for name, w in state.items()})
    with torch.no_grad():
        hidden = ours(tokens)
        assert_close(hidden, theirs.transformer(tokens).last_hidden_state, rtol=1e-5, atol=1e-5)
        assert_close(ours.logits(hidden), theirs(tokens).logits, rtol=1e-5, atol=1e-5)


def weights(**how):
    return initialized(CONFIG, V, **how).state_dict()


def test_the_same_seed_gives_the_same_weights_whatever_the_transform_and_the_state_of_torch():
    one = weights(seed=3)
    torch.manual_seed(99)
    other = weights(seed=3, transforms=formula.transforms("softcap(15)"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_making_a_model_leaves_the_random_numbers_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    weights(seed=3)
    assert torch.equal(torch.rand(3), wanted)


def test_another_seed_gives_other_matrices():
    one, other = weights(seed=3), weights(seed=4)
    assert all(torch.equal(one[name], other[name]) == (one[name].dim() < 2) for name in one)


def test_initial_weights_have_the_scale_of_the_paper():
    config = ModelConfig(n_layer=3, n_head=2, n_embd=64, num_positions=64)
    for name, parameter in initialized(config, 300, seed=0).named_parameters():
        if parameter.dim() < 2:
            assert (parameter == float(name.endswith("weight"))).all()
        else:
            std = 0.02 / math.sqrt(6) if name.endswith("c_proj.weight") else 0.02
            assert_close(parameter.std().item(), std, rtol=0.05, atol=0)
            assert abs(parameter.mean().item()) < 5 * std / math.sqrt(parameter.numel())


@pytest.mark.parametrize("vocab_size", [66, 257, 1024, 50_257])
@pytest.mark.parametrize("name", ["tiny", "char", "story-3m"])
def test_an_untrained_model_costs_log_vocab_within_two_percent(vocab_size, name):
    model = initialized(preset(name).model, vocab_size, seed=0).eval()
    tokens = torch.randint(vocab_size, (2, 65))
    with torch.no_grad():
        logits = model.logits(model(tokens[:, :-1]))
    nll = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).item()
    assert abs(nll / math.log(vocab_size) - 1) < 0.02


@pytest.mark.parametrize("blocks", [[1] * 16, [16], [5, 11], [3, 1, 4, 1, 7], [15, 1]])
@torch.no_grad()
def test_a_cache_changes_nothing(tokens, blocks):
    model, cache = random_model(), Cache()
    pieces = [model(piece, cache) for piece in tokens.split(blocks, dim=1)]
    assert len(cache) == 16 and len(cache.pairs) == 2
    assert_close(torch.cat(pieces, dim=1), model(tokens), rtol=1e-5, atol=1e-5)


def test_more_tokens_than_the_context_are_refused(tokens):
    model, cache = random_model(), Cache()
    with pytest.raises(ValueError, match="17 tokens do not fit the model's context of 16"):
        model(torch.cat([tokens, tokens[:, :1]], dim=1))
    model(tokens, cache)
    with pytest.raises(ValueError, match="18 tokens do not fit the model's context of 16"):
        model(tokens[:, :2], cache)


def test_dropout_acts_in_training_only(tokens):
    model = random_model(ModelConfig(n_layer=2, n_head=4, n_embd=32, num_positions=16, dropout=0.5))
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))
    without = random_model().train()
    assert torch.equal(without(tokens), without(tokens))


def test_output_weights_are_the_token_embedding_where_tied():
    tied = random_model()
    assert tied.lm_head is tied.wte.weight and tied.head is None
    untied = random_model(ModelConfig(n_layer=2, n_head=4, n_embd=32, num_positions=16, tied=False))
    assert untied.lm_head is untied.head.weight and not torch.equal(untied.lm_head, untied.wte.weight)
    assert untied.num_params == tied.num_params + V * 32


def test_tied_weights_are_learned_from_both_ends(tokens):
    model = random_model()
    logits = model.logits(model(tokens[:, :-1]))
    (whole,) = torch.autograd.grad(logits.square().sum(), model.lm_head)
    hidden = model(tokens[:, :-1]).detach()
    (head,) = torch.autograd.grad(model.logits(hidden).square().sum(), model.lm_head)
    assert (whole != head).any() and head.any()


def test_the_transform_belongs_to_the_logits_of_the_model(tokens):
    plain, capped = random_model(), random_model(transform="softcap(0.5)")
    capped.load_state_dict(plain.state_dict())
    hidden = plain(tokens)
    assert torch.equal(capped(tokens), hidden)
    assert_close(capped.logits(hidden), 0.5 * torch.tanh(plain.logits(hidden) / 0.5))
    assert capped.transform_text == "softcap(0.5)"


@pytest.mark.parametrize(("given", "wanted"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_logits_are_float32_or_better(tokens, given, wanted):
    model = random_model(transform="softcap(15)").to(given)
    assert model.logits(model(tokens)).dtype == wanted


@pytest.mark.parametrize(("activation", "expected"), [
    ("gelu", lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5))),
    ("gelu_tanh", lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))),
])
def test_the_activation_is_the_one_that_is_named(activation, expected):
    mlp = MLP(ModelConfig(n_layer=1, n_head=1, n_embd=4, activation=activation))
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert_close(mlp(x), mlp.c_proj(expected(mlp.c_fc(x))), rtol=1e-5, atol=1e-6)
    assert not torch.equal(mlp(x), mlp.c_proj(mlp.c_fc(x)))


def test_logits_are_the_same_whether_or_not_gradients_are_wanted():
    model = initialized(ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=8), 50, 0,
                             formula.transforms("softcap(15)"))  # fmt: skip
    hidden = model(torch.randint(50, (3, 8), generator=torch.Generator().manual_seed(0))).detach()
    wanted = model.logits(hidden)
    with torch.no_grad():
        unwanted = model.logits(hidden)
    assert wanted.requires_grad and not unwanted.requires_grad
    torch.testing.assert_close(unwanted, wanted.detach(), rtol=1e-5, atol=1e-6)


class Bigram(LanguageModel):
    """A model of another kind: what comes next depends on the last token alone."""

    def __init__(self, config, vocab_size, transform=""):
        super().__init__(config, vocab_size, transform)
        self.table = torch.nn.Embedding(vocab_size, config.n_embd)
        self.out = torch.nn.Parameter(torch.empty(vocab_size, config.n_embd))

    def initialize(self):
        for parameter in self.parameters():
            torch.nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, cache=None, *, positions=None, mask=None):
        return self.table(tokens)

    @property
    def lm_head(self):
        return self.out


def test_a_model_of_another_kind_is_named_in_one_place_and_trained_saved_measured_and_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr("losslab.model.build", Bigram)
    tokenizer = tokenizers.make("bytes")
    text = np.frombuffer(b"abcdefgh" * 4, dtype=np.uint8).astype(np.int64)
    config = TrainConfig(num_steps=60, batch_size=1, learning_rate=0.1, min_learning_rate_ratio=1.0, weight_decay=0.0)
    model = initialized(ModelConfig(n_layer=1, n_head=1, n_embd=16, num_positions=31), 257, 0)
    train(model, lambda step: (text[None, :-1], text[None, 1:]), Objective.parse("cross_entropy"), config)
    path = checkpoint.save(tmp_path, model, tokenizer, step=60, tokens=60 * 31, seconds=1.0)
    loaded = checkpoint.load(path).model
    assert isinstance(loaded, Bigram) and torch.equal(loaded.out, model.out)
    assert generate(loaded, tokenizer, "ab", num_tokens=10, temperature=0) == "abcdefghabcd"
    document = Document(text, len(text), 1, ends=False)
    logits = (model.table.weight @ model.out.T).double().detach()
    read = torch.tensor([tokenizer.eot, *text[:-1].tolist()])
    expected = F.cross_entropy(logits[read], torch.tensor(text)).item()
    assert nll(loaded, [document], tokenizer)["nll"].value == pytest.approx(expected, rel=1e-5)
