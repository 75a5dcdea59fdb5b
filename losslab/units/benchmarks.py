"""What is known of CORE and of OpenAI's GPT-2 checkpoints, as far as claims can be checked by it."""

import math
import re
from collections.abc import Iterator

from losslab.units.arithmetic import Check, figure
from losslab.units.claims import Claim
from losslab.units.quantities import values
from losslab.units.reading import NUMBER, Number, denied, sentences

# nats per token (karpathy/llm.c dev/vislog.ipynb; karpathy/build-nanogpt play.ipynb; karpathy/nanoGPT README)
GPT2_LOSS = {
    "fineweb-edu": {"124m": 3.292},
    "fineweb": {"124m": 3.425, "350m": 3.083, "774m": 3.001, "1.5b": 2.831},
    "openwebtext": {"124m": 3.12, "350m": 2.84, "774m": 2.67, "1.5b": 2.54},
}  # fmt: skip
_SIZES = {
    "124m": r"124m|117m|small", "350m": r"35[05]m|345m|medium", "774m": r"774m|762m|large",
    "1.5b": r"1\.5b|15\d\dm|\bxl\b",
}  # fmt: skip
_TEXTS = {"fineweb-edu": r"fineweb[- ]?edu", "fineweb": r"fine-?web", "openwebtext": r"open-?web-?text|\bowt\b"}
_RETRAINED = r"train|reprod|llm\.c|karpathy|speedrun|nanogpt|modded|scratch|replic|fine-?tun|target|\bour\b|\bmy\b"
_OTHER_TEXT = r"zip|bz2|\bxz\b|tokeniz|vocab|random|init|code|chinese|german|japanese|french|russian|multilingual|html"

_METRIC = (  # the word is also an ordinary one
    r"\bcore\b(?! (?:ideas?|questions?|problems?|points?|claims?|contribution|methods?|team|parts?|features?|reasons?|"
    r"principles?|concepts?|loop|library|models?|results?|counts?|hours?))"
)
_OF_MACHINES = r"\b(?:cpu|gpu|tensor|per|one|\d|multi|single)[ -]core\b"
_NUM_TASKS = (
    rf"({NUMBER}) (?:different |evaluation |benchmark |downstream |individual |language |multiple[- ]choice |eval )*"
    r"(tasks|benchmarks|datasets|data sets|evaluations|evals|tests)\b"
)
_THE_TASKS = rf"\b(?:the|all) ({NUMBER}) core (tasks)\b"
_SOME = r"subset|of (?:its|the|core|them)\b|of 22|of core's|some|only .* fit|cut|\bon \d+ core tasks"
_HAS_MMLU = (
    r"(?:includ\w*|contain\w*|has|have|covers?|such as|like|averag\w*|consists? of|made (?:up )?of|among\w*|comprises?)"
    r"[^.]{0,80}\bmmlu|\bmmlu\b[^.]{0,30}(?:part of|included in|one of|belongs to|is in|in core|task of)"
)


def core(claim: Claim) -> Iterator[Check]:
    """CORE has 22 tasks in 21 files, and MMLU is none of them."""
    for sentence in sentences(claim.text):
        named = re.search(_METRIC, sentence)
        if not named or re.search(_OF_MACHINES, sentence):
            continue
        count = re.search(_NUM_TASKS, sentence) or re.search(_THE_TASKS, sentence)
        member = re.search(_HAS_MMLU, sentence)
        if count and not re.search(_SOME, sentence) and not denied(sentence, *_both(named, count)):
            fits = float(count[1]) in ((21, 22) if "data" in count[2] else (22,))
            yield Check(fits, "CORE is the mean of 22 tasks (21 files; HellaSwag counts twice)"
                              + ("" if fits else f", not {count[1]}"))
        if member and not denied(sentence, *member.span()):
            yield Check(False, "MMLU is not among CORE's 22 tasks")


def _both(a: re.Match, b: re.Match) -> tuple[int, int]:
    return min(a.start(), b.start()), max(a.end(), b.end())


def gpt2_loss(claim: Claim) -> Iterator[Check]:
    """OpenAI's checkpoints on three texts."""
    about = claim.about
    text = next((name for name, words in _TEXTS.items() if re.search(words, about)), None)
    size = next((name for name, words in _SIZES.items() if re.search(words, about)), None)
    known = GPT2_LOSS.get(text, {}).get(size)
    if known is None or not re.search(r"gpt-?2", about):
        return
    losses = values(claim, "loss")
    if not losses:  # `GPT-2 124M gets 3.28 on FineWeb` names no quantity
        losses = [Number.read(number) for number in re.findall(r"(?<![\d.-])[23]\.\d+(?![\d%])", claim.text)]
    if len(losses) != 1 or denied(claim.text, 0, len(claim.text)):
        return
    said = f"OpenAI's GPT-2 {size.upper()} has {known} nats/token on {text}"
    if abs(losses[0].value - known) <= 0.05 or losses[0].low <= known <= losses[0].high:
        yield Check(True, said)
    elif not re.search(_RETRAINED, about) or "openai" in about and not re.search(r"vs|than|beat|against|match", about):
        hint = "; 3.28 is what the same size reaches when it is retrained on FineWeb" if known == 3.425 else ""
        yield Check(False, f"{said}, not {losses[0].text}{hint}")


def gpt2_bits(claim: Claim) -> Iterator[Check]:
    """No GPT-2 needs 1.5 bits per byte of English."""
    if not re.search(r"gpt-?2", claim.about) or re.search(rf"{_RETRAINED}|{_OTHER_TEXT}", claim.about):
        return
    for bpb in values(claim, "bits_per_byte")[:1]:
        if 1.5 < bpb.low < 8 and not denied(claim.text, 0, len(claim.text)):
            nats = bpb.value * math.log(2) * 4.39
            yield Check(False, f"{bpb.text} * 4.39 bytes a token * ln 2 = {figure(nats)} nats/token, a perplexity of "
                               f"{figure(math.exp(nats))}: GPT-2 124M has 0.98 to 1.16 bits per byte of English")


def lambada(claim: Claim) -> Iterator[Check]:
    """GPT-2 124M gets 32.6 % of LAMBADA's last words; 46 % is its last BPE token."""
    about = claim.about
    larger = "|".join(words for size, words in _SIZES.items() if size != "124m")
    if "lambada" not in about or not re.search(r"gpt-?2", about) or denied(claim.text, 0, len(claim.text)):
        return
    if re.search(rf"token|paper|report|publish|perplexity|{larger}", about):
        return
    column = claim.columns.get("accuracy")
    stated = re.search(rf"({NUMBER})%", claim.text) or re.search(r"acc(?:uracy)?[a-z ]*(0\.\d+)", claim.text)
    if column is None and stated is None:
        return
    share = column.value if column else float(stated[1]) / (100 if "%" in stated[0] else 1)
    said = "GPT-2 124M gets 32.6 % of LAMBADA's last words right (lm-evaluation-harness)"
    if 0.45 <= share <= 0.475:
        yield Check(False, f"{said}; {100 * share:.3g} % is the accuracy of the last BPE token alone")
    elif 0.31 <= share <= 0.335:
        yield Check(True, said)
