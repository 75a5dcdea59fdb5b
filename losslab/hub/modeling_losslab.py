"""A GPT-2 with modern switches, as losslab trained it: code for `transformers`, next to the weights.

`config.losslab` says which parts are exchanged: `position_embedding` is `learned` or `rotary`, `norm` is `layer` or
`rms`, `qk_norm` and `bias` are yes or no. Everything else has the names that a GPT-2 has.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.cache_utils import DynamicCache
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast

BASE, EPSILON = 10_000.0, 1e-6  # of the rotary angles, and of every RMS norm


class LosslabModernConfig(GPT2Config):
    model_type = "losslab_modern"


def switches(config):
    return {"position_embedding": "learned", "norm": "layer", "qk_norm": False, "bias": True} | (
        getattr(config, "losslab", None) or {})


def norm(config):
    chosen = switches(config)
    if chosen["norm"] == "rms":
        return nn.RMSNorm(config.n_embd, eps=EPSILON)
    return nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon, bias=chosen["bias"])


def rotation(positions, head_width, dtype):
    """Cosines and sines `[batch, 1, seq, head_width / 2]`; pair i is made of the numbers i and i + head_width / 2."""
    exact = torch.float32 if positions.device.type == "mps" else torch.float64
    speeds = BASE ** -(torch.arange(0, head_width, 2, dtype=exact, device=positions.device) / head_width)
    angles = positions[:, None, :, None].to(exact) * speeds
    kind = dtype if dtype == torch.float64 else torch.float32
    return angles.cos().to(kind), angles.sin().to(kind)


class Attention(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        chosen = switches(config)
        self.n_head, self.layer, self.dropout = config.n_head, layer, config.attn_pdrop
        self.qk_norm = chosen["qk_norm"]
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=chosen["bias"])
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=chosen["bias"])
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x, mask, turn, cache):
        batch, seq, width = x.shape
        q, k, v = (part.view(batch, seq, self.n_head, -1).transpose(1, 2) for part in self.c_attn(x).split(width, -1))
        q, k = self.placed(q, turn), self.placed(k, turn)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(batch, seq, width)))

    def placed(self, x, turn):
        dtype = x.dtype
        if turn is not None:
            (cos, sin), (first, second) = turn, x.chunk(2, dim=-1)
            x = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
        if self.qk_norm:
            x = F.rms_norm(x, x.shape[-1:], eps=EPSILON)
        return x.to(dtype)


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        bias = switches(config)["bias"]
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=bias)
        self.act, self.dropout = ACT2FN[config.activation_function], nn.Dropout(config.resid_pdrop)

    def forward(self, x):
        return self.dropout(self.c_proj(self.act(self.c_fc(x))))


class Block(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.ln_1, self.attn = norm(config), Attention(config, layer)
        self.ln_2, self.mlp = norm(config), MLP(config)

    def forward(self, x, mask, turn, cache):
        x = x + self.attn(self.ln_1(x), mask, turn, cache)
        return x + self.mlp(self.ln_2(x))


class Body(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.rotary = switches(config)["position_embedding"] == "rotary"
        self.head_width = config.n_embd // config.n_head
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        if not self.rotary:
            self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.ln_f = norm(config)

    def forward(self, x, positions, mask, cache):
        turn = rotation(positions, self.head_width, x.dtype) if self.rotary else None
        x = self.drop(x if self.rotary else x + self.wpe(positions))
        for block in self.h:
            x = block(x, mask, turn, cache)
        return self.ln_f(x)


class LosslabModern(PreTrainedModel, GenerationMixin):
    config_class = LosslabModernConfig
    base_model_prefix = "transformer"
    _no_split_modules = ["Block"]
    _supports_sdpa = True
    _tied_weights_keys = GPT2LMHeadModel._tied_weights_keys  # whose form differs between versions

    def __init__(self, config):
        super().__init__(config)
        self.transformer = Body(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.transformer.wte

    def set_input_embeddings(self, value):
        self.transformer.wte = value

    def get_output_embeddings(self):
        return self.lm_head

    def set_output_embeddings(self, value):
        self.lm_head = value

    def transformed(self, logits):
        """The logits are these; a model with a transform of its logits says more."""
        return logits

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None,
                labels=None, use_cache=None, logits_to_keep=0, **kwargs):
        x = self.transformer.wte(input_ids) if inputs_embeds is None else inputs_embeds
        if past_key_values is None and use_cache:
            past_key_values = DynamicCache()
        past = 0 if past_key_values is None else past_key_values.get_seq_length()
        if position_ids is None:
            position_ids = torch.arange(past, past + x.shape[1], device=x.device)[None]
        mask = torch.ones(x.shape[1], past + x.shape[1], dtype=torch.bool, device=x.device).tril(past)[None, None]
        if attention_mask is not None:  # padding sees itself, so that no row is without a key
            mask = mask & (attention_mask[:, None, None, :].bool() | mask.logical_xor(mask.tril(past - 1)))
        hidden = self.transformer(x, position_ids, mask, past_key_values)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, kept])
        logits = self.transformed(logits if logits.dtype == torch.float64 else logits.float())
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)
