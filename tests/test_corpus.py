"""From text to batches: splits that share no document, exact bytes, and batches that are a function of the step."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
from corpus_texts import cache as cache
from corpus_texts import many as many
from corpus_texts import stories, texts, write

from losslab import tales
from losslab.config import DataConfig
from losslab.corpus import Corpus
from losslab.corpus.splits import assign
from losslab.tokenizer import END_OF_TEXT, make

SPLITS = ("train", "val", "tune")


# --- splits ------------------------------------------------------------------------------------

@pytest.mark.parametrize("tokenizer", ["bytes", "char", "bpe:300", "gpt2"])
def test_every_document_is_in_one_split_with_its_exact_bytes(many, tokenizer):
    corpus = Corpus.open(DataConfig(corpus=many, tokenizer=tokenizer))
    found = {split: texts(corpus, split) for split in SPLITS}
    assert sorted(sum(found.values(), [])) == sorted(stories(300))
    total = sum(len(text.encode()) for text in stories(300))
    assert sum(corpus.num_bytes.values()) == total
    for split in SPLITS:
        documents = corpus.documents(split)
        assert [d.num_bytes for d in documents] == [len(text.encode()) for text in found[split]]
        assert [d.num_words for d in documents] == [len(text.split()) for text in found[split]]
        assert all(d.ends for d in documents)
        assert corpus.num_tokens[split] == sum(len(d.tokens) + 1 for d in documents)
    for split in ("val", "tune"):
        assert 0.8 * total / 10 < corpus.num_bytes[split] <= total / 10


def test_the_order_of_the_documents_does_not_decide_their_split(tmp_path, many):
    turned = write(tmp_path / "turned.txt", stories(300)[::-1])
    one, other = (Corpus.open(DataConfig(corpus=name)) for name in (many, turned))
    for split in SPLITS:
        assert texts(one, split) == texts(other, split)[::-1]


def test_splits_stay_below_their_sizes(many):
    corpus = Corpus.open(DataConfig(corpus=many, val_bytes=1500, tune_bytes=700))
    assert 750 < corpus.num_bytes["val"] <= 1500 and 350 < corpus.num_bytes["tune"] <= 700


def test_equal_documents_are_in_one_split(tmp_path):
    doubled = stories(100) * 2
    corpus = Corpus.open(DataConfig(corpus=write(tmp_path / "doubled.txt", doubled)))
    found = {split: set(texts(corpus, split)) for split in SPLITS}
    assert not found["train"] & found["val"] and not found["train"] & found["tune"] and not found["val"] & found["tune"]
    assert sum(len(corpus.documents(split)) for split in SPLITS) == 200


def test_a_text_of_one_document_is_split_as_nanogpt_does(tmp_path):
    text = "".join(stories(60)) + "\n"
    (tmp_path / "one.txt").write_text(text, encoding="utf-8", newline="")
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "one.txt"), tokenizer="char"))
    [val], [train], [tune] = (corpus.documents(split) for split in ("val", "train", "tune"))
    n = len(text)  # characters, as nanoGPT counts
    decode = corpus.tokenizer.decode
    assert decode(val.tokens) == text[int(n * 0.9) :]
    assert decode(tune.tokens) + decode(train.tokens) == text[: int(n * 0.9)]
    assert len(decode(tune.tokens)) == int(n * 0.02)
    assert not (val.ends or train.ends or tune.ends)
    assert corpus.stream("val").tolist() == [corpus.tokenizer.eot, *val.tokens]


def test_shakespeare_has_nanogpts_validation_tenth(real_data):
    path = real_data / "tinyshakespeare" / "input.txt"
    corpus = Corpus.open(DataConfig(corpus=str(path), tokenizer="char"))
    data = path.read_text(encoding="utf-8")
    assert corpus.tokenizer.vocab_size == 65 + 1  # nanoGPT's characters, and the end mark
    assert texts(corpus, "val") == [data[int(len(data) * 0.9) :]] and corpus.num_bytes["val"] == 111_540


def test_a_folder_keeps_its_own_validation_file(tmp_path):
    train, val = stories(120), stories(30, seed=1)
    write(tmp_path / "set" / "train-1.txt.gz", train[:70])
    write(tmp_path / "set" / "train-2.txt", train[70:] + val[:1])  # one story is in both
    write(tmp_path / "set" / "valid.txt", val)
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "set")))
    assert corpus.name == "set"
    assert texts(corpus, "val") == val
    assert texts(corpus, "tune") == train[::50]
    assert texts(corpus, "train") == [text for i, text in enumerate(train) if i % 50]


def test_a_training_story_from_the_validation_file_takes_no_place_in_tune(tmp_path):
    train, val = stories(120), stories(30, seed=1)
    write(tmp_path / "set" / "train.txt", val[:3] + train)
    write(tmp_path / "set" / "valid.txt", val)
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "set")))
    assert texts(corpus, "tune") == train[::50] and len(corpus.documents("train")) == 117


def test_a_large_validation_file_gives_whole_documents_by_digest(tmp_path):
    train, val = stories(120), stories(80, seed=1)
    write(tmp_path / "set" / "train.txt", train)
    write(tmp_path / "set" / "val.txt", val)
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "set"), val_bytes=2000))
    found = texts(corpus, "val")
    assert 1000 < corpus.num_bytes["val"] <= 2000 and set(found) < set(val)
    assert found != val[: len(found)]
    assert not set(texts(corpus, "train")) & set(val)


def test_a_folder_of_two_long_texts_is_cut_by_position(tmp_path):
    train, val = "".join(stories(60)), "é" * 3000
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.txt").write_text(train, encoding="utf-8", newline="")
    (tmp_path / "set" / "valid.txt").write_text(val, encoding="utf-8", newline="")
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "set"), val_bytes=1001))
    assert texts(corpus, "val") == ["é" * 500]  # no character is cut in two
    assert texts(corpus, "tune") + texts(corpus, "train") == [train[: len(train) // 50], train[len(train) // 50 :]]
    whole = Corpus.open(DataConfig(corpus=str(tmp_path / "set"), val_bytes=6000))
    assert texts(whole, "val") == [val] and whole.documents("val")[0].ends


def test_packed_folders_keep_every_byte(benchmark_data):
    inside = benchmark_data / "text"
    corpora = [Corpus.open(DataConfig(corpus=str(inside / name), tokenizer="gpt2")) for name in ("marked", "rows")]
    mark, unpacked = f"\n{END_OF_TEXT}\n", {name: gzip.decompress((inside / "marked" / f"{name}.txt.gz").read_bytes())
                                            for name in ("train", "valid")}  # fmt: skip
    size = {name: len(text) - text.count(mark.encode()) * len(mark) for name, text in unpacked.items()}
    for corpus in corpora:
        assert corpus.num_bytes["val"] == size["valid"] == 4500
        assert corpus.num_bytes["train"] + corpus.num_bytes["tune"] == size["train"]
        for split in SPLITS:
            assert sum(len(text.encode()) for text in texts(corpus, split)) == corpus.num_bytes[split]
    assert texts(corpora[0], "val") == texts(corpora[1], "val")


def test_jsonl_gives_the_same_corpus_as_text(tmp_path, many):
    rows = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(stories(300)))
    (tmp_path / "many.jsonl").write_text(rows)
    (tmp_path / "many.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    names = ("many.txt", "many.jsonl", "many.jsonl.gz")
    digests = {Corpus.open(DataConfig(corpus=str(tmp_path / name))).digest for name in names}
    assert len(digests) == 1


def test_a_character_that_only_the_validation_text_has_is_known(tmp_path):
    (tmp_path / "one.txt").write_text("abc " * 300 + "é", encoding="utf-8")
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "one.txt"), tokenizer="char"))
    assert texts(corpus, "val")[0].endswith("é") and corpus.tokenizer.characters == " abcé"


# --- embedded corpora --------------------------------------------------------------------------

def test_tales_know_the_floor_of_exactly_their_validation_split():
    corpus = Corpus.open(DataConfig(max_bytes=200_000, val_bytes=30_000, tune_bytes=20_000))
    found = {split: texts(corpus, split) for split in SPLITS}
    assert corpus.floor_bits_per_byte == pytest.approx(tales.floor_bits_per_byte(found["val"]), rel=1e-12)
    assert not set(found["train"]) & set(found["val"]) and not set(found["tune"]) & set(found["val"])
    assert not set(found["train"]) & set(found["tune"])
    for split, size in (("train", 200_000), ("val", 30_000), ("tune", 20_000)):
        assert abs(corpus.num_bytes[split] - size) < 5_000


def test_pydoc_is_english_text_with_three_splits():
    corpus = Corpus.open(DataConfig(corpus="pydoc", tokenizer="gpt2"))
    assert corpus.floor_bits_per_byte is None
    from pydoc_data.topics import topics

    assert sum(corpus.num_bytes.values()) == sum(len(text.encode()) for text in topics.values())
    assert 3 < corpus.describe()["splits"]["train"]["bytes_per_token"] < 5


# --- digests -----------------------------------------------------------------------------------

def test_the_digest_changes_with_text_split_and_vocabulary(tmp_path, many):
    base = Corpus.open(DataConfig(corpus=many)).digest
    same = Corpus.open(DataConfig(corpus=write(tmp_path / "elsewhere" / "name.txt.gz", stories(300)))).digest
    changed = stories(300)
    changed[7] += "!"
    others = {
        Corpus.open(DataConfig(corpus=write(tmp_path / "changed.txt", changed))).digest,
        Corpus.open(DataConfig(corpus=many, val_bytes=1000)).digest,
        Corpus.open(DataConfig(corpus=many, tokenizer="bpe:300")).digest,
        Corpus.open(DataConfig(corpus=many, tokenizer="bpe:301")).digest,
    }
    assert same == base and len(others) == 4 and base not in others


def test_an_edited_file_is_another_corpus(tmp_path):
    path = tmp_path / "edited.txt"
    write(path, stories(100))
    before = Corpus.open(DataConfig(corpus=str(path)))
    write(path, [text.replace("Story", "Spory") for text in stories(100)])  # the same size, a moment later
    after = Corpus.open(DataConfig(corpus=str(path)))
    assert before.digest != after.digest and texts(after, "train")[0].startswith("Spory")


def test_a_given_tokenizer_takes_the_place_of_the_configured_one(many):
    tokenizer = make("bpe:290", stories(300))
    corpus = Corpus.open(DataConfig(corpus=many, tokenizer="char"), tokenizer=tokenizer)
    assert corpus.tokenizer is tokenizer
    assert np.array_equal(corpus.documents("val")[0].tokens, tokenizer.encode(texts(corpus, "val")[0]))


# --- batches -----------------------------------------------------------------------------------

def test_describe_tells_what_a_corpus_is(many):
    corpus = Corpus.open(DataConfig(corpus=many))
    told = json.loads(json.dumps(corpus.describe()))
    assert told["name"] == "many.txt" and told["digest"] == corpus.digest and len(corpus.digest) == 12
    assert told["splits"]["val"]["documents"] == len(corpus.documents("val"))
    assert told["splits"]["val"]["bytes_per_token"] == 1
    train = texts(corpus, "train")
    assert told["sample"] == "".join(train)[:200]


def test_describe_says_how_the_text_was_split_and_why_documents_were_left_out(tmp_path, many):
    def told(**config):
        about = Corpus.open(DataConfig(**config)).describe()
        assert about["dropped_documents"] == sum(about["dropped"].values())
        return about["split_rule"].partition(":")[0], about["dropped"]

    assert told(corpus=many) == ("by document digest", {})
    train, val = stories(120), stories(80, seed=1)
    write(tmp_path / "set" / "train.txt", train + val[:3])
    write(tmp_path / "set" / "val.txt", val)
    assert told(corpus=str(tmp_path / "set")) == (
        "by the source's own files", {"copies of validation documents": 3}
    )
    rule, dropped = told(corpus=str(tmp_path / "set"), val_bytes=2000)
    kept = len(Corpus.open(DataConfig(corpus=str(tmp_path / "set"), val_bytes=2000)).documents("val"))
    assert dropped["beyond data.val_bytes"] == 80 - kept
    (tmp_path / "one.txt").write_text("a text without marks " * 99)
    about = Corpus.open(DataConfig(corpus=str(tmp_path / "one.txt"))).describe()
    assert about["split_rule"] == (
        "by position: the text has no document marks, so tune (its first 2 %), train and val (its last tenth) are "
        "pieces of one document"
    )
    assert about["extent"] == "the whole text"
    assert told(max_bytes=20_000, val_bytes=20_000, tune_bytes=20_000)[0] == "by the source"
    given = assign(["val", "tune", "train", "train", "train"], [b"a", b"b", b"a", b"b", b"c"], [1] * 5,
                   val_bytes=9, tune_bytes=9)  # fmt: skip
    assert given == ["val", "tune", "copies of validation documents", "copies of tune documents", "train"]


def test_the_digests_of_known_corpora_stay_as_they_are():
    """Golden values: results that were written down name them."""
    found = {tokenizer: Corpus.open(DataConfig(max_bytes=100_000, val_bytes=50_000, tune_bytes=20_000,
                                               tokenizer=tokenizer)).digest for tokenizer in ("bytes", "bpe:512")}
    assert found == {"bytes": "e982cc85b9fd", "bpe:512": "20dbb915a4ef"}


def test_a_corpus_needs_no_torch():
    code = "import sys, losslab.corpus; sys.exit(any(m in sys.modules for m in ('torch', 'datasets', 'tokenizers')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
