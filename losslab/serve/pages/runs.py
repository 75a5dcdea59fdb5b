"""The first page: all runs folded by condition, found by words and settings, with the curves of the first of them."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from losslab import escaping, signals
from losslab.progress import duration
from losslab.records import choosing
from losslab.records.index import Row
from losslab.report import words
from losslab.serve import curves, folding, frame
from losslab.serve.catalog import address
from losslab.serve.folder import Folder, spoken
from losslab.serve.folding import Condition
from losslab.serve.frame import Gone
from losslab.serve.site import Site, arms, of, parameter

ON_A_PAGE = 50
MOST_TERMS = 30  # of a search
MOST_WATCHED = 60  # runs of which a page is told that they go on
SORTS = {"recent": "at work first", "name": "name", "nll": "nll", "seeds": "number of runs", "store": "store"}
GROUPS = {"": "nothing", "store": "store", "loss": "loss", "corpus": "corpus", "status": "status"}


def show(request: Request) -> Response:
    """The page; as a CSV file where the address asks for one."""
    site, query = of(request), parameter(request, "q")
    name, store, mistake = parameter(request, "store"), None, ""
    try:
        store = site.store(name)
        found = site.conditions(store) if not query.strip() else _found(site, query, store)
    except Gone as error:  # for a table, no file at all says it better than an empty one
        if parameter(request, "form") == "csv":
            raise
        found, mistake = [], str(error)
    except ValueError as error:
        found, mistake = [], str(error).replace("--filter", "a search for KEY=VALUE")
    group = group if (group := parameter(request, "group")) in GROUPS else ""
    sort = sort if (sort := parameter(request, "sort")) in SORTS else "recent"
    found = site.once(("ordered", query, name, sort, group, site.catalog.version), lambda: _ordered(found, sort, group))
    if parameter(request, "form") == "csv":
        return _csv(found)
    pages = max(1, -(-len(found) // ON_A_PAGE))
    number = min(pages, max(1, int(text) if (text := parameter(request, "page", "1")).isdecimal() else 1))
    shown = found[(number - 1) * ON_A_PAGE : number * ON_A_PAGE]
    drawn = [one for one in shown if any(row.status not in ("waiting", "unreadable") for row in one.rows)]
    drawn = drawn[: curves.MOST_ARMS]
    key = parameter(request, "key") or "tune/nll"
    rows = curves.rows(drawn, site.logs, key)
    logged = [site.logs.lines(one.rows[0].path)[-40:] for one in drawn[:2]]
    measured = curves.keys(line for lines in logged for line in lines)
    names = [one.name for one in drawn]
    watch = [place for one in shown for place, row in zip(one.addresses, one.rows, strict=True) if
             row.status not in ("finished", "diverged", "failed", "imported")]
    return frame.fill(request, section="/", watch=watch[:MOST_WATCHED], lists=True)(
        "runs.html.j2", {}, {"curves": curves.chart(rows, key, names)} if rows else {},
        rows=[line(one, site) for one in shown], total=len(found), pages=pages, page=number, query=query, store=name,
        mistake=mistake, group=group, sort=sort, groups=GROUPS, sorts=SORTS, key=key, keys_=measured or [key],
        stores=[spoken(each) for each in site.catalog.stores() if each.kind != "trials"], root=site.root.name or ".",
        num_runs=sum(len(one.rows) for one in found), looks=curves.look(names), chosen=arms(request),
        at_work=sum(one.statuses["running"] for one in found if one.is_at_work),
        several=site.has_several,
        tagged=any(one.tags for one in shown), several_corpora=len({one.rows[0].corpus for one in shown}) > 1,
    )


def _found(site: Site, query: str, store: Folder | None) -> list[Condition]:
    return site.once(("found", query, store and store.name, site.catalog.version), lambda: _search(site, query, store))


def _search(site: Site, query: str, store: Folder | None) -> list[Condition]:
    """The conditions of which a run has every word, and every KEY=VALUE."""
    terms = list(dict.fromkeys(query.split()))
    if len(terms) > MOST_TERMS:
        raise ValueError(f"a search has at most {MOST_TERMS} words here, got {len(terms)}; leave some out")
    plain = [term.lower() for term in terms if "=" not in term]
    rows = list(site.catalog.rows(None if store is None else [store]))
    if plain:
        rows = [(folder, row) for folder, row in rows if _has(_text(folder, row), plain)]
    if filters := [term for term in terms if "=" in term]:
        known = [choosing.values(row) for _, row in rows]
        kept = {id(one) for one in choosing.select(known, filters)}
        rows = [pair for pair, one in zip(rows, known, strict=True) if id(one) in kept]
    return folding.fold(rows)


def _has(text: str, every: Sequence[str]) -> bool:
    return all(word in text for word in every)


def _text(folder: Folder, row: Row) -> str:
    return f"{row.loss} {row.corpus} {row.status} {row.condition} {' '.join(row.tags)} {address(folder, row)}".lower()


def _ordered(found: Sequence[Condition], sort: str, group: str) -> list[Condition]:
    orders = {
        "recent": lambda one: not one.is_at_work,
        "name": lambda one: one.name.lower(),
        "nll": lambda one: (one.nll is None, one.nll.value if one.nll else 0.0),
        "seeds": lambda one: -len(one.rows),
        "store": lambda one: (one.store.name, one.name.lower()),
    }
    found = sorted(found, key=orders[sort])
    return sorted(found, key=lambda one: _group(one, group)) if group else found


def _group(one: Condition, group: str) -> str:
    return {"store": one.store.name, "loss": one.rows[0].loss, "corpus": one.rows[0].corpus or "",
            "status": next(iter(one.statuses), "")}[group]


def line(one: Condition, site: Site) -> dict:
    """What the table says of a condition."""
    going = [row for row in one.rows if row.status == "running"]
    logged = {row.path: site.logs.lines(row.path) for row in going}
    told = [folding.progress(logged[row.path], folding.num_steps(row)) for row in going]
    left = [each.seconds_left for each in told if each.seconds_left is not None]
    return {
        "key": one.key, "name": one.name, "store": spoken(one.store), "place": one.place, "id": _short(one.place),
        "corpus": one.rows[0].corpus or "", "statuses": one.statuses,
        "seeds": len(one.rows), "nll": words.score(one.nll.to_dict()) if one.nll else "–",
        "share": sum(each.share for each in told) / len(told) if told else None,
        "left": duration(max(1.0, max(left))) if left else "", "tags": one.tags,
        "problem": next((row.problem for row in one.rows if row.problem), ""),
        "signs": list(dict.fromkeys(event.kind for lines in logged.values() for event in signals.events(lines))),
        "loss": one.rows[0].loss, "status": next(iter(one.statuses), ""),
    }


def _short(place: str) -> str:
    """A name of an element: what is of two stores has two, and none has a blank."""
    return hashlib.sha256(place.encode("utf-8", "replace")).hexdigest()[:16]


def _csv(found: Sequence[Condition]) -> Response:
    """Every run that was found, a line each."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["store", "run", "condition", "arm", "seed", "status", "nll", "corpus", "tags"])
    for one in found:
        for row in one.rows:
            cells = [one.store.name, Path(row.path).name, one.key, one.name, row.seed, row.status, row.nll, row.corpus,
                     " ".join(row.tags)]
            writer.writerow([escaping.cell(each) for each in cells])
    return Response(out.getvalue().encode("utf-8", "replace"), media_type="text/csv; charset=utf-8",
                    headers={"content-disposition": 'attachment; filename="runs.csv"'})
