"""The noise of a condition as a text for terminals and as a Markdown page."""

import textwrap

from losslab.config import recipe_of
from losslab.escaping import code, escape, plain
from losslab.report import words
from losslab.tables import Column, Table, left, name

WIDTH = 100
PARTS = {"initial_weights": "initial weights", "data_order": "data order", "remainder": "remainder"}


def text(document: dict) -> str:
    """Tables and sentences of at most 100 columns."""
    parts = []
    for title, said, table in _sections(document):
        parts.append("\n".join([title, *_lines(said), *([table.text(WIDTH, rule=True)] if table else [])]))
    return "\n\n".join([*parts, *("\n".join(_lines([f"note: {note}"])) for note in document["notes"])])


def markdown(document: dict, command: str = "") -> str:
    """The same as a page; `command` is what made it."""
    losses = " and ".join(condition["loss"] for condition in document["conditions"])
    parts = [f"# The noise of {escape(losses)} on {escape(document['corpus']['name'] or 'an unknown corpus')}"]
    if command:
        parts.append(f"Made by {code(command)}.")
    for title, said, table in _sections(document):
        parts += [f"## {escape(title[:1].upper() + title[1:])}", *map(escape, said)]
        parts += [table.markdown()] if table else []
    parts += ["## Every seed", _seed_by_seed(document).markdown()]
    if grid := document["components"]:
        parts += ["## Every pair of seeds", _pair_by_pair(grid["nll"]).markdown()]
    parts += [f"- {escape(note)}" for note in document["notes"]]
    corpus, config = document["corpus"], document["config"]
    model = config["model"]
    parts.append(escape(
        f"Corpus {corpus['name']}, digest {corpus['digest']}, tokenizer {corpus['tokenizer']}; model of "
        f"{model['n_layer']} layers, {model['n_head']} heads and width {model['n_embd']}; "
        f"{document['tokens_per_run'] or 0:,} tokens a run, learning rate {config['train']['learning_rate']:g}, "
        f"recipe {recipe_of(config)}. "
        f"{', '.join(f'{key} {words.value(found)}' for key, found in document['environment'].items())}."))
    return "\n\n".join(parts) + "\n"


def _sections(document: dict):
    """Title, sentences, and a table or None."""
    yield "noise floor: nll over seeds", _floor(document), _conditions(document)
    if document["pairing"]:
        yield "pairing by seed", _pairing(document["pairing"]), None
    if document["components"]:
        yield "where it comes from", _origin(document["components"]), _components(document["components"])
    if document["seeds_needed"]:
        yield "seeds needed", _seeds(document), _differences(document["seeds_needed"])


def _floor(document: dict) -> list[str]:
    return ["Intervals are at 95 %, and hold for values that are normal over seeds."]


def _conditions(document: dict) -> Table:
    columns = (name("loss", 20), Column("seeds"), Column("nll", document["unit"]), Column("standard deviation"),
               Column("[95 %]"))
    return Table(columns, [(each["loss"], f"{each['n']}", words.number(each["mean"]),
                            _sd(each["standard_deviation"]), _interval(each)) for each in document["conditions"]])


def _seed_by_seed(document: dict) -> Table:
    """The nll of every seed, a column for each loss."""
    each = document["conditions"]
    seeds = dict.fromkeys(seed for condition in each for seed in condition["nll"])
    return Table((Column("seed"), *(Column(condition["loss"], document["unit"]) for condition in each)),
                 [(seed, *(words.number(condition["nll"].get(seed)) for condition in each)) for seed in seeds])


def _pair_by_pair(nll: list[list[float]]) -> Table:
    """The nll of the crossed design: a row for each seed of the weights."""
    orders = (Column(f"data order {number}") for number in range(len(nll[0])))
    return Table((Column("initial weights"), *orders),
                 [(str(number), *map(words.number, row)) for number, row in enumerate(nll)])


def _pairing(found: dict) -> list[str]:
    spread = (f"The difference of two runs has the standard deviation {_sd(found['paired']['value'])} "
              f"{_interval(found['paired'])} where both have the same seed, and {_sd(found['unpaired'])} where they "
              f"have not ({found['n']} seeds).")
    if found["correlation"] is None:
        return ["One of the two losses has the same nll on every seed, so that there is no correlation.", spread]
    known = f" [{found['low']:.2f}, {found['high']:.2f}]" if found["low"] is not None else ""
    share = abs(found["saved"])
    helps = ("Pairing by seed helps" if (found["low"] or 0) > 0 else "Pairing by seed harms" if (found["high"] or 0) < 0
             else "It is not shown that pairing by seed helps")
    return [f"{helps}: the correlation over seeds is {found['correlation']:.2f}{known}, and in these runs pairing "
            f"{'saves' if found['saved'] >= 0 else 'costs'} {share:.0%} of the seeds.", spread]


def _origin(found: dict) -> list[str]:
    said = [f"{found['rows']} seeds of the initial weights x {found['columns']} of the data order, one run of each "
            "pair. The remainder is what neither explains alone: the way in which weights and order act together."]
    below = [PARTS[part] for part in PARTS if found[part]["variance"] < 0]
    if below:
        said.append(f"The estimate of {' and '.join(below)} is below 0 and shown as 0: nothing of it was seen in so "
                    "few runs.")
    if found["dropout"]:
        said.append(f"Dropout has the seed {found['dropout_seed']} in all of these runs, so that what another seed "
                    "of it adds is in none of the parts.")
    return said


def _components(found: dict) -> Table:
    columns = (left("part"), Column("standard deviation"), Column("[95 %]"), Column("share of the variance"))
    return Table(columns, [(title, _sd(found[part]["value"]), _interval(found[part]), f"{found[part]['share']:.0%}")
                           for part, title in PARTS.items()])


def _seeds(document: dict) -> list[str]:
    spread = document["difference"]
    basis = ("of two runs of one seed" if spread["of"] == "paired"
             else "of two runs that have nothing in common, as for one loss pairing is not known")
    return [f"Seeds of each arm that a test at level {document['level']:g} takes to show a true difference with a "
            f"chance of {document['power']:.0%}. It counts with the standard deviation {_sd(spread['value'])} "
            f"{_interval(spread)} of the difference {basis}; the range is that of its interval."]


def _differences(rows: list[dict]) -> Table:
    columns = (Column("difference", "nats/token"), Column("seeds"), Column("from"), Column("to"))
    return Table(columns, [(f"{row['difference']:g}", *(f"{row[key]:,}" for key in ("seeds", "low", "high")))
                           for row in rows])


def _sd(value: float | None) -> str:
    return words.number(value, 3)


def _interval(found: dict) -> str:
    return "–" if found["low"] is None else f"[{_sd(found['low'])}, {_sd(found['high'])}]"


def _lines(sentences) -> list[str]:
    return [line for sentence in sentences for line in textwrap.wrap(plain(sentence), WIDTH, break_on_hyphens=False)]
