"""What the judge, the arena and the live page read: answers, caches, ledgers, challenges, requests, documents."""

import asyncio
import json
import shlex
import shutil
from pathlib import Path
from urllib.parse import unquote

import faults_mutate as mutate
import faults_places as places
from faults_subjects import Subject, check_output, cli

JUDGED, ARENA, SERVED, PLANS = "a judgement", "the arena", "served", "plans"  # names of `MAKERS`
HOST = "127.0.0.1"


# --- the judge ---------------------------------------------------------------------------------

def _graded(folder: Path, file: Path) -> None:
    with places.inside(folder):
        cli("judge", "ours", "--against", "theirs", "--prompts", "prompts.txt", "--completions", "2", "--num-tokens",
            "12", "--cache", "kept", "--url", places.judge().url, "--judge-model", "stub", "--no-measures", "--retries",
            "0", "--out", "again.html")  # fmt: skip


def _answer(folder: Path, file: Path) -> None:
    """An answer of an endpoint, as somebody's server may send it."""
    from losslab.judge import grading, protocols, wire
    from losslab.judge.cache import Cache
    from losslab.judge.endpoint import Endpoint
    from losslab.judge.keys import Key
    from losslab.judge.parsing import Unread

    body, stub = file.read_bytes(), places.judge()
    usual, stub.replies = stub.replies, lambda request, _: (200, {}, body)
    try:
        made = Endpoint(wire.address(stub.url), "stub", Key(), retries=0, tell=check_output, sleep=lambda seconds: None)
        judge = grading.Asking(made, Cache(folder / "kept", check_output))
        made.models()
        grades, text = judge.grade(protocols.find("tinystories"), ("Once", "upon a time."), 0)
        json.dumps([grades, text], allow_nan=False)
    except Unread as error:
        raise ValueError(f"the answer has no grades: {error}") from None
    finally:
        stub.replies = usual


def _votes(folder: Path, file: Path) -> None:
    cli("judge", "--votes", file)
    cli("judge", "--votes", file, "--json")


# --- the arena ---------------------------------------------------------------------------------

def _looked(folder: Path, file: Path) -> None:
    """What a submitter and a reader of the board see."""
    with places.inside(folder):
        for words in (("log", "mine"), ("show", "mine"), ("show", "mine", "--json"), ("board", "challenge.toml")):
            cli("arena", *words)


def _edited(folder: Path, file: Path) -> None:
    with places.inside(folder):
        cli("arena", "edit", "mine", "--insert", "0", "--text", "# another")
        cli("arena", "undo", "mine")


def _challenge(folder: Path, file: Path) -> None:
    with places.inside(folder):
        cli("arena", "new", file, "mine")
        cli("arena", "show", "mine")
        cli("arena", "board", file)


def _transcript(folder: Path, file: Path) -> None:
    with places.inside(folder):
        cli("arena", "replay", file, "again")


# --- the live page -----------------------------------------------------------------------------

def _request(folder: Path, file: Path) -> None:
    """A request of a browser, or of somebody who is none."""
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError):  # it is the file, and not a request, that is nested too deeply
        return
    if not isinstance(found, dict) or not all(isinstance(found.get(key), str) for key in ("method", "url", "body")):
        return
    headers = found.get("headers")
    headers = headers if isinstance(headers, dict) else {}
    _ask(folder, found["method"], found["url"], {str(key): str(value) for key, value in headers.items()}, found["body"])


def _document(folder: Path, file: Path) -> None:
    """A document that lies next to runs, as a page."""
    if file.name == "page.json":
        shutil.copy(file, folder / "ours" / "judgement-stub.json")
        _ask(folder, "GET", "/documents/judgement-stub.json?run=ours")
    else:
        _ask(folder, "GET", "/pages/store")
        _ask(folder, "GET", "/ladders")


def _store(folder: Path, file: Path) -> None:
    """The pages of a store of which a file is bent."""
    run = file.parent.relative_to(folder).as_posix()
    for url in ("/", "/?form=csv", f"/runs/{run}", f"/logs/{run}", "/tuning", "/metrics", "/ladders",
                "/studies/store?look=now", "/boards"):  # fmt: skip
        _ask(folder, "GET", url)


def _ask(folder: Path, method: str, url: str, headers: dict[str, str] | None = None, body: str = "") -> None:
    """Ask the page of a folder; its answer is not 500, and no exception comes out of it."""
    from losslab.serve import application

    with places.inside(folder):
        made = application.application(folder, allow_writes=True)
        made.app.state.site.is_closing = True  # so that a stream ends
        path, _, query = url.encode("utf-8", "replace").partition(b"?")
        fields = {"host": HOST, "origin": f"http://{HOST}"} | (headers or {})
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
                 "path": unquote(path.decode("latin-1")), "raw_path": path, "query_string": query, "root_path": "",
                 "server": (HOST, 8765), "client": (HOST, 9), "headers": [
                     (key.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
                     for key, value in fields.items()]}  # fmt: skip
        told = body.replace("FORM_KEY", made.form_key).encode("utf-8", "replace")
        asked, got = [{"type": "http.request", "body": told, "more_body": False}], []

        async def receive():
            return asked.pop() if asked else {"type": "http.disconnect"}

        async def send(message):
            got.append(message)

        asyncio.run(made(scope, receive, send))
    status = next((message["status"] for message in got if message["type"] == "http.response.start"), 0)
    if not 100 <= status < 500 and status != 503:
        raise AssertionError(f"the page answered {status}")
    text = b"".join(message.get("body", b"") for message in got).decode("utf-8", "replace")
    if "<script>alert(1)" in text:
        raise AssertionError("a text of the request is a script of the page")


def _served(folder: Path, file: Path) -> None:
    """The arguments of `losslab serve`; nothing is waited for."""
    from losslab.serve import application

    before, application.run_server = application.run_server, lambda page, waiting: waiting.close()
    try:
        with places.inside(folder):
            cli("serve", *shlex.split(file.read_text("utf-8", "replace").replace("\0", " ")))
    finally:
        application.run_server = before


SUBJECTS = (
    Subject("kept answers of a judge", JUDGED, "kept/*/*.json", mutate.as_json, _graded, 2),
    Subject("answer of an endpoint", PLANS, "answer.json", mutate.as_json, _answer, 5),
    Subject("votes", PLANS, "votes.json", mutate.as_json, _votes, 4),
    Subject("board, secret and tuning", ARENA, "host/*/*.json", mutate.as_json, _looked, 4),
    Subject("rows of a board", ARENA, "host/*/rows/*.json", mutate.as_json, _looked, 4),
    Subject("ledger", ARENA, "host/*/games/*/ledger.jsonl", mutate.as_lines, _looked, 3),
    Subject("ledger, played on", ARENA, "host/*/games/*/*.jsonl", mutate.as_lines, _edited, 3),
    Subject("records of a ledger", ARENA, "host/*/games/*/records/*.json", mutate.as_json, _edited, 3),
    Subject("texts of a ledger", ARENA, "host/*/games/*/files/*.py", mutate.raw, _edited, 2),
    Subject("workspace", ARENA, "mine/*", mutate.raw, _looked, 3),
    Subject("workspace, edited", ARENA, "mine/*.[jp]*", mutate.as_json, _edited, 3),
    Subject("challenge", PLANS, "whole.toml", mutate.as_text, _challenge, 6),
    Subject("transcript", PLANS, "transcript.json", mutate.as_json, _transcript, 4),
    Subject("request", SERVED, "requests/*.json", mutate.as_json, _request, 10),
    Subject("page of a ladder", "a ladder", "store/report.json", mutate.as_json, _document, 4),
    Subject("page of a study", "tuning", "store/report.json", mutate.as_json, _document, 4),
    Subject("page of a judgement", JUDGED, "page.json", mutate.as_json, _document, 4),
    Subject("run files, served", SERVED, "store/*/*.json*", mutate.as_lines, _store, 3),
    Subject("index, served", SERVED, "store/.index.sqlite", mutate.raw, _store, 2),
    Subject("trials, served", "tuning", "store/trials/*/*.json*", mutate.as_lines, _store, 2),
    Subject("study's folder, served", "tuning", "store/*.[jt]*", mutate.as_json, _store, 2),
    Subject("arguments of serve", SERVED, "arguments/*.txt", mutate.as_text, _served, 4),
)
