"""Token shards of other programs."""

import pickle

import numpy as np
import pytest
from corpus_texts import GPT2_STORIES, refused, texts
from corpus_texts import cache as cache

from losslab.config import DataConfig
from losslab.corpus import Corpus
from losslab.tokenizer import END_OF_TEXT, make


def ids_of(texts, *, mark_first=False):
    gpt2 = make("gpt2")
    parts = [np.append(ids, gpt2.eot) for ids in gpt2.encode_batch(texts)]
    ids = np.concatenate(parts)
    return np.concatenate([[gpt2.eot], ids[:-1]]) if mark_first else ids


def write_nanogpt(path, ids):
    np.asarray(ids, dtype="<u2").tofile(path)


def write_modded(path, ids, *, version=1, count=None):
    header = np.zeros(256, dtype="<i4")
    header[:3] = 20240520, version, len(ids) if count is None else count
    path.write_bytes(header.tobytes() + np.asarray(ids, dtype="<u2").tobytes())


def test_nanogpt_shards_are_the_documents_that_were_written(tmp_path):
    write_nanogpt(tmp_path / "train.bin", ids_of(GPT2_STORIES[:150]))
    write_nanogpt(tmp_path / "val.bin", ids_of(GPT2_STORIES[150:]))
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path), tokenizer="gpt2"))
    assert texts(corpus, "val") == GPT2_STORIES[150:]
    assert texts(corpus, "tune") == GPT2_STORIES[:150:50]
    assert texts(corpus, "train") == [text for i, text in enumerate(GPT2_STORIES[:150]) if i % 50]
    for document, text in zip(corpus.documents("val"), GPT2_STORIES[150:], strict=True):
        assert (document.num_bytes, document.num_words) == (len(text.encode()), len(text.split()))
        assert document.ends


def test_modded_nanogpt_shards_have_a_header_and_documents_across_them(tmp_path):
    train = ids_of(GPT2_STORIES[:150], mark_first=True)
    write_modded(tmp_path / "fineweb_train_000001.bin", train[:777])  # in the middle of a document
    write_modded(tmp_path / "fineweb_train_000002.bin", train[777:])
    write_modded(tmp_path / "fineweb_val_000000.bin", ids_of(GPT2_STORIES[150:], mark_first=True))
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path), tokenizer="gpt2"))
    assert texts(corpus, "val") == GPT2_STORIES[150:]
    assert texts(corpus, "train") == [text for i, text in enumerate(GPT2_STORIES[:150]) if i % 50]
    assert [d.ends for d in corpus.documents("val")] == [True] * 49 + [False]  # no end mark came after the last


def test_a_single_shard_is_split_by_digest(tmp_path):
    write_nanogpt(tmp_path / "all.bin", ids_of(GPT2_STORIES))
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "all.bin"), tokenizer="gpt2"))
    assert sorted(sum((texts(corpus, split) for split in ("train", "val", "tune")), [])) == sorted(GPT2_STORIES)


def test_a_shard_without_end_marks_is_split_by_position(tmp_path):
    ids = make("gpt2").encode(" ".join(GPT2_STORIES))
    write_nanogpt(tmp_path / "all.bin", ids)
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "all.bin"), tokenizer="gpt2"))
    [val], [train] = corpus.documents("val"), corpus.documents("train")
    assert np.array_equal(val.tokens, ids[int(len(ids) * 0.9) :]) and not val.ends
    assert np.array_equal(train.tokens, ids[int(len(ids) * 0.02) : int(len(ids) * 0.9)])


def test_shards_give_the_corpus_of_their_text(tmp_path):
    """Same documents, same windows: only the digest knows that they came as tokens."""
    (tmp_path / "shards").mkdir()
    (tmp_path / "text").mkdir()
    for name, part in (("train", GPT2_STORIES[:150]), ("val", GPT2_STORIES[150:])):
        write_nanogpt(tmp_path / "shards" / f"{name}.bin", ids_of(part))
        (tmp_path / "text" / f"{name}.txt").write_text(
            "".join(f"{text}\n{END_OF_TEXT}\n" for text in part), encoding="utf-8"
        )
    one, other = (Corpus.open(DataConfig(corpus=str(tmp_path / k), tokenizer="gpt2")) for k in ("shards", "text"))
    for split in ("train", "val", "tune"):
        assert np.array_equal(one.stream(split), other.stream(split))
        assert np.array_equal(one.documents(split).index, other.documents(split).index)


class Poison:
    def __reduce__(self):
        return (print, ("a pickle was read",))


def test_a_pickle_in_the_folder_of_shards_is_never_read(tmp_path, capsys):
    write_nanogpt(tmp_path / "train.bin", ids_of(GPT2_STORIES[:150]))
    write_nanogpt(tmp_path / "val.bin", ids_of(GPT2_STORIES[150:]))
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps(Poison()))
    Corpus.open(DataConfig(corpus=str(tmp_path), tokenizer="gpt2"))
    assert "pickle" not in capsys.readouterr().out


@pytest.mark.parametrize("tokenizer", ["bytes", "char", "bpe:300"])
def test_shards_need_the_tokenizer_they_were_written_with(tmp_path, tokenizer):
    write_nanogpt(tmp_path / "all.bin", ids_of(GPT2_STORIES))
    refused(tmp_path / "all.bin", "--tokenizer gpt2", tokenizer=tokenizer)


def test_shards_open_with_a_checkpoints_tokenizer(tmp_path):
    tokenizer = make("bpe:300", GPT2_STORIES)
    ids = np.concatenate([np.append(part, tokenizer.eot) for part in tokenizer.encode_batch(GPT2_STORIES)])
    write_nanogpt(tmp_path / "all.bin", ids)
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "all.bin")), tokenizer=tokenizer)
    assert set(texts(corpus, "val")) < set(GPT2_STORIES)


def test_a_token_outside_the_vocabulary_is_an_error(tmp_path):
    write_nanogpt(tmp_path / "all.bin", [1, 2, 50_257, 50_256, 5])
    refused(tmp_path / "all.bin", "the token 50257, but gpt2 has only 50257", tokenizer="gpt2")


@pytest.mark.parametrize(
    ("change", "message"), [({"version": 7}, "version 7"), ({"count": 99}, "with 99 tokens, and 16 bytes")]
)
def test_a_header_that_does_not_fit_is_an_error(tmp_path, change, message):
    write_modded(tmp_path / "all.bin", range(8), **change)
    refused(tmp_path / "all.bin", message, tokenizer="gpt2")


def test_a_header_of_more_tokens_than_a_number_holds_is_an_error(tmp_path):
    write_modded(tmp_path / "all.bin", range(8), count=2**31 - 1)
    refused(tmp_path / "all.bin", "with 2147483647 tokens, and 16 bytes", tokenizer="gpt2")


def test_half_a_token_is_an_error(tmp_path):
    (tmp_path / "all.bin").write_bytes(b"\1\0\2")
    refused(tmp_path / "all.bin", "3 bytes, an odd number", tokenizer="gpt2")
