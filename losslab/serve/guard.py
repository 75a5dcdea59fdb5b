"""Who may ask, and what a browser may do with the answer.

Every answer has a policy that allows scripts and styles of this server alone, and none within a page. The name that a
browser used for the server is checked, so that no other site can point its own name at this machine and read. No
cookie is set or read: a token, where one is set, is what a browser asks its user for as a password.
"""

import base64
import contextlib
import hmac
import ipaddress
import re
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from losslab.config.numbers import shown

TOKEN = "LOSSLAB_TOKEN"  # the environment variable; on a command line others could read it
LEAST_TOKEN = 12  # characters
NO_SOCKETS = 1008  # the code of a WebSocket that is closed for a rule
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PLAIN = re.compile(r"[\w-]+(\.[\w-]+)*\.?")  # a name of a machine
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
          "form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
# with no-referrer a browser would name no origin for the forms of this page either
HEADERS = {
    "x-content-type-options": "nosniff", "referrer-policy": "same-origin", "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin", "cache-control": "no-store",
}  # fmt: skip


class Guard:
    """The application behind its checks.

    Args:
        app: what answers.
        names: by which the server may be called, without port.
        token: that is asked for; none where it is empty.
        allow_writes: whether anything but reading is let through.
    """

    def __init__(self, app, *, names: tuple[str, ...] = LOOPBACK, token: str = "", allow_writes: bool = False):
        self.app, self.names, self.token, self.allow_writes = app, names, token, allow_writes
        self.form_key = secrets.token_urlsafe(24)
        """What a form of a page sends along: another site cannot know it."""

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":  # a server calls it a fault where nothing is answered
            await receive()
            return await send({"type": "websocket.close", "code": NO_SOCKETS})
        headers = Headers(scope=scope)
        refused = self.refusal(scope["method"], headers)
        scope["losslab.form_key"] = self.form_key if self.allow_writes else ""

        async def answer(message):
            if message["type"] == "http.response.start":
                found = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    found.setdefault(name, value)
                found.setdefault("content-security-policy", POLICY)
            await send(message)

        await (refused or self.app)(scope, receive, answer)

    def refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        """The answer to what is not let through; None for all else."""
        host = named(headers.get("host", ""))
        if host not in self.names:
            return _refused(421, "this server does not answer to that name; whoever started it adds names with --name")
        if self.token and not is_token(headers.get("authorization", ""), self.token):
            answer = _refused(401, "this page asks for the token with which it was started, as the password")
            answer.headers["www-authenticate"] = 'Basic realm="losslab", charset="UTF-8"'
            return answer
        # other sites may lead here by a link, and not load, frame or send anything
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "navigate")
        if site in ("cross-site", "same-site") and (mode != "navigate" or headers.get("sec-fetch-dest") != "document"
                                                    or method not in ("GET", "HEAD")):
            return _refused(403, "another site may not load this")
        if headers.get("sec-purpose", "").startswith("prefetch"):
            return _refused(503, "nothing is fetched ahead: a verdict that is shown is counted")
        if method in ("GET", "HEAD"):
            return None
        if method != "POST" or not self.allow_writes:
            return _refused(405, "this page only shows; `losslab serve --allow-writes` lets it tag and remove runs")
        if not _is_own(headers.get("origin", ""), headers.get("host", ""), site):
            return _refused(403, "only a form of this page may change anything")
        return None


def _is_own(origin: str, host: str, site: str) -> bool:
    """Whether a form was sent by a page of this server.

    A browser that is set to hide where its user comes from says `null`; then it must say itself that it is this site.
    The key in the form is asked for in either case.
    """
    return site == "same-origin" if origin == "null" else bool(host) and urlsplit(origin).netloc == host


def named(host: str) -> str:
    """The name in a `Host` header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def is_token(header: str, token: str) -> bool:
    """Whether an `Authorization` header holds the token: as a bearer's, or as the password of any user."""
    scheme, _, value = header.partition(" ")
    given = value.strip()
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode(), token.encode())


def check(host: str, token: str) -> None:
    """Raise ValueError for an address that others reach, without a token that they need."""
    if token and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise ValueError(f"{TOKEN} holds a token of fewer than {LEAST_TOKEN} plain characters; set a longer one, such "
                         "as what `python -c \"import secrets; print(secrets.token_urlsafe())\"` prints")
    if host not in LOOPBACK and not token:
        raise ValueError(f"--host {host} can be reached from other machines, and no token is set; put one into the "
                         f"environment variable {TOKEN}, or leave --host out and use a tunnel such as "
                         "ssh -L 8765:localhost:8765")


def check_name(name: str) -> str:
    """A name by which browsers call this machine, as it is compared.

    Raises:
        ValueError: for an address or a name with a port, which no request would ever fit.
    """
    name = name.strip().lower()
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(bare))
    if not name or not PLAIN.fullmatch(name):
        inner = named(name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("/")[0])
        hint = f"; give {inner}" if PLAIN.fullmatch(inner) else ""
        raise ValueError(f"--name takes a name alone, such as lab.example.org, without http:// and without a port; got "
                         f"{shown(name)}{hint}")
    return name


def _refused(status: int, sentence: str) -> PlainTextResponse:
    return PlainTextResponse(sentence + "\n", status)
