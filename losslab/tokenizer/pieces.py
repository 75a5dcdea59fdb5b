"""WordPiece and Unigram over the letters of bytes: what they are trained on loses nothing, so bytes stay exact.

Both read a text as the byte-level BPE does, word by word and each byte as a letter, and know every letter, so that no
text is unknown. A word of more than `LONGEST_WORD` bytes is read in parts of that size. WordPiece takes the longest
token that fits, from left to right, and has each token twice where it is needed: at the beginning of a word, and inside
one, where it is written behind `INSIDE`. Unigram takes the tokens that together are most probable.
"""

import json
import math
from collections.abc import Iterable, Iterator

from losslab.tokenizer import bytelevel
from losslab.tokenizer.byte_pairs import BytePairs
from losslab.tokenizer.bytelevel import END_OF_TEXT, INSIDE, LONGEST_WORD

LEAST = {"wordpiece": 2 * 256 + 1, "unigram": 256 + 1}  # every letter, for WordPiece in both places, and the end mark
PLACE = 0x1000  # between the letter of a byte at the beginning of a word and the one inside, while pieces are learned
LONGEST_PIECE = 16  # letters, of Unigram
DIGITS = 6  # decimals of a log-probability: sums in another order differ far behind them
STEP = 1e-4  # between the log-probabilities of letters that are rarer than every longer piece


class WordPieces(BytePairs):
    """`wordpiece:N`."""

    kind = "wordpiece"


class Unigrams(BytePairs):
    """`unigram:N`."""

    kind = "unigram"


def of(model, name: str | None = None, vocab_size: int = 0) -> BytePairs:
    """The tokenizer of a model of the library, by its kind."""
    return {"WordPiece": WordPieces, "Unigram": Unigrams}.get(type(model.model).__name__, BytePairs)(
        name, model, vocab_size)


def train_word_pieces(size: int, texts: Iterable[str]) -> WordPieces:
    """The vocabulary `wordpiece:size` of a text: 256 letters in both places, the commonest pieces, the end mark.

    The library's own trainer of WordPiece merges the commonest pairs, as that of BPE does, but numbers letters in
    another order each time, and so breaks ties in another way; here that of BPE is given letters that know their place.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    letters = sorted(bytelevel.letters())
    inside = {ord(letter): chr(ord(letter) + PLACE) for letter in letters}
    words = bytelevel.in_words(models.BPE()).pre_tokenizer

    def placed() -> Iterator[str]:
        for text in texts:
            yield " ".join(word[0] + word[1:].translate(inside) for word, _ in words.pre_tokenize_str(text))

    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learned.train_from_iterator(placed(), trainers.BpeTrainer(
        vocab_size=size - 1, show_progress=False, initial_alphabet=[*letters, *inside.values()]))
    vocabulary, back = learned.get_vocab(), {ord(letter): chr(code) for code, letter in inside.items()}
    _check_enough("wordpiece", size, len(vocabulary) + 1)
    ids = {(INSIDE if ord(piece[0]) in back else "") + piece.translate(back): i for piece, i in vocabulary.items()}
    model = bytelevel.in_words(models.WordPiece(ids, unk_token=letters[0], continuing_subword_prefix=INSIDE,
                                                max_input_chars_per_word=LONGEST_WORD))
    model.add_special_tokens([END_OF_TEXT])
    return WordPieces(f"wordpiece:{size}", model)


def train_unigrams(size: int, texts: Iterable[str]) -> Unigrams:
    """The vocabulary `unigram:size` of a text: the pieces that make it most probable, and the end mark.

    The library gives letters that are no piece of their own a probability in an order that is another one each time;
    here they have it in the order of their bytes, so that one text always gives one vocabulary.
    """
    from tokenizers import models, trainers

    learned = bytelevel.in_words(models.Unigram())
    learned.train_from_iterator(texts, trainers.UnigramTrainer(
        vocab_size=size - 1, show_progress=False, initial_alphabet=sorted(bytelevel.letters()),
        max_piece_length=LONGEST_PIECE))
    found = dict(learned_vocabulary(learned))
    _check_enough("unigram", size, len(found) + 1)
    lowest = min((score for piece, score in found.items() if len(piece) > 1), default=0.0)
    rare = [letter for letter in bytelevel.letters() if found[letter] < lowest]
    kept = {piece: round(score, DIGITS) for piece, score in found.items() if piece not in set(rare)}
    kept |= {letter: round(lowest - STEP * (1 + i), DIGITS) for i, letter in enumerate(rare)}
    model = bytelevel.in_words(models.Unigram(sorted(kept.items(), key=lambda item: (-item[1], item[0]))))
    model.add_special_tokens([END_OF_TEXT])
    return Unigrams(f"unigram:{size}", model)


def learned_vocabulary(model) -> list[tuple[str, float]]:
    """Pieces and log-probabilities of a Unigram of the library."""
    return [(piece, score) for piece, score in json.loads(model.to_str())["model"]["vocab"] if math.isfinite(score)]


def _check_enough(kind: str, size: int, found: int) -> None:
    if found < size:
        raise ValueError(f"the text has only enough pieces for {kind}:{found}, got {kind}:{size}; take that, or more "
                         "text")
