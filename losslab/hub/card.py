"""The model card: what was trained on what, and how it scored."""

import re
from collections.abc import Sequence

from losslab import untrusted
from losslab.checkpoint import Checkpoint
from losslab.records import Record
from losslab.stats import Score

HEAD = """---
library_name: transformers
pipeline_tag: text-generation
tags: [gpt2, losslab]
---
"""


def card(record: Record, loaded: Checkpoint, code: Sequence[str], weights: str) -> str:
    """The `README.md` of an export; `code` is what of the model lies next to the weights as code, in words."""
    model, tokenizer = loaded.model, loaded.tokenizer
    config, corpus = model.config, _dict(record.spec.get("corpus"))
    loading = ", trust_remote_code=True" if code else ""
    about = [
        ("loss", record.loss),
        ("corpus", f"{corpus.get('name')}, digest {corpus['digest']}" if corpus.get("digest") else None),
        ("training tokens", f"{loaded.tokens:,}" if loaded.tokens else None),
        ("started from weights, sha256", record.spec.get("start")),
        ("seed", str(record.seed) if loaded.tokens else None),
        ("condition", record.condition),
        ("status", record.status),
        ("model", f"{model.num_params:,} parameters: {config.n_layer} layers, {config.n_head} heads, width "
                  f"{config.n_embd}, context {config.num_positions}"),
        ("tokenizer", f"{tokenizer.name}, {tokenizer.vocab_size:,} tokens, digest {tokenizer.digest}"),
        ("logit transform", model.transform_text or None),
        ("weights, sha256", weights),
        ("losslab", record.spec.get("version")),
    ]
    return "\n".join([
        HEAD, f"# A GPT-2 trained with {_code(record.loss)}" if loaded.tokens else f"# {_code(record.loss)}", "",
        "| | |", "|---|---|", *(f"| {name} | {_code(value)} |" for name, value in about if value), "",
        "## Scores", "", *_scores(record), "",
        "## Use", "", "```python", "from transformers import AutoModelForCausalLM, AutoTokenizer", "",
        f'model = AutoModelForCausalLM.from_pretrained("."{loading})',
        f'tokenizer = AutoTokenizer.from_pretrained("."{loading})',
        "```", "", *_notes(model.transform_text, code), "",
    ])


def _scores(record: Record) -> list[str]:
    if not record.scores:
        return ["None were taken."]
    rows = [f"| {_word(name)} | {Score.from_dict(score)} | {_word(score['unit'])} |"
            for name, score in record.scores.items()]
    counts = _dict(record.result.get("counts"))
    of = ", ".join(f"{counts[name]:,} {name}" for name in ("documents", "tokens", "bytes")
                   if type(counts.get(name)) is int)
    return ["| score | value ± standard error (n documents) | unit |", "|---|---|---|", *rows, "",
            f"On the validation split of the corpus above: {of}. Perplexities and nats per token are of this "
            "tokenizer; bits per byte can be compared across tokenizers, on the same text."]


def _notes(transform: str, code: Sequence[str]) -> list[str]:
    notes = ["Every document begins after `<|endoftext|>`, which also ends it."]
    if code:
        notes.append(f"It has {', '.join(map(_code, code))}, in the code next to the weights: a plain GPT-2 it is not.")
    if transform and not any(transform in each for each in code):
        notes.append(f"{_code(transform)} is multiplied into the last norm.")
    return notes


def _code(value: object) -> str:
    """A value as code that a table holds: names come from files, and cannot break out of it."""
    text = untrusted.one_line(" ".join(str(value).replace("`", "'").split()), 1000)
    return "`" + re.sub(r"(\\*)\|", lambda found: " ".join([*found[1], r"\|"]), text) + "`"  # no backslash before it


def _word(value: object) -> str:
    """The name of a score or unit as it is, and as code where it is none."""
    text = str(value)
    return text if re.fullmatch(r"[\w./@=+-]+( [\w./@=+-]+)*", text) else _code(text)


def _dict(value: object) -> dict:
    return value if isinstance(value, dict) else {}
