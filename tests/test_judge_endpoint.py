"""The client of an endpoint that misbehaves, and what it pays: once, and after a kill not again."""

import copy
import email.utils
import gzip
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib

import pytest
from judge_stub import GRADES, answered, asks_for_grades, serving, well_behaved

from losslab.judge import keys, wire
from losslab.judge.cache import Cache
from losslab.judge.cost import Prices, estimate, spent
from losslab.judge.endpoint import Endpoint, NoAnswer, Refused
from losslab.judge.grading import MOST_IN_A_ROW, Asking, Task, run
from losslab.judge.keys import Key
from losslab.judge.protocols import TINYSTORIES

ASK = [{"role": "user", "content": "Good?"}]
NOW = 1_700_000_000.0
TASKS = [Task("a", p, k, (f"Once {p}", f" there was {k}")) for p in range(4) for k in range(3)]


class Waits:
    """A clock that goes forward by what is slept."""

    def __init__(self):
        self.slept, self.time, self.lock = [], 0.0, threading.Lock()

    def sleep(self, seconds):
        with self.lock:
            self.slept.append(seconds)
            self.time += seconds


def endpoint(stub, waits=None, *, key=None, timeout=5.0, retries=3, **options):
    waits = waits or Waits()
    return Endpoint(wire.address(getattr(stub, "url", stub)), "stub", key or Key(), timeout=timeout,
                    retries=retries, options=options, sleep=waits.sleep, clock=lambda: waits.time, now=lambda: NOW,
                    jitter=lambda: 1.0)


def scripted(*steps):
    """One reply after the other, the last again and again."""
    turn = itertools.count()
    return lambda request, stub: steps[min(next(turn), len(steps) - 1)]


OK = (200, {}, answered("Fine."))


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
        with pytest.raises(Refused, match="asks to wait .* the same command goes on from there"):
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
        try:
            while True:
                handler.wfile.write(b"X: y\r\n")
                time.sleep(0.02)
        except OSError:
            pass

    with serving(scripted(drip)) as stub:
        begun = time.monotonic()
        with pytest.raises(NoAnswer, match="a time-out"):
            endpoint(stub, timeout=0.15, retries=1).ask(ASK)
        assert time.monotonic() - begun < 5 and len(stub.requests) == 2


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


# --- paid once ---------------------------------------------------------------------------------

def asking(stub, folder, **options):
    return Asking(endpoint(stub, **options), Cache(folder))


def test_grades_of_every_task_and_nothing_paid_twice(tmp_path):
    with serving() as stub:
        judge = asking(stub, tmp_path)
        before = estimate(TASKS, TINYSTORIES, judge, Prices())
        found = run(judge, TINYSTORIES, TASKS, at_once=4)
        assert before["calls"] == len(stub.requests) == 24 == judge.endpoint.spend.calls and before["kept_calls"] == 0
        assert [outcome.task for outcome in found] == TASKS
        assert all(outcome.grades["grammar"] == 8 and outcome.assessment for outcome in found)
        again = asking(stub, tmp_path)
        assert estimate(TASKS, TINYSTORIES, again, Prices())["kept_calls"] == 24
        assert run(again, TINYSTORIES, TASKS) == found and len(stub.requests) == 24
        assert again.endpoint.spend.kept_calls == 24 and again.endpoint.spend.calls == 0


def test_the_same_text_is_asked_about_once_and_a_repeat_anew(tmp_path):
    same = [Task("a", 0, k, ("Once", " the end"), repeat) for k in range(5) for repeat in range(2)]
    with serving() as stub:
        judge = asking(stub, tmp_path)
        assert estimate(same, TINYSTORIES, judge, Prices())["calls"] == 4
        run(judge, TINYSTORIES, same, at_once=8)
        assert len(stub.requests) == 4


def test_another_model_or_another_option_is_asked_anew_and_a_damaged_answer_too(tmp_path):
    with serving() as stub:
        run(asking(stub, tmp_path), TINYSTORIES, TASKS[:1])
        other = asking(stub, tmp_path)
        other.endpoint.model = "another"
        run(other, TINYSTORIES, TASKS[:1])
        run(asking(stub, tmp_path, temperature=1.0), TINYSTORIES, TASKS[:1])
        assert len(stub.requests) == 6
        told = []
        for file in tmp_path.rglob("*.json"):
            file.write_bytes(file.read_bytes()[:-40])
        found = run(Asking(endpoint(stub), Cache(tmp_path, told.append)), TINYSTORIES, TASKS[:1])
        assert len(stub.requests) == 8 and found[0].grades["plot"] == 5
        assert "cannot be read and is asked for again" in told[0]


def test_prose_and_refusals_are_failures_that_were_paid(tmp_path):
    texts = {" there was 0": GRADES, " there was 1": "I cannot grade this.", " there was 2": None}

    def moody(request, stub):
        if not asks_for_grades(request):
            return 200, {}, answered("Hm.")
        (text,) = (text for key, text in texts.items() if key in request["messages"][0]["content"])
        return 200, {}, answered(text)

    with serving(moody) as stub:
        found = run(asking(stub, tmp_path), TINYSTORIES, TASKS[:3])
        assert [outcome.grades is None for outcome in found] == [False, True, True]
        assert [outcome.failure for outcome in found] == ["", "other words than the line of grades", "an empty answer"]
        run(asking(stub, tmp_path), TINYSTORIES, TASKS[:3])
        assert len(stub.requests) == 6


def test_a_judge_that_only_talks_is_said_to_early(tmp_path):
    def talking(request, stub):
        return 200, {}, answered("What a story!")

    told, many = [], [Task("a", p, 0, ("Once", f" there was {p}")) for p in range(22)]
    with serving(talking) as stub:
        found = run(asking(stub, tmp_path), TINYSTORIES, many, progress=lambda what, *more: told.append(what))
    assert [text for text in set(told) if text != "judging"] == [
        "none of the first 20 gradings could be read (other words than the line of grades); Ctrl-C stops, and what was "
        "paid for is kept"]
    assert all(outcome.grades is None for outcome in found) and told.count("judging") == 22


def test_no_answer_again_and_again_ends_the_run_and_keeps_what_there_is(tmp_path):
    def dying(request, stub):
        return well_behaved(request, stub) if len(stub.requests) <= 4 else (500, {}, b"")

    with serving(dying) as stub:
        with pytest.raises(Refused, match=f"no answer {MOST_IN_A_ROW} times in a row .*HTTP 500.* goes on from there"):
            run(asking(stub, tmp_path, retries=0), TINYSTORIES, TASKS, at_once=1)
        stub.replies = well_behaved
        before = len(stub.requests)
        found = run(asking(stub, tmp_path), TINYSTORIES, TASKS)
        assert len(stub.requests) - before == 20 and all(outcome.grades for outcome in found)


KILLED = """
import sys
from pathlib import Path
from losslab.judge import wire
from losslab.judge.cache import Cache
from losslab.judge.endpoint import Endpoint
from losslab.judge.grading import Asking, Task, run
from losslab.judge.keys import Key
from losslab.judge.protocols import TINYSTORIES
tasks = [Task("a", p, k, (f"Once {p}", f" there was {k}")) for p in range(4) for k in range(3)]
judge = Asking(Endpoint(wire.address(sys.argv[1]), "stub", Key()), Cache(Path(sys.argv[2])))
run(judge, TINYSTORIES, tasks, at_once=2)
"""


def test_a_killed_run_goes_on_without_paying_twice(tmp_path):
    """SIGKILL while two requests are under way: those two alone are asked again."""
    held, release = threading.Semaphore(0), threading.Event()

    def stuck(request, stub):
        if len(stub.requests) > 9:
            held.release()
            release.wait(30)
        return well_behaved(request, stub)

    with serving(stuck) as stub:
        process = subprocess.Popen([sys.executable, "-c", KILLED, stub.url, str(tmp_path)])
        assert held.acquire(timeout=60) and held.acquire(timeout=60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        paid = [json.dumps(request) for request in stub.requests[:9]]
        release.set()
        stub.replies, stub.requests[:] = well_behaved, []
        found = run(asking(stub, tmp_path), TINYSTORIES, TASKS)
        asked = [json.dumps(request) for request in stub.requests]
    assert all(outcome.grades for outcome in found)
    assert len(asked) == 24 - 9 and not set(asked) & set(paid) and len(set(asked)) == len(asked)
