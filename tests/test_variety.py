"""How varied instructions are: verbs and objects by the stated rule, their entropy, and the two rings."""

import json
import math
import sys
import types
import xml.etree.ElementTree as xml
from collections import Counter

import pytest
from commands import losslab, refuses
from corpus_texts import cache as cache
from hypothesis import given
from hypothesis import strategies as st
from instruction_data import alpaca, corpus_of, write

from losslab.instruct import verbs
from losslab.report import rings


@pytest.mark.parametrize(("instruction", "verb", "noun"), [
    ("Write a short story about two foxes.", "write", "story"), ("List three tips.", "list", "tip"),
    ("Please can you summarize the following article", "summarize", "article"),
    ("Compare and contrast the economies of two countries.", "compare", "economy"),
    ("Explain why leaves turn brown", "explain", "leave"), ("Brainstorm a list of names", "brainstorm", "list"),
    ("Serenade the old house.", "serenade", "house"), ("Given a text, classify it: good or bad", "classify", ""),
    ("Translate \u201cgood morning\u201d into French.", "translate", "morning"),
    ("Name\ttwo\ncolors", "name", ""), ("Rewrite this, slowly", "rewrite", "slowly"), ("Edit.", "edit", ""),
])
def test_the_rule_finds_the_leading_verb_and_its_object(instruction, verb, noun):
    assert verbs.lead(instruction) == (verb, noun)


@pytest.mark.parametrize("instruction", ["What is the capital of France?", "", "...", "123", "你好", "The answer?"])
def test_what_has_no_verb_like_word_is_unparsed(instruction):
    assert verbs.lead(instruction) is None


@given(st.text(max_size=200))
def test_any_text_has_a_lead_or_none(text):
    found = verbs.lead(text)
    assert found is None or found.verb and found.verb == found.verb.lower()


@given(st.lists(st.sampled_from(["Write a story.", "Write a poem.", "Name a color.", "Why?", "Edit it."]), max_size=40))
def test_counts_and_entropies_are_those_of_the_pairs(given):
    variety = verbs.Variety()
    for instruction in given:
        variety.add(instruction)
    about = variety.to_dict()
    pairs = Counter(lead for lead in map(verbs.lead, given) if lead)
    total = sum(pairs.values())
    expected = -sum(n / total * math.log2(n / total) for n in pairs.values())
    assert about["pair_entropy"] == pytest.approx(expected, abs=1e-12)
    assert (about["parsed"], about["unparsed"]) == (total, given.count("Why?"))
    assert {v["verb"]: v["count"] for v in about["verbs"]} == Counter(pair.verb for pair in pairs.elements())


def test_at_most_20_verbs_and_4_objects_are_shown_and_drawn():
    variety = verbs.Variety(lambda text: verbs.Lead(*text.split()))
    for i in range(30):
        for j in range(6):
            for _ in range(1 + (i + j) % 5):
                variety.add(f"verb{i} <noun&{j}>")
    about = variety.to_dict()
    assert len(about["verbs"]) == 20 and all(len(verb["objects"]) == 4 for verb in about["verbs"])
    assert (about["num_verbs"], about["num_pairs"]) == (30, 180)
    root = xml.fromstring(rings.svg(about, 'of "rows" <a>'))
    name = "{http://www.w3.org/2000/svg}"
    told = [part.find(f"{name}title").text for part in root.iter(f"{name}path")]
    assert len(told) == 100 and told[0].startswith("verb") and "<noun&" in told[1]
    assert root.get("aria-label") == 'of "rows" <a>'


def test_one_verb_is_a_whole_ring_and_nothing_is_an_empty_drawing():
    variety = verbs.Variety()
    xml.fromstring(rings.svg(variety.to_dict(), "none"))
    variety.add("Write a poem.")
    assert rings.svg(variety.to_dict(), "one").count("<path") == 2


def test_losslab_corpus_reports_rows_lengths_and_verbs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "rows.json", [*alpaca(), {"instruction": "a"}])
    assert losslab("corpus", "rows.json", "--out", "rings.svg", "--json") == 0
    about = json.loads(capsys.readouterr().out)
    counted, variety = about["instructions"], about["variety"]
    assert (counted["rows"], counted["examples"], counted["share_with_input"]) == (121, 120, 1 / 3)
    answers = [len(row["output"].split()) for row in alpaca()]
    assert counted["words"]["answer"]["mean"] == pytest.approx(sum(answers) / 120)
    assert counted["words"]["answer"]["most"] == max(answers)
    assert {verb["verb"]: verb["count"] for verb in variety["verbs"]} == dict.fromkeys(
        ("describe", "explain", "list", "name", "write"), 24)
    assert about["drawing"] == "rings.svg" and "<svg" in (tmp_path / "rings.svg").read_text()
    assert losslab("corpus", "rows.json", "--out", "rings.html") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "with input 40 (33.3%)" in said and "left out: missing keys 1" in said
    assert "Verbs and objects by a plain rule: 120 parsed, 0 not; 5 verbs" in said
    page = (tmp_path / "rings.html").read_text()
    assert "120 examples of 121 rows, 40 of them with an input" in page and page.count("http") == 1  # the name of SVG


def test_the_spec_of_a_run_does_not_hold_the_verbs(tmp_path):
    about = corpus_of(tmp_path / "a.json", alpaca()).describe()
    assert "variety" in about and "variety" not in about["instructions"]


def test_refusals(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "rows.json", alpaca())
    (tmp_path / "t.txt").write_text("\n<|endoftext|>\n".join(f"Story {i}." * 9 for i in range(60)))
    assert "--out takes a name that ends in .svg or .html, got a.png" in refuses(
        capsys, "corpus", "rows.json", "--out", "a.png")
    assert "t.txt is plain text; leave it out" in refuses(capsys, "corpus", "t.txt", "--out", "a.svg")
    monkeypatch.setitem(sys.modules, "spacy", None)
    assert "--parser spacy needs spaCy and its model en_core_web_sm; run `pip install spacy`" in refuses(
        capsys, "corpus", "rows.json", "--parser", "spacy", code=3)


def test_an_installed_model_of_spacy_parses(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "rows.json", alpaca())

    def token(lemma, pos="NOUN", dep="dobj", children=()):
        return types.SimpleNamespace(lemma_=lemma, pos_=pos, dep_=dep, children=children)

    def model(text):  # a stand-in: the first word is the root, the last its object
        words = text.rstrip(".").split()
        root = token(words[0], "VERB" if words[0] != "Name" else "NOUN", children=[token(words[-3])])
        return types.SimpleNamespace(sents=[types.SimpleNamespace(root=root)])

    monkeypatch.setitem(sys.modules, "spacy", types.SimpleNamespace(load=lambda name: model))
    assert losslab("corpus", "rows.json", "--parser", "spacy", "--json") == 0
    variety = json.loads(capsys.readouterr().out)["variety"]
    assert (variety["parser"], variety["parsed"], variety["unparsed"], variety["num_verbs"]) == ("spacy", 96, 24, 4)
    (tmp_path / "t.txt").write_text("\n<|endoftext|>\n".join(f"Story {i}." * 9 for i in range(60)))
    assert "t.txt is no such file; leave --parser out" in refuses(capsys, "corpus", "t.txt", "--parser", "spacy")
