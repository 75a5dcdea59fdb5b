"""What a judge said of models, for people: tables, Markdown, and a page. Takes the document of `losslab judge`."""

from pathlib import Path

from losslab.escaping import block, escape
from losslab.report import page, words
from losslab.report.document import finite
from losslab.tables import Column, Table, left, name

CAPTION = ("± is one standard error and n counts prompts: completions of one prompt resemble each other, so that "
           "errors are clustered by prompt")
CONTROL_CAPTION = "the same judge on held-out texts, as they are and spoiled; ± is one standard error over these texts"
MEASURES_CAPTION = ("each next to the same measure of pieces of held-out texts, as long as the completions; ± is one "
                    "standard error over prompts")


def write(document: dict, path: str | Path) -> Path:
    """Write `path` (HTML), and `.md` and `.json` of the same stem next to it; return the path of the page."""
    document = finite(document)
    return page.save(path, html(document), markdown(document), document)


def html(document: dict, fill=page.filled) -> str:
    """The page as text."""
    return fill("judgement.html.j2", document, {}, title=title(document), lede=lede(document),
                tables=tables(document), said=said(document), samples=document.get("samples", []))


def title(document: dict) -> str:
    return " against ".join(names(document))


def lede(document: dict) -> str:
    """What was judged, by whom, by which protocol."""
    sampling = document["sampling"]
    texts = (f"{words.plural(document['num_prompts'], 'prompt')}, "
             f"{words.plural(sampling['completions'], 'completion')} each of at most {sampling['num_tokens']:,} tokens "
             f"at temperature {sampling['temperature']:g}")
    judge = document["judge"]
    if judge is None:
        return f"{texts}; no judge was asked, and what follows is measured on the texts alone."
    times = f", {document['repeats']} times" if document["repeats"] > 1 else ""
    is_local = judge["kind"] == "likelihood"
    who = f"the likelihoods of {judge['model']}" if is_local else f"{judge['model']} at {judge['at']}"
    return f"{texts}; graded{times} by {who}, protocol {document['protocol']} (wording {document['protocol_digest']})."


def said(document: dict) -> list[str]:
    """Sentences: verdicts, agreement, what failed, what was paid, notes."""
    found = [pair["verdict"] for pair in document.get("pairs", [])]
    for pair in document.get("pairs", []):
        found.append(_order(pair))
    for model in document["models"]:
        if model["failures"]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in model["failure_reasons"].items())
            found.append(f"{model['model']}: {model['failures']} of {model['asked']} gradings failed and are no "
                         f"grades: {reasons}")
        if agreed := model.get("agreement"):
            values = ", ".join(f"{grade.replace('_', ' ')} {words.ratio(value)}"
                               for grade, value in agreed["grades"].items())
            found.append(f"{model['model']}: {agreed['coefficient']}: {values}")
    return found + document.get("control", {}).get("said", []) + document["notes"]


def _order(pair: dict) -> str:
    failed = f", failures {pair['failures']}" if pair["failures"] else ""
    shares = [f"{text} {100 * pair[key]['value']:.0f} % (n={pair[key]['n']})" for key, text in (
        ("first_position_chosen", "the text shown first is preferred in"),
        ("flipped_by_order", "the other order turns the judgement over in"),
        ("longer_text_wins", "the longer text wins")) if pair.get(key, {}).get("value") is not None]
    return f"wins {pair['wins']}, losses {pair['losses']}, ties {pair['ties']}{failed}; {', '.join(shares)}"


def grades(document: dict) -> Table | None:
    """One line for each grade: every model's score, and the difference from the first."""
    models = [model for model in document["models"] if model["grades"]]
    if not models:
        return None
    differences = {one["model"]: one["grades"] for one in document.get("differences", [])}
    columns = [left("grade")]
    for model, shown in zip(models, names(document), strict=True):
        columns.append(Column(shown))
        if model["model"] in differences:
            columns += [Column("difference", "95 %"), Column("p", "Holm")]
    rows = []
    for grade in models[0]["grades"]:
        row = [grade.replace("_", " ")]
        for model in models:
            row.append(words.score(model["grades"][grade]))
            if found := differences.get(model["model"], {}).get(grade):
                row += [words.difference(found), words.p_value(found["p_value"])]
        rows.append((*row, models[0]["grades"][grade]["unit"]))
    return Table([*columns, left("unit")], rows)


def control(document: dict) -> Table | None:
    """One line for each kind of text by which the judge was checked."""
    if not (found := document.get("control")):
        return None
    kinds = found["kinds"]
    columns = [left("texts"), *(Column(grade.replace("_", " ")) for grade in kinds[0]["grades"]), Column("failures")]
    return Table(columns, [
        (kind["model"], *(words.score(score, n=False) for score in kind["grades"].values()), str(kind["failures"]))
        for kind in kinds])


def measures(document: dict) -> Table | None:
    """One line for each measure of the texts: every model's, and that of held-out texts of the same lengths."""
    models = [model for model in document["models"] if "measures" in model]
    if not models:
        return None
    columns, rows = [left("measure")], [[key] for key in models[0]["measures"]]
    for model, shown in zip(models, names(document), strict=True):
        has_real = any("held_out" in score for score in model["measures"].values())
        columns += [Column(shown), *[Column("held-out", "same lengths")] * has_real]
        for row in rows:
            score = model["measures"][row[0]]
            row += [words.score(score, n=False), *[words.score(score.get("held_out"), n=False)] * has_real]
    units = [models[0]["measures"][row[0]]["unit"] for row in rows]
    return Table([*columns, left("unit")], [
        (row[0].replace("_", " "), *row[1:], unit) for row, unit in zip(rows, units, strict=True)])


def names(document: dict) -> list[str]:
    """What the models are called in tables: the last part of a path, where that tells them apart."""
    every = [model["model"] for model in document["models"]]
    last = [Path(name).name or name for name in every]
    return last if len(set(last)) == len(every) else every


def grammar(document: dict) -> Table | None:
    """BLiMP of each model; chance is 0.5."""
    rows = [(model["model"], words.score(model["blimp"])) for model in document["models"] if "blimp" in model]
    return Table([name("model"), Column("BLiMP accuracy", "chance 0.5")], rows) if rows else None


def meanings(document: dict) -> Table | None:
    """What each measure is."""
    told = document.get("measures_about") or {}
    return Table([left("measure"), left("what it is")], [(key.replace("_", " "), about) for key, about in told.items()]
                 ) if told else None


def spend(document: dict) -> Table | None:
    """Calls and tokens: estimated, paid, and kept from before."""
    if not (paid := document.get("spend")):
        return None
    before = document["estimate"]
    rows = [("calls", before["calls"], paid["calls"], paid["kept_calls"]),
            ("tokens in", before["tokens_in"], paid["tokens_in"], paid["kept_tokens_in"]),
            ("tokens out", before["tokens_out"], paid["tokens_out"], paid["kept_tokens_out"])]
    table = [(what, *(f"{value:,}" for value in values)) for what, *values in rows]
    if paid["money"] is not None:
        table.append(("money", *(f"{value:.4f}" for value in (before["money"], paid["money"], paid["kept_money"]))))
    return Table([left(""), Column("estimated"), Column("paid now"), Column("kept from before")], table)


def tables(document: dict) -> list[tuple[str, str, Table]]:
    """Titles, captions and tables, of those that there are."""
    found = [("Grades", CAPTION, grades(document)), ("The judge", CONTROL_CAPTION, control(document)),
             ("The texts", MEASURES_CAPTION, measures(document)),
             ("Grammar", "minimal pairs of which the model finds the good sentence likelier", grammar(document)),
             ("What the measures are", "", meanings(document)), ("Cost", "", spend(document))]
    return [(title, caption, table) for title, caption, table in found if table is not None]


def text(document: dict) -> str:
    """For a terminal."""
    parts = [lede(document)]
    for title, _, table in tables(document):
        if title not in ("What the measures are", "Cost"):
            parts.append(f"{title}:\n{table.text(indent='  ')}")
    return "\n\n".join([*parts, "\n".join(said(document))]).rstrip()


def markdown(document: dict) -> str:
    """The same as Markdown, with samples."""
    parts = [f"# Judged: {escape(title(document))}", escape(lede(document))]
    parts.append("\n".join(f"- {escape(one)}" for one in said(document)))
    for heading, caption, table in tables(document):
        parts += [f"## {heading}", table.markdown(), escape(f"{caption}.") if caption else ""]
    for sample in document.get("samples", []):
        parts += [f"## {escape(sample['model'])}: a sample", block(sample["prompt"] + " [...]" + sample["text"])]
        if sample["assessment"]:
            parts += [escape("The judge's assessment:"), block(sample["assessment"])]
    parts.append(escape(f"{document['command']}, losslab {document['version']}"))
    return "\n\n".join(part for part in parts if part) + "\n"
