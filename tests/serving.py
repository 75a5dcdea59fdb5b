"""A served store for tests: run folders written by hand, and a client that asks as a browser on this machine does."""

import contextlib
import html
import json
import re
import signal
import threading

import pytest
from record_runs import RESULT, write_run

pytest.importorskip("starlette", reason="the extra web is not installed: no starlette")
pytest.importorskip("uvicorn", reason="the extra web is not installed: no uvicorn")
pytest.importorskip("httpx2", reason="no httpx2 to ask a page with")

from starlette.testclient import TestClient

from losslab.serve.application import Server, application, listening

BASE = "http://127.0.0.1:8765"


def scored(value):
    """A result with this nll."""
    return RESULT | {"scores": {"nll": {"value": value, "stderr": 0.01, "n": 8, "unit": "nats/token"}}}


def two_arms(store, seeds=4):
    """A baseline, and an arm that is 0.1 worse on every seed, give or take little."""
    for seed in range(seeds):
        wiggle = 0.002 * (-1) ** seed
        write_run(store / f"a{seed}", "cross_entropy", seed, scored(1.5 + 0.01 * seed))
        write_run(store / f"b{seed}", "squentropy", seed, scored(1.6 + 0.01 * seed + wiggle))
    return store


def client(root, **options):
    return TestClient(application(root, **options), base_url=BASE, follow_redirects=False)


@contextlib.contextmanager
def served(root):
    """The address of a server in another thread."""
    waiting = listening("127.0.0.1", 0)
    server = Server(application(root))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [waiting]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{waiting.getsockname()[1]}"
    finally:
        server.handle_exit(signal.SIGINT, None)
        thread.join(20)


def words(answer):
    """The text of a page, without tags."""
    body = re.sub(r"(?s)<script.*?</script>|<style.*?</style>|<head>.*?</head>", " ", answer.text)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def charts(answer):
    """The specifications of the charts of a page."""
    return json.loads(re.search(r'(?s)id="charts">(.*?)</script>', answer.text)[1])


def condition(record):
    return record.condition
