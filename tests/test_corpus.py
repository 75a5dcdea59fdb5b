"""From text to batches: splits that share no document, exact bytes, and batches that are a function of the step."""

import gzip
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from losslab import tales
from losslab.config import DataConfig
from losslab.corpus import Batches, Corpus
from losslab.corpus.splits import assign
from losslab.tokenizer import END_OF_TEXT, make

SPLITS = ("train", "val", "tune")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))


def stories(num, seed=0):
    """Different short documents with characters of one to four bytes."""
    rng = np.random.default_rng(seed)
    words = ["fox", "naïve", "🙂", "你好", "ran", "slowly", "Ω", "home.\n"]
    return [f"Story {seed}.{i}: " + " ".join(rng.choice(words, rng.integers(5, 40))) for i in range(num)]


def write(path, documents):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{text}\n{END_OF_TEXT}\n" for text in documents).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def texts(corpus, split):
    return [corpus.tokenizer.decode(document.tokens) for document in corpus.documents(split)]


@pytest.fixture
def many(tmp_path):
    return write(tmp_path / "many.txt", stories(300))


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

def batches_of(corpus, seq_len=16, batch_size=4, **more):
    return corpus.batches("train", **{"seed": 3, "batch_size": batch_size, "seq_len": seq_len, **more})


def test_targets_are_the_tokens_shifted_by_one(many):
    batch = batches_of(Corpus.open(DataConfig(corpus=many)))(5)
    assert batch.tokens.shape == batch.targets.shape == (4, 16)
    assert batch.tokens.dtype == batch.targets.dtype == np.int64
    assert np.array_equal(batch.targets[:, :-1], batch.tokens[:, 1:])


def test_the_last_target_is_the_token_that_comes_next(many):
    corpus = Corpus.open(DataConfig(corpus=many))
    stream = corpus.stream("train").astype(np.int64)
    for tokens, targets in zip(*batches_of(corpus)(0), strict=True):
        starts = np.flatnonzero(np.all(np.lib.stride_tricks.sliding_window_view(stream, 16)[:-1] == tokens, axis=1))
        assert any(np.array_equal(stream[s + 1 : s + 17], targets) for s in starts)


def test_a_batch_is_a_pure_function_of_digest_seed_and_step(many):
    corpus = Corpus.open(DataConfig(corpus=many))
    one, other = batches_of(corpus), batches_of(Corpus.open(DataConfig(corpus=many)))
    steps = [7, 0, 100_000, 3, 7]
    for a, b in zip([one(step) for step in steps], [other(step) for step in reversed(steps)][::-1], strict=True):
        assert np.array_equal(a.tokens, b.tokens)
    assert not np.array_equal(one(0).tokens, batches_of(corpus, seed=4)(0).tokens)
    assert not np.array_equal(one(0).tokens, one(1).tokens)


def test_a_batch_is_the_same_in_every_version():
    """A golden value: a run that is resumed under another numpy must see the same text."""
    batches = Batches(np.arange(1000), "digest/train/0", batch_size=3, seq_len=10)
    starts = [batches(step).tokens[:, 0].tolist() for step in (0, 1, 1000)]
    assert starts == [[266, 976, 476], [156, 856, 36], [135, 155, 365]]


def test_an_epoch_visits_every_window_once():
    stream = np.arange(1234)
    batches = Batches(stream, "key", batch_size=5, seq_len=10)
    assert batches.num_windows == (1234 - 10) // 10
    offsets = set()
    for epoch in range(4):
        items = range(epoch * batches.num_windows, (epoch + 1) * batches.num_windows)
        starts = [batches(i // 5).tokens[i % 5, 0] for i in items]
        assert sorted(starts) == list(range(min(starts), min(starts) + 10 * len(starts), 10))
        assert starts != sorted(starts) and max(starts) + 10 < len(stream)
        offsets.add(min(starts))
    assert len(offsets) > 1 and max(offsets) < 10  # what one epoch leaves over, another one sees


def test_a_batch_may_cross_epochs():
    batches = Batches(np.arange(71), "key", batch_size=8, seq_len=10)
    assert batches.num_windows == 6
    rows = np.concatenate([batches(step).tokens[:, 0] for step in range(3)])
    for epoch in range(4):
        assert len(set(rows[epoch * 6 : epoch * 6 + 6])) == 6


def test_the_smallest_stream_has_one_window():
    batches = Batches(np.arange(11), "key", batch_size=2, seq_len=10)
    assert batches(9).targets.tolist() == [list(range(1, 11))] * 2


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_share_a_batch_without_overlap(many, world):
    corpus = Corpus.open(DataConfig(corpus=many))
    whole = batches_of(corpus)(11).tokens
    for rank in range(world):
        assert np.array_equal(batches_of(corpus, rank=rank, world=world)(11).tokens, whole[rank::world])


def test_unigram_counts_the_targets_of_train(many):
    corpus = Corpus.open(DataConfig(corpus=many))
    unigram = corpus.unigram()
    assert unigram.shape == (257,) and unigram.dtype == np.float64
    assert math.isclose(unigram.sum(), 1) and (unigram > 0).all()
    targets = corpus.num_tokens["train"]
    assert math.isclose(unigram[corpus.tokenizer.eot], (len(corpus.documents("train")) + 1) / (targets + 257))


@pytest.mark.parametrize("tokenizer", ["bytes", "char", "bpe:300", "gpt2"])
def test_the_prefix_of_a_token_is_the_longest_other_token_that_it_begins_with(many, tokenizer):
    corpus = Corpus.open(DataConfig(corpus=many, tokenizer=tokenizer))
    prefix_of, tokens = corpus.prefix_of(), corpus.tokenizer.tokens
    assert prefix_of.shape == (len(tokens),) and prefix_of.dtype == np.int64
    known = set(tokens)
    for i in range(0, len(tokens), max(1, len(tokens) // 3000)):
        begins = [tokens[i][:length] for length in range(1, len(tokens[i])) if tokens[i][:length] in known]
        assert (tokens[prefix_of[i]] == max(begins, key=len)) if begins else (prefix_of[i] == -1)
    if tokenizer in ("bytes", "char"):
        assert (prefix_of == -1).all()  # UTF-8 is a code without prefixes
    if tokenizer == "gpt2":
        named = {" story": " sto", "a": None, "ab": "a", " the": " th"}
        ids = {token: i for i, token in enumerate(tokens)}
        for token, prefix in named.items():
            found = prefix_of[ids[token.encode()]]
            assert (tokens[found].decode() if found >= 0 else None) == prefix


def test_vocabulary_vectors_are_built_by_name(many):
    corpus = Corpus.open(DataConfig(corpus=many))
    vectors = corpus.vocabulary()
    assert set(vectors) == {"unigram", "prefix_of"}
    assert np.array_equal(vectors["unigram"].numpy(), corpus.unigram().astype(np.float32))
    assert np.array_equal(vectors["prefix_of"].numpy(), corpus.prefix_of())


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
