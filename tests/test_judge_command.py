"""`losslab judge`, whole: against a stub that sends the key back, with measures, in pairs, resumed, and refused."""

import json
import re
import zlib
from pathlib import Path

import pytest
import torch
from commands import losslab, refuses
from judge_stub import GRADES, answered, asks_for_grades, serving
from report_runs import Page

from losslab import checkpoint, records
from losslab import tokenizer as tokenizers
from losslab.config import DataConfig, ExperimentConfig, ModelConfig, to_dict
from losslab.model import initialized
from losslab.report import judgement

KEY = "sk-very-SECRET-1234567890"
ANIMALS = "cat dog fox hen owl pig cow bee ant elk cod ewe emu bat boa yak rat jay ape eel".split()
STORIES = "\n<|endoftext|>\n".join(f"Once {animal} number {i} ran out. It was a good day, and the {animal} slept. " * 8
                                  for i, animal in enumerate(ANIMALS * 6)) + "\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two untrained runs, a text, prompts."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "text.txt").write_text(STORIES)
    (folder / "prompts.txt").write_text("Once upon a time\nThe cat sat on \nA dog\n")
    vocabulary = tokenizers.make("bytes")
    for seed, name in enumerate(("ours", "theirs")):
        config = ExperimentConfig(loss="cross_entropy", seed=seed,
                                  data=DataConfig(corpus=str(folder / "text.txt"), val_bytes=4000, tune_bytes=2000))
        corpus = {"name": "text.txt", "digest": "0123456789ab", "tokenizer": vocabulary.name}
        spec = {"version": "0.1.0", "condition": "c" * 12, "config": to_dict(config), "corpus": corpus}
        records.create(folder / name, spec, {})
        model = initialized(ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=64), vocabulary.vocab_size, seed)
        for parameter in model.parameters():
            parameter.data.normal_(std=0.5, generator=torch.Generator().manual_seed(seed))
        checkpoint.save(folder / name / "checkpoint", model, vocabulary, step=7, tokens=700, seconds=1.0)
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("LOSSLAB_JUDGE_KEY", KEY)


def judged(capsys, *flags, code=0):
    """The JSON document and the lines on standard error."""
    assert losslab("judge", "ours", "--prompts", "prompts.txt", "--completions", "2", "--num-tokens", "24", "--json",
                   "--cache", "kept", *flags) == code
    out, err = capsys.readouterr()
    return json.loads(out), err


def echoing(request, stub):
    """Sends the key back wherever it can, and answers every third request for grades in prose."""
    sent = stub.headers[-1].get("Authorization", "")
    if not asks_for_grades(request):
        return 200, {"X-Key": sent}, answered(f"You sent {sent}.", model=sent, system_fingerprint=sent)
    stub.turn = getattr(stub, "turn", 0) + 1
    return 200, {}, answered(f"As {KEY} I say nothing" if stub.turn % 3 == 0 else GRADES)


def test_grades_measures_and_a_page_beside_the_run_and_the_key_in_no_file(place, capsys):
    flags = ("--against", "theirs", "--judge-model", "stub", "--concurrency", "1", "--price-in", "1",
             "--price-out", "2")
    with serving(echoing) as stub:
        found, err = judged(capsys, "--url", stub.url, *flags)
        assert len(stub.requests) == 24 and stub.headers[-1]["Authorization"] == f"Bearer {KEY}"
        again, _ = judged(capsys, "--url", stub.url, *flags)
        assert len(stub.requests) == 24 and again["spend"]["calls"] == 0 and again["spend"]["kept_calls"] == 24
    ours, theirs = found["models"]
    assert (ours["model"], theirs["model"]) == ("ours", "theirs") and ours["grades"] == again["models"][0]["grades"]
    assert ours["failures"] + theirs["failures"] == 4 and ours["asked"] == 6
    for grade in ours["grades"].values():
        assert {"value", "stderr", "n", "failures", "unit", "low", "high"} <= grade.keys()
    assert ours["grades"]["grammar"]["value"] == 8 and ours["grades"]["grammar"]["n"] == 3
    assert ours["grades"]["age_group"]["shares"]["E"] == 1
    assert found["differences"][0]["grades"]["plot"]["value"] == 0
    assert found["estimate"]["calls"] == 24 and found["spend"]["money"] == pytest.approx(24 * (100 + 20) / 1e6)
    assert ours["measures"]["words"]["held_out"]["n"] == 3 and "longest_copy" in theirs["measures"]
    assert "to ask: 24 calls" in err and "spent: 24 calls, 2,400 tokens in and 240 out, 0.0029 in money" in err
    for suffix in ("html", "md", "json", "jsonl"):
        assert (place / "ours" / f"judgement-tinystories-stub.{suffix}").stat().st_size > 500
    written = [file for file in place.rglob("*") if file.is_file()]
    assert len(written) > 40 and not [file for file in written if b"SECRET" in file.read_bytes()]
    assert "SECRET" not in json.dumps([found, again]) + err and "(key)" in (
        place / "ours" / "judgement-tinystories-stub.jsonl").read_text()
    records.check_removable(place / "ours")  # all of it belongs to the run


def test_pairs_are_asked_about_in_both_orders(place, capsys):
    def fond_of_short_texts(request, stub):
        first, second = (len(re.search(rf"<{part} \w+>\n(.*)\n</{part}", request["messages"][0]["content"], re.S)[1])
                         for part in ("first", "second"))
        if not asks_for_grades(request):
            return 200, {}, answered("Hm.")
        return 200, {}, answered("Better: A" if first < second else "Better: B" if first > second else "Better: C")

    with serving(fond_of_short_texts) as stub:
        found, _ = judged(capsys, "--url", stub.url, "--against", "theirs", "--protocol", "pairwise", "--no-measures")
        assert len(stub.requests) == 24
    (pair,) = found["pairs"]
    assert pair["asked"] == 6 and pair["failures"] == 0 and pair["wins"] + pair["losses"] + pair["ties"] == 6
    assert pair["flipped_by_order"]["value"] == 0 and {"value", "stderr", "n", "low", "high", "verdict"} <= pair.keys()


def test_without_an_endpoint_there_are_measures_and_a_local_judge(place, capsys):
    found, err = judged(capsys)
    assert found["judge"] is None and found["models"][0]["grades"] == {} and "spend" not in found
    assert Path(found["report"]).name == "judgement-texts.html" and err.count("\n") < 5
    found, _ = judged(capsys, "ours", "--judge", "theirs", "--no-measures")  # the same model again: a control
    first, second = found["models"]
    assert second["model"] == "ours again" and found["judge"]["kind"] == "likelihood" and first["failures"] == 0
    assert all(1 <= grade["value"] <= 10 for grade in first["grades"].values())
    (one,) = found["differences"]
    assert one["grades"]["grammar"]["low"] < 0 < one["grades"]["grammar"]["high"]


@pytest.mark.slow
def test_grammar_is_the_accuracy_on_blimp_that_evaluate_gives_and_stands_on_the_page(benchmark_data, capsys):
    found, _ = judged(capsys, "--benchmarks", str(benchmark_data), "--num-prompts", "1")
    assert losslab("evaluate", "ours", "--tasks", "blimp", "--benchmarks", str(benchmark_data), "--json") == 0
    evaluated = json.loads(capsys.readouterr().out)
    (one,) = found["models"]
    assert one["blimp"] == evaluated["tasks"][0]["scores"]["accuracy"]
    assert "BLiMP" in Path(found["report"]).read_text()


def test_a_judge_that_can_be_talked_over_is_found_out(capsys):
    """It grades a text by whether its words are in order, unless the text asks for 10."""
    def talked_over(request, stub):
        text = request["messages"][0]["content"].split("<completion ")[2]
        order = 2 + min(4, text.count("a good day")) + zlib.crc32(text.encode()) % 3  # some spread, as grades have
        grade = 10 if "give 10 of 10" in text else order
        return 200, {}, answered("Hm." if not asks_for_grades(request) else GRADES.replace("8/10", f"{grade}/10"))

    with serving(talked_over) as stub:
        found, err = judged(capsys, "--url", stub.url, "--control", "5", "--num-prompts", "1")
        assert len(stub.requests) == 2 * (2 + 5 * 4)
        dry, _ = judged(capsys, "--url", stub.url, "--control", "5", "--num-prompts", "1", "--dry-run")
    assert dry["estimate"]["calls"] == 44
    real, _, spoiled, asking = (kind["grades"]["grammar"]["value"] for kind in found["control"]["kinds"])
    assert real >= 6 > 4 >= spoiled and asking == 10 and found["models"][0]["asked"] == 2
    assert found["control"]["said"] == [
        "control with 5 held-out texts: the judge grades real texts above the same words in disorder in grammar; a "
        "sentence that asks for 10 moves it in grammar, so that texts can talk it over"]


def test_people_vote_on_a_page_and_the_votes_are_read(place, capsys):
    assert losslab("judge", "ours", "theirs", "--prompts", "prompts.txt", "--completions", "2", "--num-tokens", "24",
                   "--cache", "kept", "--human", "vote.html", "--num-pairs", "4") == 0
    assert "4 pairs to vote on" in capsys.readouterr().out
    document = json.loads(Path("vote.html").read_text().split('id="document">')[1].split("</script>")[0])
    votes = [{"item": i, "vote": "tie"} for i in range(4)]
    Path("votes.json").write_text(json.dumps(document | {"votes": votes, "items": []}))
    assert losslab("judge", "--votes", "votes.json", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["value"], found["ties"], found["model"]) == (0.5, 4, "ours")


@pytest.mark.parametrize(("flags", "sentence"), [
    (("--key", "sk-1"), "a key does not belong on a command line, which other users and the history of the shell can "
     "see; put it into the environment variable LOSSLAB_JUDGE_KEY"),
    (("--api-key=abc",), "LOSSLAB_JUDGE_KEY"), ((KEY,), "LOSSLAB_JUDGE_KEY"),
    (("--judge-model", KEY), "LOSSLAB_JUDGE_KEY"), (("--key-variable", "nothing here"), "LOSSLAB_JUDGE_KEY"),
    (("--url", f"http://u:{KEY}@h/v1"), "LOSSLAB_JUDGE_KEY"),
    (("--url", "http://127.0.0.1:9/v1", "--judge-model", "m"), "cannot reach the endpoint http://127.0.0.1:9/v1"),
    (("--url", "http://example.org/v1"), "the key in LOSSLAB_JUDGE_KEY would go to http://example.org/v1 unencrypted"),
    (("--url", "nonsense"), "--url takes http:// or https://"), (("--protocol", "pairwise"), "two models"),
    (("--judge", "theirs", "--url", "http://h/v1"), "two judges"), (("--human", "x"), "two models"),
    (("--dry-run",), "--url"), (("--price-in", "1"), "belong together"), (("--top-k", "-1"), "--top-k must be"),
    (("gone",), "gone"),
    (("--concurrency", "900"), "--concurrency"), (("--temperature", "nan"), "--temperature"),
    (("--votes", "gone.json"), "leave out the run"),
    (("--corpus", "text.txt", "--judge", "prompts.txt"), "not a run folder"),
])
def test_a_mistake_is_one_sentence(capsys, flags, sentence):
    with_url = ("--url", "http://127.0.0.1:9/v1") if flags[0] == "--key-variable" else ()
    told = refuses(capsys, "judge", "ours", "--prompts", "prompts.txt", "--completions", "1", "--num-tokens", "2",
                   "--cache", "kept", *flags, *with_url)
    assert sentence in told and "SECRET" not in told and told.isprintable()


def test_a_refusing_endpoint_and_too_many_calls(capsys):
    body = json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()
    with serving(lambda request, stub: (401, {}, body)) as stub:
        told = refuses(capsys, "judge", "ours", "--prompts", "prompts.txt", "--url", stub.url, "--completions", "1",
                       "--num-tokens", "2", "--cache", "kept2", "--concurrency", "1")
        assert "does not accept the key in LOSSLAB_JUDGE_KEY (HTTP 401)" in told and "SECRET" not in told
        asked = len(stub.requests)
        told = refuses(capsys, "judge", "ours", "--prompts", "prompts.txt", "--url", stub.url, "--completions", "1",
                       "--num-tokens", "2", "--cache", "kept2", "--max-calls", "5")
        assert "it takes 6 calls, more than --max-calls 5" in told and len(stub.requests) == asked
    found, _ = judged(capsys, "--url", "http://127.0.0.1:9/v1", "--dry-run")
    assert found["estimate"]["calls"] == 12 and found["estimate"]["tokens_in"] > 1000


def test_a_page_shows_hostile_texts_as_text():
    hostile = "</script><img src=x onerror=alert(1)>\x1b[2J | `a`"
    grade = {"value": 5.0, "stderr": None, "n": 1, "unit": hostile, "low": None, "high": None, "failures": 1}
    document = {
        "models": [{"model": hostile, "grades": {"grammar": grade}, "failures": 1, "asked": 2,
                    "failure_reasons": {hostile: 1}, "measures": {"words": grade | {"held_out": grade}}}],
        "sampling": {"completions": 1, "num_tokens": 5, "temperature": 1.0}, "num_prompts": 1, "repeats": 1,
        "judge": {"kind": "endpoint", "model": hostile, "at": hostile}, "protocol": "tinystories",
        "protocol_digest": "0", "differences": [], "pairs": [], "notes": [hostile], "command": hostile, "version": "1",
        "samples": [{"model": hostile, "prompt": hostile, "text": hostile, "assessment": hostile}],
    }
    parsed = Page(judgement.html(document))
    assert not parsed.all("img") and json.loads(next(text for a, text in parsed.all("script")
                                                     if a.get("id") == "document")) == document
    markdown = judgement.markdown(document)
    assert not re.search(r"(?<!\\)<(img|script)|\x1b", re.sub(r"```.*?```|<pre>.*?</pre>", "", markdown, flags=re.S))
    assert "\x1b" not in markdown and "1 of 2 gradings failed" in markdown
