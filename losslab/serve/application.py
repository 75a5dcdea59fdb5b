"""Addresses -> pages, behind the guard; and the server that answers on a port."""

import socket
import threading
from pathlib import Path

import uvicorn
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
        Route("/conditions/{key:path}", condition.show),
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

    handlers = {Gone: _gone, ValueError: _mistake, 404: _none}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.site, app.state.streams = Site(Catalog(root), allow_writes=allow_writes), 0
    return guard.Guard(app, names=names, token=token, allow_writes=allow_writes)


def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in frame.STATIC:
        raise Gone("there is no such file")
    return Response(frame.static(name), media_type=frame.STATIC[name],
                    headers={"cache-control": f"max-age={MONTH}, immutable"})


def _gone(request: Request, error: Gone) -> Response:
    choices = [(text, frame.address_with(request, values)) for text, values in error.choices]
    return frame.fill(request, draws=False, status=error.status)(
        "gone.html.j2", {}, {}, sentence=str(error), choices=choices)


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


class Server(uvicorn.Server):
    """A server that ends the streams of open pages when it is asked to end, and so need not break them off."""

    def __init__(self, app: guard.Guard):
        super().__init__(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off",
                                        timeout_graceful_shutdown=3, limit_concurrency=200))
        self.site = app.app.state.site

    def handle_exit(self, sig, frame) -> None:
        self.site.is_closing = True
        super().handle_exit(sig, frame)


def run_server(app: guard.Guard, waiting: socket.socket) -> None:
    """Answer until the process is interrupted."""
    # what draws charts takes a second or two to put together: it is there when the first page asks for it
    threading.Thread(target=frame.static, args=("charts.js",), daemon=True).start()
    Server(app).run(sockets=[waiting])
