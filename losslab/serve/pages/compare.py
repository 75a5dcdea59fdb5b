"""Chosen conditions, and a whole study: the same comparison, and the same page, as `losslab report` gives.

A verdict that is shown is a look at the results, which a store counts. So it is shown when the runs are over, or when
the reader asks for it; a page that stands open while runs train spends nothing.
"""

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from losslab import comparison, records, report
from losslab.comparison import Comparison
from losslab.records import Record
from losslab.report import page
from losslab.serve import frame
from losslab.serve.folder import Folder, spoken
from losslab.serve.folding import Condition
from losslab.serve.frame import Gone
from losslab.serve.pages import waiting
from losslab.serve.site import Site, arms, of, parameter

MARGIN = 0.002  # nats/token, as of `losslab report`
MOST_ARMS = 100


def show(request: Request) -> Response:
    """The page of the conditions that the address names."""
    site, keys = of(request), arms(request)
    if not keys:
        raise Gone("choose the conditions to compare in the list of runs: tick them, and press Compare", 400)
    if len(keys) > MOST_ARMS:
        raise Gone(f"a page compares at most {MOST_ARMS} conditions, got {len(keys)}", 400)
    site.catalog.refresh(now=True)  # a run that began this moment is not to be looked past
    chosen = site.chosen(keys, site.store(parameter(request, "store")))
    if why := waiting.reason(request, chosen):
        return waiting.show(request, site, chosen, why)
    margin = _margin(parameter(request, "margin"))
    baseline = parameter(request, "baseline")
    key = ("compare", tuple((one.store.name, one.key) for one in chosen), baseline, margin, site.catalog.version)
    document = site.once(key, lambda: _document(chosen, baseline, margin))
    return page.html(document, frame.fill(
        request, section="/", arms=[(one.key, one.name) for one in chosen], kept=_kept(request, site, chosen),
        baseline_asked=baseline, margin_asked=margin, compares=True, **waiting.ends(chosen)))


def study(request: Request) -> Response:
    """The page of a study as far as it has come, with its labels, baseline, margin and tuning."""
    site, name = of(request), request.path_params["store"]
    site.catalog.refresh(now=True)
    folder = site.catalog.store(name)
    if folder is None or folder.kind not in ("study", "ladder"):
        raise Gone(f"there is no study {name[:80]} here; the list of runs has the stores that there are")
    chosen = site.conditions(folder)
    if not chosen:
        raise Gone(f"no run of the study {name[:80]} has begun; its runs will be in the list of runs")
    if why := waiting.reason(request, chosen):
        return waiting.show(request, site, chosen, why)
    document = site.once(("study", name, site.catalog.version), lambda: _of_study(folder))
    return page.html(document, frame.fill(request, section="/", trail=[(name or folder.path.name, request.url.path)],
                                          **waiting.ends(chosen)))


def _kept(request: Request, site: Site, chosen: Sequence[Condition]) -> list[tuple[str, str]]:
    """What the form for another baseline or margin sends along: the same arms of the same store, looked at alike."""
    stores = list(dict.fromkeys(spoken(one.store) for one in chosen))
    found = [("arms", one.key if len(stores) == 1 else one.place) for one in chosen]
    if len(stores) == 1 and (site.has_several or parameter(request, "store")):
        found.append(("store", stores[0]))
    if parameter(request, "look"):
        found.append(("look", parameter(request, "look")))
    return found


def _document(chosen: Sequence[Condition], baseline: str, margin: float) -> dict:
    """What a page says of the comparison; a new look is noted in the store."""
    names = {name: one.key for one in chosen for name in one.names}
    if baseline and baseline not in names:
        known = ", ".join(one.name for one in chosen)
        raise Gone(f"the baseline {baseline[:80]} is none of the chosen conditions; they are {known[:300]}")
    baseline = names.get(baseline) or None
    found = [_read(row.path) for one in chosen for row in one.rows if not row.problem]
    unread = [row.problem for one in chosen for row in one.rows if row.problem]
    stores = {one.store.path for one in chosen}
    said: list[str] = []
    if len(stores) == 1:
        compared = _judged(found, stores.pop(), baseline, margin, said)
    else:  # no ledger is that of all
        compared = comparison.compare(found, baseline=baseline, margin=margin)
    document = report.document(compared)
    document["warnings"] = [*document["warnings"], *said, *unread]
    return document


def _read(path: str) -> Record:
    try:
        return records.read(path)
    except OSError as error:
        raise Gone(f"{path} cannot be read now: {error.strerror}") from None


def _judged(found: Sequence[Record], store: Path, baseline: str | None, margin: float, said: list[str]) -> Comparison:
    """By the ledger of the store, which is only held and written where the look is a new one."""
    compared = comparison.compare(found, baseline=baseline, margin=margin,
                                  ledger=lambda condition, score: records.looks(store, found, condition, score))
    if not compared.new_look:
        return compared
    with _held(store):
        return comparison.judged(found, store, baseline=baseline, margin=margin, tell=said.append)


@contextlib.contextmanager
def _held(store: Path):
    """The store alone; where it cannot be written, nothing is, and the page says so."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(records.lock(store, "store"))
        except records.StoreBusy as error:
            raise Gone(f"{error}; then load this page again", 503) from None
        except ValueError:  # a store that may only be read
            pass
        yield


def _of_study(folder: Folder) -> dict:
    from losslab import study as studies

    said: list[str] = []
    with _held(folder.path):
        compared, command = studies.again(folder.path, tell=said.append)
    document = report.document(compared, command=command)
    document["warnings"] = [*document["warnings"], *said]
    return document


def _margin(text: str) -> float:
    try:
        value = float(text or MARGIN)
    except ValueError:
        value = math.nan
    if not 0 < value < 100:
        raise Gone(f"the margin is a difference in nats/token above 0, such as {MARGIN}, got {text[:40]}", 400)
    return value
