"""What instructions ask for: the verb that leads each and its object, by a plain rule, and how varied they are.

The rule reads the words of the first sentence that has a verb-like word. Verb-like is a word of `VERBS`, or, at the
beginning of a sentence (behind `please` and the like), any word that a determiner follows. The object is the next
noun-like word: of the first run of words behind the verb that are no function words, the last one, since an English
noun stands behind what describes it (`a short story` is of a story); behind `how`, `why` and the like, the first one.
A second verb, as in `compare and contrast`, is passed over.
What has no verb-like word, as most questions, is counted as unparsed.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

MOST_VERBS, MOST_OBJECTS, MOST_RUN = 20, 4, 4
VERBS = frozenset("""
add adapt adjust analyze answer apply argue arrange articulate assemble assess assign assume brainstorm build calculate
categorize change check choose cite clarify classify combine come comment compare compile complete compose compute
conclude conduct construct contrast convert correct count craft create critique debate decide deduce define deliver
demonstrate describe design detect determine develop devise differentiate discuss distinguish divide draft draw edit
elaborate eliminate enumerate estimate evaluate examine expand explain explore express extend extract fill find fix
form formulate find gather generate give group guess help highlight identify illustrate imagine implement improve
include infer insert integrate interpret introduce invent join judge justify label list locate look make match measure
mention modify multiply name offer order organize outline paraphrase perform pick plan pose predict prepare present
produce pronounce proofread propose prove provide punctuate quote rank rate read rearrange recall recognize recommend
record redesign reduce reformulate reframe relate remove rename reorder reorganize rephrase replace report represent
research respond restate restructure retell retrieve reverse review revise rewrite rewrite role-play round sample score
search select separate set shorten show simplify simulate sketch solve sort specify spell split state structure
substitute subtract suggest sum summarize suppose synthesize tag take talk teach tell think trace track transcribe
transform translate turn update use validate verify visualize write
""".split())  # fmt: skip
DETERMINERS = frozenset("a an the this that these those some any each every all both my your our their his her its two "
                        "three four five six seven eight nine ten one".split())
ASKING = frozenset("how why what when where which who whom whose whether if".split())
FUNCTION = DETERMINERS | ASKING | frozenset("""
about above according across after against along among and are as at be been before behind being below between but by
can could did do does during else following for from given had has have he here i in instead into is it just like may
me might more most must no not of off on only onto or other out over per please same shall she should so such than
them then there they through to too toward under until up upon us using very via was we were will with within without
would you based let new
""".split())
OPENERS = frozenset("please now then first kindly can could would you i want need to".split())
WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")


class Lead(NamedTuple):
    verb: str
    object: str  # nothing where no noun-like word follows


def lead(instruction: str) -> Lead | None:
    """The verb that leads an instruction and its object; None where there is no verb-like word.

    Example:
        >>> lead("Write a short story about two foxes."), lead("Please explain how photosynthesis works.")
        (Lead(verb='write', object='story'), Lead(verb='explain', object='photosynthesis'))
        >>> lead("Given two sentences, classify the sentences."), lead("What is the capital of France?")
        (Lead(verb='classify', object='sentence'), None)
    """
    for sentence in re.split(r"[.!?:\n]+", instruction):
        words = [word.lower() for word in WORD.findall(sentence)]
        begins = next((i for i, word in enumerate(words) if word not in OPENERS), len(words))
        for i, word in enumerate(words):
            leads = i == begins and word not in FUNCTION and i + 1 < len(words) and words[i + 1] in DETERMINERS
            if (word in VERBS or leads) and not (i and words[i - 1] in DETERMINERS):  # `the answer` is no verb
                return Lead(word, _object(sentence, i))
    return None


def _object(sentence: str, verb: int) -> str:
    """The object behind the word of number `verb`; punctuation ends a run of words."""
    run, found, asks = [], list(WORD.finditer(sentence)), False
    if [match[0].lower() for match in found[verb + 1 : verb + 2]] in (["and"], ["or"]) and len(found) > verb + 2:
        verb += 2 * (found[verb + 2][0].lower() in VERBS)
    for before, match in zip(found[verb:], found[verb + 1 :], strict=False):
        word = match[0].lower()
        if run and (word in FUNCTION or re.search(r"[^\s\"'“”‘’]", sentence[before.end() : match.start()])):
            break
        asks = asks or not run and word in ASKING
        if word not in FUNCTION:
            run.append(word)
    return singular(run[0] if asks else run[:MOST_RUN][-1]) if run else ""


def singular(word: str) -> str:
    """One of them, by the commonest endings.

    Example:
        >>> [singular(word) for word in ("stories", "boxes", "foxes", "glass", "analysis", "poems")]
        ['story', 'box', 'fox', 'glass', 'analysis', 'poem']
    """
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if re.search(r"(x|z|ch|sh|ss)es$", word):
        return word[:-2]
    return word[:-1] if len(word) > 3 and re.search(r"[^sui]s$", word) else word


class Variety:
    """Leading verbs and their objects, counted.

    Args:
        parse: what finds them; `lead` unless given.
    """

    def __init__(self, parse: Callable[[str], Lead | None] = lead):
        self.parse, self.pairs, self.unparsed = parse, Counter(), 0

    def add(self, instruction: str) -> None:
        found = self.parse(instruction)
        if found is None:
            self.unparsed += 1
        else:
            self.pairs[found] += 1

    def to_dict(self, parser: str = "plain rule") -> dict:
        """The 20 commonest verbs with their 4 commonest objects each, and the entropy of all.

        Returns:
            `parser`, `parsed`, `unparsed`, `verbs` (each `verb`, `count`, `objects` of `object` and `count`),
            `num_verbs`, `num_pairs`, `verb_entropy` and `pair_entropy`, in bits, of what was parsed. An entropy of H
            bits is that of 2^H equally common ones; it grows with the number of rows, so compare equal numbers.
        """
        verbs: Counter[str] = Counter()
        for pair, count in self.pairs.items():
            verbs[pair.verb] += count
        shown = []
        for verb, count in _commonest(verbs, MOST_VERBS):
            objects = Counter({pair.object: n for pair, n in self.pairs.items() if pair.verb == verb and pair.object})
            shown.append({"verb": verb, "count": count, "objects": [
                {"object": name, "count": n} for name, n in _commonest(objects, MOST_OBJECTS)]})
        return {"parser": parser, "parsed": sum(verbs.values()), "unparsed": self.unparsed, "num_verbs": len(verbs),
                "num_pairs": len(self.pairs), "verb_entropy": entropy(verbs.values()),
                "pair_entropy": entropy(self.pairs.values()), "verbs": shown}


def _commonest(counts: Counter, most: int) -> list[tuple[str, int]]:
    """The most common ones; of equally common ones those first in the alphabet."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]


def entropy(counts: Iterable[int]) -> float:
    """In bits, of the shares that these counts are.

    Example:
        >>> entropy([1, 1, 1, 1]), entropy([5]), entropy([])
        (2.0, 0.0, 0.0)
    """
    counts = [count for count in counts if count]
    total = sum(counts)
    return sum((count / total * math.log2(total / count) for count in counts), 0.0)


def by_spacy(name: str = "en_core_web_sm") -> Callable[[str], Lead | None]:
    """The same by a model of spaCy: the root of the first sentence that is a verb, and its direct object.

    Raises:
        ModuleNotFoundError: where spaCy or its model is not installed.
    """
    try:
        import spacy

        parser = spacy.load(name)
    except (ImportError, OSError):
        raise ModuleNotFoundError(
            f"--parser spacy needs spaCy and its model {name}; run `pip install spacy` and `python -m spacy download "
            f"{name}`, or leave out --parser, which takes a plain rule", name="spacy") from None

    def parse(instruction: str) -> Lead | None:
        for sentence in parser(instruction).sents:
            if sentence.root.pos_ == "VERB":
                objects = [child for child in sentence.root.children if child.dep_ in ("dobj", "obj")]
                return Lead(sentence.root.lemma_.lower(), objects[0].lemma_.lower() if objects else "")
        return None

    return parse
