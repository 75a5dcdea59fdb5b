"""A study in stages, for people: a page, Markdown, and a few lines for a terminal."""

from pathlib import Path

from losslab.escaping import block, escape
from losslab.report import judgement, marks, page, words
from losslab.report.document import finite
from losslab.tables import Column, Table, left, name
from losslab.words import printable

LONGEST = 1_500  # characters of a text on the page
PERPLEXITIES = ("Plain cross-entropy of the validation text, whole, in disjoint windows of so many tokens. Answers "
                "alone are read after their prompts; all tokens are prompts and answers. ± is one standard error over "
                "documents. Perplexities are comparable between rows with the same text, tokens, window and tokenizer")
DIFFERS = "Everything that was set otherwise than in the published set-up"


def write(document: dict, path: str | Path) -> Path:
    """Write `path` (HTML), and `.md` and `.json` of the same stem next to it; return the path of the page."""
    document = finite(document)
    return page.save(page.page_at(path), html(document), markdown(document), document)


def html(document: dict, fill=page.filled) -> str:
    """The page as text."""
    return fill(
        "staged.html.j2", document, charts(document), title=document["name"], lede=lede(document),
        perplexities=perplexities(document), published=published(document), differences=differences(document),
        stages=stages(document), texts=texts(document), samples=samples(document), graded=graded(document),
        captions={"perplexities": PERPLEXITIES, "differences": DIFFERS}, remarks=remarks(document))


def lede(document: dict) -> str:
    done = ", ".join(stage["name"] for stage in document["stages"])
    scale = f" at the scale {document['scale']}" if document["scale"] else ""
    return f"{document['question']} Stages{scale}: {done}."


def remarks(document: dict) -> list[str]:
    """That the published figures are others, where they come from, and what differs at every scale."""
    source = document["published"].get("source")
    return [one for one in (document["not_comparable"], f"Source: {source}." if source else "") if one]


# --- tables ------------------------------------------------------------------------------------

def perplexities(document: dict) -> Table:
    """A row for each model, text, and what of it is scored."""
    return Table((name("model"), left("text"), left("scored"), Column("window", "tokens"), left("tokenizer"),
                  Column("nll", "nats/token"), Column("perplexity", "per token")),
                 [(row["model"], row["text"], row["of"], f"{row['window']:,}", row["tokenizer"],
                   words.score(row["nll"], n=False), words.score(row["perplexity"], n=False))
                  for row in document["perplexities"]])


def published(document: dict) -> Table | None:
    """The published figures."""
    found = document["published"].get("figures", [])
    return Table((name("stage"), left("measure"), Column("published"), left("unit")),
                 [(one["label"], one["measure"], words.number(one["value"], 4), one["unit"]) for one in found]
                 ) if found else None


def differences(document: dict) -> Table | None:
    """Each setting that is not the published one."""
    rows = [(one["stage"], one["setting"], one["published"], one["here"]) for one in document["differences"]]
    return Table((name("stage"), left("setting"), Column("published"), Column("here")), rows) if rows else None


def stages(document: dict) -> Table:
    """What was done, stage by stage."""
    rows = []
    for stage in document["stages"]:
        runs = stage["kind"] == "train"
        rows.append((stage["name"], stage["kind"], stage["status"], f"{stage['steps']:,}" if runs else "–",
                     f"{stage['tokens']:,}" if runs and stage["tokens"] else "–",
                     words.duration(stage["seconds"]) if runs else "–", stage.get("run") or stage.get("file")
                     or Path(stage.get("report", "")).name))
    return Table((name("stage"), left("kind"), left("status"), Column("updates"), Column("tokens"), Column("training"),
                  left("where")), rows)


def texts(document: dict) -> Table:
    """The texts that the stages were trained on."""
    rows = [(one["stage"], one["name"], one["tokenizer"], one["digest"],
             *(f"{one['tokens'][split]:,}" for split in ("train", "tune", "val"))) for one in document["corpora"]]
    return Table((name("stage"), left("text"), left("tokenizer"), left("digest"), Column("train", "tokens"),
                  Column("tune", "tokens"), Column("val", "tokens")), rows)


def samples(document: dict) -> list[dict]:
    """What was written: of each stage one group, of instructions one with an input and one without."""
    found = []
    for stage in document["texts"]:
        groups = {True: [], False: []}
        for row in stage["shown"]:
            groups[row["has_input"]].append(row)
        for has_input, rows in groups.items():
            if rows:
                kind = (", with an input" if has_input else ", without an input") if groups[True] else ""
                found.append({"title": f"{stage['stage']}{kind}", "rows": [
                    row | {"held_out": _cut(row["held_out"]),
                           "by": [one | {"text": _cut(one["text"])} for one in row["by"]]} for row in rows],
                              "caption": _caption(stage)})
    return found


def _caption(stage: dict) -> str:
    return (f"the first of {words.plural(stage['num_prompts'], 'prompt')} from the validation text or a file, and the "
            f"first of {words.plural(stage['completions'], 'text')} that each model wrote, at temperature "
            f"{stage['temperature']:g}; nothing was chosen")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} [...]"


def graded(document: dict) -> list[dict]:
    """Grades and measures of each stage that judges."""
    return [{"title": one["stage"], "lede": judgement.lede(one), "said": judgement.said(one),
             "tables": judgement.tables(one)} for one in document["judgements"]]


# --- charts ------------------------------------------------------------------------------------

def charts(document: dict) -> dict[str, dict]:
    """The learning curve of each run, by the name `curve-STAGE`."""
    made = {f"curve-{curve['stage']}": _curve(curve) for curve in document["curves"]}
    return {key: marks.plain(chart) for key, chart in made.items() if chart is not None}


def _curve(curve: dict):
    import altair as alt

    rows = [{"step": step, "nll": nll, "of": of} for of, key in (("batches", "train"), ("tune", "tune"))
            for step, nll in curve[key]]
    if not rows:
        return None
    x = alt.X("step:Q", title="updates", axis=alt.Axis(format=",d", tickCount=5), scale=alt.Scale(nice=False))
    y = alt.Y("nll:Q", title="nll, nats/token", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    shades = alt.Color("of:N", legend=None, scale=alt.Scale(domain=["batches", "tune"],
                                                           range=["var(--muted)", "var(--arm-1)"]))
    base = alt.Chart(alt.InlineData(values=rows))
    tips = [alt.Tooltip("of:N"), alt.Tooltip("step:Q", format=",d"), alt.Tooltip("nll:Q", format=".4f")]
    layers = [base.transform_filter("datum.of === 'batches'").mark_line(strokeWidth=1, opacity=0.6).encode(
                  x=x, y=y, color=shades),
              base.transform_filter("datum.of === 'tune'").mark_line(strokeWidth=2, point={"size": 30}).encode(
                  x=x, y=y, color=shades, tooltip=tips)]
    return alt.layer(*layers).properties(width="container", height=260, description=(
        f"nll of {curve['stage']} against updates: of training batches thin, on a fixed part of tune thick"))


# --- text --------------------------------------------------------------------------------------

def text(document: dict) -> str:
    """For a terminal."""
    parts = [f"Perplexities:\n{perplexities(document).text(indent='  ')}"]
    for one in graded(document):
        wanted = [(title, table) for title, _, table in one["tables"] if title in ("Grades", "The texts")]
        parts += [f"{one['title']}: {title}\n{table.text(indent='  ')}" for title, table in wanted]
    return "\n\n".join([*parts, *map(printable, remarks(document))])


def markdown(document: dict) -> str:
    """The same as the page, without its charts."""
    parts = [f"# {escape(document['name'])}", escape(lede(document)), *map(escape, remarks(document)),
             "## Perplexities", perplexities(document).markdown(), escape(f"{PERPLEXITIES}.")]
    if (table := published(document)) is not None:
        parts += ["## Published", table.markdown()]
    parts += ["## What differs from the published set-up",
              table.markdown() if (table := differences(document)) else "No setting differs.",
              "\n".join(f"- {escape(one)}" for one in document["notes"])]
    for group in samples(document):
        parts += [f"## Written: {escape(group['title'])}", escape(f"{group['caption']}.")]
        for row in group["rows"]:
            parts += [block(row["prompt"]), *(part for one in row["by"] for part in (
                f"{escape(one['model'])}:", block(one["text"] or "(nothing)")))]
            parts += [escape("held out:"), block(row["held_out"])] if row["held_out"] else []
    for one in graded(document):
        parts += [f"## Judged: {escape(one['title'])}", escape(one["lede"]),
                  "\n".join(f"- {escape(said)}" for said in one["said"])]
        for title, caption, table in one["tables"]:
            parts += [f"### {title}", table.markdown(), escape(f"{caption}.") if caption else ""]
    parts += ["## Stages", stages(document).markdown(), "## Texts", texts(document).markdown(),
              escape(f"{document['command']}, losslab {document['version']}")]
    return "\n\n".join(part for part in parts if part) + "\n"
