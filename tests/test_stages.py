"""A study in stages: a kill costs nothing that was done; its page, its command."""

import copy
import json
from collections import Counter
from pathlib import Path
from unittest import mock

import judge_stub
import pytest
from commands import losslab, refuses
from experiments import untimed as untimed
from instruction_data import alpaca, write
from small_stages import SMALL, SMOKE, go, undrawn
from small_stages import place as place

from losslab import experiment, records, stages
from losslab.corpus import Corpus
from losslab.judge import writing
from losslab.stages import conducting, planning


class Killed(BaseException):
    """What ends a process at once, as far as files can tell."""


# --- kills -------------------------------------------------------------------------------------

def killed_in_a_run(stage, step):
    """Killed when the log of a stage reaches a step."""
    at = {"stage": ""}

    def tell(text):
        at["stage"] = text.rpartition(": ")[2] if text.startswith("stage ") else at["stage"]

    def on_line(line):
        if at["stage"] == stage and line["step"] >= step:
            raise Killed
    return {"tell": tell, "on_line": on_line}


def killed_before(number):
    def tell(text):
        if text.startswith(f"stage {number} of "):
            raise Killed
    return {"tell": tell}


def compared(found):
    """A document without what a second store changes: paths, times and what was paid when."""
    found = copy.deepcopy(found)
    for stage in found["stages"]:
        for key in ("run", "file", "report", "seconds", "spend"):
            stage.pop(key, None)
    for one in found["judgements"]:
        for key in ("spend", "report", "prompts", "estimate"):
            one.pop(key, None)
    for curve in found["curves"]:
        curve.pop("train")  # a run that continues also logs its first update
    for key in ("report", "environment"):
        found.pop(key)
    return json.loads(json.dumps(found).replace("killed/", "whole/"))


def test_killed_anywhere_it_goes_on_and_nothing_is_done_twice(place, monkeypatch):
    undrawn(monkeypatch)
    trained, written = Counter(), Counter()
    original_run, original_texts = experiment.run, writing._texts
    monkeypatch.setattr(writing, "_texts", lambda loaded, *rest: (
        written.update([loaded.path.name]), original_texts(loaded, *rest))[1])
    with judge_stub.serving() as stub:
        whole = go("whole", stub)
        asked = len(stub.requests)
        assert asked == len({json.dumps(request) for request in stub.requests}) <= 2 * 8
        assert written == {"base": 2, "tune": 2 + 3}  # prompts
        written.clear()
        stub.requests.clear()

        def run(made, folder, *, on_line, **options):
            def counted(line):
                trained[folder.name, line["step"]] += "train/objective" in line
                on_line(line)
            return original_run(made, folder, on_line=counted, **options)

        monkeypatch.setattr(conducting.experiment, "run", run)
        for options in (killed_in_a_run("base", 10), killed_before(2), killed_in_a_run("tune", 5), killed_before(3)):
            with pytest.raises(Killed):
                go("killed", stub, **options)
        assert trained["base", 12] == trained["tune", 11] == 1
        before = Counter(trained)
        with monkeypatch.context() as patch:  # before the second prompt of the second model
            def texts(loaded, *rest):
                if loaded.path.name == "tune" and written["tune"]:
                    raise Killed
                written.update([loaded.path.name])
                return original_texts(loaded, *rest)
            patch.setattr(writing, "_texts", texts)
            with pytest.raises(Killed):
                go("killed", stub)
        with monkeypatch.context() as patch:
            patch.setattr(conducting.judging.judgement, "write", mock.Mock(side_effect=Killed))
            with pytest.raises(Killed):
                go("killed", stub)
        assert len(stub.requests) == asked
        found = go("killed", stub)
        again = go("killed", stub)
    assert trained == before  # no run was trained on after it was done
    assert written == {"base": 2, "tune": 2 + 3}  # no prompt was written to twice
    assert len(stub.requests) == asked and again["judgements"][0]["spend"]["calls"] == 0
    assert compared(found) == compared(whole) == compared(again)
    for name in ("base", "tune"):
        weights = [records.read(f"{store}/{name}").result["weights"] for store in ("whole", "killed")]
        assert weights[0] == weights[1]


# --- the page and the command ------------------------------------------------------------------

@pytest.fixture
def shipped(monkeypatch):
    """The small study in the place of the one that comes with losslab."""
    monkeypatch.setattr(stages, "load", lambda name: SMALL)


@pytest.mark.slow
def test_the_contract_of_the_command(place, shipped, capsys, untimed, monkeypatch):
    arguments = ("reproduce", "story-gpt", "--scale", "smoke", "--corpus", "text.txt", "--data", "rows.json")
    assert losslab(*arguments, "--dry-run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["kind"], row["status"], row["runs"], row["steps"]) for row in found["stages"]] == [
        ("base", "train", "missing", 1, 12), ("tune", "train", "missing", 1, 11), ("stories", "generate", "missing", 0,
        0), ("answers", "generate", "missing", 0, 0), ("grades", "judge", "missing", 0, 0)]
    assert found["runs"] == 2 and found["tokens"] == sum(row["tokens"] for row in found["stages"][:2])
    assert found["stages"][2]["tokens"] == 2 * 2 * 2 * 12 and found["seconds"] > 0 < found["disk_bytes"]
    assert not Path("runs").exists()
    assert losslab(*arguments, "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["status"] == "finished" and [stage["status"] for stage in found["stages"]] == ["finished"] * 5
    assert "stage 5 of 5: grades" in err and Path(found["report"]) == Path("runs/small-smoke/report.html")
    rows = [(row["model"], row["text"], row["of"], row["window"]) for row in found["perplexities"]]
    assert rows == [("base", "text.txt", "all tokens", 64), ("base", "rows.json", "answers", 320),
                    ("base", "rows.json", "all tokens", 320), ("tune", "rows.json", "answers", 320),
                    ("tune", "rows.json", "all tokens", 320), ("tune", "text.txt", "all tokens", 64)]
    own = records.read("runs/small-smoke/tune")
    assert found["perplexities"][3]["perplexity"] == own.scores["perplexity"] and own.config.start
    assert all(curve["tune"] and curve["train"] for curve in found["curves"])
    assert "held_out" in found["judgements"][0]["models"][0]["measures"]["distinct_1"]
    page, text = (Path(f"runs/small-smoke/report{ending}").read_text() for ending in (".html", ".md"))
    assert "<script src" not in page and 'data-chart="curve-tune"' in page
    for told in ("The published 10.18 (base) are not comparable", "it is small", "answers, with an input",
                 "answers, without an input", "train.num_steps"):
        assert told in text and told in page
    undrawn(monkeypatch)
    assert losslab(*arguments, "--against", "runs/small-smoke/base", "--json") == 0
    more = json.loads(capsys.readouterr().out)
    assert more["perplexities"][:6] == found["perplexities"]
    assert [(row["model"], row["of"]) for row in more["perplexities"][6:]] == [
        ("base", "all tokens"), ("base", "answers"), ("base", "all tokens")]
    for one, other in zip(more["perplexities"][6:], found["perplexities"][:3], strict=True):
        assert one["nll"]["value"] == pytest.approx(other["nll"]["value"], rel=1e-6)
    assert losslab(*arguments, "--dry-run") == 0  # all of it is done
    assert "finished" in capsys.readouterr().out
    write(Path("rows.json"), alpaca(100))
    assert "was begun with other settings, another text or other weights" in refuses(capsys, *arguments)


def test_what_the_command_refuses_before_anything_is_trained(place, shipped, capsys, monkeypatch):
    arguments = ("reproduce", "story-gpt", "--scale", "smoke")
    monkeypatch.setenv("LOSSLAB_JUDGE_KEY", "sk-abcdefgh1234567890abc")
    for more, sentence in (
        (("--api-key", "x"), "a key does not belong on a command line"),
        (("--url", "http://127.0.0.1:1/v1?k=sk-abcdefgh1234567890abc"), "a key does not belong on a command line"),
        (("--url", "http://127.0.0.1:1/v1", "--judge", "runs/a"), "--url and --judge are two judges"),
        (("--judge-model", "m"), "--judge-model goes with --url URL"),
        (("--judge", "no/such"), "no/such is not a run folder"),
        (("--prompts", "no-such.txt"), "no-such.txt"),
        (("--start", "runs/a"), "story-gpt begins with new weights; leave out --start"),
        (("--data", "no/such.json"), "the stage tune is trained on no/such.json: there is no file or folder"),
    ):  # fmt: skip
        assert sentence in refuses(capsys, *arguments, *more)
    assert "--against goes with a study in stages (story-gpt), and focal compares losses" in refuses(
        capsys, "reproduce", "focal", "--against", "gpt2")
    assert "fine-tuning-losses-smoke fine-tunes a model of yours; name its run or imported model with --start RUN" in (
        refuses(capsys, "reproduce", "fine-tuning-losses", "--scale", "smoke"))
    assert not list(Path("runs").glob("*/*/checkpoint"))


def test_without_a_network_it_is_said_what_would_do(place):
    gone = ConnectionError("the hub data set tatsu-lab/alpaca cannot be reached; connect to the network")
    opened = Corpus.open

    def unreachable(config, **options):
        if config.corpus == "rows.json":
            raise gone
        return opened(config, **options)
    with mock.patch.object(planning.Corpus, "open", unreachable), pytest.raises(ConnectionError) as refused:
        planning.plan(SMOKE, place)
    assert str(refused.value) == ("the stage tune is trained on rows.json: the hub data set tatsu-lab/alpaca cannot be "
                                  "reached; connect to the network; --data takes a file or folder that has it")
