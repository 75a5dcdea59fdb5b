"""WikiText-2, by pages and as one stream: two numbers that papers give under one name."""

import re
from dataclasses import replace

from losslab.corpus import Corpus
from losslab.evaluate import benchmark_rows
from losslab.evaluate.likelihood import measure, text_documents
from losslab.evaluate.task import Settings, TaskResult

FILES = ("wikitext2/wiki.test.raw", "wiki.test.raw", "wikitext2/test.raw", "wikitext2/validation.raw.stripped.txt",
         "validation.raw.stripped.txt")
HUB = ("Salesforce/wikitext", "wikitext-2-raw-v1", "test", ("text",))
OFFICIAL_BYTES = 1_290_590  # of the test text as it was published, blank lines and all
PAGE = re.compile(r"^ ?= [^=\r\n]+ = ?\r?$", re.MULTILINE)  # a title; headings inside a page have more signs
QUOTED = ("perplexity", "word_perplexity", "bits_per_byte")
RULES = [
    "pages: each page by itself after an end mark; stream: the whole text as one document without an end; both in "
    "windows of the model's context",
    "words are those of str.split and bytes those of the text that was scored; nothing is detokenized",
]


def run(model, tokenizer, settings: Settings) -> TaskResult:
    """The test text if the folder of benchmarks has it, else its validation text; without a folder, the hub's test.

    Reference:
        Merity et al., Pointer Sentinel Mixture Models, ICLR 2017.
    """
    path = benchmark_rows.find(settings.benchmarks, FILES)
    if path is not None:
        return score(model, tokenizer, benchmark_rows.text(path), path.name, settings)
    lines = (row["text"] for row in benchmark_rows.hub_rows(*HUB))
    return score(model, tokenizer, "".join(line or " \n" for line in lines), "test, from the hub", settings)


def score(model, tokenizer, text: str, source: str, settings: Settings) -> TaskResult:
    """Likelihood of the text by pages and as one stream; `source` says which text it is.

    A text in which no title stands has no pages, and no score that is named after them.
    """
    corpus = Corpus.open(settings.data, tokenizer=tokenizer) if settings.data else None
    by_page = text_documents(pages(text), tokenizer) if PAGE.search(text) else []
    stream = text_documents([text], tokenizer, ends=False)
    whole = replace(settings, limit=0)
    parts = [measure(model, by_page, tokenizer, settings, corpus=corpus, name="pages")] if by_page else []
    if not settings.limit or not by_page:
        parts.append(measure(model, stream, tokenizer, whole, corpus=corpus, name="stream"))
    named = {f"{part.name}_{name}": score for part in parts for name, score in part.scores.items()
             if name.split("_stride_")[0] in QUOTED}
    notes = [f"the text is {source}", *RULES]
    if not by_page:
        notes.append("no title of a page, ` = Title = ` on a separate line, is in it, so nothing is scored by pages")
    if len(text.encode()) != OFFICIAL_BYTES:
        notes.append(f"this is not the published test text of {OFFICIAL_BYTES:,} bytes, so published numbers differ")
    counts = {"pages": len(by_page), "bytes": len(text.encode()), "words": len(text.split()),
              "tokens": len(stream[0].tokens)}
    return TaskResult("wikitext2", named, counts, notes, parts, is_evidence=not settings.limit)


def pages(text: str) -> list[str]:
    """The text cut before each title; joined again it is the same text.

    Example:
        >>> pages(" = One = \\n text \\n = Two = \\n more \\n")
        [' = One = \\n text \\n', ' = Two = \\n more \\n']
    """
    starts = [match.start() for match in PAGE.finditer(text)]
    edges = [0, *(start for start in starts if text[:start].strip()), len(text)]
    return [text[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]
