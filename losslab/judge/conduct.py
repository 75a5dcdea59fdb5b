"""From completions to one document: what is asked, of whom, and what comes of it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from losslab import __version__
from losslab.config import DataConfig
from losslab.corpus import Corpus
from losslab.judge import grading, measures, summary
from losslab.judge.grading import Asking, Outcome, Task
from losslab.judge.local import Likelihood
from losslab.judge.prompts import Prompt, Written
from losslab.judge.protocols import PAIRWISE, Protocol
from losslab.judge.writing import Sampling
from losslab.progress import Progress, silent

MOST_REAL = 20_000  # held-out texts that are looked at for pieces of the right length


def tasks(written: Sequence[Written], prompts: Sequence[Prompt], protocol: Protocol, repeats: int) -> list[Task]:
    """Everything that is to be graded; of pairs, the first model with each other one, in both orders."""
    found = []
    if protocol is PAIRWISE:
        for other in written[1:]:
            for first, second in ((written[0], other), (other, written[0])):
                found += [Task((first.name, second.name), p, k, (prompt.shown, text, second.texts[p][k]), repeat)
                          for p, prompt in enumerate(prompts) for k, text in enumerate(first.texts[p])
                          for repeat in range(repeats) if text != second.texts[p][k]]
        return found
    for each in written:
        found += [Task(each.name, p, k, (prompt.shown, text), repeat) for p, prompt in enumerate(prompts)
                  for k, text in enumerate(each.texts[p]) for repeat in range(repeats)]
    return found


def ask(judge: Asking | Likelihood, protocol: Protocol, asked: Sequence[Task], *, at_once: int = 4,
        progress: Progress = silent) -> list[Outcome]:
    """One outcome for each task; likelihoods come in batches, answers of an endpoint several at once."""
    if isinstance(judge, Likelihood):
        return judge.run(protocol, asked, progress=progress)
    return grading.run(judge, protocol, asked, at_once=at_once, progress=progress)


def graded(written: Sequence[Written], protocol: Protocol, outcomes: Sequence[Outcome], repeats: int) -> dict:
    """`models`, with the grades of each, and `differences` from the first; of pairs, `pairs`."""
    names = [each.name for each in written]
    if protocol is PAIRWISE:
        texts = {(each.name, p, k): text for each in written for p, group in enumerate(each.texts)
                 for k, text in enumerate(group)}
        pairs = []
        for other in written[1:]:
            names = (written[0].name, other.name)
            of_both = [outcome for outcome in outcomes if set(outcome.task.model) == set(names)]
            pairs.append(summary.of_pairs([*of_both, *_same(written[0], other, repeats)], names, texts))
        return {"models": [{"model": each.name, "grades": {}, "failures": 0} for each in written], "pairs": pairs}
    by_model = {name: [outcome for outcome in outcomes if outcome.task.model == name] for name in names}
    return {
        "models": [{"model": name, **summary.of_model(by_model[name], protocol)} for name in names],
        "differences": [{"model": name, "against": names[0],
                         "grades": summary.difference(by_model[name], by_model[names[0]], protocol)}
                        for name in names[1:]],
    }


def _same(first: Written, second: Written, repeats: int) -> Iterator[Outcome]:
    """Two texts that are equal are a tie, which nobody is asked about."""
    for p, group in enumerate(first.texts):
        for k, text in enumerate(group):
            if text == second.texts[p][k]:
                for repeat in range(repeats):
                    for names in ((first.name, second.name), (second.name, first.name)):
                        yield Outcome(Task(names, p, k, ("", text, text), repeat), {"better": 3})


def measured(
    written: Sequence[Written], prompts: Sequence[Prompt], data: DataConfig | None, seed: int, progress: Progress,
) -> tuple[list[dict], list[str]]:
    """The measures of each model, each score with `held_out`, that of real texts of the same lengths; and notes.

    Args:
        data: the corpus whose `val` split gives real texts and whose `train` split is searched for copies; without
            one, neither is there.
    """
    if data is None:
        return [measures.of_texts(each.texts) for each in written], []
    corpus, beginnings = Corpus.open(data, progress=progress), [prompt.text for prompt in prompts]
    real = held_out(data, progress)
    if not real:
        raise ValueError(f"the val split of {corpus.name} has no words, so that there is nothing to compare with; give "
                         "another text with --corpus, or leave out the measures with --no-measures")
    pieces = [measures.alike(each.texts, beginnings, real, random.Random(seed).randrange) for each in written]
    sets = [texts for each, alike in zip(written, pieces, strict=True) for texts in (each.texts, alike)]
    split = [[measures.words(text) for group in texts for text in group] for texts in sets]
    copied = measures.Copied([text for texts in split for text in texts], _texts(corpus, "train", progress=progress))
    found, at = [], 0
    for texts in sets:
        found.append(measures.of_texts(texts, copied, first=at))
        at += sum(map(len, texts))
    for own, theirs in zip(found[::2], found[1::2], strict=True):
        for name in own:
            own[name]["held_out"] = theirs[name]
    notes = [f"held-out texts are pieces of the val split of {corpus.name}, each as long as a completion; copies are "
             f"searched in its train split of {corpus.num_bytes['train']:,} bytes"]
    if short := sum(len(b) < len(a) for one, other in zip(split[::2], split[1::2], strict=True)
                    for a, b in zip(one, other, strict=True)):
        notes.append(f"{short} of {sum(map(len, split[1::2]))} of these pieces are shorter than the completion, since "
                     "no held-out text was long enough")
    return found[::2], notes


def held_out(data: DataConfig, progress: Progress = silent) -> list[str]:
    """The texts of the `val` split that have words, up to `MOST_REAL`."""
    corpus = Corpus.open(data, progress=progress)
    return [text for text in _texts(corpus, "val", MOST_REAL) if measures.words(text)]


def _texts(corpus: Corpus, split: str, most: int | None = None, progress: Progress = silent) -> Iterator[str]:
    documents = corpus.documents(split)
    for number, document in enumerate(documents):
        if number == most:
            return
        progress(f"searching the {split} split of {corpus.name}", number, len(documents), "documents")
        yield corpus.tokenizer.decode(document.tokens)


def about(prompts: Sequence[Prompt], protocol: Protocol, sampling: Sampling, repeats: int) -> dict:
    """What was asked: the protocol with the digest of its wording, prompts, how completions were written."""
    from losslab.judge.cache import key

    return {
        "protocol": protocol.name, "protocol_digest": protocol.digest, "repeats": repeats,
        "num_prompts": len(prompts), "prompts_digest": key([prompt.text for prompt in prompts])[:12],
        "sampling": asdict(sampling), "version": __version__,
    }
