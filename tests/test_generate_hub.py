"""Greedy text is that of transformers' own generation on the exported model, token for token."""

import pytest
import torch
from hub_models import MODEL, ours, transformers

from losslab import hub
from losslab.config import ModelConfig
from losslab.generate import Sampling, write

MODERN = {"position_embedding": "rotary", "norm": "rms", "qk_norm": True, "activation": "relu_squared", "bias": False}
PROMPTS = [[256], [256, *b"On"], [256, *b"Once upon a time"], [256, *b"you"]]
NUM_TOKENS = 15  # to the last position


def agree(model, prompt, found, wanted):
    """The same tokens up to a tie, after which two texts may differ: a gap of the two largest logits below 1e-5."""
    for place, (one, other) in enumerate(zip(found, wanted, strict=False)):
        if one != other:
            ids = torch.tensor([[*prompt, *wanted[:place]]])
            largest = model.logits(model(ids))[0, -1].topk(2).values
            assert largest[0] - largest[1] < 1e-5, (place, found, wanted)
            return
    assert len(found) == len(wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("config", "transform"), [({}, ""), ({"tied": False, "bias": False}, "softcap(2)"), (MODERN, "")],
    ids=["classic", "capped", "modern"],
)
@torch.no_grad()
def test_greedy_tokens_are_those_of_transformers(tmp_path, dtype, config, transform):
    model, tokenizer = ours(tmp_path / "run", ModelConfig(**vars(MODEL) | config), transform)
    hub.export_run(tmp_path / "run", tmp_path / "out", with_code=True)
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=True).to(dtype)
    model = model.to(dtype)
    for penalty in (1.0, 1.3):
        settings = Sampling(temperature=0, repetition_penalty=penalty)
        samples = write(model, tokenizer, PROMPTS, settings, num_tokens=NUM_TOKENS, seeds=[0] * len(PROMPTS))
        for prompt, sample in zip(PROMPTS, samples, strict=True):
            written = exported.generate(torch.tensor([prompt]), max_new_tokens=NUM_TOKENS, do_sample=False,
                                        repetition_penalty=penalty, attention_mask=torch.ones(1, len(prompt)))
            if penalty == 1:
                agree(model, prompt, sample.tokens, written[0, len(prompt) :].tolist())
            else:
                assert sample.tokens == written[0, len(prompt) :].tolist()
    assert any(len(set(sample.tokens)) > 3 for sample in samples)
