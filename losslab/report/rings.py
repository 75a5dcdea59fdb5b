"""Two rings: the verbs that lead instructions, and around them the objects of each. One SVG, or a page around it."""

import html
import math
from pathlib import Path

from losslab.report.page import save

SIZE, INNER, MIDDLE, OUTER, START = 760, 90, 215, 335, -math.pi / 2
LEAST_ANGLE = 0.019  # of a part that has room for its name
GAP = 0.004  # between parts, in radians
STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
svg{display:block;width:100%;height:auto;max-width:48rem;margin:auto}table{border-collapse:collapse}
td,th{padding:.2rem .8rem;text-align:left;vertical-align:top;border-top:1px solid #8886}
td:nth-child(2){text-align:right}
"""


def write(about: dict, path: str | Path) -> Path:
    """The rings of `Corpus.describe()` as `.svg`, or as a page `.html` with the numbers beneath them.

    Raises:
        ValueError: for another name, a corpus without instructions, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".svg", ".html", ".htm"):
        raise ValueError(f"--out takes a name that ends in .svg or .html, got {path}")
    if "variety" not in about:
        raise ValueError(f"--out draws the verbs of instruction data, and {about['name']} is plain text; leave it out")
    drawn = svg(about["variety"], f"Leading verbs and their objects in {about['name']}")
    if path.suffix.lower() != ".svg":
        return save(path, page(about, drawn))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}; give a writable place") from None
    return path


def svg(variety: dict, title: str) -> str:
    """The two rings of `instruct.verbs.Variety.to_dict()`.

    A verb takes the share of the inner ring that it has of the instructions of all verbs that are drawn; beyond it,
    its objects share its part by their counts (others, and instructions without an object, are not drawn).
    """
    total, angle, parts = sum(verb["count"] for verb in variety["verbs"]), START, []
    for number, verb in enumerate(variety["verbs"]):
        wide = 2 * math.pi * verb["count"] / total
        hue = round(360 * number / max(1, len(variety["verbs"])))
        share = f"{verb['verb']}: {verb['count']:,}"
        parts.append(_part(INNER, MIDDLE, angle, wide, f"hsl({hue} 55% 36%)", verb["verb"], share, "#fff"))
        begin, drawn = angle, sum(found["count"] for found in verb["objects"])
        for place, found in enumerate(verb["objects"]):
            narrow = wide * found["count"] / drawn
            told = f"{verb['verb']} {found['object']}: {found['count']:,}"
            parts.append(_part(MIDDLE + 3, OUTER, begin, narrow, f"hsl({hue} 50% {72 + 4 * place}%)", found["object"],
                               told, "#111"))
            begin += narrow
        angle += wide
    half = SIZE / 2
    said = f"{variety['pair_entropy']:.2f} bits"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-half:g} {-half:g} {SIZE} {SIZE}" role="img" '
            f'aria-label="{html.escape(title, quote=True)}" font-family="system-ui,sans-serif">'
            f"<title>{html.escape(title)}</title>{''.join(parts)}"
            f'<g text-anchor="middle" fill="currentColor"><text y="-2" font-size="22">{said}</text>'
            f'<text y="20" font-size="13">of verb and object</text></g></svg>\n')


def _part(low: float, high: float, begin: float, wide: float, fill: str, name: str, told: str, ink: str) -> str:
    """A part of a ring with its name, which stands along the radius and is cut where it would not fit."""
    gap = min(GAP, wide / 4)
    first, last = begin + gap / 2, begin + wide - gap / 2
    last = min(last, first + 2 * math.pi - 1e-4)  # a whole ring has no end
    large = int(last - first > math.pi)
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = (
        (radius * math.cos(a), radius * math.sin(a))
        for radius, a in ((low, first), (high, first), (high, last), (low, last)))
    path = (f"M{ax:.2f} {ay:.2f}L{bx:.2f} {by:.2f}A{high} {high} 0 {large} 1 {cx:.2f} {cy:.2f}L{dx:.2f} {dy:.2f}"
            f"A{low} {low} 0 {large} 0 {ax:.2f} {ay:.2f}Z")
    text = f'<path d="{path}" fill="{fill}"><title>{html.escape(told)}</title></path>'
    if wide < LEAST_ANGLE:
        return text
    middle, size = begin + wide / 2, min(14.0, max(6.0, 0.8 * wide * (low + high) / 2))
    room = int((high - low - 8) / (0.56 * size))
    shown = html.escape(name if len(name) <= room else f"{name[: room - 1]}…")
    turned = math.degrees(middle)
    flipped = math.cos(middle) < 0
    x = -(high - 5) if flipped else low + 5
    return (f'{text}<text transform="rotate({turned + 180 * flipped:.2f})" x="{x:g}" dy=".35em" font-size="{size:.1f}" '
            f'fill="{ink}" pointer-events="none">{shown}</text>')


def page(about: dict, drawn: str) -> str:
    """The rings, what was counted, and every verb as a table."""
    variety, instructions = about["variety"], about["instructions"]
    rows = "".join(
        f"<tr><th scope=row>{html.escape(verb['verb'])}</th><td>{verb['count']:,}</td><td>"
        f"{html.escape(', '.join('{object} {count}'.format(**found) for found in verb['objects']))}</td></tr>"
        for verb in variety["verbs"])
    facts = (f"{instructions['examples']:,} examples of {instructions['rows']:,} rows, {instructions['with_input']:,} "
             f"of them with an input, {instructions['duplicates']:,} duplicates. {sentence(variety)}")
    title = html.escape(f"Instructions of {about['name']}")
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,'
            f'initial-scale=1"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{html.escape(facts)}</p>'
            f"{drawn}<table><thead><tr><th>verb<th>rows<th>objects</thead><tbody>{rows}</tbody></table></html>\n")


def sentence(variety: dict) -> str:
    """How varied the instructions are, with what was not parsed."""
    return (f"Verbs and objects by {'a model of spaCy' if variety['parser'] == 'spacy' else 'a plain rule'}: "
            f"{variety['parsed']:,} parsed, {variety['unparsed']:,} not; {variety['num_verbs']:,} verbs and "
            f"{variety['num_pairs']:,} pairs, with an entropy of {variety['verb_entropy']:.2f} and "
            f"{variety['pair_entropy']:.2f} bits.")
