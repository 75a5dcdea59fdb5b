"""What is known of compressors, of CORE and of GPT-2, as far as claims about them can be checked by it."""

import math
import re
from collections.abc import Iterator, Sequence

from losslab.units.arithmetic import Check, figure
from losslab.units.claims import Claim
from losslab.units.quantities import mentioned
from losslab.units.reading import NUMBER, denied, sentences

# bits per byte of whole files of English, measured on eight of them (WikiText-2, TinyStories, OpenWebText,
# FineWeb-Edu, novels, Shakespeare, LAMBADA, BoolQ) with zlib -9, bz2 -9 and xz -9, and widened by a tenth
COMPRESSORS = {"gzip": (2.2, 3.5), "bzip2": (1.45, 2.8), "xz": (1.55, 2.9)}
_SPELLED = {"gzip": r"g-?zip|zlib|deflate", "bzip2": r"bzip2?|bz2", "xz": r"\bxz\b|lzma"}
_NOT_ENGLISH = (r"random|binar|noise|image|jpe?g|png|source code|\bcode\b|\bdna\b|genom|audio|executable|chinese|german|japanese|french|"
                r"russian|hindi|arabic|korean|multilingual|utf-16|weights|encrypted|per document|one document|each document|short|"
                r"individual|separately|document by document|by itself|dictionary|\blogs?\b|html|json|xml")  # fmt: skip

# loss in nats per token of OpenAI's own checkpoints (karpathy/llm.c dev/vislog.ipynb, build-nanogpt play.ipynb,
# nanoGPT's README)
SIZES = {"124m": r"124m|117m|small", "350m": r"35[05]m|345m|medium", "774m": r"774m|762m|large", "1.5b": r"1\.5b|1558m|1542m|\bxl\b"}
GPT2_LOSS = {
    "fineweb-edu": {"124m": 3.292},
    "fineweb": {"124m": 3.425, "350m": 3.083, "774m": 3.001, "1.5b": 2.831},
    "openwebtext": {"124m": 3.12, "350m": 2.84, "774m": 2.67, "1.5b": 2.54},
}  # fmt: skip
_TEXTS = {"fineweb-edu": r"fineweb[- ]?edu", "fineweb": r"fine-?web", "openwebtext": r"open-?web-?text|\bowt\b"}
_RETRAINED = r"train|reprod|llm\.c|karpathy|speedrun|nanogpt|modded|scratch|replic|fine-?tun|target|\bour\b|\bmy\b"
CHINCHILLA = (406.4, 410.7, 0.34, 0.28)  # A, B, alpha, beta as printed in the body of arXiv 2203.15556


def compressors(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """gzip takes about 3 bits per byte of English, bzip2 and xz about 2."""
    if re.search(_NOT_ENGLISH, claim.about):
        return
    for sentence in sentences(claim.text):
        spelled = [(m, name) for name, words in _SPELLED.items() for m in re.finditer(words, sentence)]
        if not spelled and len(named := [n for n, w in _SPELLED.items() if re.search(w, claim.about)]) == 1:
            spelled = [(re.match("", sentence), named[0])]
        for value, match in _rates(sentence):
            if not spelled:
                continue
            near = [pair for pair in spelled if pair[0].start() <= match.start()] or spelled[:1]
            name = near[-1][1]
            low, high = COMPRESSORS[name]
            if denied(sentence, min(near[-1][0].start(), match.start()), match.end()) or _of_another(sentence, near[-1][0], match):
                continue
            said = f"{name} takes {low:g} to {high:g} bits per byte on whole files of English"
            yield Check(low <= value <= high, said + ("" if low <= value <= high else f", not {figure(value)}"
                        + (" (4.6 to 5.3 only where each short document is compressed by itself)" if value > high and name == "gzip" else "")))
    if "bits_per_byte" in claim.columns and not _rates(claim.text):
        name = next((name for name, words in _SPELLED.items() if re.search(words, claim.about)), None)
        bpb = claim.columns["bits_per_byte"]
        if name is not None and not re.search(r"gpt|model|losslab", claim.about):
            low, high = COMPRESSORS[name]
            fits = low <= bpb.value <= high
            yield Check(fits, f"{name} takes {low:g} to {high:g} bits per byte on whole files of English" + ("" if fits else f", not {bpb.text}"))


def _of_another(sentence: str, compressor: re.Match, rate: re.Match) -> bool:
    """Whether the rate is that of what the compressor is compared with."""
    compares = r"\b(?:than|below|above|beats?|beating|over|against|versus|vs|outperforms?|behind|under|unlike|model|gpt|llm|shannon)\b"
    if rate.end() <= compressor.start():
        return re.search(compares, sentence[rate.end() : compressor.start()]) is not None
    between = sentence[compressor.end() : rate.start()]
    is_object = re.search(compares + r"[a-z ]{0,12}$", sentence[: compressor.start()]) is not None
    return re.search(compares, between) is not None or (is_object and not re.match(r"(?:'s|,? which| ?\()", between))


def _rates(sentence: str) -> list[tuple[float, re.Match]]:
    """Bits per byte, however said: `4.5 bpb`, `bpb of 4.5`, `2-2.6 bpc`, `to 36 %`, `2.7 times smaller`."""
    found = []
    for m in re.finditer(rf"({NUMBER})(?: ?(?:-|to|and) ?({NUMBER}))? ?(?:bpb|bpc|bits(?: (?:for|per|a) (?:each |every )?(?:byte|character|letter))?\b)", sentence):
        found += [(float(part), m) for part in m.groups() if part]
    if not found:
        found += [(float(m[1]), m) for m in re.finditer(rf"bp[bc](?: (?:of|is|=|at|about|around|rate|for|on|english|text))* ({NUMBER})", sentence)]
    if not found and re.search("compress|smaller|shrink|ratio|size", sentence):
        found += [(8 * float(m[1]) / 100, m) for m in re.finditer(rf"to (?:about |around |roughly |~ ?)?({NUMBER})%", sentence)]
        found += [(8 / float(m[1]), m) for m in re.finditer(rf"({NUMBER}) ?(?:times|: ?1\b)", sentence) if float(m[1])]
    return found


def core(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """CORE has 22 tasks in 21 files, and MMLU is none of them."""
    for sentence in sentences(claim.text):
        named = re.search(r"\bcore\b(?!s)(?! count)(?= |'|,|\)|\.|:|$)", sentence)
        if not named or re.search(r"\b(?:cpu|gpu|tensor|per|one|\d|multi|single)[ -]core\b", sentence):
            continue
        found = re.search(rf"({NUMBER}) (?:different |evaluation |benchmark |downstream |individual |language |multiple[- ]choice |eval )*"
                          r"(tasks|benchmarks|datasets|data sets|evaluations|evals|tests)\b", sentence)
        if found and not re.search(r"subset|of (?:its|the|core|them)\b|of 22|of core's|some|only .* fit|v1|cut", sentence):
            ok = float(found[1]) in (22, 21) if "data" in found[2] else float(found[1]) == 22
            if not denied(sentence, named.start(), found.end()):
                yield Check(ok, "CORE is the mean of 22 tasks (21 files; HellaSwag counts twice)" + ("" if ok else f", not {found[1]}"))
        member = re.search(r"(?:includ\w*|contain\w*|has|have|covers?|such as|like|averag\w*|consists? of|made (?:up )?of|among\w*|comprises?)"
                           r"[^.]{0,80}\bmmlu|\bmmlu\b[^.]{0,30}(?:part of|included in|one of|belongs to|is in|in core|task of)", sentence)
        if member and not denied(sentence, *member.span()):
            yield Check(False, "MMLU is not among CORE's 22 tasks")


def gpt2_loss(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """OpenAI's checkpoints on three texts."""
    about = claim.about
    text = next((name for name, words in _TEXTS.items() if re.search(words, about)), None)
    size = next((name for name, words in SIZES.items() if re.search(words, about)), None)
    losses = [claim.columns["loss"]] if "loss" in claim.columns else mentioned(claim.text).get("loss", [])
    if not losses and text and size:  # `GPT-2 124M gets 3.28 on FineWeb`
        losses = [m for m in mentioned("loss of " + " ".join(re.findall(r"(?<![\d.])[23]\.\d+(?![\d%])", claim.text)[:1])).get("loss", [])]
    if not re.search(r"gpt-?2", about) or text is None or size not in GPT2_LOSS[text] or len(losses) != 1:
        return
    known, loss = GPT2_LOSS[text][size], losses[0]
    if abs(loss.value - known) <= 0.05 or loss.low <= known <= loss.high:
        yield Check(True, f"OpenAI's {size.upper()} has {known} nats/token on {text}")
    elif "openai" in about and not re.search(r"vs|than|beat|against|match", about) or not re.search(_RETRAINED, about):
        if not denied(claim.text, 0, len(claim.text)):
            hint = "; 3.28 is what a 124M model retrained on FineWeb reaches" if (text, size) == ("fineweb", "124m") else ""
            yield Check(False, f"OpenAI's GPT-2 {size.upper()} has {known} nats/token on {text}, not {loss.text}{hint}")


def lambada(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """GPT-2 124M gets 32.6 % of LAMBADA's last words; 46 % is its last BPE token."""
    about = claim.about
    if not re.search(r"gpt-?2", about) or "lambada" not in about or re.search(
            r"token|paper|report|publish|35[05]m|345m|medium|774m|762m|large|1\.5b|15\d\dm|\bxl\b|perplexity", about):
        return
    column = claim.columns.get("accuracy")
    stated = re.search(rf"({NUMBER})%", claim.text) or re.search(r"(?:accuracy|acc)[a-z ]*(0\.\d+)", claim.text)
    value = column.value if column else None if stated is None else float(stated[1]) / (100 if "%" in stated[0] else 1)
    if value is None or denied(claim.text, 0, len(claim.text)):
        return
    if 0.45 <= value <= 0.475:
        yield Check(False, f"GPT-2 124M gets 32.6 % of LAMBADA's last words right (lm-evaluation-harness); {100 * value:.3g} % is the "
                           "accuracy of the last BPE token alone")
    elif 0.31 <= value <= 0.335:
        yield Check(True, "GPT-2 124M gets 32.6 % of LAMBADA's last words right (lm-evaluation-harness)")


def gpt2_bits(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """No GPT-2 needs 1.5 bits per byte of English."""
    bpbs = [claim.columns["bits_per_byte"]] if "bits_per_byte" in claim.columns else mentioned(claim.text).get("bits_per_byte", [])
    about = claim.about
    if not re.search(r"gpt-?2", about) or re.search(rf"{_RETRAINED}|tokeniz|vocab|random|untrained|init|{_NOT_ENGLISH}", about):
        return
    for bpb in bpbs[:1]:
        if 1.5 < bpb.low < 8 and not denied(claim.text, 0, len(claim.text)):
            nats = bpb.value * math.log(2) * 4.39
            yield Check(False, f"{bpb.text} * 4.39 bytes a token * ln 2 = {figure(nats)} nats/token, a perplexity of {figure(math.exp(nats))}: "
                               "GPT-2 124M has 0.98 to 1.16 bits per byte on English")


def chinchilla(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """The rounded constants of the paper do not give 20 tokens per parameter."""
    for sentence in sentences(claim.text):
        cited = re.search(r"406\.4|410\.7|0?\.34\b.{0,30}0?\.28\b|rounded (?:constants|values|coefficients)|printed constants", sentence)
        ratio = re.search(rf"({NUMBER}) (?:training )?tokens (?:per|a|for each|for every|/) ?(?:model )?param", sentence)
        if cited and ratio and not denied(sentence, min(cited.start(), ratio.start()), max(cited.end(), ratio.end())):
            small, large = tokens_per_parameter(1e18), tokens_per_parameter(5.76e23)
            said = f"406.4, 410.7, 0.34 and 0.28 give D/N = {figure(small)} at 1e18 FLOPs and {figure(large)} at 5.76e23"
            ok = small * 0.95 <= float(ratio[1]) <= large * 1.05
            yield Check(ok, said + ("" if ok else f", not {ratio[1]}"))


def tokens_per_parameter(flops: float, constants: tuple[float, float, float, float] = CHINCHILLA) -> float:
    """D/N at the optimum of `A/N^alpha + B/D^beta` under `flops = 6 N D`.

    Example:
        >>> round(tokens_per_parameter(5.76e23), 1)
        92.6
    """
    a, b, alpha, beta = constants
    g = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    params = g * (flops / 6) ** (beta / (alpha + beta))
    return flops / 6 / params**2
