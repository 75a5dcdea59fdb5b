"""The page in the place of a verdict: why none is shown yet, how far the runs are, and the button that asks for one."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from losslab import records
from losslab.serve import curves, frame
from losslab.serve.folder import spoken
from losslab.serve.folding import Condition
from losslab.serve.live import AT_WORK
from losslab.serve.pages import runs as listing
from losslab.serve.site import Site, parameter


def reason(request: Request, chosen: Sequence[Condition]) -> str:
    """Why no verdict is shown now; nothing where one may be."""
    if _is_elsewhere(request):
        return "you came here from another site"
    if _is_held(chosen):
        return ("another losslab is at work in this store. It says the verdict when it ends, and this page shows it "
                "then")
    going = sum(row.status in AT_WORK for one in chosen for row in one.rows)
    if going and parameter(request, "look") != "now":
        return f"{going} of the runs are not over. The verdict comes when they are"
    return ""


def show(request: Request, site: Site, chosen: Sequence[Condition], why: str) -> Response:
    """The curves without a verdict, and a form that asks for the same verdict now."""
    key = parameter(request, "key") or "tune/nll"
    rows, names = curves.rows(chosen, site.logs, key), [one.name for one in chosen[: curves.MOST_ARMS]]
    elsewhere, held = _is_elsewhere(request), _is_held(chosen)
    given = [pair for pair in request.query_params.multi_items() if pair[0] not in ("look", "draw")]
    # a page that asked for itself again would show what its reader is to ask for
    told = {} if elsewhere else {"watch": _places(chosen, (*AT_WORK, "stopped")), "waits": _stores(chosen)}
    return frame.fill(request, section="/", **told)(
        "waiting.html.j2", {}, {"curves": curves.chart(rows, key, names)} if rows else {}, reason=why, key=key,
        rows=[listing.line(one, site) for one in chosen], looks=curves.look(names), given=given,
        may_look=not held, may_go_on=held and elsewhere)


def ends(chosen: Sequence[Condition]) -> dict:
    """What a page with a verdict is told of while some of its runs train: that all are over, and nothing before.

    Each time that it asks for itself is a look, so it must not do so for every seed that ends.
    """
    going = _places(chosen, AT_WORK)
    return {"watch": going, "waits": _stores(chosen), "ends": True} if going else {}


def _is_elsewhere(request: Request) -> bool:
    return request.method == "HEAD" or request.headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")


def _is_held(chosen: Sequence[Condition]) -> bool:
    return any(records.is_locked(path) for path in {one.store.path for one in chosen})


def _stores(chosen: Sequence[Condition]) -> list[str]:
    return list(dict.fromkeys(spoken(one.store) for one in chosen))


def _places(chosen: Sequence[Condition], statuses: Sequence[str]) -> list[str]:
    found = [place for one in chosen for place, row in zip(one.addresses, one.rows, strict=True)
             if row.status in statuses]
    return found[: listing.MOST_WATCHED]
