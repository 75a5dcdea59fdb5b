"""A ladder for people: the page of its fit, with the verdict of every rung and what else a ladder has."""

from pathlib import Path

from losslab import __version__
from losslab.report import ladder_charts, page, scaling, scaling_charts, words
from losslab.tables import Column, Table, left, name

MOST_PAIRS = 10


def write(document: dict, path: str | Path) -> Path:
    """Write `path` (HTML), and `.md` and `.json` of the same stem next to it; return the path of the page."""
    return page.save(path, html(document), markdown(document), document)


def html(document: dict, fill=page.filled) -> str:
    """The page as text."""
    own = ladder_charts.charts(document)
    return fill(
        "scaling.html.j2", document, scaling_charts.charts(document) | own, version=__version__, lede=lede(document),
        headlines=scaling.headlines(document), sections=scaling.sections(document) + sections(document),
        titles=scaling_charts.titles(document) | ladder_charts.titles(document),
        extrapolated=any(one["extrapolated"] for part in (document, *document.get("multipliers", ()))
                         for one in part.get("forecasts", ())),
    )


def text(document: dict) -> str:
    """For a terminal."""
    return scaling.text(document, lede(document), sections(document))


def markdown(document: dict) -> str:
    """The same as Markdown."""
    return scaling.markdown(document, lede(document), sections(document))


def lede(document: dict) -> str:
    """What was asked and fitted, and what N and the learning rate are."""
    rungs = document["rungs"]
    said = [document["question"]] if document["question"] else []
    if "objective" in document:
        said.append(scaling.lede(document))
    said.append(f"{words.plural(len(rungs), 'rung')}, {words.plural(len(document['rows']), 'run')}. N counts "
                f"{document['params']}, and tokens per parameter are of that N. The rule of the learning rate is "
                f"{document['rate']['rule']}: {document['rate']['formula']}.")
    return " ".join(said)


def sections(document: dict) -> list[tuple[str, Table]]:
    """Title and table of what a ladder has besides a fit."""
    found = [("verdicts of the rungs", _verdicts(document)), ("size and compute of the rungs", _rungs(document))]
    if document["floor"]:
        found.insert(0, ("the fitted E and the entropy of the text, which no model goes below", _floor(document)))
    if document["rates"]:
        found.append(("learning rates", _rates(document)))
    for one in document["together"]:
        found.append((f"bits per byte and {one['measure']}", _correlations(one)))
        found.append((f"{one['measure']} as a function of size or loss", _forms(one, document)))
        if one["disagreeing"]:
            found.append((f"pairs that disagree, {one['num_disagreeing']:,} of {one['pairs']:,}", _pairs(one)))
    if document["validation"]:
        found.append(("size of the validation set", _validation(document)))
    if document["decay"]:
        found.append(("what the decay of the learning rate takes off", _decay(document)))
    if document["published"].get("figures"):
        found.append((f"published: {document['published'].get('source', '')}", _published(document)))
    return found


def _verdicts(document: dict) -> Table:
    rows = []
    for rung in document["rungs"]:
        for arm in rung["arms"]:
            found = arm["difference"]
            rows.append((
                rung["name"], arm["name"], words.score(arm["nll"], n=False) if arm["nll"] else arm["status"],
                words.difference(found) if found else "baseline" if arm["outcome"] == "baseline" else "–",
                words.p_value(found["p_holm"]) if found else "–", words.number(arm["learning_rate"], 3),
                arm["outcome"]))
    return Table((name("rung"), name("loss", least=16), Column("nll", "nats/token"),
                  Column("difference [95 % interval]"), Column("p (Holm)"), Column("learning rate"), left("verdict")),
                 rows)


def _floor(document: dict) -> Table:
    truth, rows = document["floor"]["nll"], []
    for arm, law in {document.get("baseline") or "all runs": document, **document.get("arms", {})}.items():
        if (own := law.get("E")) is not None:
            known = own.get("low") is not None
            rows.append((arm, words.number(own["value"]), scaling.interval(own), words.number(truth),
                         "–" if not known else "yes" if own["low"] <= truth <= own["high"] else "no"))
    return Table((name("loss", least=16), Column("E", "nats/token"), Column("[95 %]"),
                  Column("entropy", "nats/token"), left("interval holds it")), rows)


def _rungs(document: dict) -> Table:
    rows = []
    for rung in document["rungs"]:
        own = rung["counts"]
        rows.append((rung["name"], f"{own['num_params']:,}", f"{own['num_params_with_head']:,}",
                     f"{own['num_params_non_embedding']:,}", f"{own['num_tokens']:,}",
                     words.number(rung["tokens_per_param"], 3), words.number(rung["epochs"], 3),
                     scaling.large(rung.get("flops", own["flops_6nd"]), 3), scaling.large(own["flops"], 3)))
    return Table((name("rung"), Column("parameters"), Column("with head"), Column("without embeddings"),
                  Column("tokens"), Column("tokens/param"), Column("epochs"), Column("C = 6ND", "FLOP"),
                  Column("exact", "FLOP")), rows)


def _rates(document: dict) -> Table:
    return Table((name("loss", least=16), Column("exponent of C"), Column("tuned at"), Column("rates"),
                  Column("farthest from the law", "factor")), [
        (arm, words.number(law["exponent"], 3), ", ".join(scaling.large(flops, 2) for flops in law["flops"]),
         ", ".join(words.number(rate, 3) for rate in law["rates"]), words.number(law["farthest"], 3))
        for arm, law in document["rates"].items()])


def _correlations(one: dict) -> Table:
    rows = [(f"sizes, {arm}", *_correlation(found)) for arm, found in one["sizes"].items()]
    rows.append(("seeds, all arms and rungs", *_correlation(one["seeds"])))
    return Table((name("over"), Column("Spearman's rho"), Column("[95 %]"), Column("values")), rows)


def _correlation(found: dict) -> tuple[str, str, str]:
    ends = "–" if found["low"] is None else f"[{found['low']:.2f}, {found['high']:.2f}]"
    return "–" if found["rho"] is None else f"{found['rho']:.2f}", ends, str(found["n"])


def _forms(one: dict, document: dict) -> Table:
    rows = [(form["formula"], _few(form["rms"]), _few(form["ahead"]),
             ", ".join(f"{key} {words.number(value, 3)}" for key, value in (form["constants"] or {}).items()) or
             "too few sizes") for form in one["forms"]]
    if "residuals" in document:
        away = document["residuals"]["root_mean_square"]
        rows.append((f"next to it, the law of the nll: {document['formula']}", f"{words.number(away, 3)} nats/token",
                     "–", "see above"))
    return Table((left("form"), Column("residual", "root mean square"), Column("largest size, forecast by the others"),
                  left("constants")), rows)


def _few(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _pairs(one: dict) -> Table:
    return Table((name("fewer bits"), name("higher score"), Column("bits/byte"), Column("score"), left("")), [
        (f"{pair['better_loss'][0]}, {pair['better_loss'][1]}", f"{pair['worse_loss'][0]}, {pair['worse_loss'][1]}",
         f"{pair['bits_per_byte']:+.4f}", f"{pair['score']:+.4f}",
         "both beyond 2 standard errors" if pair["sure"] else "within the noise")
        for pair in one["disagreeing"][:MOST_PAIRS]])


def _validation(document: dict) -> Table:
    return Table((name("rung"), Column("share of the set"), Column("documents"), Column("standard error", "nats/token"),
                  Column("deviation over seeds", "nats/token")), [
        (row["rung"], f"{row['share']:.3g}", f"{row['documents']:,}", words.number(row["stderr"], 3),
         words.number(row["seed_sd"], 3)) for row in document["validation"]])


def _decay(document: dict) -> Table:
    return Table((name("rung"), name("loss", least=16), Column("share of the run"), Column("nll on tune before"),
                  Column("at the end"), Column("taken off", "nats/token")), [
        (row["rung"], row["arm"], f"{row['share']:g}", words.number(row["before"]), words.number(row["after"]),
         f"{row['takes_off']:.4f}") for row in document["decay"]])


def _published(document: dict) -> Table:
    return Table((name("label", least=16), left("measure"), left("unit"), Column("published")), [
        (figure["label"], figure["measure"], figure["unit"], words.number(figure["value"], 5))
        for figure in document["published"]["figures"]])
