"""A document as Markdown: the same facts for a pull request or a notebook."""

from losslab.escaping import block, code, escape
from losslab.report import arm_tables, fine_tuning, match, published, signals, summary, text, tuning, words
from losslab.tables import Table, left, name

ARMS = ("loss", "nll", "difference [95 % interval]", "p (Holm)", "bits/byte", "verdict")


def markdown(document: dict) -> str:
    """Tables first, samples and sources at the end; whatever came from a run is escaped."""
    parts = [
        f"# {escape(document['verdict'])}",
        escape(text.asked(document)),
        arm_tables.arms(document, document["arms"]).only(*ARMS).markdown(),
        f"{escape('; '.join(words.extent(document)))}; {escape(text.corpus(document))}.",
        *map(escape, document["corpus"]["notes"]),
        escape(document["note"] or ""),
    ]
    if document["warnings"]:
        parts.append("\n".join(f"- {escape(warning)}" for warning in document["warnings"]))
    if document["matching"]:
        parts += [f"## Equal tokens, equal {document['matching']['by']}", match.table(document["matching"]).markdown()]
    parts += ["## Every arm", summary.table(document).markdown(), escape(f"{summary.CAPTION}.")]
    if document["published"]:
        parts += ["## Published", published.table(document).markdown()]
        parts += [f"{escape(told)}." for told in published.remarks(document)]
    if tuning.tuned(document):
        parts += ["## Tuning", tuning.summary(document).markdown(), tuning.trials(document).markdown()]
    if fine_tuning.told(document):
        parts += ["## Fine-tuning: before and after", fine_tuning.table(document).markdown(), fine_tuning.CAPTION]
    parts += ["## Training", signals.summary(document).markdown()]
    parts += [f"- {escape(kind)}: try {escape(told)}" for kind, told in signals.advice(document)]
    parts += ["## Scores", arm_tables.scores(document).markdown(), "## Every seed: nll, nats/token",
              arm_tables.seeds(document).markdown(), "## Cost", arm_tables.brief_costs(document).markdown()]
    if document["others"]:
        others = arm_tables.arms(document, document["others"])
        parts += [f"## {words.plural(len(document['others']), 'other arm')}", others.only(*ARMS).markdown()]
    parts += ["## Samples", *_samples(document), "## Repeat it"]
    if document["command"]:
        parts.append(block(document["command"]))
    settings = {**document["settings"], **document["environment"]}
    rows = [(str(key), words.value(value)) for key, value in settings.items()]
    parts.append(Table((name("setting"), left("value")), rows).markdown())
    for loss in document["losses"]:
        parts += [f"{code(loss['path'])}, sha256 {code(loss['sha256'])}", block(loss["source"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _samples(document: dict) -> list[str]:
    parts = []
    for arm in document["arms"]:
        for sample in arm["samples"][:1]:
            parts += [code(arm["name"]), block(sample["prompt"] + continuation(sample))]
    return parts


def continuation(sample: dict) -> str:
    """What the model wrote after the prompt, whether or not the text repeats the prompt."""
    return sample["text"].removeprefix(sample["prompt"])
