"""Server-sent events: a page is told that something changed, and asks for itself again.

What is looked at once a second is little: what the catalog looks at anyway, and the sizes of the logs that a page
shows. Nothing of a run is in an event.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse

from losslab import records
from losslab.serve import logs
from losslab.serve.folder import SERVED
from losslab.serve.site import Site, listed, of

SECONDS = 1.0  # between two looks
SILENT = 15  # looks after which a comment is sent, so that a broken connection is noticed
MOST_STREAMS = 64
MOST_WATCHED = 100  # runs, and stores
AT_WORK = ("running", "waiting")


@dataclass(frozen=True)
class Watch:
    """What a page is told of.

    Args:
        runs: addresses of the runs that it shows.
        everything: whether it lists runs, so that any change of the catalog is one of it.
        stores: in which it waits for another losslab to end.
        end: whether nothing but the end of all that counts: each time that such a page asks for itself is a look.
    """

    runs: Sequence[str] = ()
    everything: bool = False
    stores: Sequence[str] = ()
    end: bool = False


def state(site: Site, watched: Watch) -> tuple:
    """What changes when a page should ask for itself again."""
    version = site.catalog.refresh()
    found = [site.catalog.run(place) for place in watched.runs]
    stores = [site.catalog.store("" if name == SERVED else name) for name in watched.stores]
    held = tuple(bool(each) and records.is_locked(each.path) for each in stores)
    if watched.end:
        return (any(held) or any(pair and pair[1].status in AT_WORK for pair in found),)
    own = tuple(pair and (pair[1].status, logs.size(pair[1].path)) for pair in found)
    return (version if watched.everything else 0, own, held, tuple(each and len(each.rows) for each in stores))


async def events(site: Site, watched: Watch, *,
                 sleep: Callable[[float], Awaitable] = asyncio.sleep) -> AsyncIterator[str]:
    """The text of a stream: an event for each look at which something had changed."""
    last, silent, number = await run_in_threadpool(state, site, watched), 0, 0
    if watched.end:  # it may have ended before the stream began, and such a page does not ask at its beginning
        last = (True,)
    yield "retry: 3000\n\n"
    while not site.is_closing:
        await sleep(SECONDS)
        now = await run_in_threadpool(state, site, watched)
        silent += 1
        if now != last:
            last, silent, number = now, 0, number + 1
            yield f"data: {number}\n\n"
        elif silent >= SILENT:
            silent = 0
            yield ": still here\n\n"


def watched(request: Request) -> Watch:
    query = request.query_params
    return Watch(listed(request, "runs")[:MOST_WATCHED], "all" in query, query.getlist("store")[:MOST_WATCHED],
                 "end" in query)


async def stream(request: Request):
    """The stream of a page."""
    app = request.app.state
    if app.streams >= MOST_STREAMS:
        return PlainTextResponse(f"{MOST_STREAMS} pages are live already; this one is not until one is closed\n", 503)

    async def counted():
        app.streams += 1
        try:
            async for text in events(of(request), watched(request)):
                yield text
        finally:
            app.streams -= 1

    return StreamingResponse(counted(), media_type="text/event-stream")
