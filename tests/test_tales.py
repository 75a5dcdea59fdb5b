"""The embedded corpus: what it says of its own probabilities is true."""

import hashlib
import math
import random
from itertools import pairwise

import pytest

from losslab import tales
from losslab.tales import words
from losslab.tales.grammar import tell
from losslab.tales.tellers import Reader, Surveyor, Table, Writer


def written(count, seed=0):
    rng = random.Random(seed)
    writers = [Writer(rng) for _ in range(count)]
    for writer in writers:
        tell(writer)
    return writers


def test_reading_a_story_back_finds_the_choices_that_wrote_it():
    for writer in written(2000):
        assert tales.log_prob(writer.story) == pytest.approx(writer.log_prob, abs=1e-9)


def is_prefix_free(texts):
    ordered = sorted(texts)  # a prefix would stand right before a text that it begins
    return all(texts) and not any(b.startswith(a) for a, b in pairwise(ordered))


TABLES = {name: value for name, value in vars(words).items() if isinstance(value, Table)}


@pytest.mark.parametrize("name", TABLES)
def test_no_row_of_a_table_begins_another(name):
    table = TABLES[name]
    assert is_prefix_free(table.texts)
    assert math.fsum(table.probs) == pytest.approx(1) and min(table.probs) > 0


class Suspicious(Writer):
    """Writes, and counts what it could have written instead."""

    def vary(self, *options):
        assert is_prefix_free([text for _, text in options]), options
        return super().vary(*options)

    branch = vary


def test_no_alternative_of_the_grammar_begins_another():
    rng = random.Random(1)
    for _ in range(3000):
        tell(Suspicious(rng))
    # and the check can fail
    with pytest.raises(AssertionError):
        Suspicious(rng).vary((1, "a"), (1, "ab"))


def test_probabilities_of_all_stories_of_a_small_grammar_sum_to_one():
    table = Table("x", "y", weights=[3, 1])

    def small(t):
        turn = t.branch((2, "A"), (1, "B"))
        t.pick(table)
        t.vary((1, "."), (4, "!"))
        if turn:
            t.pick(table)

    total, found = 0.0, set()
    for seed in range(400):
        writer = Writer(random.Random(seed))
        small(writer)
        found.add(writer.story)
    for story in found:
        reader = Reader(story)
        small(reader)
        total += math.exp(reader.log_prob)
    assert len(found) == 4 + 8 and total == pytest.approx(1)


def test_the_entropy_in_closed_form_is_what_sampling_finds():
    sample = [-writer.log_prob for writer in written(20_000)]
    mean = math.fsum(sample) / len(sample)
    stderr = math.sqrt(math.fsum((x - mean) ** 2 for x in sample) / len(sample) / (len(sample) - 1))
    assert stderr < 0.05  # nats, of about 36
    assert abs(mean - tales.entropy()) < 4 * stderr


def test_the_expected_length_in_closed_form_is_what_sampling_finds():
    sample = [len(writer.story.encode()) for writer in written(20_000, seed=1)]
    mean = math.fsum(sample) / len(sample)
    stderr = math.sqrt(math.fsum((x - mean) ** 2 for x in sample) / len(sample) / (len(sample) - 1))
    assert abs(mean - tales.expected_bytes()) < 4 * stderr < 4


def test_a_table_has_the_entropy_the_length_and_the_number_of_its_texts():
    assert tales.num_stories() >= 10**9
    picked = Surveyor(())
    picked.pick(Table("ab", "c", weights=[1, 3]))
    assert picked.num_bytes == pytest.approx(1.25) and picked.num_stories == 2
    assert picked.entropy == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))


def test_the_floor_is_the_code_length_of_the_stories():
    told = tales.stories(20_000, seed=3)
    bits = -sum(tales.log_prob(story) for story in told) / math.log(2)
    assert tales.floor_bits_per_byte(told) == pytest.approx(bits / len("".join(told).encode()))
    expected = tales.entropy() / math.log(2) / tales.expected_bytes()
    assert tales.floor_bits_per_byte(tales.stories(2_000_000, seed=4)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("damage", [
    lambda story: story[:-1], lambda story: story + " ", lambda story: story.replace("named", "called"),
    lambda story: story.upper(), lambda story: "", lambda story: story + "\n" + story,
])
def test_what_the_grammar_cannot_write_has_no_probability(damage):
    for writer in written(50, seed=5):
        assert tales.log_prob(damage(writer.story)) == -math.inf


def test_pronouns_belong_to_the_hero():
    girls, boys = words.HEROES.texts[::2], words.HEROES.texts[1::2]  # in turns
    assert "Mia" in girls and "Tom" in boys
    for writer in written(500, seed=6):
        story = writer.story
        hero = next(name for name in words.HEROES.texts if f"child named {name}." in story)
        alone = story.split("Grand")[0].split("Aunt")[0].split("Uncle")[0]
        wrong = (" his ", " him ", " he ") if hero in girls else (" her ", " she ")
        assert not any(word in alone for word in wrong), story


def test_the_same_seed_tells_the_same_stories_everywhere():
    text = "\0".join(tales.stories(100_000, seed=0)).encode()
    assert 100_000 <= len(text) < 103_000
    assert hashlib.sha256(text).hexdigest() == "9a49b7ff68fc9d275d4e8cdbd2925ee734741cc0d1aa5d6f18e264a2daa18b48"
    assert tales.stories(1_000, seed=1) != tales.stories(1_000, seed=2)


def test_stories_are_clean_text():
    for story in tales.stories(300_000, seed=7):
        assert "  " not in story and " \n" not in story and story == story.strip()
        assert story[-1] in '."!' and "<|endoftext|>" not in story and story.isascii()
        assert story.count('"') % 2 == 0
        assert 300 < len(story) < 1200
