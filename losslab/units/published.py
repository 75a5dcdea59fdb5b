"""Claims about things that everybody can look up: compressors, CORE, and OpenAI's GPT-2 checkpoints."""

from collections.abc import Iterator

from losslab.units.checks import Check, fits, likely
from losslab.units.claims import Claim
from losslab.units.numbers import Number, figure

# bits per byte of whole files of English, measured on eight of them (WikiText-2, TinyStories, OpenWebText,
# FineWeb-Edu, novels, Shakespeare, LAMBADA, BoolQ; zlib at level 9), and widened a little
COMPRESSORS = {"gzip": (2.2, 3.5), "bzip2": (1.45, 2.8), "xz": (1.55, 2.9)}
SAME = {"zlib": "gzip", "deflate": "gzip", "bz2": "bzip2", "lzma": "xz"}
SINGLY = "4.6 to 5.3 only where each short document is compressed by itself"

BENCHMARKS = {  # number of tasks, how that is counted, and the names of the tasks
    "core": (22, "21 files; HellaSwag counts twice", frozenset(
        "hellaswag hellaswag_zeroshot jeopardy bigbench_qa_wikidata arc_easy arc_challenge copa commonsense_qa piqa "
        "openbook_qa lambada_openai winograd winogrande bigbench_dyck_languages agi_eval_lsat_ar "
        "bigbench_cs_algorithms bigbench_operators bigbench_repeat_copy_logic squad coqa boolq "
        "bigbench_language_identification".split())),
}  # fmt: skip

GPT2 = ("gpt2", "gpt2_medium", "gpt2_large", "gpt2_xl")
# scores of the four checkpoints (karpathy/llm.c dev/vislog.ipynb; karpathy/build-nanogpt play.ipynb; karpathy/nanoGPT
# README; EleutherAI/lm-evaluation-harness issue 2159), with what another number often is
PUBLISHED = {
    ("fineweb", "loss"): ((3.425, 3.083, 3.001, 2.831), "3.28 is what the smallest reaches when retrained on FineWeb"),
    ("fineweb_edu", "loss"): ((3.292,), ""),
    ("openwebtext", "loss"): ((3.12, 2.84, 2.67, 2.54), ""),
    ("lambada", "accuracy"): ((0.326,), "0.46 is the accuracy of the last BPE token alone, 0.326 of the last word"),
}
TEXTS = {"owt": "openwebtext", "fineweb_val": "fineweb", "fineweb_edu_val": "fineweb_edu", "lambada_openai": "lambada"}
CLOSE = 0.02  # other parts of a text, other windows
MOST_BITS = 1.16  # bits per byte of the smallest on English (enwik8), the most that is published
FAR = 1.25


def compressors(row: Claim) -> Iterator[Check]:
    """gzip takes about 3 bits per byte of English, bzip2 and xz about 2."""
    name = row.words.get("compressor", "")
    known = COMPRESSORS.get(SAME.get(name, name))
    bits, ratio = row.columns.get("bits_per_byte"), row.columns.get("compression_ratio")
    if known is None or (bits is None and (ratio is None or not ratio.low > 0)):
        return
    low, high = (bits.low, bits.high) if bits is not None else (8 / ratio.high, 8 / ratio.low)
    text = bits.text if bits is not None else f"8 / {ratio.text} = {figure(8 / ratio.value)}"
    is_so = low <= known[1] and high >= known[0]
    hint = f" ({SINGLY})" if known == COMPRESSORS["gzip"] and low > known[1] else ""
    yield likely(is_so, f"{name} takes {known[0]:g} to {known[1]:g} bits per byte on whole files of English"
                        + ("" if is_so else f", not {text}{hint}"))


def tasks(row: Claim) -> Iterator[Check]:
    """CORE has 22 tasks, and MMLU is none of them."""
    if row.scope not in BENCHMARKS:
        return
    (many, how, names), title = BENCHMARKS[row.scope], row.scope.upper()
    count, member = row.columns.get("num_tasks"), row.words.get("member_task")
    if count is not None:
        is_so = count.value == many
        yield fits(is_so, f"{title} is the mean of {many} tasks ({how})" + ("" if is_so else f", not {count.text}"))
    if member:
        is_so = any(name == member or name.startswith(f"{member}_") for name in names)
        yield fits(is_so, f"{member} is {'' if is_so else 'not '}among {title}'s {many} tasks")


def checkpoints(row: Claim) -> Iterator[Check]:
    """OpenAI's checkpoints on four texts."""
    name = row.words.get("checkpoint", "").removeprefix("openai_community_").removeprefix("openai_")
    if name not in GPT2:
        return
    text = TEXTS.get(row.scope, row.scope)
    for (place, quantity), (values, hint) in PUBLISHED.items():
        number, i = row.columns.get(quantity), GPT2.index(name)
        if place == text and number is not None and i < len(values):
            is_so = number.low <= values[i] * (1 + CLOSE) and number.high >= values[i] * (1 - CLOSE)
            start = f"{values[i]:g} is published for {name} on {place}"
            yield likely(is_so, start if is_so else f"{start}, not {number.text}" + f"; {hint}" * bool(hint))
    bits = row.columns.get("bits_per_byte")
    if bits is not None and not text:
        yield _bits(name, bits)


def _bits(name: str, bits: Number) -> Check:
    is_so = bits.low <= FAR * MOST_BITS
    start = f"{MOST_BITS:g} bits per byte are the most that is published for gpt2 on English"
    return likely(is_so, start if is_so else f"{start}, and {name} is given {bits.text}")
