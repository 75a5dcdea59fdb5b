"""Addresses -> pages, behind the guard; and the server that answers on a port."""

import socket
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from losslab.serve import frame, guard, live
from losslab.serve.catalog import Catalog
from losslab.serve.frame import Gone
from losslab.serve.pages import compare, condition, lesson, losses, metrics, run, runs, stored, tools, tuning
from losslab.serve.site import Site

MONTH = 30 * 24 * 3600  # seconds for which a browser keeps files
PORT = 8765


def application(root: str | Path, *, names: tuple[str, ...] = guard.LOOPBACK, token: str = "",
                allow_writes: bool = False) -> guard.Guard:
    """The live page of a folder, as an ASGI application.

    Args:
        root: a store of runs, or a folder of stores.
        names: by which the server may be called.
        token: that it asks for; none where it is empty.
        allow_writes: whether runs may be tagged and removed.

    Raises:
        ValueError: for what is no store.
    """
    routes = [
        Route("/", runs.show),
        Route("/runs/{address:path}", run.show, methods=["GET"]),
        Route("/runs/{address:path}", run.change, methods=["POST"]),
        Route("/logs/{address:path}", run.log),
        Route("/conditions/{key}", condition.show),
        Route("/compare", compare.show),
        Route("/studies/{store:path}", compare.study),
        Route("/documents/{name}", stored.of_run),
        Route("/pages/{store:path}", stored.of_store),
        Route("/ladders", stored.ladders),
        Route("/boards", stored.boards),
        Route("/boards/{name}", stored.board),
        Route("/tuning", tuning.show),
        Route("/metrics", metrics.show),
        Route("/losses", losses.family),
        Route("/inspect", losses.show),
        Route("/tools", tools.show),
        Route("/tools/{name}", tools.show),
        Route("/lesson", lesson.show),
        Route("/live", live.stream),
        Route("/static/{version}/{name}", _file),
    ]

    @asynccontextmanager
    async def lifespan(app):
        yield

    handlers = {Gone: _gone, ValueError: _mistake, 404: _none}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    app.state.site, app.state.streams = Site(Catalog(root), allow_writes=allow_writes), 0
    return guard.Guard(app, names=names, token=token, allow_writes=allow_writes)


def _file(request: Request) -> Response:
    found = frame.static().get(request.path_params["name"])
    if found is None:
        raise Gone("there is no such file")
    return Response(found[0], media_type=found[1], headers={"cache-control": f"max-age={MONTH}, immutable"})


def _gone(request: Request, error: Gone) -> Response:
    return frame.fill(request, status=error.status)("gone.html.j2", {}, {}, sentence=str(error))


def _mistake(request: Request, error: ValueError) -> Response:
    """What a room below says of what it was given, in its sentence."""
    return _gone(request, Gone(str(error), 400))


def _none(request: Request, error: Exception) -> Response:
    return _gone(request, Gone("there is no such page; the list of runs leads to those that there are"))


# --- the server --------------------------------------------------------------------------------

def listening(host: str, port: int) -> socket.socket:
    """A socket that waits at an address.

    Raises:
        ValueError: for a port that is in use, or an address that is not of this machine.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM,
                                                              flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ValueError(f"--host {host} is no address of this machine: {error.strerror}") from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(place)
        found.listen(128)
    except OSError as error:
        found.close()
        raise ValueError(f"cannot listen at port {port} of {host}: {error.strerror}; give another one with --port, or "
                         "--port 0 for any that is free") from None
    return found


def run_server(app, waiting: socket.socket) -> None:
    """Answer until the process is interrupted."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="on",
                            timeout_graceful_shutdown=1, h11_max_incomplete_event_size=64_000, limit_concurrency=200)
    uvicorn.Server(config).run(sockets=[waiting])
