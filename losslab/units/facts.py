"""What is known of compressors and of Chinchilla's constants, as far as claims can be checked by it."""

import re
from collections.abc import Iterator

from losslab.units.arithmetic import Check, figure
from losslab.units.claims import Claim
from losslab.units.reading import NUMBER, denied, sentences

# bits per byte of whole files of English, measured on eight of them (WikiText-2, TinyStories, OpenWebText,
# FineWeb-Edu, novels, Shakespeare, LAMBADA, BoolQ; zlib at level 9), and widened a little
COMPRESSORS = {
    r"g-?zip|zlib|deflate": ("gzip", 2.2, 3.5),
    r"bzip2?|bz2": ("bzip2", 1.45, 2.8),
    r"\bxz\b|lzma": ("xz", 1.55, 2.9),
}
SINGLY = "4.6 to 5.3 only where each short document is compressed by itself"
CHINCHILLA = (406.4, 410.7, 0.34, 0.28)  # A, B, alpha, beta as printed in the body of arXiv 2203.15556

_NOT_ENGLISH = (
    r"random|binar|noise|image|jpe?g|png|source code|\bcode\b|\bdna\b|genom|audio|executable|chinese|german|japanese|"
    r"french|russian|hindi|arabic|korean|multilingual|utf-16|weights|encrypted|per document|one document|each document|"
    r"short|individual|separately|document by document|by itself|dictionary|\blogs?\b|html|json|xml|"
    r"zip(?:ped)? (?:files?|output|streams?) (?:ha|is|are|contain)"
)
_COMPARES = (
    r"\b(?:than|below|above|beats?|beating|over|against|versus|vs|outperforms?|behind|under|unlike|model|gpt|llm|"
    r"shannon)\b"
)
_RATE = (
    rf"({NUMBER})(?: ?(?:-|to|and) ?({NUMBER}))? ?"
    r"(?:bp[bc]|bits(?: (?:for|per|a) (?:each |every )?(?:byte|character|letter))?\b)"
)
_RATE_AFTER = rf"bp[bc](?: (?:of|is|=|at|about|around|rate|for|on|english|text))* ({NUMBER})"


def compressors(claim: Claim) -> Iterator[Check]:
    """gzip takes about 3 bits per byte of English, bzip2 and xz about 2."""
    if re.search(_NOT_ENGLISH, claim.about):
        return
    in_name = [known for words, known in COMPRESSORS.items() if re.search(words, claim.about)]
    for sentence in sentences(claim.text):
        named = [(m, known) for words, known in COMPRESSORS.items() for m in re.finditer(words, sentence)]
        if not named and len(in_name) == 1:
            named = [(re.match("", sentence), in_name[0])]
        rates = _rates(sentence) if named else []
        for bits, match in rates:
            near, known = ([pair for pair in named if pair[0].start() <= match.start()] or named[:1])[-1]
            span = min(near.start(), match.start()), match.end()
            if any(near.end() <= other.start() < match.start() for _, other in rates):
                continue  # the nearer one is its own
            if not denied(sentence, *span) and not _of_another(sentence, near, match):
                yield _compressed(known, bits, figure(bits))
    bpb = claim.columns.get("bits_per_byte")
    if bpb and in_name and not _rates(claim.text) and not re.search(r"gpt|model|losslab", claim.about):
        yield _compressed(in_name[0], bpb.value, bpb.text)


def _compressed(known: tuple[str, float, float], bits: float, said: str) -> Check:
    name, low, high = known
    fits = low <= bits <= high
    hint = f" ({SINGLY})" if name == "gzip" and bits > high else ""
    return Check(fits, f"{name} takes {low:g} to {high:g} bits per byte on whole files of English"
                       + ("" if fits else f", not {said}{hint}"))


def _of_another(sentence: str, compressor: re.Match, rate: re.Match) -> bool:
    """Whether the rate is that of what the compressor is compared with."""
    if rate.end() <= compressor.start():
        return re.search(_COMPARES, sentence[rate.end() : compressor.start()]) is not None
    between = sentence[compressor.end() : rate.start()]
    is_object = re.search(rf"{_COMPARES}[a-z ]{{0,12}}$", sentence[: compressor.start()]) is not None
    is_its_own = re.match(r"(?:'s|,? which| ?\([^)]*$)", between)
    return re.search(_COMPARES, between) is not None or (is_object and not is_its_own)


def _rates(sentence: str) -> list[tuple[float, re.Match]]:
    """Bits per byte, however said: `4.5 bpb`, `bpb of 4.5`, `2-2.6 bpc`, `to 36%`, `2.7 times smaller`."""
    found = [(float(part), m) for m in re.finditer(_RATE, sentence) for part in m.groups() if part]
    if not found:
        found = [(float(m[1]), m) for m in re.finditer(_RATE_AFTER, sentence)]
    if not found and re.search("compress|smaller|shrink|ratio|size", sentence):
        share, times = rf"to (?:about |around |roughly |~ ?)?({NUMBER})%", rf"({NUMBER}) ?(?:times|: ?1\b)"
        found = [(8 * float(m[1]) / 100, m) for m in re.finditer(share, sentence)]
        found += [(8 / float(m[1]), m) for m in re.finditer(times, sentence) if float(m[1])]
    return found


def chinchilla(claim: Claim) -> Iterator[Check]:
    """The rounded constants of the paper do not give 20 tokens per parameter."""
    cites = r"406\.4|410\.7|0?\.34\b.{0,30}0?\.28\b|rounded (?:constants|values|coefficients)|printed constants"
    for sentence in sentences(claim.text):
        cited = re.search(cites, sentence)
        ratio = re.search(rf"({NUMBER}) (?:training )?tokens (?:per|a|for \w+|/) ?(?:model )?param", sentence)
        if not cited or not ratio:
            continue
        if denied(sentence, min(cited.start(), ratio.start()), max(cited.end(), ratio.end())):
            continue
        small, large = tokens_per_parameter(1e18), tokens_per_parameter(5.76e23)
        fits = 0.95 * small <= float(ratio[1]) <= 1.05 * large
        yield Check(fits, f"406.4, 410.7, 0.34 and 0.28 give {small:.1f} tokens per parameter at 1e18 FLOPs and "
                          f"{large:.1f} at 5.76e23" + ("" if fits else f", not {ratio[1]}"))


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
