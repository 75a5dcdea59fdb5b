"""The lesson's model, its losses, and its training: pure, vectorized, and as published."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.lesson import losses, names, training, vectorized
from losslab.lesson.autograd import Scalar, dot, mean, softmax, total
from losslab.lesson.names import Names
from losslab.lesson.trace import trace
from losslab.objective import Objective

# microgpt (Karpathy, 2026-02-12), its blocks run with CPython 3.11
PUBLISHED = {1: 3.3659669476, 2: 3.4242727839, 3: 3.1778021255, 10: 3.2228882401, 13: 3.0543970640, 100: 3.3669309212,
             200: 2.3097433038, 300: 2.3178453531, 400: 2.3428473754, 500: 2.0644662067, 600: 2.4850561059,
             800: 2.2632177001, 999: 2.4730202641, 1000: 2.6496944697}  # fmt: skip
PUBLISHED_SAMPLES = ("kamon ann karai jaire vialan karia yeran anna areli kaina konna keylen liole alerin earan lenne "
                     "kana lara alela anton").split()
numbers = st.floats(-30, 30)
logits_and_target = st.lists(numbers, min_size=2, max_size=9).flatmap(
    lambda z: st.tuples(st.just(z), st.integers(0, len(z) - 1)))


@pytest.fixture(scope="module")
def published_names(real_data):
    if not (real_data / "names" / "names.txt").is_file():
        pytest.skip("shows the published numbers on the published names, which are not on this machine")
    return names.read(real_data / "names" / "names.txt")


@pytest.fixture(scope="module")
def vectorized_run(published_names):
    """All losses of 1,000 steps, and the names made up after them."""
    learned = vectorized.Training(published_names)
    steps = [learned.step() for _ in range(1_000)]
    return [step.loss for step in steps], training.sample(learned)


# --- what is published -------------------------------------------------------------------------

def test_ten_steps_of_the_scalar_model_are_the_published_ones(published_names, vectorized_run):
    learned = training.Training(published_names)
    found = [learned.step().loss for _ in range(10)]
    assert [found[step - 1] for step in (1, 2, 3, 10)] == pytest.approx(
        [PUBLISHED[step] for step in (1, 2, 3, 10)], abs=1e-10)
    assert found == pytest.approx(vectorized_run[0][:10], abs=1e-9)
    assert len(learned.parameters) == 4_192 and len(published_names.names) == 32_033


def test_the_vectorized_thousand_and_its_samples_are_the_published_ones(vectorized_run):
    found, samples = vectorized_run
    assert {step: found[step - 1] for step in PUBLISHED} == pytest.approx(PUBLISHED, abs=1e-9)
    assert samples == PUBLISHED_SAMPLES


@pytest.mark.slow
def test_all_steps_of_the_scalar_model_are_those_of_the_vectorized_one(published_names, vectorized_run):
    learned = training.Training(published_names)
    found = [learned.step().loss for _ in range(1_000)]
    assert found == pytest.approx(vectorized_run[0], abs=1e-9)
    assert training.sample(learned) == PUBLISHED_SAMPLES


# --- the two ways, on the names that come with losslab -----------------------------------------

@pytest.mark.parametrize(("loss", "first"), [  # of step 1, all positions of the first name
    ("cross_entropy", 3.2254804791), ("label_smoothing", 3.2374561717), ("squentropy", 3.3196191617),
    ("mse", 0.1240406878),
])  # fmt: skip
def test_both_ways_give_the_same_losses_whatever_is_trained(loss, first):
    pure, tensors = (way.Training(names.embedded(), loss) for way in (training, vectorized))
    steps = [(pure.step(), tensors.step()) for _ in range(5)]
    assert steps[0][0].loss == pytest.approx(first, abs=1e-9)
    for a, b in steps:
        assert (a.loss, a.nll) == pytest.approx((b.loss, b.nll), abs=1e-9)
    assert (steps[4][0].loss == steps[4][0].nll) == (loss == "cross_entropy")
    assert training.sample(pure, 5) == training.sample(tensors, 5)


def test_training_learns_names():
    learned = vectorized.Training(names.embedded())
    found = [learned.step().nll for _ in range(150)]
    assert found[0] == pytest.approx(math.log(27), abs=0.2)  # an untrained model
    assert sum(found[-50:]) / 50 < 2.6 < sum(found[:10]) / 10


def test_the_rate_falls_to_zero_over_a_thousand_steps_or_all_that_are_planned():
    few, many = (training.Course(names.embedded(), num_steps=number) for number in (10, 4_000))
    few.steps_done = many.steps_done = 500
    assert few.adam()[0] == pytest.approx(0.01 * 0.5) and many.adam()[0] == pytest.approx(0.01 * 0.875)


# --- autograd and losses -----------------------------------------------------------------------

@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_derivatives_are_those_of_torch(values):
    a, b, c, d = ours = [Scalar(value) for value in values]
    x, y, z, w = theirs = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    shares = softmax([a, b * c, -d])
    found = (dot(shares, [b, c, d]) - total([a, a]) / (mean([b * b, c * c]) + 1.0)).exp()
    found = found + ((a + 4.0) * 2.0).log() * c.relu()
    wanted_shares = torch.stack([x, y * z, -w]).softmax(0)
    wanted = ((wanted_shares * torch.stack([y, z, w])).sum() - (x + x) / ((y * y + z * z) / 2 + 1)).exp()
    wanted = wanted + ((x + 4) * 2).log() * z.relu()
    found.backward()
    (gradient,) = torch.autograd.grad(wanted, theirs)
    assert found.value == pytest.approx(wanted.item(), rel=1e-12)
    assert [one.gradient for one in ours] == pytest.approx(gradient.tolist(), rel=1e-9, abs=1e-12)


@settings(max_examples=50)
@given(st.sampled_from(list(losses.LOSSES)), logits_and_target)
def test_the_four_losses_are_those_of_the_family(name, case):
    z, target = case
    value, gradient = losses.evaluated(name, z, target)
    raw = torch.tensor([[z]], dtype=torch.float64, requires_grad=True)
    wanted = Objective.parse(name)(raw, torch.tensor([[target]]))
    assert value == pytest.approx(wanted.item(), rel=1e-12, abs=1e-12)
    (slopes,) = torch.autograd.grad(wanted.sum(), raw)
    assert gradient == pytest.approx(slopes.flatten().tolist(), rel=1e-9, abs=1e-12)


def test_a_price_of_a_probability_of_zero_is_finite_and_a_name_far_off_is_refused():
    assert losses.evaluated("cross_entropy", [2_000.0, 0.0], 1) == (2_000.0, [1.0, -1.0])
    with pytest.raises(ValueError, match="the lesson has no loss 'mes'; did you mean mse?"):
        training.Training(names.embedded(), "mes")


# --- the trace ---------------------------------------------------------------------------------

@pytest.mark.parametrize("loss", ["cross_entropy", "squentropy"])
def test_a_trace_is_the_mean_of_its_positions_and_both_ways_agree(loss):
    pure, tensors = (way.Training(names.embedded(), loss) for way in (training, vectorized))
    for way in (pure, tensors):
        way.step()
    weights = pure.numbers()
    found, same = trace(pure, "noah"), trace(tensors, "noah")
    assert pure.numbers() == weights and not any(weight.gradient for weight in pure.parameters)
    assert found.step == 1 and [one.context for one in found.positions] == ["", "n", "no", "noa", "noah"]
    assert [one.target for one in found.positions] == [13, 14, 0, 7, 26]
    for one, other in zip(found.positions, same.positions, strict=True):
        assert sum(one.probabilities) == pytest.approx(1) and one.probabilities == pytest.approx(other.probabilities)
        assert one.nll == pytest.approx(-math.log(one.probabilities[one.target]))
        if loss == "cross_entropy":
            assert one.loss == one.nll and one.gradient == pytest.approx(
                [(p - (token == one.target)) / 5 for token, p in enumerate(one.probabilities)])
    assert found.loss == pytest.approx(sum(one.loss for one in found.positions) / 5)
    logits = tensors.logits(pure.names.tokens("noah")[:-1])
    assert found.loss == pytest.approx(Objective.parse(loss)(logits, torch.tensor([13, 14, 0, 7, 26])).mean().item())
    assert found.gradient_norms == pytest.approx(same.gradient_norms)


def test_a_long_name_is_read_as_far_as_there_are_positions():
    long = trace(vectorized.Training(names.embedded()), "annabelannabelannabel")
    assert len(long.positions) == 16 and long.left_out == 6 and long.positions[15].context == "annabelannabela"


# --- names -------------------------------------------------------------------------------------

def test_names_of_any_alphabet_are_read_and_learned(tmp_path):
    text = "\ufeffЁлка\r\nZoe\u0308\r\n\r\n  山田 \nmary ann\nמשה\n·x\n"
    (tmp_path / "names.txt").write_bytes(text.encode())
    read = names.read(tmp_path / "names.txt")
    assert read.names == ("Ёлка", "Zoë", "山田", "mary ann", "משה", "·x")
    assert read.mark == "•" and "␣" in read.vocabulary and read.vocab_size == len(set("".join(read.names))) + 1
    assert read.text(read.tokens("Zoe\u0308")) == "Zoë"
    pure, tensors = (way.Training(read) for way in (training, vectorized))
    assert [pure.step().loss for _ in range(3)] == pytest.approx([tensors.step().loss for _ in range(3)], abs=1e-9)
    assert trace(pure, "mary ann").nll == pytest.approx(math.log(read.vocab_size), abs=0.5)


@pytest.mark.parametrize(("raw", "said"), [
    (b"Jos\xe9\n", "is not UTF-8 (invalid continuation byte at byte 3); save it as UTF-8 text, one name a line"),
    (b"\n \r\n", "has no name in it; it takes a text file with one name a line"),
    ("".join(map(chr, range(0x4E00, 0x4E00 + 20_001))).encode(), "has 20,001 different characters, and the lesson "
     "takes at most 20,000; is it a list of names?"),
])  # fmt: skip
def test_what_is_no_list_of_names_is_refused(tmp_path, raw, said):
    (tmp_path / "names.txt").write_bytes(raw)
    with pytest.raises(ValueError) as error:
        names.read(tmp_path / "names.txt")
    assert str(error.value) == f"{tmp_path}/names.txt {said}"


def test_a_letter_that_no_name_has_is_answered_with_those_there_are():
    read = Names(("ada", "bo"), "two.txt")
    with pytest.raises(ValueError, match="^ADÀ has A D À, not among the characters of two.txt: a b d o; give a name"):
        read.tokens("ADÀ")
    with pytest.raises(ValueError, match="two.txt: a b d o; did you mean ada?"):
        read.tokens("Ada")
    with pytest.raises(ValueError, match="a name needs at least one of the letters"):
        read.tokens("  ")


def test_the_names_that_come_along_have_every_letter_and_no_name_twice():
    read = names.embedded()
    assert read.vocab_size == 27 and read.alphabet() == "a to z" and read.cut == 0
    assert len(set(read.names)) == len(read.names) >= 200
