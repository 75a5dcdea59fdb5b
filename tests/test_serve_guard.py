"""Who may ask the live page, and that what a run holds stays text and files that it does not hold stay unread."""

import base64
import json
import re
from urllib.parse import quote

import pytest
from record_runs import spec, write_run
from report_runs import Page
from serving import BASE, client, scored, two_arms, words
from starlette.websockets import WebSocketDisconnect

from losslab import records
from losslab.serve import guard

HOSTILE = "</script><img src=x onerror=alert(1)>\u202e\x1b[2J"


@pytest.fixture
def store(tmp_path):
    return two_arms(tmp_path / "store", seeds=2)


def test_every_answer_has_a_policy_without_inline_scripts_and_sets_no_cookie(store):
    pages = client(store)
    for address in ("/", "/runs/a0", "/nowhere", "/static/x/live.js", "/live/none"):
        found = pages.get(address).headers
        policy = found["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert found["x-content-type-options"] == "nosniff" and "set-cookie" not in found
    parsed = Page(pages.get("/").text)
    for about, text in parsed.all("script"):
        assert about.get("src", "").startswith("/static/") or about.get("type") == "application/json" and text
    assert not any(name.startswith("on") or name == "style" for _, about in parsed.elements for name in about)


def test_another_name_for_this_machine_is_refused(store):
    pages = client(store, names=(*guard.LOOPBACK, "lab.example"))
    for host, status in (("127.0.0.1:8765", 200), ("LOCALHOST", 200), ("[::1]:1", 200), ("lab.example:8765", 200),
                         ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("", 421)):
        assert pages.get("/", headers={"host": host}).status_code == status, host


def test_another_site_may_link_and_not_load(store):
    pages = client(store)
    site = {"sec-fetch-site": "cross-site"}
    link = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert pages.get("/", headers=site | link).status_code == 200
    assert pages.get("/", headers=site | link | {"sec-fetch-dest": "iframe"}).status_code == 403
    assert pages.get("/", headers=site | {"sec-fetch-mode": "no-cors"}).status_code == 403
    assert pages.get("/", headers={"sec-purpose": "prefetch"}).status_code == 503


def test_a_token_is_asked_for_as_a_password(store):
    pages, token = client(store, token="twelve-letters"), "twelve-letters"
    refused = pages.get("/")
    assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Basic ")
    basic = base64.b64encode(f"anybody:{token}".encode()).decode()
    for header, status in ((f"Bearer {token}", 200), (f"Basic {basic}", 200), ("Bearer other", 401), ("Basic ?", 401)):
        assert pages.get("/", headers={"authorization": header}).status_code == status
    guard.check("127.0.0.1", "")
    guard.check("0.0.0.0", token)
    for host, bad in (("0.0.0.0", ""), ("127.0.0.1", "short")):
        with pytest.raises(ValueError, match="LOSSLAB_TOKEN"):
            guard.check(host, bad)


def test_nothing_is_changed_unless_that_was_allowed_and_asked_for_here(store):
    reading = client(store)
    assert reading.post("/runs/a0", data={"do": "remove", "sure": "yes"}).status_code == 405
    assert "Remove" not in words(reading.get("/runs/a0"))
    pages, here = client(store, allow_writes=True), {"origin": BASE}
    key = re.search(r'name="form_key" value="([^"]+)"', pages.get("/runs/a0").text)[1]
    asked = {"form_key": key, "do": "remove", "sure": "yes"}
    for data, headers, status in ((asked, {}, 403), (asked, {"origin": "http://evil.example"}, 403),
                                  (asked | {"form_key": ""}, here, 403), (asked | {"sure": ""}, here, 400)):
        assert pages.post("/runs/a0", data=data, headers=headers).status_code == status
    assert records.is_run(store / "a0")
    tagged = pages.post("/runs/a0", data={"form_key": key, "do": "tag", "add": "good kept"}, headers=here)
    assert tagged.status_code == 303 and records.read(store / "a0").tags == ("good", "kept")
    assert pages.post("/runs/a0", data=asked, headers=here).status_code == 303
    assert not (store / "a0").exists() and "There is no run a0" in words(pages.get("/runs/a0"))


def test_the_forms_work_in_a_browser_also_in_one_that_hides_where_its_user_comes_from(store):
    pages = client(store, allow_writes=True)
    page = pages.get("/runs/a0")
    assert page.headers["referrer-policy"] == "same-origin"  # with no-referrer every browser says `Origin: null`
    asked = {"form_key": re.search(r'name="form_key" value="([^"]+)"', page.text)[1], "do": "tag", "add": "good"}
    hidden = {"origin": "null", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    for headers in (hidden, hidden | {"sec-fetch-site": "none"}, hidden | {"sec-fetch-site": "cross-site"}):
        assert pages.post("/runs/a0", data=asked, headers=headers).status_code == 403
    own = hidden | {"sec-fetch-site": "same-origin"}
    assert pages.post("/runs/a0", data=asked | {"form_key": "guessed"}, headers=own).status_code == 403
    assert records.read(store / "a0").tags == ()
    assert pages.post("/runs/a0", data=asked, headers=own).status_code == 303
    assert records.read(store / "a0").tags == ("good",)


def test_a_web_socket_is_closed(store):
    with pytest.raises(WebSocketDisconnect) as closed, client(store).websocket_connect("/live"):
        pass
    assert closed.value.code == guard.NO_SOCKETS


@pytest.mark.parametrize(("name", "hint"), [
    ("lab.example.org:8080", "; give lab.example.org"), ("http://lab.example.org:80/x", "; give lab.example.org"),
    ("lab.example.org/runs", "; give lab.example.org"), ("two words", ""), ("", "")])
def test_a_name_is_a_name_alone(name, hint):
    with pytest.raises(ValueError, match="a name alone, such as lab.example.org, without http") as refusal:
        guard.check_name(name)
    assert str(refusal.value).endswith(hint) and "; give" in hint or "; give" not in str(refusal.value)


def test_names_that_are_names():
    assert [guard.check_name(name) for name in ("Lab.Example.org", "10.0.0.7", "[::1]", "fe80::1", "my_box")] == [
        "lab.example.org", "10.0.0.7", "::1", "fe80::1", "my_box"]


def test_no_path_leads_out_of_what_is_listed(store):
    (store.parent / "secret.json").write_text('{"tasks": [], "secret": 1}')
    (store / "link").symlink_to(store.parent)
    pages = client(store)
    for address in ("/runs/%2e%2e%2fsecret.json", "/runs/a0%2f..%2f..%2fsecret.json", "/runs//etc", "/runs/link",
                    "/logs/..%2f..%2fetc", "/documents/spec.json?run=a0", "/documents/..%2fspec.json?run=a0",
                    "/documents/evaluation.json?run=..", "/static/x/..%2fguard.py", "/static/x/live.html.j2",
                    "/pages/%2e%2e%2f", "/studies/..%2f..", "/boards/%2e%2e%2f", "/compare?arms=../../x"):
        answer = pages.get(address)
        assert answer.status_code in (400, 404) and "secret" not in answer.text.replace("secret.json", ""), address


def test_words_of_a_run_are_only_words(store):
    record = write_run(store / "x", f"y{HOSTILE}", 0, scored(1.0) | {"samples": [{"prompt": "", "text": HOSTILE}]})
    value = spec(f"y{HOSTILE}", 0)
    value["losses"] = [{"path": HOSTILE, "sha256": "ab", "source": HOSTILE}]
    records.update(store / "x", value)
    (store / f"z{HOSTILE.replace('/', '')}").mkdir()
    write_run(store / f"z{HOSTILE.replace('/', '')}", "mse", 0, scored(1.0))
    pages = client(store)
    listed = pages.get("/").text
    odd = re.search(r"/conditions/(?!" + record.condition + r")\w+", listed)
    for address in ("/", "/runs/x", f"/conditions/{record.condition}", odd[0], f"/compare?arms={record.condition}",
                    *(before + quote(HOSTILE) for before in ("/compare?arms=", "/?q=", "/inspect?formula=", "/"))):
        text = pages.get(address).text
        parsed = Page(text)
        assert not parsed.all("img") or all(about["src"].startswith("/") for about, _ in parsed.all("img")), address
        assert len(parsed.all("script")) == 3 and "\u202e" not in text and "\x1b" not in text


def test_a_document_next_to_a_run_is_data(store):
    good = {"run": "r", "loss": "mse", "num_params": 10, "context": 8, "tokenizer": "bytes", "corpus": "tales",
            "command": "losslab evaluate", "version": "0.1.0", "failures": [], "is_evidence": True, "tasks": [
                {"name": "blimp", "scores": {"accuracy": {"value": 0.5, "stderr": 0.03, "n": 67, "unit": "of pairs"}},
                 "counts": {}, "notes": [], "is_evidence": True, "tables": {}, "parts": []}]}
    place = store / "a0" / "evaluation.json"
    pages = client(store)
    place.write_text(json.dumps(good))
    assert "± 0.03" in words(pages.get("/documents/evaluation.json?run=a0"))
    found = words(pages.get("/metrics?runs=a0"))
    assert "blimp: accuracy" in found and "likelihood: nll" in found
    for spoilt in ({"tasks": 3}, {"tasks": [{}]}, {"other": 1}, good | {"num_params": "x"}):
        place.write_text(json.dumps(spoilt))
        answer = pages.get("/documents/evaluation.json?run=a0")
        assert answer.status_code == 422 and "losslab" in words(answer)
        assert pages.get("/metrics?runs=a0").status_code == 200
    place.write_text("{")
    assert pages.get("/documents/evaluation.json?run=a0").status_code == 404
