"""convert, audit: one unit into another, and claims that cannot all be true."""

import math
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.flags import Json
from losslab.cli.speech import show, tell
from losslab.untrusted import one_line

SHOWN = {"wrong": "WRONG"}
LONGEST_TEXT = 300


@app.command(sort_key=7)
def convert(
    value: Annotated[float, Parameter(allow_leading_hyphen=True)], *unit: str, to: str | None = None,
    bytes_per_token: float | None = None, characters_per_byte: float | None = None,
    tokens_per_word: float | None = None, json: Json = False,
):
    """Turn a score into other units: nats, bits, perplexities, bits per byte, compression.

    Parameters
    ----------
    value
        The score.
    unit
        Its unit: nats/token, bits/token, perplexity, bits/byte, bits/character, "byte perplexity", "word perplexity",
        "compression ratio", or short: nats, ppl, bpb, bpc, ...
    to
        The only unit wanted; all that can be derived unless given.
    bytes_per_token
        UTF-8 bytes of the scored text over its tokens.
    characters_per_byte
        Characters of the scored text over its UTF-8 bytes, 0.25 to 1; 1 for plain English.
    tokens_per_word
        Tokens of the scored text over its words.
    """
    from losslab.units import convert as units

    source = units.unit(" ".join(unit) or "nats/token")
    wanted = None if to is None else units.unit(to)
    lines = units.convert(value, source, tokens_per_word=tokens_per_word, bytes_per_token=bytes_per_token,
                          characters_per_byte=characters_per_byte)
    if wanted is not None:
        lines = [line for line in lines if line.unit == wanted]
        if lines[0].missing:
            raise ValueError(f"{source.name} to {wanted.name} needs {_flags(lines[0].missing)} of the scored text")
    document = {
        "value": value, "unit": source.key,
        "values": {line.unit.key: _finite(line.value) for line in lines if not line.missing},
        "arithmetic": {line.unit.key: line.arithmetic for line in lines if not line.missing},
        "missing": {line.unit.key: list(line.missing) for line in lines if line.missing},
    }
    text = [f"{line.unit.name:18}" + (f"needs {_flags(line.missing)}" if line.missing else
                                      f"{line.value:<12.6g} = {line.arithmetic}") for line in lines]
    show(document, "\n".join(text), json)


@app.command(sort_key=7)
def audit(file: Path | None = None, *, columns: bool = False, json: Json = False) -> int:
    """Say which claims of a table cannot all be true, with the arithmetic.

    Only columns are judged, by their own units and ranges, each number as rounded or cut off at its last digit. Scores
    are compared where columns name the same text: loss and perplexity, val_loss and val_ppl, or a column dataset. Free
    text is shown and never judged. A claim is ok, wrong, a warning (it can be true, but does not say what it seems to)
    or not checked. A wrong claim is a finding, not an error: programs read `ok` in the JSON document.

    Parameters
    ----------
    file
        CSV, JSON, JSON lines or Markdown, one claim per row, such as name,loss,perplexity.
    columns
        List the columns that are read, each with its unit, its range and its meaning.
    """
    from losslab.units import audit as audits
    from losslab.units import claims
    from losslab.units import columns as known

    if columns:
        listed = [{"name": one.name, "unit": one.unit, "range": one.range, "aliases": list(one.aliases),
                   "meaning": one.meaning} for one in known.COLUMNS.values()]
        show({"columns": listed}, known.describe(), json)
        return 0
    if file is None:
        raise ValueError("audit takes a file of claims; `losslab audit --columns` lists what it can hold")
    table = claims.read(file)
    findings = audits.audit(table.claims)
    for note in table.notes:
        tell(f"note: {note}")
    counts = {label: sum(finding.label == label for finding in findings) for label in audits.LABELS}
    wrong, unchecked = counts[audits.WRONG], counts[audits.NOT_CHECKED]
    document = {"file": str(file), "ok": not wrong and not unchecked, "counts": counts,
                "findings": [finding.to_dict() for finding in findings], "notes": table.notes}
    show(document, "\n".join(_lines(findings, counts)), json)
    return 0


def _lines(findings, counts: dict[str, int]) -> list[str]:
    from losslab.units import audit as audits

    lines = []
    for one in findings:
        lines.append(f"{SHOWN.get(one.label, one.label):11}  {one.name}: {one.message}")
        if one.claim:
            lines.append(f"{'':11}  text, not judged: {one_line(one.claim, LONGEST_TEXT)}")
    lines.append(f"{counts[audits.WRONG]} of {len(findings)} claims cannot be true as they stand, {counts[audits.OK]} "
                 f"can as far as they were checked, {counts[audits.WARNING]} can but with a warning, "
                 f"{counts[audits.NOT_CHECKED]} were not checked")
    return lines


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no infinity


def _flags(ratios: tuple[str, ...]) -> str:
    return " and ".join(f"--{ratio.replace('_', '-')}" for ratio in ratios)
