"""Measures of texts without a judge, prompts, a local judge, and the page on which people vote."""

import json
import math
import random
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.judge import human, measures, prompts
from losslab.judge.copying import Automaton
from losslab.judge.grading import Task
from losslab.judge.local import Likelihood, ending
from losslab.judge.models import Loaded
from losslab.judge.prompts import Prompt, Written
from losslab.judge.protocols import PAIRWISE, TINYSTORIES
from losslab.model import initialized

DATA = Path("/work/shared/data")
CHROMIUM = "/usr/bin/chromium"
words_of = st.lists(st.sampled_from("abc"), max_size=9)


# --- measures ----------------------------------------------------------------------------------

def longest_before(sequence, end, texts):
    """By hand: the longest run that ends at a word and stands in a text."""
    for length in range(end + 1, 0, -1):
        run = sequence[end + 1 - length : end + 1]
        if any(text[i : i + length] == run for text in texts for i in range(len(text))):
            return length
    return 0


@given(st.lists(words_of, min_size=1, max_size=4), st.lists(words_of, max_size=4))
def test_copies_are_found_exactly(sequences, texts):
    automaton = Automaton(sequences)
    for text in texts:
        automaton.read(text)
    for number, sequence in enumerate(sequences):
        assert automaton.matches(number) == [longest_before(sequence, i, texts) for i in range(len(sequence))]


def test_measures_of_texts_that_one_can_count():
    texts = [["The cat sat. The cat sat."], ["A dog ran!"]]
    training = ["Then the cat sat. THE END", "a dog"]
    split = [measures.words(text) for group in texts for text in group]
    found = measures.of_texts(texts, measures.Copied(split, training))
    values = {name: score["value"] for name, score in found.items()}
    assert values["words"] == 4.5 and values["vocabulary"] == 6 and values["sentence_length"] == 3
    assert values["distinct_1"] == 6 / 9 and values["distinct_2"] == pytest.approx(5 / 7)
    assert values["longest_copy"] == 3 and values["known_words"] == 8 / 9  # "the cat sat the", "a dog"; not "ran"
    assert values["repeated_4"] == 0 and found["repeated_4"]["n"] == 1  # three words have no run of four
    assert measures.repeated("a b c d a b c d".split(), 4) == pytest.approx(1 / 5)
    assert found.keys() == measures.ABOUT.keys() and math.isnan(measures.compression([]))


def test_distinct_words_leave_a_prompt_out_as_counting_anew_does():
    rng = random.Random(0)
    groups = [[rng.choice("abcdefgh") for _ in range(rng.randrange(1, 9))] for _ in range(8)]
    left = [[x for j, group in enumerate(groups) if j != i for x in group] for i in range(8)]
    shares = np.array([len(set(every)) / len(every) for every in left])
    expected = math.sqrt(7 / 8 * ((shares - shares.mean()) ** 2).sum())
    assert measures.kinds(groups).stderr == pytest.approx(expected)


def test_held_out_pieces_are_as_long_and_come_after_as_long_a_beginning():
    real = [" ".join(f"r{i}w{j}" for j in range(12 + i)) + "." for i in range(6)]
    pieces = measures.alike([["x y z"] * 3, ["x y"] * 3], ["one two three", "one"], real, random.Random(0).randrange)
    assert [[len(measures.words(piece)) for piece in group] for group in pieces] == [[3] * 3, [2] * 3]
    assert all(re.match(r"r\dw3 ", piece) for piece in pieces[0]) and len({*pieces[0], *pieces[1]}) == 6
    (short,), = measures.alike([["a " * 40]], [""], ["only three words."], random.Random(0).randrange)
    assert short == "only three words."
    long = " ".join(f"w{i}" for i in range(1000))
    assert len(set(measures.alike([["a b"] * 9], [""], [long], random.Random(0).randrange)[0])) == 9  # several pieces


# --- prompts -----------------------------------------------------------------------------------

YAML = """---
# beginnings
- |-
  Once upon a time,
  there was "a" dog: it

  ran
- plain text here
- "quoted \\u00e9, with a space at its end "
- 'it''s'
- |
    indented by four
      and more
"""


def test_a_yaml_list_is_read_as_yaml_reads_it(tmp_path):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (tmp_path / "p.yaml").write_text(YAML, encoding="utf-8")
    found, notes = prompts.read(tmp_path / "p.yaml")
    assert [prompt.text for prompt in found] == [text.rstrip(" ") for text in yaml.safe_load(YAML)]
    assert notes == ["1 prompt ended in a space, which was taken off"]
    file = DATA / "tinystories_prompts" / "evaluation_prompts.yaml"
    if not file.exists():
        pytest.skip("the prompts of the TinyStories authors are not here")
    expected = [text.rstrip(" ") for text in yaml.safe_load(file.read_text(encoding="utf-8"))]
    assert [prompt.text for prompt in prompts.read(file)[0]] == expected and len(expected) == 44


def test_rows_of_json_and_lines_of_text(tmp_path):
    rows = [{"instruction": "Add {input}.", "input": "1 and 2"}, {"instruction": "Greet.", "input": ""}, "Once",
            {"prompt": "There"}, {"text": "Once"}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found, notes = prompts.read(tmp_path / "p.jsonl")
    assert [prompt.shown for prompt in found] == ["Add {input}.\n\nInput:\n1 and 2", "Greet.", "Once", "There"]
    assert found[0].text.endswith("### Instruction:\nAdd {input}.\n\n### Input:\n1 and 2\n\n### Response:")
    assert "paired with an input" not in found[1].text
    assert notes == ["prompt 5 is the same as prompt 3, and is left out"]
    (tmp_path / "p.txt").write_text("Once\nTwo lines\n\nThree\n")
    assert [prompt.text for prompt in prompts.read(tmp_path / "p.txt", 2)[0]] == ["Once", "Two lines"]
    (tmp_path / "p.txt").write_text("Once\nmore\n<|endoftext|>\nThree\n")
    assert [prompt.text for prompt in prompts.read(tmp_path / "p.txt")[0]] == ["Once\nmore", "Three"]


@pytest.mark.parametrize(("name", "content", "why"), [
    ("p.txt", b"\n \n", "no prompt"), ("p.txt", b"caf\xe9", "not UTF-8"),
    ("p.json", b'{"a": 1}', "a list"), ("p.json", b'["a", 3]', "has the prompt 3"),
    ("p.jsonl", b'{"a": 1}', "no prompt"),
    ("p.jsonl", b"{", "not readable JSON"), ("p.yaml", b"a: b", "no item"),
    ("p.yaml", b"- {a: b}", "more than a plain"),
    ("p.yaml", b"- 'open", "does not end"), ("p.yaml", b"- >\n  folded", "more than a plain"),
    ("p.json", b'[" "]', "empty"), ("p.txt.gz", b"plain", "not a whole gzip"), ("p.json", b"[" * 5000, "nested"),
    ("gone.txt", None, "No such file"),
])
def test_what_is_no_file_of_prompts_is_one_sentence(tmp_path, name, content, why):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, OSError), match=why) as refusal:
        prompts.read(tmp_path / name)
    assert str(refusal.value).isprintable()


# --- a local judge -----------------------------------------------------------------------------

def local(monkeypatch, favored):
    """A judge that finds a grade word likelier the closer it is to what `favored` says of the context."""
    vocabulary = tokenizers.make("bytes")
    model = initialized(ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=256), vocabulary.vocab_size, 0)

    def answers(model, requests, progress=None):
        found = []
        for request in requests:
            context, word = vocabulary.decode(request.context), vocabulary.decode(request.continuation)
            nats = math.nan if "broken" in context else 5.0 * (word != favored(context)) + 3.0 * word.startswith(" 8")
            found.append(type("Answer", (), {"nats": np.array([nats / 2, nats / 2])}))
        return found

    monkeypatch.setattr("losslab.judge.local.answers", answers)
    return Likelihood(Loaded("judge", Path("judge"), model, vocabulary, "", None))


def test_a_local_judge_grades_by_what_the_text_adds_to_the_likelihood_of_a_grade(monkeypatch):
    def favored(context):
        return {True: " 9/10", False: ""}["good" in context and "Grammar:" in context]

    judge = local(monkeypatch, favored)
    good, bad, broken = judge.run(TINYSTORIES, [Task("a", p, 0, ("Once", text)) for p, text in enumerate(
        (" a good end", " a bad end", " a broken end"))])
    weights = np.exp([0.0] * 8 + [5.0, 0.0])
    assert good.grades["grammar"] == pytest.approx((weights * np.arange(1, 11)).sum() / weights.sum())
    assert good.grades["plot"] == bad.grades["grammar"] == 5.5 and bad.grades["age_group"] == 3.5  # it learned nothing
    assert broken.grades is None and broken.failure == "a likelihood that is not finite"


def test_a_local_judge_names_the_better_of_two(monkeypatch):
    def favored(context):
        return " B." if "bad\n\ngood" in context else " A." if "good\n\nbad" in context else ""

    tasks = [Task(("a", "b"), 0, 0, ("Once", *texts)) for texts in (("bad", "good"), ("good", "bad"))]
    assert [outcome.grades["better"] for outcome in local(monkeypatch, favored).run(PAIRWISE, tasks)] == [2, 1]


def test_a_real_model_judges_and_says_what_its_context_cuts():
    vocabulary = tokenizers.make("bytes")
    model = initialized(ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=64), vocabulary.vocab_size, 0)
    judge = Likelihood(Loaded("judge", Path("judge"), model, vocabulary, "", None))
    (found,) = judge.run(TINYSTORIES, [Task("a", 0, 0, ("Once", " there was a long story. " * 9))])
    assert all(1 <= value <= 10 for value in found.grades.values()) and judge.num_cut == 5
    assert ending(TINYSTORIES.scales[0], "1") == " 1/10" and ending(PAIRWISE.scales[0], "A") == " A."


# --- people ------------------------------------------------------------------------------------

HOSTILE = "</script><img src=x onerror=alert(1)> @document@ \u2028"
BEGUN = [Prompt(f"Once {p} {HOSTILE}", f"Once {p} {HOSTILE}") for p in range(6)]
WRITTEN = [Written("runs/ours", [[f" ours {p} {HOSTILE}"] for p in range(6)]),
           Written("runs/theirs", [[f" theirs {p}"] for p in range(6)])]
VOTER = """
const press = (key) => dispatchEvent(new KeyboardEvent("keydown", { key }));
const left = () => by("left").textContent.startsWith(" ours");
press("0"); press("Backspace");  // the first pair again
for (let i = 0; i < page.items.length - 1; i++) press(left() ? "1" : "ArrowRight");
press("ArrowDown");
const result = document.createElement("pre");
result.id = "result";
result.textContent = by("text").value;
document.body.append(result);
"""


def test_the_page_names_nobody_and_loads_nothing(tmp_path):
    place, count = human.write(tmp_path / "vote", WRITTEN, BEGUN)
    text = place.read_text(encoding="utf-8")
    assert place.name == "vote.html" and count == 6 and "runs/ours" not in text and "theirs\"" not in text
    assert text.count("<script") == 2 and "<img" not in text and "://" not in text
    policy = re.search('Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    document = json.loads(re.search('id="document">(.*?)</script>', text, re.S)[1])
    assert {item["prompt"] for item in document["items"]} == {prompt.shown for prompt in BEGUN}
    sides = [item["left"].startswith(" ours") for item in document["items"]]
    assert 0 < sum(sides) < 6
    with pytest.raises(ValueError, match="nothing to vote on"):
        human.write(tmp_path / "vote", [WRITTEN[0], WRITTEN[0]], BEGUN)


def voted(tmp_path, name="votes.json", votes=("left", "right", "tie", "left", "left", "right")):
    place, _ = human.write(tmp_path / "vote.html", WRITTEN, BEGUN)
    document = json.loads(re.search('id="document">(.*?)</script>', place.read_text(encoding="utf-8"), re.S)[1])
    given = [{"item": i, "vote": vote} for i, vote in enumerate(votes)]
    exported = {name: document[name] for name in ("format", "id", "hidden")} | {"votes": given}
    (tmp_path / name).write_text(json.dumps(exported))
    sides = [item["left"].startswith(" ours") for item in document["items"]]
    return tmp_path / name, exported, [0.5 if vote == "tie" else float((vote == "left") == side)
                                       for vote, side in zip(votes, sides, strict=False)]


def test_votes_give_a_win_rate_with_an_interval(tmp_path):
    path, _, points = voted(tmp_path)
    found = human.tally([path])
    assert found["value"] == pytest.approx(np.mean(points)) and found["n"] == found["votes"] == 6
    assert found["stderr"] == pytest.approx(np.std(points, ddof=1) / math.sqrt(6))
    assert (found["model"], found["against"], found["ties"], found["unanswered"]) == ("runs/ours", "runs/theirs", 1, 0)
    assert found["low"] < found["value"] < found["high"]
    assert found["verdict"].startswith("runs/ours is not shown to differ from runs/theirs: it wins")
    other, *_ = voted(tmp_path, "other.json", ("left", "right", "tie"))
    both = human.tally([path, other])
    assert (both["votes"], both["n"], both["readers"], both["unanswered"]) == (9, 6, 2, 3)
    assert both["agreement"]["value"] == 1.0


@pytest.mark.parametrize("change", [
    {"format": 9}, {"hidden": "!"}, {"hidden": human.cover([1])}, {"hidden": human.cover({"names": ["a"]})},
    {"votes": []}, {"votes": [{"item": 0, "vote": "left"}] * 2}, {"votes": [{"item": 99, "vote": "left"}]},
    {"votes": [3]}, {"id": None}, {"votes": [{"item": 0, "vote": "ours"}]}, {"votes": [{"item": True, "vote": "left"}]},
])
def test_a_file_that_holds_no_votes_is_one_sentence(tmp_path, change):
    path, exported, _ = voted(tmp_path)
    path.write_text(json.dumps(exported | change))
    with pytest.raises(ValueError, match="holds no votes of a page") as refusal:
        human.tally([path])
    assert str(refusal.value).isprintable()


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here")
def test_a_page_that_is_voted_on_by_keyboard_exports_votes_that_say_who_won(tmp_path, monkeypatch):
    for file in Path(human.HERE).glob("human.*"):
        shutil.copy(file, tmp_path / file.name)
    with open(tmp_path / "human.js", "a", encoding="utf-8") as script:
        script.write(VOTER)
    monkeypatch.setattr(human, "HERE", tmp_path)
    place, _ = human.write(tmp_path / "vote.html", WRITTEN, BEGUN)
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom")
    run = subprocess.run([CHROMIUM, *flags, f"--user-data-dir={tmp_path / 'browser'}", place.as_uri()],
                         capture_output=True, text=True, timeout=120)
    votes = re.search('<pre id="result">(.*?)</pre>', run.stdout, re.S)
    assert votes, run.stderr[-2000:]
    (tmp_path / "votes.json").write_text(unescape(votes[1]))
    found = human.tally([tmp_path / "votes.json"])
    assert (found["wins"], found["losses"], found["ties"], found["value"]) == (5, 0, 1, pytest.approx(5.5 / 6))
