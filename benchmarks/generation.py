"""How fast a model writes: with its cache, without one, and transformers with its own.

    OMP_NUM_THREADS=2 python benchmarks/generation.py [--num-tokens 512] [--rounds 3] [--size gpt2]

The shape of a preset with random weights, one text from one token on, the likeliest token each time. The three take
turns in one process; ratios are medians over rounds of times measured next to each other. Recomputing the context for
every one of 512 tokens would take a quarter of an hour, so it is timed at lengths spread evenly over the text and
multiplied; like the others it computes the logits of the last position alone. Writes
benchmarks/results/generation_threadsN.json. Four minutes for each number of threads, on idle cores.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch

from losslab import config as configuration
from losslab.generate import Sampling, write
from losslab.hub import layout
from losslab.model import LanguageModel, initialized
from losslab.tokenizer import Bytes

RESULTS = Path(__file__).parent / "results"
VOCAB = 50257
LENGTHS = 16  # at which recomputing is timed
WARM_UP = 8  # tokens


class NoEnd(Bytes):
    """Bytes for text, and an end mark that no model draws: every text has its full length."""

    eot = -1

    def decode_bytes(self, ids):
        return b"".join(bytes([token % 128]) for token in ids)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--num-tokens", type=int, default=512)
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--size", default="gpt2")
    flags.add_argument("--out", type=Path)
    asked = flags.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    model, plain = (initialized(configuration.preset(asked.size).model, VOCAB, seed=0).eval() for _ in range(2))
    model.lay_out_for_one_row()  # as losslab generate does
    ways = {"cache": lambda count: cached(model, count), "recomputed": lambda count: recomputed(plain, count)}
    if (theirs := of_transformers(plain)) is not None:
        ways["transformers"] = lambda count: by_transformers(theirs, count)
        assert cached(model, 24)[1] == by_transformers(theirs, 24)[1], "the two write different texts"
    for way in ways.values():
        way(WARM_UP)
    times = {name: [] for name in ways}
    for turn in range(asked.rounds):
        for name, way in ways.items():
            times[name].append(way(asked.num_tokens)[0])
        print(f"round {turn + 1}: " + "  ".join(f"{name} {times[name][-1]:.1f} s" for name in ways), flush=True)
    found = summary(times, asked)
    out = asked.out or RESULTS / f"generation_threads{torch.get_num_threads()}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found["ratios"], indent=1))


def summary(times: dict[str, list[float]], asked) -> dict:
    ratios = {f"{name} / cache": statistics.median(other / ours for other, ours in zip(times[name], times["cache"],
                                                                                       strict=True))
              for name in times if name != "cache"}
    seconds = {name: statistics.median(values) for name, values in times.items()}
    return {
        "size": asked.size, "num_tokens": asked.num_tokens, "rounds": asked.rounds, "threads": torch.get_num_threads(),
        "torch": torch.__version__, "seconds": seconds, "ratios": ratios, "all_seconds": times,
        "tokens_per_second": {name: asked.num_tokens / value for name, value in seconds.items()},
    }


def cached(model: LanguageModel, count: int) -> tuple[float, list[int]]:
    """Seconds for `count` tokens as `losslab generate` writes them, and the tokens."""
    begin = time.perf_counter()
    (sample,) = write(model, NoEnd(), [[0]], Sampling(temperature=0), num_tokens=count, seeds=[0])
    return time.perf_counter() - begin, sample.tokens


@torch.inference_mode()
def recomputed(model: LanguageModel, count: int) -> tuple[float, None]:
    """Seconds for `count` tokens, each from the whole text anew."""
    lengths = [1 + place * count // LENGTHS + count // (2 * LENGTHS) for place in range(LENGTHS)]
    tokens = torch.randint(VOCAB, (1, count + 1), generator=torch.Generator().manual_seed(0))
    begin = time.perf_counter()
    for length in lengths:
        int(model.logits(model(tokens[:, :length])[0, -1]).argmax())
    return (time.perf_counter() - begin) * count / LENGTHS, None


def of_transformers(model: LanguageModel):
    """The same weights in a GPT-2 of transformers; None where that is not installed."""
    try:
        import transformers
    except ModuleNotFoundError:
        print("transformers is not installed: it is left out")
        return None
    transformers.utils.logging.set_verbosity_error()
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(layout.to_settings(model, 0)))
        save_file(layout.to_tensors(model), Path(folder) / "model.safetensors", {"format": "pt"})
        return transformers.GPT2LMHeadModel.from_pretrained(folder).eval()


@torch.inference_mode()
def by_transformers(theirs, count: int) -> tuple[float, list[int]]:
    """The same by `generate` of transformers, with its default cache."""
    begin = time.perf_counter()
    prompt = torch.zeros(1, 1, dtype=torch.long)
    found = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=count,
                            min_new_tokens=count, eos_token_id=None, pad_token_id=0)
    return time.perf_counter() - begin, found[0, 1:].tolist()


if __name__ == "__main__":
    main()
