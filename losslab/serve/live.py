"""Server-sent events: a page is told that something changed, and asks for itself again.

What is looked at once a second is little: what the catalog looks at anyway, and the sizes of the logs that a page
shows. Nothing of a run is in an event.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse

from losslab.serve import logs
from losslab.serve.site import Site, listed, of

SECONDS = 1.0  # between two looks
SILENT = 15  # looks after which a comment is sent, so that a broken connection is noticed
MOST_STREAMS = 64


def state(site: Site, addresses: Sequence[str], everything: bool) -> tuple:
    """What changes when a page should ask for itself again.

    Args:
        site: that is served.
        addresses: of the runs that the page shows.
        everything: whether the page lists runs, so that any change of the catalog is one of it.
    """
    version = site.catalog.refresh()
    found = [site.catalog.run(place) for place in addresses]
    own = tuple(pair and (pair[1].status, logs.size(pair[1].path)) for pair in found)
    return (version if everything else 0, own)


async def events(site: Site, addresses: Sequence[str], everything: bool, *,
                 sleep: Callable[[float], Awaitable] = asyncio.sleep) -> AsyncIterator[str]:
    """The text of a stream: an event for each look at which something had changed."""
    last, silent, number = await run_in_threadpool(state, site, addresses, everything), 0, 0
    yield "retry: 3000\n\n"
    while not site.is_closing:
        await sleep(SECONDS)
        now = await run_in_threadpool(state, site, addresses, everything)
        silent += 1
        if now != last:
            last, silent, number = now, 0, number + 1
            yield f"data: {number}\n\n"
        elif silent >= SILENT:
            silent = 0
            yield ": still here\n\n"


async def stream(request: Request):
    """The stream of a page."""
    app = request.app.state
    if app.streams >= MOST_STREAMS:
        return PlainTextResponse(f"{MOST_STREAMS} pages are live already; this one is not until one is closed\n", 503)

    async def counted():
        app.streams += 1
        try:
            async for text in events(of(request), listed(request, "runs")[:100], "all" in request.query_params):
                yield text
        finally:
            app.streams -= 1

    return StreamingResponse(counted(), media_type="text/event-stream")
