"""The columns that the audit reads: one unit, one range and one sentence each. Nothing else in a table is judged."""

import math
import textwrap
from dataclasses import dataclass

INFINITE = math.inf
GROUPS = {
    "score": "Scores; stderr, baseline, difference and improvement belong to the first one of a row, in this order",
    "text": "The text that was scored",
    "sample": "What a score is a mean of",
    "compared": "A comparison",
    "law": "Scaling laws",
    "known": "What is compared with definitions and published values",
    "words": "Shown, never judged",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column: its name, its unit, the values that it can hold, and what it means."""

    name: str
    group: str
    unit: str
    low: float
    high: float
    meaning: str
    aliases: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """The values that it can hold, as `0 to 1`; nothing for words."""
        if self.is_words:
            return ""
        if self.low == -INFINITE:
            return "any"
        return f"{self.low:g} or more" if self.high == INFINITE else f"{self.low:g} to {self.high:g}"

    @property
    def is_count(self) -> bool:
        return self.unit == "count"

    @property
    def is_words(self) -> bool:
        return self.unit == "words"


def _score(name: str, unit: str, low: float, high: float, meaning: str, *aliases: str) -> Column:
    return Column(name, "score", unit, low, high, meaning, aliases)


def _count(name: str, group: str, meaning: str, *aliases: str) -> Column:
    return Column(name, group, "count", 1, INFINITE, meaning, aliases)


def _number(name: str, group: str, unit: str, low: float, high: float, meaning: str, *aliases: str) -> Column:
    return Column(name, group, unit, low, high, meaning, aliases)


def _words(name: str, group: str, meaning: str, *aliases: str) -> Column:
    return Column(name, group, "words", -INFINITE, INFINITE, meaning, aliases)


_ALL = [
    _score("loss", "nats/token", 0, INFINITE, "Mean of -ln p of the tokens; a warning where it is above ln vocab_size.",
           "nll", "cross_entropy"),
    _score("bits_per_token", "bits/token", 0, INFINITE, "Mean of -log2 p of the tokens."),
    _score("perplexity", "per token", 1, INFINITE, "exp of the loss.", "ppl"),
    _score("bits_per_byte", "bits/byte", 0, INFINITE,
           "Bits of the text over its UTF-8 bytes; a warning above 8, which storing it takes.", "bpb"),
    _score("bits_per_character", "bits/character", 0, INFINITE, "Bits of the text over its characters.",
           "bpc", "bits_per_char"),
    _score("byte_perplexity", "per byte", 1, INFINITE, "2 to the power of the bits per byte.",
           "byte_ppl", "perplexity_per_byte"),
    _score("word_perplexity", "per word", 1, INFINITE, "exp of the nats per word.", "word_ppl", "perplexity_per_word"),
    _score("compression_ratio", "8 / (bits/byte)", 0, INFINITE, "How many times shorter the text becomes.",
           "compression"),
    _score("accuracy", "share of items", 0, 1, "Right answers over items, as 0.62 or 62%; of k items it is a multiple "
           "of 1/k, rounded.", "acc"),
    _score("core", "mean centered accuracy", -1, 1, "CORE, as a fraction; between seeds of one recipe its standard "
           "deviation is 0.0062.", "core_score", "core_v1", "core_v2"),
    _count("tokens", "text", "Tokens that were scored.", "num_tokens"),
    _count("bytes", "text", "UTF-8 bytes of the scored text; end marks are tokens without bytes, so 1 % (scores) and "
           "10 % (counts) are allowed for them.", "num_bytes"),
    _count("words", "text", "Words of the scored text.", "num_words"),
    _count("characters", "text", "Characters of the scored text.", "num_characters"),
    _number("bytes_per_token", "text", "bytes/token", 0, INFINITE,
            "bytes / tokens, instead of the two counts; where nothing says it, it is computed from two scores and must "
            "be at least 1 (a warning above 20)."),
    _number("tokens_per_word", "text", "tokens/word", 0, INFINITE, "tokens / words, instead of the two counts."),
    _number("characters_per_byte", "text", "characters/byte", 0.25, 1,
            "characters / bytes, instead of the two counts; a character has 1 to 4 bytes."),
    _count("vocab_size", "text", "Tokens that the model chooses from; the uniform model has the loss ln vocab_size.",
           "vocab", "vocabulary", "vocabulary_size"),
    _words("dataset", "text", "The text or benchmark that the row's scores are of. Scores of different texts are never "
           "compared. A score or count may name its text in front: val_loss, lambada_ppl.",
           "of", "data_set", "corpus", "data", "task", "benchmark", "split", "test_set", "eval_set", "evaluation_set"),
    _number("stderr", "sample", "as the score", 0, INFINITE,
            "Standard error of the score, or of the difference where the row has one; of an accuracy it is "
            "sqrt(p(1-p)/n), checked to a quarter either way.", "se", "std_err", "standard_error"),
    _count("n", "sample", "Values that the first score is a mean over; of an accuracy they are items, but below 30 "
           "with a stderr they may be seeds."),
    _count("num_items", "sample", "Items that an accuracy is over.", "items"),
    _count("num_seeds", "sample", "Seeds or runs that a score is a mean over: then it need not be a whole number of "
           "items, and stderr is between seeds."),
    _count("num_clusters", "sample", "Groups of items (documents, passages) that stderr was computed over."),
    _count("num_choices", "sample", "Options of a question; a warning where the accuracy is not above "
           "1 / num_choices."),
    _number("chance", "sample", "share of items", 0, 1, "Accuracy of guessing, where it is not 1 / num_choices."),
    _words("baseline", "compared", "The same score of what the row is compared with: a number (with ± its standard "
           "error), or the name of another row."),
    _number("baseline_stderr", "compared", "as the score", 0, INFINITE, "Standard error of the baseline's score."),
    _number("difference", "compared", "as the score", -INFINITE, INFINITE,
            "Score minus baseline, or with % of the baseline; a warning where it is smaller than its standard error."),
    _number("improvement", "compared", "as the score", -INFINITE, INFINITE,
            "How much better than the baseline, above 0 where it is better; a warning where it is smaller than its "
            "standard error.", "gain"),
    _number("compute_ratio", "law", "times", 0, INFINITE, "Compute over the compute before."),
    _number("parameter_ratio", "law", "times", 0, INFINITE, "Parameters over the parameters before."),
    _number("data_ratio", "law", "times", 0, INFINITE, "Training tokens over the tokens before."),
    _number("loss_ratio", "law", "times", 0, INFINITE, "Loss over the loss before: 0.5 or 50% where it halves. With an "
            "exponent it is ratio^-exponent; without one, a warning where the law would be steeper than 0.15."),
    _number("reducible_loss_ratio", "law", "times", 0, INFINITE,
            "The same of the loss above its floor; without an exponent, a warning above 0.4."),
    _number("exponent", "law", "", -INFINITE, INFINITE, "a of loss ~ ratio^-a; its sign does not matter."),
    _number("law_a", "law", "", 0, INFINITE, "A of loss = E + A/N^alpha + B/D^beta."),
    _number("law_b", "law", "", 0, INFINITE, "B of the same law."),
    _number("law_alpha", "law", "", 0, INFINITE, "alpha of the same law."),
    _number("law_beta", "law", "", 0, INFINITE, "beta of the same law."),
    _number("flops", "law", "FLOPs", 0, INFINITE, "Compute 6 N D at which tokens_per_parameter holds; 1e18 to 5.76e23 "
            "unless given."),
    _number("tokens_per_parameter", "law", "tokens/parameter", 0, INFINITE,
            "D/N of least loss under the law, 5 % off at most."),
    _count("num_tasks", "known", "Tasks that the benchmark in `dataset` is said to have; CORE has 22."),
    _words("member_task", "known", "A task that the benchmark in `dataset` is said to contain."),
    _words("compressor", "known", "gzip, zlib, bzip2 or xz; a warning where its bits per byte, or its compression "
           "ratio, are not those of whole files of English."),
    _words("checkpoint", "known", "Published weights that were scored as they are: gpt2, gpt2-medium, gpt2-large or "
           "gpt2-xl; a warning where the score is more than 2 % off what is published for `dataset`."),
    _words("name", "words", "What the row is called.", "model", "id", "title"),
    _words("claim", "words", "Free text.", "claim_text", "text", "statement", "free_text", "free_text_claim"),
]  # fmt: skip
COLUMNS = {column.name: column for column in _ALL}
SCORES = tuple(column.name for column in _ALL if column.group == "score")
LOWER_IS_BETTER = frozenset(SCORES[:7])
OF_A_TEXT = (*SCORES, *(column.name for column in _ALL if column.group == "text" and not column.is_words
                        and column.name != "vocab_size"))  # may carry the name of a text, as `lambada_ppl`  # fmt: skip
SPELLINGS = {spelling: column.name for column in _ALL for spelling in (column.name, *column.aliases)}


def describe() -> str:
    """Every column with its unit, its range and its meaning, as text for a terminal.

    Example:
        >>> [line for line in describe().splitlines() if line.startswith("accuracy")]
        ['accuracy (share of items, 0 to 1; also acc)']
    """
    lines = []
    for group, title in GROUPS.items():
        lines += ["", f"{title}:"]
        for column in (column for column in COLUMNS.values() if column.group == group):
            facts = ", ".join(filter(None, (column.unit, column.range)))
            also = f"; also {', '.join(column.aliases)}" * bool(column.aliases)
            lines += textwrap.wrap(f"{column.name} ({facts}{also})", 100, subsequent_indent="  ")
            lines += textwrap.wrap(column.meaning, 100, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines[1:])
