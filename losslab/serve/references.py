"""What OpenAI's GPT-2 checkpoints score, where that is published under a rule that losslab measures by, too."""

from dataclasses import dataclass

from losslab.units import published

TOKENIZER = "gpt2"  # the name of theirs in losslab
MODELS = {"gpt2": "GPT-2 124M", "gpt2_medium": "GPT-2 355M", "gpt2_large": "GPT-2 774M", "gpt2_xl": "GPT-2 1.5B"}
NANOCHAT = ("karpathy/nanochat, dev/estimate_gpt3_core.ipynb and its leaderboard; those of 355M and above were "
            "measured on at most 1,000 items a task")
VISLOG = "the sources that `losslab audit` names: karpathy/llm.c, nanoGPT, lm-evaluation-harness issue 2159"


@dataclass(frozen=True)
class Reference:
    """One figure: of a model, for a score of a task."""

    model: str
    value: float
    source: str


CORE_V1 = dict(zip(MODELS.values(), (0.1139, 0.1849, 0.2146, 0.2565), strict=True))
HELLASWAG = dict(zip(MODELS.values(), (0.2955, 0.3752, 0.4320, 0.4893), strict=True))  # normalized by tokens


def of(task: str, score: str, corpus: str = "", tokenizer: str = "") -> list[Reference]:
    """The published figures for a score; none where none is known, or where it is another quantity by the same name.

    Args:
        task: such as `core`, `lambada`, `likelihood`.
        score: such as `core_v1`, `accuracy`, `nll`.
        corpus: the text of a likelihood, such as `openwebtext`.
        tokenizer: whose tokens a likelihood counts: nats a token of another vocabulary are no nats a token of GPT-2's.
    """
    if (task, score) == ("core", "core_v1"):
        return [Reference(model, value, NANOCHAT) for model, value in CORE_V1.items()]
    if (task, score) == ("hellaswag", "accuracy_per_token"):
        return [Reference(model, value, "karpathy/llm.c, dev/vislog.ipynb; normalized by tokens")
                for model, value in HELLASWAG.items()]
    if task == "likelihood":
        quantity, text = "loss" if score == "nll" and tokenizer == TOKENIZER else None, corpus.lower()
    else:  # an accuracy of whole words, which a vocabulary does not change
        quantity, text = "accuracy" if score == "accuracy" else None, task
    text = published.TEXTS.get(text, text)
    values, _ = published.PUBLISHED.get((text, quantity), ((), ""))
    return [Reference(model, value, VISLOG) for model, value in zip(MODELS.values(), values, strict=False)]
