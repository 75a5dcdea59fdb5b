"""One HTTP request of JSON and its answer, whatever the other side does: bounded in bytes and in seconds.

No redirect is followed, so that what a request carries goes to the address that the user gave, and to no other.
"""

import contextlib
import datetime
import email.utils
import gzip
import http.client
import io
import ipaddress
import json
import math
import socket
import ssl
import threading
import urllib.parse
import urllib.request
import zlib
from dataclasses import dataclass

from losslab import __version__, untrusted
from losslab.untrusted import shown

MOST_BYTES = 8 << 20  # of an answer, packed and unpacked
CONNECT_SECONDS = 15.0
COMMON = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity",
          "User-Agent": f"losslab/{__version__}"}
FAULTS = (OSError, http.client.HTTPException, zlib.error, EOFError)


class Unreachable(OSError):
    """No connection: the name is not known, nobody listens, or the certificate is not to be trusted."""


class Broken(ValueError):
    """An answer that came, but not whole, or not as JSON."""


@dataclass(frozen=True)
class Address:
    """Where an OpenAI-compatible endpoint is."""

    scheme: str
    host: str
    port: int
    path: str  # without a slash at its end
    query: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        if self.host == "localhost":
            return True
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False

    @property
    def name(self) -> str:
        """As text, for people and for records."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.scheme == "https" else 80)
        return f"{self.scheme}://{host}{'' if usual else f':{self.port}'}{self.path}"


@dataclass(frozen=True)
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def document(self) -> dict:
        """The JSON object in it.

        Raises:
            Broken: for anything else.
        """
        try:
            found = untrusted.parse_json(self.body.removeprefix(b"\xef\xbb\xbf"), "the answer")
        except ValueError as error:
            kind = shown((self.headers.get("Content-Type") or "no type").split(";")[0], 40)
            raise Broken(f"{error} (it came as {kind})") from None
        if not isinstance(found, dict):
            raise Broken("the answer is no JSON object")
        return found


def address(url: str) -> Address:
    """The address that `--url` gives, such as https://api.openai.com/v1 or http://localhost:8000/v1.

    Raises:
        ValueError: for what is no such URL; one that has a key in it is refused and not repeated.

    Example:
        >>> address("http://localhost:8000/v1/chat/completions").name
        'http://localhost:8000/v1'
    """
    try:
        parts = urllib.parse.urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ValueError("--url is no URL that can be read; give one such as http://localhost:8000/v1") from None
    if "@" in parts.netloc or parts.fragment or set(dict(urllib.parse.parse_qsl(parts.query, True))) - {"api-version"}:
        raise ValueError("--url has more than a place in it, such as a key or a password, which does not belong on a "
                         "command line; put the key into the environment variable LOSSLAB_JUDGE_KEY")
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url.strip():
        raise ValueError("--url takes http:// or https:// and a host, such as http://localhost:8000/v1, got "
                         f"{shown(url)}")
    try:
        parts.hostname.encode("idna")
        path = urllib.parse.quote(parts.path.rstrip("/").removesuffix("/chat/completions"), safe="/%:@!$&'()*+,;=~")
    except UnicodeError:
        raise ValueError(f"--url has a host that no host is named like, {shown(parts.hostname)}") from None
    return Address(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), path or "/v1",
                   parts.query)


def send(to: Address, path: str, headers: dict[str, str], value: dict | None, *, seconds: float) -> Response:
    """POST `value` as JSON, or GET where there is none.

    Raises:
        Unreachable: where there is no connection.
        Broken: where the answer is not whole, too large, or packed in a way that is not known.
        OSError: for a connection that breaks off, and TimeoutError when `seconds` are over.
    """
    body = None if value is None else json.dumps(value).encode()
    connection, prefix = _connection(to, min(seconds, CONNECT_SECONDS))
    try:
        connection.connect()
    except (*FAULTS, ValueError) as error:
        connection.close()
        raise Unreachable(_why(error)) from None
    connection.sock.settimeout(seconds)
    cut = threading.Event()
    watch = threading.Timer(seconds, _shut, [connection, cut])  # a byte now and then would outlast any time-out
    watch.daemon = True
    watch.start()
    try:
        target = f"{prefix}{to.path}{path}{f'?{to.query}' if to.query else ''}"
        connection.request("GET" if body is None else "POST", target, body, COMMON | headers)
        response = connection.getresponse()
        found = response.read(MOST_BYTES + 1)
        if len(found) > MOST_BYTES:
            raise Broken(f"the answer has more than {MOST_BYTES >> 20} MB")
        if response.length or cut.is_set():
            raise Broken("the answer broke off")
        return Response(response.status, response.headers, _unpacked(found, response.headers))
    except (*FAULTS, Broken) as error:
        if cut.is_set():
            raise TimeoutError(f"no whole answer within {seconds:g} s") from None
        if isinstance(error, http.client.HTTPException | zlib.error | EOFError):
            raise Broken(f"the answer broke off, or is no HTTP ({type(error).__name__})") from None
        raise
    finally:
        watch.cancel()
        connection.close()


def _shut(connection: http.client.HTTPConnection, cut: threading.Event) -> None:
    cut.set()
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def _connection(to: Address, seconds: float) -> tuple[http.client.HTTPConnection, str]:
    """A connection that is not open yet, through the proxy of the environment where there is one, and what stands
    before the path."""
    proxies = {} if to.is_local else urllib.request.getproxies()
    proxy = proxies.get(to.scheme)
    if proxy and not urllib.request.proxy_bypass(to.host):
        place = urllib.parse.urlsplit(proxy if "//" in proxy else f"http://{proxy}")
        if place.scheme != "http" or not place.hostname or "@" in place.netloc:
            raise Unreachable(f"the proxy in {to.scheme}_proxy is not a plain http:// one, which alone is known")
        if to.scheme == "https":
            connection = http.client.HTTPSConnection(place.hostname, place.port or 80, timeout=seconds,
                                                     context=ssl.create_default_context())
            connection.set_tunnel(to.host, to.port)
            return connection, ""
        return http.client.HTTPConnection(place.hostname, place.port or 80, timeout=seconds), f"http://{to.host}:{to.port}"
    if to.scheme == "https":
        return http.client.HTTPSConnection(to.host, to.port, timeout=seconds, context=ssl.create_default_context()), ""
    return http.client.HTTPConnection(to.host, to.port, timeout=seconds), ""


def _unpacked(body: bytes, headers: http.client.HTTPMessage) -> bytes:
    """What a packed body holds, which nobody asked to be packed."""
    match (headers.get("Content-Encoding") or "identity").strip().lower():
        case "identity":
            return body
        case "gzip" | "x-gzip":
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                found = file.read(MOST_BYTES + 1)
        case "deflate":
            found = zlib.decompressobj().decompress(body, MOST_BYTES + 1)
        case other:
            raise Broken(f"the answer is packed as {shown(other, 30)}, which is not known here")
    if len(found) > MOST_BYTES:
        raise Broken(f"the answer unpacks to more than {MOST_BYTES >> 20} MB")
    return found


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted ({error.verify_message})"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for; None where there is none that can be read.

    Args:
        retry_after: seconds, or an HTTP date.
        now: seconds since 1970.

    Example:
        >>> seconds_of("7", 0), seconds_of("Thu, 01 Jan 1970 00:01:00 GMT", 50.0), seconds_of("soon", 0)
        (7.0, 10.0, None)
    """
    if not retry_after or len(retry_after) > 100:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(retry_after)
            seconds = date.replace(tzinfo=date.tzinfo or datetime.UTC).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)
