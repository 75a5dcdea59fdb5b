"""One condition: its seeds as a band and as lines, how far each is, and the signs of trouble of all."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from losslab import records, signals
from losslab.progress import duration
from losslab.report import words
from losslab.serve import curves, folding, frame
from losslab.serve.folder import spoken
from losslab.serve.folding import Condition
from losslab.serve.site import Site, of, parameter

MOST_SHOWN = 60  # events
MOST_SAMPLES = 4


def show(request: Request) -> Response:
    """The page of the condition at this address."""
    site, key = of(request), request.path_params["key"]
    one, *elsewhere = site.same(key, site.store(parameter(request, "store")))
    lines = {row.path: site.logs.lines(row.path) for row in one.rows}
    measured = curves.keys(line for each in lines.values() for line in each)
    asked = parameter(request, "key")
    asked = asked if asked in measured or not measured else measured[0]
    rows = curves.rows([one], site.logs, asked or "tune/nll")
    watch = [place for place, row in zip(one.addresses, one.rows, strict=True) if
             row.status in ("running", "waiting", "stopped")]
    events = [(event.step, row.seed, event.sentence, event.advice)
              for row in one.rows for event in signals.events(lines[row.path])]
    return frame.fill(request, section="/", watch=watch)(
        "condition.html.j2", {}, {"curve": curves.chart(rows, asked or "tune/nll", [one.name])} if rows else {},
        one=one, key=asked or "tune/nll", keys_=measured or ["tune/nll"], statuses=one.statuses,
        nll=words.score(one.nll.to_dict()) if one.nll else "", elsewhere=elsewhere, store=spoken(one.store),
        several=site.has_several,
        runs=[_run(row, place, lines[row.path]) for row, place in zip(one.rows, one.addresses, strict=True)],
        events=sorted(events, reverse=True)[:MOST_SHOWN], num_events=len(events), samples=_samples(site, one))


def _run(row, place: str, lines: list[dict]) -> dict:
    going = row.status in ("running", "stopped", "waiting")
    told = folding.progress(lines, folding.num_steps(row)) if going else None
    return {"seed": row.seed, "place": place, "status": row.status, "nll": words.number(row.nll),
            "folder": Path(row.path).name, "problem": row.problem, "share": told.share if told else None,
            "step": told.step if told else None, "steps": told.num_steps if told else None,
            "left": duration(max(1.0, told.seconds_left)) if told and told.seconds_left else ""}


def _samples(site: Site, one: Condition) -> list[dict]:
    """What the model of the first seed that finished wrote."""
    for row in one.rows:
        if row.status == "finished":
            try:
                return records.record.read_result(Path(row.path)).get("samples", [])[:MOST_SAMPLES]
            except (ValueError, OSError):
                continue
    return []
