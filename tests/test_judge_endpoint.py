"""The client of an endpoint that misbehaves: what is asked again, what is not, and where the key goes."""

import contextlib
import copy
import email.utils
import gzip
import json
import socket
import time
import zlib

import pytest
from judge_endpoints import ASK, NOW, OK, Waits, endpoint, scripted
from judge_stub import answered, serving

from losslab.judge import keys, wire
from losslab.judge.cost import Prices, spent
from losslab.judge.endpoint import NoAnswer, Refused
from losslab.judge.keys import Key

# --- what is asked again -----------------------------------------------------------------------

def test_an_answer_is_paid_as_the_endpoint_counts_it():
    with serving(scripted(OK)) as stub:
        asked = endpoint(stub, temperature=0.5, max_tokens=9)
        reply = asked.ask(ASK)
    assert vars(reply) == {"text": "Fine.", "tokens_in": 100, "tokens_out": 10, "finish": "stop", "model": "stub-1"}
    assert stub.requests == [{"model": "stub", "messages": ASK, "temperature": 0.5, "max_tokens": 9}]
    assert "Authorization" not in stub.headers[0]
    assert spent(asked.spend, Prices(2.0, 30.0))["money"] == pytest.approx((100 * 2 + 10 * 30) / 1e6)


@pytest.mark.parametrize(("header", "seconds"), [
    ("7", 7.0), ("0.5", 0.5), (email.utils.formatdate(NOW + 12, usegmt=True), 12.0),
    ("Tue, 14 Nov 2023 22:13:30 -0000", 10.0), (email.utils.formatdate(NOW - 9, usegmt=True), 0.25), ("0", 0.25),
])
def test_retry_after_is_honored_in_seconds_and_as_a_date(header, seconds):
    waits = Waits()
    with serving(scripted((429, {"Retry-After": header}, b"{}"), OK)) as stub:
        assert endpoint(stub, waits).ask(ASK).text == "Fine."
    assert waits.slept == [seconds] and len(stub.requests) == 2


def test_without_retry_after_waits_grow():
    waits = Waits()
    with serving(scripted((500, {}, b"oops"), (503, {}, b""), (429, {"Retry-After": "soon"}, b"{}"), OK)) as stub:
        asked = endpoint(stub, waits)
        assert asked.ask(ASK).text == "Fine."
    assert waits.slept == [1.0, 2.0, 4.0] and asked.spend.tries_lost == 3 and asked.spend.calls == 1


def test_a_wait_that_one_thread_was_asked_for_holds_for_all():
    waits = Waits()
    with serving(scripted((429, {"Retry-After": "30"}, b"{}"), OK)) as stub:
        asked = endpoint(stub, waits, retries=0)
        with pytest.raises(NoAnswer, match="HTTP 429"):
            asked.ask(ASK)
        asked.ask(ASK)  # another request, which waits
    assert waits.slept == [30.0]


@pytest.mark.parametrize("header", ["100000", "1e999", "9" * 90])
def test_a_wait_beyond_patience_ends_in_a_sentence(header):
    with serving(scripted((429, {"Retry-After": header}, b"{}"))) as stub:
        with pytest.raises(Refused, match="asks to wait .* the same command continues from there"):
            endpoint(stub).ask(ASK)


def test_seconds_that_cannot_be_read_are_none():
    for text in (None, "", "soon", "nan", "x" * 200, "Mon, 99 Foo 20000000 00:00:00 GMT"):
        assert wire.seconds_of(text, NOW) is None


def half(handler):
    """The head of an answer and half of its body."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + answered("Fine.")[:40])


def chunked_half(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1F4\r\n" + answered("Fine.")[:40])


def no_http(handler):
    handler.wfile.write(b"\x00\xff\x13 nothing like a status line\r\n\r\n")


def hung_up(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def huge(handler):
    """An answer without an end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    try:
        while True:
            handler.wfile.write(b" " * (1 << 20))
    except OSError:
        pass


BOMB = gzip.compress(b" " * (64 << 20), 1)


@pytest.mark.parametrize("reply", [
    half, chunked_half, no_http, hung_up, huge,
    (200, {}, b"{'choices': []}"), (200, {}, b'{"choices": [{"message": {"content": "Fi'), (200, {}, b"[]"),
    (200, {}, b""),
    (200, {}, b'{"choices": []}'), (200, {}, b'{"error": {"code": 500}}'), (200, {}, b'{"choices": [{"message": 3}]}'),
    (200, {}, answered("caf\u00e9").decode().replace("\\u00e9", "\u00e9").encode("latin-1")),
    (200, {}, b'{"choices": [{"message": {"content": "\\ud800"}}]}'), (200, {}, b"[" * 100_000),
    (200, {"Content-Type": "text/html"}, b"<html>maintenance</html>"),
    (200, {"Content-Encoding": "gzip"}, BOMB), (200, {"Content-Encoding": "gzip"}, gzip.compress(b"{}")[:-9]),
    (200, {"Content-Encoding": "gzip"}, b"plain"), (200, {"Content-Encoding": "br"}, b"\x0b\x02"),
], ids=lambda reply: getattr(reply, "__name__", None))
def test_what_is_no_whole_answer_is_asked_again(reply):
    with serving(scripted(reply, OK)) as stub:
        asked = endpoint(stub)
        assert asked.ask(ASK).text == "Fine."
    assert len(stub.requests) == 2 and asked.spend.tries_lost == 1


@pytest.mark.parametrize("reply", [
    (200, {"Content-Type": "text/plain"}, answered("Fine.")), (200, {}, b"\xef\xbb\xbf" + answered("Fine.")),
    (200, {"Content-Encoding": "gzip"}, gzip.compress(answered("Fine."))),
    (200, {"Content-Encoding": "deflate"}, zlib.compress(answered("Fine."))),
    (200, {}, answered([{"type": "text", "text": "Fi"}, {"type": "image"}, {"type": "text", "text": "ne."}])),
])
def test_an_answer_in_another_dress_is_read(reply):
    with serving(scripted(reply)) as stub:
        assert endpoint(stub).ask(ASK).text == "Fine."


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": "many"}, {"prompt_tokens": -1, "completion_tokens": True}])
def test_tokens_that_are_not_counted_are_said_to_be_unknown(usage):
    with serving(scripted((200, {}, answered("Fine.", usage)))) as stub:
        asked = endpoint(stub)
        assert asked.ask(ASK).tokens_in is None
    assert asked.spend.calls_without_usage == 1 and asked.spend.tokens_in == 0


def test_a_byte_now_and_then_does_not_outlast_the_time():
    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(OSError):
            for _ in range(250):  # in the end it is a whole answer, for a client that waits for each byte alone
                handler.wfile.write(b"X: y\r\n")
                time.sleep(0.02)
            body = answered("Fine.")
            handler.wfile.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    with serving(scripted(drip)) as stub:
        with pytest.raises(NoAnswer, match="a time-out"):
            endpoint(stub, timeout=0.15, retries=1).ask(ASK)
        assert len(stub.requests) == 2


# --- what is not asked again -------------------------------------------------------------------

def test_nobody_there_is_said_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        waits = Waits()
        with pytest.raises(Refused, match="cannot reach the endpoint http://127.0.0.1:.*; start the server, or give"):
            endpoint(url, waits).ask(ASK)
    assert waits.slept == []


@pytest.mark.parametrize(("status", "sentence"), [
    (401, "does not accept the key in NAME"), (403, "does not accept the key in NAME"), (404, "no model gpt-9"),
    (302, "sends on to http://evil.example/"), (402, "has nothing to answer"),
])
def test_a_refusal_is_one_sentence_without_the_key(status, sentence):
    body = json.dumps({"error": {"message": "no model gpt-9, key sk-SECRET"}}).encode()
    with serving(scripted((status, {"Location": "http://evil.example/?k=sk-SECRET"}, body))) as stub:
        with pytest.raises(Refused, match=sentence) as refusal:
            endpoint(stub, key=Key("sk-SECRET", "NAME")).ask(ASK)
    assert "SECRET" not in str(refusal.value) and str(refusal.value).isprintable() and len(stub.requests) == 1


def test_a_key_does_not_follow_a_redirect():
    with serving() as other, serving(scripted((307, {"Location": other.url + "/chat/completions"}, b""))) as stub:
        with pytest.raises(Refused, match="which is not followed"):
            endpoint(stub, key=Key("sk-SECRET", "NAME")).ask(ASK)
        assert not other.requests and stub.headers[0]["Authorization"] == "Bearer sk-SECRET"


def test_a_used_up_quota_is_not_waited_for():
    body = b'{"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}'
    with serving(scripted((429, {}, body))) as stub:
        with pytest.raises(Refused, match="quota of the key in NAME is used up"):
            endpoint(stub, key=Key("k", "NAME")).ask(ASK)


def test_an_optional_field_that_is_not_known_there_is_left_out():
    def picky(request, stub):
        for name, told in (("temperature", "Unsupported value: 'temperature'"),
                           ("max_tokens", "'max_tokens' is not supported, use 'max_completion_tokens'")):
            if name in request:
                return 400, {}, json.dumps({"error": {"message": told, "param": name}}).encode()
        return OK

    with serving(picky) as stub:
        assert endpoint(stub, temperature=0.0, max_tokens=50).ask(ASK).text == "Fine."
    assert stub.requests[-1] == {"model": "stub", "messages": ASK, "max_completion_tokens": 50}


def test_a_request_that_is_too_long_fails_alone():
    body = b'{"error": {"message": "maximum context length is 10 tokens, max_tokens too large", "param": null}}'
    with serving(scripted((400, {}, body), OK)) as stub:
        asked = endpoint(stub, max_tokens=5)
        with pytest.raises(NoAnswer, match="HTTP 400"):
            asked.ask(ASK)
        assert asked.ask(ASK).text == "Fine." and stub.requests[-1]["max_tokens"] == 5


# --- the key -----------------------------------------------------------------------------------

def test_the_key_shows_itself_nowhere_but_in_the_header():
    key = keys.read(None, {"OPENAI_API_KEY": "sk-2", "LOSSLAB_JUDGE_KEY": " sk-1\n"})
    assert key.reveal() == "sk-1" and key.variable == "LOSSLAB_JUDGE_KEY" and "sk-1" not in f"{key!r} {key}"
    assert not keys.read(None, {}) and keys.read(None, {"OPENAI_API_KEY": "sk-2"}).reveal() == "sk-2"
    assert keys.read("MINE", {"MINE": "x"}).reveal() == "x"
    with pytest.raises(TypeError):
        copy.copy(key)  # as pickle does
    for given, found in (({"LOSSLAB_JUDGE_KEY": "a\r\nHost: evil"}, None),
                         ({"LOSSLAB_JUDGE_KEY": "schl\u00fcssel"}, None), ({}, "sk-1"), ({}, "NOT_SET")):
        with pytest.raises(ValueError) as refusal:
            keys.read(found, given)
        assert "LOSSLAB_JUDGE_KEY" in str(refusal.value) and "evil" not in str(refusal.value)
        assert found is None or found not in str(refusal.value)


@pytest.mark.parametrize("argument", [
    "sk-proj-abc123abc123abc123", "--judge-model=sk-abc123abc123abc1234", "Authorization: Bearer abcdefgh",
    "my own 12345 key",
])
def test_a_key_on_a_command_line_is_refused_and_not_repeated(argument):
    with pytest.raises(ValueError, match="LOSSLAB_JUDGE_KEY") as refusal:
        keys.check_arguments(["runs/a", argument], {"OPENAI_API_KEY": "own 12345 key"})
    assert argument not in str(refusal.value)
    keys.check_arguments(["runs/risk-abc123abc123abc123", "a", "sk-learn-run-2024-long-name",
                          "data/hf_stories_v2_long_name.json"], {"OPENAI_API_KEY": "a"})


@pytest.mark.parametrize("url", [
    "https://user:pw@host/v1", "https://sk-1@host/v1", "https://host/v1?api_key=1", "https://host/v1#k", "host:8000",
    "ftp://host/v1", "http://", "http://ho st/v1", "http://host:99999/v1", "http://[::1/v1", "file:///etc/passwd", "",
    "http://\u0000/v1", "http://a..b/v1",
])
def test_what_is_no_plain_place_is_refused(url):
    with pytest.raises(ValueError, match="--url") as refusal:
        wire.address(url)
    assert str(refusal.value).isprintable() and "pw" not in str(refusal.value)


def test_addresses():
    for url, name in (
        ("http://localhost:8000", "http://localhost:8000/v1"), ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://[::1]:1/v1/chat/completions", "http://[::1]:1/v1"), ("https://h:8443/a%20b", "https://h:8443/a%20b"),
        ("https://h/openai?api-version=1", "https://h/openai"),
    ):
        assert wire.address(url).name == name
    with pytest.raises(ValueError, match="would go to http://example.org/v1 unencrypted"):
        endpoint("http://example.org/v1", key=Key("sk-1", "NAME"))
    assert endpoint("http://127.0.0.1:9/v1", key=Key("sk-1", "NAME")) and endpoint("http://example.org/v1")
