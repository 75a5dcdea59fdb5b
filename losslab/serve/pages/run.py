"""One run: how far it is, its curves, signs of trouble, scores, samples and settings."""

import json
import os
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from losslab import config as configuration
from losslab import records, signals
from losslab.progress import duration
from losslab.report import words
from losslab.serve import curves, folding, frame
from losslab.serve.folder import Folder, spoken
from losslab.serve.frame import Gone
from losslab.serve.site import Site, of, parameter
from losslab.tables import Column, Table, left
from losslab.words import printable

MOST_SHOWN = 40  # events
MOST_FORM_BYTES = 10_000


def show(request: Request) -> Response:
    """The page of the run at this address."""
    site, place = of(request), request.path_params["address"]
    folder, row = site.run(place)
    try:
        record = records.read(row.path)
    except (ValueError, OSError) as error:
        raise Gone(str(error)) from None
    lines = site.logs.lines(row.path)
    steps = _num_steps(record, row)
    progress = folding.progress(lines, steps)
    measured = curves.keys(lines)
    wanted = [key] if (key := parameter(request, "key")) in measured else _first(measured)
    events = signals.events(lines)
    drawn = {f"curve-{number}": curves.single(lines, key, record.loss) for number, key in enumerate(wanted)}
    going = record.status in ("running", "waiting", "stopped")
    return frame.fill(request, section="/", watch=[place] if going else [], trail=_trail(folder, record))(
        "run.html.j2", {}, drawn, run=record, place=place, store=folder.name, progress=progress,
        left=duration(max(1.0, progress.seconds_left)) if progress.seconds_left else "", steps=steps,
        rate=words.number(progress.tokens_per_second, 3), key=parameter(request, "key"), keys_=measured, wanted=wanted,
        events=[(f"{event.step:,}", event.sentence, event.advice) for event in reversed(events)][:MOST_SHOWN],
        num_events=len(events), scores=_scores(record), facts=_facts(record), settings=_settings(record),
        environment=[(name, str(value)) for name, value in sorted(record.environment.items())],
        samples=record.result.get("samples", []), losses=record.spec.get("losses", []), tags=record.tags,
        error=record.result.get("error", ""), diverged=record.result.get("diverged", {}),
        damage=record.log_damage if record.status in ("finished", "diverged") else "",
        others=[(site_row.seed, address) for one in site.chosen([record.condition], folder)
                for site_row, address in zip(one.rows, one.addresses, strict=True)] if folder.kind != "trials" else [],
        documents=documents(Path(row.path)), allow_writes=site.allow_writes, condition=record.condition,
    )


def _trail(folder: Folder, record) -> list[tuple[str, str]]:
    """Where the page stands: below its condition in its store; a trial, which no verdict knows, below its tuning."""
    store = urlencode({"store": spoken(folder)})
    if folder.kind == "trials":
        return [("Tuning", f"/tuning?{store}")]
    return [(record.loss, f"/conditions/{quote(record.condition, safe='')}?{store}")]


def _num_steps(record, row) -> int:
    found = record.result.get("num_steps")
    return found if isinstance(found, int) and found > 0 else folding.num_steps(row)


def _first(measured: list[str]) -> list[str]:
    """What is drawn unless something is asked for."""
    return [key for key in ("tune/nll", "train/objective", "grad_norm", "learning_rate") if key in measured][:4] or (
        measured[:1])


def _scores(record) -> Table:
    return Table((left("score"), Column("value ± standard error (n)"), left("unit")), [
        (name, words.score(score), score.get("unit", "")) for name, score in record.scores.items()])


def _facts(record) -> list[tuple[str, str]]:
    result, cost = record.result, record.result.get("cost", {})
    found = [
        ("corpus", record.spec["corpus"].get("name") or "–"), ("seed", str(record.seed)),
        ("condition", record.condition), ("parameters", words.value(result.get("model", {}).get("num_params"))),
        ("training tokens", words.value(result.get("tokens"))),
        ("training time", words.duration(cost.get("train_seconds"))),
        ("tokens/s", words.number(cost.get("tokens_per_second"), 3)),
        ("peak memory", words.size(cost.get("peak_memory_bytes"))),
        ("loss time / cross-entropy time", words.ratio(cost.get("loss_cost_ratio"))),
        ("folder", printable(str(record.path))),
    ]
    return [(name, value) for name, value in found if value not in ("–", "unknown", "")]


def _settings(record) -> list[tuple[str, object]]:
    return [(key, value) for key, value in configuration.flatten(record.spec["config"]).items()
            if key not in ("loss", "seed")]


def documents(folder: Path) -> list[str]:
    """The names of the JSON documents of tasks and judgements that lie in a run folder."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [name for name in names if name.startswith(("evaluation", "judgement")) and name.endswith(".json")][:20]


def log(request: Request) -> Response:
    """The log as JSON lines."""
    _, row = of(request).run(request.path_params["address"])
    lines = of(request).logs.lines(row.path)
    return Response("".join(json.dumps(line) + "\n" for line in lines), media_type="application/jsonl")


# --- what changes something --------------------------------------------------------------------

async def change(request: Request) -> Response:
    """Tag a run, or remove it; only where writing was allowed, and only from a form of this page.

    Raises:
        Gone: for a run that is not there, or stays for a reason.
    """
    site, place = of(request), request.path_params["address"]
    given = await _form(request)
    if not site.allow_writes or given.get("form_key") != request.scope.get("losslab.form_key"):
        raise Gone("this form is of an earlier server, or of another site; load the page again", 403)
    return await run_in_threadpool(_changed, request, site, place, given)


def _changed(request: Request, site: Site, place: str, given: dict[str, str]) -> Response:
    _, row = site.run(place)
    try:
        if given.get("do") == "remove":
            if given.get("sure") != "yes":
                raise Gone("nothing was removed: tick the box that says so first", 400)
            records.remove(row.path)
            site.catalog.refresh(now=True)
            return RedirectResponse("/", 303)
        records.tag(row.path, add=given.get("add", "").split(), remove=given.get("take", "").split())
    except (ValueError, OSError) as error:
        raise Gone(str(error), 400) from None
    site.catalog.refresh(now=True)
    return RedirectResponse(quote(request.url.path), 303)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_FORM_BYTES:
            raise Gone("that form is too long", 413)
    return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=10))
