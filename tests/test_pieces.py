"""WordPiece and Unigram: no text is lost, one text gives one vocabulary, and a file that is not exact is refused."""

import json
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
from corpus_texts import cache as cache
from corpus_texts import stories
from hub_models import ours
from hypothesis import given
from hypothesis import strategies as st

from losslab import checkpoint, hub
from losslab.config import DataConfig, ModelConfig
from losslab.corpus import Corpus
from losslab.tokenizer import bytelevel, load, make

NAMES = ["wordpiece:700", "unigram:400"]
TEXT = ["".join(stories(60)), *sorted(topics.values())[:12]]  # which comes with every Python
MADE = {name: make(name, TEXT) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_to_the_byte(name, text):
    made = MADE[name]
    ids = made.encode(text)
    assert made.decode_bytes(ids) == text.encode() and made.eot not in ids
    assert made.token_bytes[ids].sum() == len(text.encode())
    assert made._model.decode(ids.tolist()) == text  # as other programs read it


@pytest.mark.parametrize("name", NAMES)
def test_one_text_gives_one_vocabulary_that_is_saved_and_loaded(name, tmp_path):
    made, again = MADE[name], make(name, TEXT)
    assert made.digest == again.digest and made.tokens == again.tokens and made.vocab_size == int(name.split(":")[1])
    made.save(tmp_path)
    loaded = load(tmp_path)
    assert (type(loaded), loaded.name, loaded.digest) == (type(made), name, made.digest)
    assert np.array_equal(loaded.encode(TEXT[0]), made.encode(TEXT[0]))
    assert len({MADE[each].digest for each in NAMES} | {make("bpe:400", TEXT).digest}) == 3


def test_word_pieces_are_the_longest_from_left_to_right():
    made = MADE["wordpiece:700"]
    parts = made._model.get_vocab()
    for word in (" slowly", "Story", " naïve"):
        spelled = "".join(bytelevel.letters()[byte] for byte in word.encode())
        found, at = [], 0
        while at < len(spelled):
            prefix = bytelevel.INSIDE if at else ""
            end = next(end for end in range(len(spelled), at, -1) if prefix + spelled[at:end] in parts)
            found.append(parts[prefix + spelled[at:end]])
            at = end
        assert made.encode(word).tolist() == found


def test_unigrams_are_the_most_probable_ones():
    made = MADE["unigram:400"]
    scores = dict(json.loads(made._json)["model"]["vocab"])
    for word in (" slowly", "Story", " home"):
        spelled = "".join(bytelevel.letters()[byte] for byte in word.encode())
        best = [0.0] + [-np.inf] * len(spelled)
        for end in range(1, len(spelled) + 1):
            best[end] = max(best[begin] + scores.get(spelled[begin:end], -np.inf) for begin in range(end))
        ids = made.encode(word)
        own = sum(scores["".join(bytelevel.letters()[byte] for byte in made.tokens[i])] for i in ids)
        assert own == pytest.approx(best[-1], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_very_long_word_is_read_in_parts(name):
    made = MADE[name]
    ids = made.encode("y" * 100_000)  # in one piece WordPiece would take the square of it in time
    assert made.decode(ids) == "y" * 100_000
    assert ids[: len(ids) // 4].tolist() == made.encode("y" * 25_024)[: len(ids) // 4].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_is_cut_as_for_every_vocabulary_and_has_right_bytes(name, tmp_path):
    texts = [*map(str.strip, stories(200)), *map(str.strip, TEXT[1:])]
    (tmp_path / "t.txt").write_text("\n<|endoftext|>\n".join(texts))
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "t.txt"), tokenizer=name))
    documents = [document for split in ("train", "val", "tune") for document in corpus.documents(split)]
    assert sorted(corpus.tokenizer.decode(document.tokens) for document in documents) == sorted(texts)
    assert corpus.tokenizer.name == name


@pytest.mark.parametrize("name", NAMES)
def test_checkpoint_and_export_have_the_vocabulary(name, tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers", reason="the extra `hf` is not installed")
    monkeypatch.chdir(tmp_path)
    config = ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=32)
    _, made = ours("run", config, tokenizer="unigram:270" if name.startswith("unigram") else "wordpiece:530")
    assert checkpoint.load(checkpoint.newest("run/checkpoint")).tokenizer.digest == made.digest
    hub.export_run(Path("run"), Path("out"))
    theirs = transformers.AutoTokenizer.from_pretrained("out")
    assert theirs("the naïve fox 🙂  ran")["input_ids"] == made.encode("the naïve fox 🙂  ran").tolist()
    assert theirs.decode(made.encode("the naïve fox 🙂  ran")) == "the naïve fox 🙂  ran"
    hub.import_model("out", "back")
    assert checkpoint.load(checkpoint.newest("back/checkpoint")).tokenizer.digest == made.digest


@pytest.mark.parametrize(("name", "change", "sentence"), [
    ("wordpiece:700", lambda f: f.update(normalizer={"type": "Lowercase"}), "reads words in another way"),
    ("unigram:400", lambda f: f["pre_tokenizer"]["pretokenizers"].pop(), "reads words in another way"),
    ("wordpiece:700", lambda f: f.update(decoder=None), "reads words in another way"),
    ("wordpiece:700", lambda f: f["model"].update(max_input_chars_per_word=5), "gives up on a long word"),
    ("unigram:400", lambda f: f["model"].update(byte_fallback=True), "as bytes"),
    ("unigram:400", lambda f: f["model"]["vocab"].__setitem__(0, ["你", -1.0]), "not written in the letters of bytes"),
    ("unigram:400", lambda f: f["model"]["vocab"].__setitem__(-1, ["ab", -1.0]), "lacks some of the 256 bytes"),
    ("unigram:400", lambda f: f["model"]["vocab"].append(f["model"]["vocab"][0]), "a piece twice|not a readable"),
    ("wordpiece:700", lambda f: f["model"]["vocab"].pop(f"{bytelevel.INSIDE}b"), "lacks some of the 256 bytes"),
    ("wordpiece:700", lambda f: f["model"].update(vocab={**f["model"]["vocab"], "zzz": 5}), "ids are not numbers"),
    ("wordpiece:700", lambda f: f["added_tokens"][0].update(special=False), "is a piece and a mark|not exact"),
    ("wordpiece:700", lambda f: f["added_tokens"][0].update(content="[END]"), "has no token <\\|endoftext\\|>"),
])
def test_a_file_that_is_not_exact_is_refused(tmp_path, name, change, sentence):
    MADE[name].save(tmp_path)
    file = tmp_path / "tokenizer.json"
    found = json.loads(file.read_text())
    change(found)
    file.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=sentence) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "sentence"), [
    ("wordpiece:512", "wordpiece:N takes a whole number N of at least 513"), ("unigram:x", "unigram:N takes a whole"),
    ("unigram", "unigram:N takes a whole number N of at least 257"), ("word:700", "unknown tokenizer"),
])
def test_names_that_are_none_are_a_sentence(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(name, TEXT)


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_a_text_with_too_few_pieces_says_how_many_it_has(kind):
    with pytest.raises(ValueError, match=rf"the text has only enough pieces for {kind}:\d+, got {kind}:90000"):
        make(f"{kind}:90000", ["a short text"])
