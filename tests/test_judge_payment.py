"""What a judge is paid: each answer once, also after a kill."""

import json
import signal
import subprocess
import sys
import threading

import pytest
from judge_endpoints import endpoint
from judge_stub import GRADES, answered, asks_for_grades, serving, well_behaved

from losslab.judge.cache import Cache
from losslab.judge.cost import Prices, estimate
from losslab.judge.endpoint import Refused
from losslab.judge.grading import MOST_IN_A_ROW, Asking, Task, run
from losslab.judge.protocols import TINYSTORIES

TASKS = [Task("a", p, k, (f"Once {p}", f" there was {k}")) for p in range(4) for k in range(3)]


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
        for file in tmp_path.rglob("*.json"):  # turned bits in the name of the checksum, and in the grades
            file.write_bytes(file.read_bytes().replace(b"checksum", b"checksun").replace(b"Plot: 5", b"Plot: 7"))
        found = run(Asking(endpoint(stub), Cache(tmp_path, told.append)), TINYSTORIES, TASKS[:1])
        assert len(stub.requests) == 10 and found[0].grades["plot"] == 5 and "its checksum is missing" in told[-1]


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
        with pytest.raises(Refused, match=f"no answer {MOST_IN_A_ROW} times in a row .*HTTP 500.* continues from"):
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
