"""Long documents: streamed in pieces whose ids, bytes, words, digests and splits are those of the whole."""

import gzip
import json
import tracemalloc

import numpy as np
import pytest
import tokenizers
from corpus_texts import cache as cache
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.config import DataConfig
from losslab.corpus import Corpus, build, cuts, encoding, files, spool
from losslab.tokenizer import END_OF_TEXT, BytePairs, make

NASTY = [
    " ", "  ", "   ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2003", "\u200b", "\u0085", "\u2028", "\x0b", "\x1c",
    "\u180e", "\ufeff", "'", "'s", "'ll", "'L", "’", "ʼ", "a", "Z", "é", "e\u0301", "\u0301", "ª", "ǅ", "字", "かな",
    "。", "1", "٣", "½", "Ⅷ", "²", "🙂", "👨‍👩‍👧", "\u200d", "-", "--", "_", "$", END_OF_TEXT, "\U00010400", "𝟘", "re",
    " t", "the", " fox", "don't", "\n\n",
]  # fmt: skip
nasty = st.lists(st.sampled_from(NASTY) | st.characters(exclude_categories=["Cs"]), max_size=30).map("".join)


def shrink(patch, size):
    """What is read and tokenized at once becomes `size` bytes, so that a short text is a long one."""
    for module, name, value in (
        (files, "PART_BYTES", size), (spool, "BLOCK_BYTES", size), (spool, "PIECE_BYTES", size), (spool, "LONGEST", 8),
        (encoding, "BATCH_BYTES", 3 * size), (encoding, "PIECE_BYTES", size),
    ):  # fmt: skip
        patch.setattr(module, name, value)


def one_document(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


# --- where a text may be cut -------------------------------------------------------------------

@settings(max_examples=150)
@given(text=nasty)
def test_a_sure_cut_leaves_every_id_as_it_is(text):
    gpt2 = make("gpt2")
    whole = gpt2.encode(text).tolist()
    for at in range(1, len(text)):
        if cuts.last_cut(text[: at + 1]) == at:
            assert gpt2.encode(text[:at]).tolist() + gpt2.encode(text[at:]).tolist() == whole, at


@pytest.mark.parametrize(("text", "at"), [
    ("two words", 3), ("two  ", 3), ("end.", 3), ("字。字", 2), ("a1", 1), ("x\n", 1), ("abc", 0), ("it's", 0),
    ("'s", 0), (" a", 0), ("a\x1c", 0), ("", 0), ("a", 0),
])  # fmt: skip
def test_words_end_between_kinds_of_characters_but_not_behind_spaces_or_apostrophes(text, at):
    assert cuts.last_cut(text) == at


def test_a_vocabulary_that_splits_no_words_is_cut_nowhere(tmp_path):
    plain = make("bpe:260", ["the fox and the box"] * 9)
    plain.save(tmp_path)
    parts = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    parts["pre_tokenizer"]["use_regex"] = False
    whole = BytePairs("whole", tokenizers.Tokenizer.from_str(json.dumps(parts)))
    assert (make("bytes").cuts, plain.cuts, whole.cuts) == ("anywhere", "words", "nowhere")
    with pytest.raises(ValueError, match="a text has 1,000,000 bytes in which whole ends no word"):
        list(cuts.pieces(["some words " * 10_000] * 20, whole.cuts, "a text", "whole"))


# --- a corpus of one long document -------------------------------------------------------------

@pytest.mark.parametrize("tokenizer", ["bytes", "char", "bpe:265", "gpt2"])
@settings(max_examples=8)
@given(words=st.lists(nasty, min_size=20, max_size=60), size=st.integers(9, 200))
def test_pieces_give_the_corpus_of_the_whole(tmp_path_factory, words, size, tokenizer):
    folder = tmp_path_factory.mktemp("one")
    spoken = "the fox and the box, don't you see? " * 60
    text = f"{''.join(words)}{spoken}{''.join(words)}".replace("\0", "")
    path = one_document(folder / "one.txt", text)
    found = []
    for shrunk in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LOSSLAB_CACHE", str(folder / f"cache-{shrunk}"))
            if shrunk:
                shrink(patch, size)
            found.append(Corpus.open(DataConfig(corpus=path, tokenizer=tokenizer)))
    whole, pieces = found
    assert whole.digest == pieces.digest
    n = len(text)
    expected = {"tune": text[: int(n * 0.02)], "train": text[int(n * 0.02) : int(n * 0.9)], "val": text[int(n * 0.9) :]}
    for split, content in expected.items():
        [document] = pieces.documents(split)
        assert np.array_equal(document.tokens, pieces.tokenizer.encode(content))
        assert (document.num_bytes, document.num_words) == (len(content.encode()), len(content.split()))
        assert np.array_equal(whole.stream(split), pieces.stream(split))


@pytest.mark.parametrize("val_bytes", [0, 1, 1001, 1002, 5999, 6000, 10**15])
def test_a_long_validation_text_is_cut_between_characters(tmp_path, monkeypatch, val_bytes):
    shrink(monkeypatch, 61)
    (tmp_path / "set").mkdir()
    one_document(tmp_path / "set" / "train.txt", "some words to train on, é " * 200)
    one_document(tmp_path / "set" / "valid.txt", "é🙂" * 1000)
    config = DataConfig(corpus=str(tmp_path / "set"), val_bytes=val_bytes)
    kept = ("é🙂" * 1000).encode()[:val_bytes].decode(errors="ignore")
    if not kept:
        with pytest.raises(ValueError, match="leaves no document for val"):
            Corpus.open(config)
        return
    corpus = Corpus.open(config)
    [val] = corpus.documents("val")
    assert corpus.tokenizer.decode(val.tokens) == kept and val.ends == (len(kept) == 2000)
    assert corpus.meta["split_rule"].startswith("by position: val is the validation documents; the training" if val.ends
                                                else "by position: the validation text is one document, and val its")


@pytest.mark.parametrize("marked", [False, True])
def test_shards_without_end_marks_are_streamed(tmp_path, monkeypatch, marked):
    gpt2 = make("gpt2")
    ids = gpt2.encode("naïve 🙂 text, 你好。 " * 400)
    stored = np.append(ids, gpt2.eot) if marked else ids
    stored.astype("<u2").tofile(tmp_path / "all.bin")
    shrink(monkeypatch, 70)
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "all.bin"), tokenizer="gpt2"))
    n = len(ids)
    expected = {"tune": ids[: int(n * 0.02)], "train": ids[int(n * 0.02) : int(n * 0.9)], "val": ids[int(n * 0.9) :]}
    for split, tokens in expected.items():
        [document] = corpus.documents(split)
        assert np.array_equal(document.tokens, tokens) and not document.ends
        assert document.num_bytes == int(gpt2.token_bytes[tokens].sum())
        assert document.num_words == len(gpt2.decode(tokens).split())


def test_marks_and_blanks_are_found_in_parts(tmp_path, monkeypatch):
    documents = [f"document {i} of words\r\n" + "é\n" * (i % 5) + "end" * (i % 40) for i in range(60)]
    content = "".join(f"{text}\r\n{END_OF_TEXT}  \r\n" + f" \n\n \n{END_OF_TEXT}\n" * (i % 3 == 0)
                      for i, text in enumerate(documents))  # fmt: skip
    path = one_document(tmp_path / "many.txt", content)
    shrink(monkeypatch, 17)
    corpus = Corpus.open(DataConfig(corpus=path))
    found = [corpus.tokenizer.decode(d.tokens) for split in ("train", "val", "tune") for d in corpus.documents(split)]
    assert sorted(found) == sorted(documents)


@pytest.mark.parametrize("tokenizer", ["gpt2", "bpe:300", "bytes", "char"])
def test_a_megabyte_in_which_no_word_ends_is_refused_where_words_matter(tmp_path, tokenizer):
    path = one_document(tmp_path / "one.txt", "two words " * 500 + "ab" * 1_300_000)
    if tokenizer in ("bytes", "char"):
        assert Corpus.open(DataConfig(corpus=path, tokenizer=tokenizer)).num_bytes["val"] == 260_500
        return
    with pytest.raises(ValueError, match=f"one.txt has 1,000,000 bytes in which {tokenizer} ends no word"):
        Corpus.open(DataConfig(corpus=path, tokenizer=tokenizer))


def test_a_vocabulary_is_trained_on_a_stated_sample(tmp_path, monkeypatch):
    text = "the fox and the box, don't you see? Not yet; the end is far. " * 300
    path = one_document(tmp_path / "one.txt", text + "quite other words of which the vocabulary knows nothing " * 300)
    whole = Corpus.open(DataConfig(corpus=path, tokenizer="bpe:280"))
    assert whole.describe()["tokenizer_trained_on_bytes"] == whole.num_bytes["train"]
    monkeypatch.setattr(build, "TRAIN_TOKENIZER_BYTES", 10_000)
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "other"))
    shrink(monkeypatch, 1000)
    part = Corpus.open(DataConfig(corpus=path, tokenizer="bpe:280"))
    assert 10_000 <= part.describe()["tokenizer_trained_on_bytes"] < 11_000
    train = part.tokenizer.decode(part.documents("train")[0].tokens)
    assert part.tokenizer.digest == make("bpe:280", [train[: part.meta["tokenizer_bytes"]]]).digest
    assert part.tokenizer.digest != whole.tokenizer.digest


def test_a_long_document_is_never_in_memory(tmp_path):
    path = one_document(tmp_path / "one.txt", ("é" * 4000 + "\n") * 3000)  # 24 MB
    Corpus.open(DataConfig(corpus=one_document(tmp_path / "first.txt", "what is loaded once " * 100)))
    tracemalloc.start()
    try:
        corpus = Corpus.open(DataConfig(corpus=path))
        corpus.batches("train", seed=0, batch_size=4, seq_len=64)(0)
        assert len(corpus.documents("val")[0].tokens[:100]) == 100
        assert tracemalloc.get_traced_memory()[1] < 22_000_000
    finally:
        tracemalloc.stop()


# --- what is too much ----------------------------------------------------------------------------

def test_a_packed_file_that_grows_as_no_text_does_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FREE_BYTES", 1 << 20)
    for name in ("flood.txt.gz", "flood.jsonl.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b" " * 20_000_000 + b"\n"))
        with pytest.raises(ValueError, match="unpacks to more than 100 times its size, as no text does") as caught:
            Corpus.open(DataConfig(corpus=str(tmp_path / name)))
        assert "\n" not in str(caught.value)


def test_a_row_that_is_longer_than_a_document_should_be_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LINE_BYTES", 1000)
    (tmp_path / "rows.jsonl").write_text('{"text": "fine"}\n{"text": "' + "long " * 1000 + '"}\n')
    with pytest.raises(ValueError, match="line 2 of .*rows.jsonl is longer than 1,000 bytes; .* as a .txt file"):
        Corpus.open(DataConfig(corpus=str(tmp_path / "rows.jsonl")))


def test_more_documents_than_can_be_split_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "MOST_DOCUMENTS", 30)
    path = one_document(tmp_path / "many.txt", "".join(f"number {i}\n{END_OF_TEXT}\n" for i in range(31)))
    with pytest.raises(ValueError, match="many.txt has more than 30 documents"):
        Corpus.open(DataConfig(corpus=path))
