"""What comes from outside: requests to the live page, arguments, answers of a judge, votes, a transcript."""

import json
import shutil
from pathlib import Path

import faults_places as places
from faults_material import losslab

URLS = (
    "/", "/?q=cross_entropy seed=2&group=loss", "/?q=learning_rate=0.001&form=csv&sort=nll", "/runs/store/RUN",
    "/runs/store/RUN?key=tune/nll", "/logs/store/RUN", "/conditions/CONDITION?store=store",
    "/compare?arms=cross_entropy,squentropy&baseline=squentropy&margin=0.01&look=now", "/compare?arms=CONDITION",
    "/studies/store?look=now", "/documents/evaluation.json?run=store/RUN", "/pages/store", "/ladders", "/boards",
    "/boards/none", "/tuning?store=store/trials&setting=train.learning_rate", "/metrics?x=tokens&y=nll&arms=CONDITION",
    "/losses?terms=squentropy&gamma=2", "/inspect?loss=softcap(15) | cross_entropy + 0.0001*z_loss", "/lesson?loss=mse",
    "/tools/units?value=1.83&unit=bits/byte&bytes_per_token=4.2", "/tools/plan?start=flops&amount=1e19&device=h100",
    "/tools/seeds?sd=0.004&difference=0.005&power=0.9", "/tools/audit?row=val_loss=3.28, val_ppl=24, tokens=1M",
    "/live?runs=store/RUN", "/static/0/page.css", "/nothing/../../etc/passwd",
)  # fmt: skip
FORMS = ("form_key=FORM_KEY&do=tag&add=good fine&take=", "form_key=FORM_KEY&do=remove&sure=yes",
         "form_key=other&do=tag")  # fmt: skip
ARGUMENTS = ("store --port 0", "store --port 0 --host 127.0.0.1 --name page --allow-writes", "store --port 0 --json",
             "none --port 0", "store --port 80000", "store --host localhost --port 0")  # fmt: skip


def plans() -> None:
    """What is read before anything is run: study files, instruction data, and what others send."""
    places.studies()
    places.instructions()
    stub = places.of_tests("judge_stub")
    Path("answer.json").write_bytes(stub.answered(stub.GRADES))
    _write("votes.json", _votes())
    losslab("arena", "new", "loss-laptop", "mine")
    for words in (("edit", "mine", "--insert", "9", "--text", "# mine"), ("edit", "mine", "--replace", "5-5"),
                  ("undo", "mine")):  # fmt: skip
        losslab("arena", *words)
    from losslab.arena import verbs

    _write("transcript.json", verbs.log("mine"))
    for left in ("mine", "host"):
        shutil.rmtree(left)


def served() -> None:
    """A store with an index, and what may be asked of its page."""
    from losslab import records

    places.many()
    losslab("runs", "list", "store")
    run = records.find([Path("store")])[0]
    for name in ("requests", "arguments"):
        Path(name).mkdir()
    asked = [("GET", url, "") for url in URLS] + [("POST", "/runs/store/RUN", form) for form in FORMS]
    for number, (method, url, body) in enumerate(asked):
        url = url.replace("RUN", run.path.name).replace("CONDITION", run.condition)
        _write(f"requests/{number:02}.json", {"method": method, "url": url, "body": body, "headers": {
            "host": "127.0.0.1:8765", "origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}})  # fmt: skip
    for number, words in enumerate(ARGUMENTS):
        Path(f"arguments/{number}.txt").write_text(words, encoding="utf-8")


def _votes() -> dict:
    """Votes on a page of four pairs."""
    from losslab.judge import human

    hidden = human.cover({"names": ["ours", "theirs"], "prompts": [0, 0, 1, 2], "first_left": [1, 0, 1, 0]})
    votes = [{"item": 0, "vote": "left"}, {"item": 1, "vote": "tie"}, {"item": 3, "vote": "right"}]
    return {"format": human.FORMAT, "id": "0123456789abcdef", "hidden": hidden, "votes": votes}


def _write(name: str, value) -> None:
    Path(name).write_text(json.dumps(value), encoding="utf-8")
