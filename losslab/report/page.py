"""A document as one self-contained HTML file, with its Markdown and its JSON next to it."""

import base64
import functools
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from losslab import records
from losslab.report import arm_tables, fine_tuning, match, published, signals, summary, tuning, words
from losslab.report.as_markdown import markdown
from losslab.report.charts import charts
from losslab.report.marks import beyond, styles
from losslab.report.text import told

HERE = Path(__file__).parent
STILL_WIDTH = 760  # pixels of the drawings that stand in where scripts are off


def write(document: dict, path: str | Path) -> Path:
    """Write `path` (HTML), and `.md` and `.json` of the same stem next to it; return the path of the page."""
    return save(path, html(document), markdown(document), document)


def save(path: str | Path, page: str, text: str | None = None, document: dict | None = None) -> Path:
    """Write a page, and Markdown and JSON of the same stem where they are given."""
    path = page_at(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8", newline="\n")
        if text is not None:
            path.with_suffix(".md").write_text(text, encoding="utf-8")
        if document is not None:
            records.write_json(path.with_suffix(".json"), document)
    except OSError as error:
        raise ValueError(f"cannot write the page {path}: {error.strerror}; give a writable place") from None
    return path


def page_at(path: str | Path) -> Path:
    """Where a page that is to go to `path` is written: its name ends in .html."""
    path = Path(path)
    return path if path.suffix.lower() in (".html", ".htm") else path.with_name(f"{path.name}.html")


def html(document: dict, fill: Callable | None = None) -> str:
    """The page as text.

    Args:
        document: of a comparison.
        fill: what makes a page of a template, the document, its charts and values; `filled`, a file that stands alone,
            unless given.
    """
    return (fill or filled)(
        "page.html.j2", document, charts(document), headline=_headline(document["verdict"]),
        tables=arm_tables, tuning=tuning, match_table=match.table, signals=signals, summary=summary,
        published=published, fine_tuning=fine_tuning,
        baseline=document["baseline"], styles=styles(document), told=told(document),
        intervals=any(arm["difference"] and arm["difference"]["low"] is not None for arm in document["arms"]),
        off_scale=beyond(document), unscored=[arm["name"] for arm in document["arms"] if not arm["scores"]],
    )


def filled(template: str, document: dict, drawn: dict[str, dict], **values) -> str:
    """A page that loads nothing: scripts, styles, charts and data are inside, as its policy demands."""
    from markupsafe import Markup

    style, script = (HERE / "page.css").read_text("utf-8"), (HERE / "page.js").read_text("utf-8")
    scripts = bundle() if drawn else ""
    policy = (
        f"default-src 'none'; script-src {source_hash(scripts)} {source_hash(script)}; style-src {source_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment().get_template(template).render(
        **{"version": document.get("version")} | values, document=document, policy=policy, words=words,
        frame="frame.html.j2", alone=True,
        charts={name: Markup(still(spec)) for name, spec in drawn.items()},
        style=Markup(style), script=Markup(script), bundle=Markup(scripts),
        document_json=Markup(embedded(document)), charts_json=Markup(embedded(drawn)),
    )


@functools.cache
def environment(*folders: Path):
    """The templates, with the filters that they use; those in other folders, where they are given, come first."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, HERE]), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"tied": _tied, "breakable": _breakable, "minus": _minus}
    return environment


def _tied(sentence: str) -> str:
    """No line ends between a number and what it belongs to."""
    return re.sub(r" (?=[=<] \d)|(?<=[=<]) (?=\d)|(?<=\d) (?=nats|bits|seed|more)", "\u00a0", sentence)


def _minus(number: str) -> str:
    """With the sign that numbers have in print, where a hyphen stands for it."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", number)


def _breakable(name: str):
    """A formula may end a line after its signs, and so need not end one inside a word."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_(=*/|,])|(?<=\.)(?=[a-z])", name))


@functools.cache
def bundle() -> str:
    """Vega, Vega-Lite and their embedder, once for all charts."""
    import vl_convert

    bundle = vl_convert.javascript_bundle()
    # whatever would end the element early, or change on parsing and so break the hash
    assert "</script" not in bundle.lower() and "<!--" not in bundle and "\r" not in bundle and "\0" not in bundle
    return bundle


def still(spec: dict) -> str:
    """The chart drawn now, for readers without scripts; it takes the page's colors, being part of it."""
    import vl_convert

    return vl_convert.vegalite_to_svg({**spec, "width": STILL_WIDTH})


def _headline(verdict: str) -> tuple[str, str]:
    """The sentence, and the tally of all candidates that it may end with."""
    verdict = verdict.replace("no ", "No ", 1) if verdict.startswith("no ") else verdict
    sentence, bracket, tally = verdict.partition(" (of ")
    count, colon, rest = tally.removesuffix(")").partition(": ")
    return (sentence, f"Of {count.split()[0]} candidates: {rest}.") if bracket and colon else (verdict, "")


def source_hash(text: str) -> str:
    """How a policy names a script or a style that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def embedded(value) -> str:
    """JSON that no HTML parser can mistake for markup."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
