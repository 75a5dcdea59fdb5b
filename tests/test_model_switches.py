"""The modern switches of a model: each alone and all together, against formulas that share no line with it."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checkpoints import with_about
from torch.testing import assert_close

from losslab import checkpoint, optim
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig, TrainConfig
from losslab.corpus import Document
from losslab.evaluate.document_scores import nll
from losslab.generate import generate
from losslab.model import GPT2, Attention, Cache, initialized
from losslab.model.rotary import Rotary
from losslab.objective import Objective
from losslab.training_loop import train

PLAIN = ModelConfig(n_layer=2, n_head=2, n_embd=24, num_positions=16)
V = 37
ALL = {"position_embedding": "rotary", "norm": "rms", "qk_norm": True, "activation": "relu_squared", "zero_init": True}
MODERN = dataclasses.replace(PLAIN, **ALL, bias=False, tied=False)
EACH = pytest.mark.parametrize("config", [
    *(dataclasses.replace(PLAIN, **{name: value}) for name, value in ALL.items()),
    dataclasses.replace(PLAIN, **ALL), MODERN,
], ids=[*ALL, "all", "all, untied and without biases"])  # fmt: skip
TOKENS = torch.randint(V, (3, 16), generator=torch.Generator().manual_seed(0))


def random_model(config, vocab_size=V, dtype=torch.float64):
    """Weights large enough that every part of the model shows in the outcome."""
    model = initialized(config, vocab_size, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.to(dtype)


def normed(x, config, weight, bias):
    if config.norm == "layer":
        x = x - x.mean(-1, keepdim=True)
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + (0 if bias is None else bias)
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def turned(x, positions):
    """`[seq, head, width]` as complex numbers, pair i of them at i and i + width/2; each is turned by its angle."""
    half = x.shape[-1] // 2
    speeds = torch.tensor([10_000 ** (-2 * i / x.shape[-1]) for i in range(half)], dtype=torch.float64)
    angles = positions[:, None, None] * speeds
    return torch.complex(x[..., :half], x[..., half:]) * torch.exp(1j * angles)


def attended(q, k, v, config, positions):
    """One head of one text, score by score: `[seq, head, width]`."""
    if config.qk_norm:
        q, k = (x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() for x in (q, k))
    if config.position_embedding == "rotary":
        q, k = turned(q, positions), turned(k, positions)
    scores = torch.einsum("qhd,khd->hqk", q, k.conj()).real / v.shape[-1] ** 0.5
    later = torch.ones(len(q), len(q)).triu(1).bool()
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(later, -torch.inf).softmax(-1), v)


def expected(model, tokens):
    """Hidden states of one text `[seq]`, by the formulas of the papers in float64."""
    config, state = model.config, model.state_dict()
    positions = torch.arange(len(tokens), dtype=torch.float64)

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)

    def norm(x, name):
        return normed(x, config, state[f"{name}.weight"], state.get(f"{name}.bias"))

    x = state["wte.weight"][tokens]
    if config.position_embedding == "learned":
        x = x + state["wpe.weight"][: len(tokens)]
    for layer in range(config.n_layer):
        split = linear(norm(x, f"h.{layer}.ln_1"), f"h.{layer}.attn.c_attn").view(len(tokens), 3, config.n_head, -1)
        y = attended(*split.unbind(1), config, positions).flatten(1)
        x = x + linear(y, f"h.{layer}.attn.c_proj")
        z = linear(norm(x, f"h.{layer}.ln_2"), f"h.{layer}.mlp.c_fc")
        if config.activation == "relu_squared":
            z = z.clamp(min=0) ** 2
        else:
            z = 0.5 * z * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (z + 0.044715 * z**3)))
        x = x + linear(z, f"h.{layer}.mlp.c_proj")
    return norm(x, "ln_f")


@EACH
@torch.no_grad()
def test_hidden_states_are_those_of_the_formulas_and_a_cache_changes_nothing(config):
    model = random_model(config)
    hidden = model(TOKENS)
    for text, found in zip(TOKENS, hidden, strict=True):
        assert_close(found, expected(model, text), rtol=1e-10, atol=1e-12)
    for blocks in ([1] * 16, [5, 11], [3, 1, 4, 1, 7]):
        cache = Cache()
        assert_close(torch.cat([model(piece, cache) for piece in TOKENS.split(blocks, dim=1)], dim=1), hidden)
    single = random_model(config, dtype=torch.float32)
    assert_close(single(TOKENS).double(), hidden, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        rough = single(TOKENS).double()
    assert (rough - hidden).std() < 0.1 * hidden.std()


@torch.no_grad()
def test_with_rotary_positions_only_distances_count():
    model = random_model(MODERN)
    here, there = (torch.arange(5).expand(3, 5) + offset for offset in (0, 11))
    moved = model(TOKENS[:, :5], positions=there)
    assert_close(moved, model(TOKENS[:, :5]), rtol=1e-10, atol=1e-12)
    spread = model(TOKENS[:, :5], positions=2 * here)
    assert not torch.allclose(spread[:, 1:], moved[:, 1:], atol=1e-3)
    learned = random_model(dataclasses.replace(MODERN, position_embedding="learned"))
    assert not torch.allclose(learned(TOKENS[:, :5], positions=there), learned(TOKENS[:, :5]), atol=1e-3)


@torch.no_grad()
def test_rows_of_several_texts_are_placed_by_their_positions_and_mask():
    model = random_model(MODERN)
    first, one, other = TOKENS[0, :4], TOKENS[1, :3], TOKENS[2, :5]  # two texts that begin alike, in one row
    row = torch.cat([first, one, other])[None]
    positions = torch.tensor([[*range(4), *range(4, 7), *range(4, 9)]])
    text = torch.tensor([0] * 4 + [1] * 3 + [2] * 5)
    mask = (text[:, None] == text) | (text == 0)
    found = model(row, positions=positions, mask=mask.tril()[None])[0]
    assert_close(found[:7], model(torch.cat([first, one])[None])[0])
    assert_close(found[7:], model(torch.cat([first, other])[None])[0, 4:])
    cache = Cache()
    model(row[:, :4], cache)
    rest = model(row[:, 4:], cache, positions=positions[:, 4:], mask=mask.tril()[None, 4:])
    assert_close(rest[0], found[4:])


def test_far_positions_have_exact_angles_in_float32():
    rotary, positions = Rotary(8), torch.tensor([0, 1, 77, 16_383, 1_000_003])
    cos, sin = rotary.at(positions, 1_000_004, torch.bfloat16)
    angles = positions.numpy()[:, None] * 10_000.0 ** -(np.arange(4) / 4)
    assert cos.dtype == torch.float32 and cos.shape == (1, 5, 4)
    np.testing.assert_allclose(cos[0], np.cos(angles), atol=1e-7)
    np.testing.assert_allclose(sin[0], np.sin(angles), atol=1e-7)
    assert torch.equal(Rotary(8).at(positions[:3], 78, torch.float32)[0], cos[:, :3])  # whatever the table's length


def test_a_table_made_for_inference_serves_training_too():
    model = initialized(MODERN, V, 0)
    with torch.inference_mode():
        model(TOKENS)
    model(TOKENS).sum().backward()


def test_rotary_positions_are_those_of_gpt_neox():
    transformers = pytest.importorskip("transformers", reason="the hf extra is not installed")
    theirs = transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(
        vocab_size=V, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96,
        hidden_act="gelu_new", rotary_pct=1.0, rotary_emb_base=10_000, max_position_embeddings=16,
        use_parallel_residual=False, attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0})).eval()
    ours = random_model(dataclasses.replace(PLAIN, position_embedding="rotary", tied=False), dtype=torch.float32)
    state = {}
    for name, value in ours.state_dict().items():
        if ".c_attn." in name:  # theirs has queries, keys and values of one head side by side
            value = value.view(3, 2, 12, -1).transpose(0, 1).reshape(value.shape)
        for old, new in (("h.", "layers."), ("ln_1", "input_layernorm"), ("ln_2", "post_attention_layernorm"),
                         ("attn.c_attn", "attention.query_key_value"), ("attn.c_proj", "attention.dense"),
                         ("mlp.c_fc", "mlp.dense_h_to_4h"), ("mlp.c_proj", "mlp.dense_4h_to_h"),
                         ("ln_f", "final_layer_norm"), ("wte", "embed_in")):
            name = name.replace(old, new)
        state["lm_head.weight" if name == "head.weight" else f"gpt_neox.{name}"] = value
    theirs.load_state_dict(state)
    with torch.no_grad():
        assert_close(ours.logits(ours(TOKENS)), theirs(TOKENS).logits, rtol=1e-4, atol=1e-4)


def test_queries_and_keys_of_one_length_bound_the_scores():
    model = random_model(dataclasses.replace(PLAIN, qk_norm=True))
    attention = model.h[0].attn
    assert isinstance(attention, Attention)
    x = 1000 * torch.randn(1, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q, k, _ = attention.c_attn(x).view(16, 3, 2, 12).unbind(1)
    q, k = (attention._placed(part.transpose(0, 1), None) for part in (q, k))
    assert_close(q.square().sum(-1), torch.full((2, 16), 12.0, dtype=torch.float64))
    assert (q @ k.transpose(-1, -2)).abs().max() / 12**0.5 <= 12**0.5


@EACH
def test_a_switch_leaves_the_first_weights_of_all_else_alone(config):
    plain = initialized(dataclasses.replace(config, **vars(PLAIN) | {"bias": config.bias, "tied": config.tied}), V, 7)
    model = initialized(config, V, 7)
    before, after = plain.state_dict(), model.state_dict()
    assert before.keys() - after.keys() == {
        name for name in before if name == "wpe.weight" and config.position_embedding == "rotary"
        or name.endswith("bias") and "ln_" in name and config.norm == "rms"}
    for name, value in after.items():
        if name.endswith("c_proj.weight") and config.zero_init:
            assert not value.any()
        else:
            assert torch.equal(value, before[name]), name
    assert model.num_params == config.num_params(V) == sum(value.numel() for value in after.values())
    tables = before["wte.weight"].numel() + (before["wpe.weight"].numel() if "wpe.weight" in after else 0)
    assert model.num_params_non_embedding == model.num_params - tables


def test_a_block_that_begins_at_zero_is_the_identity_and_learns():
    model = initialized(MODERN, V, 0)
    x = model.wte(TOKENS)
    assert torch.equal(model(TOKENS), model.ln_f(x))
    F.cross_entropy(model.logits(model(TOKENS[:, :-1])).flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
    assert all(block.attn.c_proj.weight.grad.any() and block.mlp.c_proj.weight.grad.any() for block in model.h)


def test_a_modern_model_is_trained_stopped_saved_resumed_measured_and_sampled(tmp_path):
    tokenizer, text = tokenizers.make("bytes"), np.frombuffer(b"abcdefgh" * 4, dtype=np.uint8).astype(np.int64)
    sizes = dataclasses.replace(MODERN, num_positions=31, dropout=0.01)
    config = TrainConfig(num_steps=60, batch_size=1, learning_rate=0.02, min_learning_rate_ratio=1.0, weight_decay=0.0)

    def trained(model, **how):
        train(model, lambda step: (text[None, :-1], text[None, 1:]), Objective.parse("cross_entropy"), config, **how)
        return model

    model, begun = trained(initialized(sizes, 257, 0)).eval(), initialized(sizes, 257, 0)
    optimizer = optim.build(begun, config)
    trained(begun, optimizer=optimizer, on_step=lambda info: info.step == 30)
    path = checkpoint.save(tmp_path / "30", begun, tokenizer, step=30, tokens=930, seconds=1.0, optimizer=optimizer)
    resumed = checkpoint.load(path).model
    again = optim.build(resumed, config)
    checkpoint.restore_optimizer(path, resumed, again)
    trained(resumed, optimizer=again, start_step=30)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True))
    path = checkpoint.save(tmp_path, model, tokenizer, step=60, tokens=60 * 31, seconds=1.0)
    loaded = checkpoint.load(path).model.eval()
    assert loaded.config == model.config and "wpe.weight" not in loaded.state_dict()
    assert torch.equal(loaded(TOKENS), model(TOKENS))
    assert generate(loaded, tokenizer, "abcd", num_tokens=60, temperature=0) == "abcdefgh" * 8  # beyond the context
    # windows of 8 tokens, each read from its own beginning
    exact, total = loaded.double(), 0.0
    read = torch.tensor([tokenizer.eot, *text.tolist()])
    for start in range(0, 32, 8):
        logits = expected(exact, read[start : start + 8]) @ exact.lm_head.T
        total += F.cross_entropy(logits, read[start + 1 : start + 9], reduction="sum").item()
    found = nll(model, [Document(text, len(text), 1, ends=False)], tokenizer, seq_len=8)
    assert found["nll"].value == pytest.approx(total / 32, rel=1e-4)


def test_rotary_positions_have_a_context_and_no_table():
    model = GPT2(MODERN, V)
    assert model.wpe is None and model.rotary.head_width == 12
    with pytest.raises(ValueError, match="17 tokens do not fit the model's context of 16"):
        model(torch.zeros(1, 17, dtype=torch.long))
    with pytest.raises(ValueError, match="17 tokens do not fit"):
        model(TOKENS[:1, :2], positions=torch.tensor([[15, 16]]))


@pytest.mark.parametrize(("about", "sentence"), [
    ({"position_embedding": "learned"}, "wpe.weight"),
    ({"norm": "layer"}, "ln_f.bias|ln_1.bias|ln_2.bias"),
    ({"n_head": 8}, "turns pairs of numbers, and a head of model.n_embd"),
    ({"norm": "group"}, "model.norm must be layer or rms, got 'group'"),
    ({"qk_norm": "yes"}, "model.json has qk_norm 'yes'; it is a value like False"),
    ({"norm": ["rms"]}, "has norm \\['rms'\\]"),
])  # fmt: skip
def test_a_checkpoint_whose_switches_do_not_fit_its_weights_is_damaged(tmp_path, about, sentence):
    model = initialized(dataclasses.replace(MODERN, bias=True), 257, 0)
    path = checkpoint.save(tmp_path, model, tokenizers.make("bytes"), step=1, tokens=1, seconds=1.0)
    with_about(path, model=vars(model.config) | about)
    with pytest.raises(checkpoint.Damaged, match=sentence) as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("values", "sentence"), [
    ({"position_embedding": "rotary", "n_embd": 9, "n_head": 3},
     r"model.position_embedding rotary turns pairs of numbers, and a head of model.n_embd \(=9\) / model.n_head "
     r"\(=3\) has 3; choose an even width of a head, or learned positions"),
    ({"position_embedding": "rope"}, "model.position_embedding must be learned or rotary, got 'rope'"),
    ({"norm": "batch"}, "model.norm must be layer or rms, got 'batch'"),
    ({"activation": "swish"}, "model.activation must be gelu_tanh, gelu or relu_squared, got 'swish'"),
])  # fmt: skip
def test_a_switch_that_cannot_be_is_one_sentence(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        ModelConfig(**values)
