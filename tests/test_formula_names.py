"""Names and parameters of losses and transforms, and formulas from other people's files."""

import dataclasses
import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab import formula
from losslab.formula import Call, parse
from losslab.objective import Objective

finite = st.floats(allow_nan=False, allow_infinity=False)


def some(prediction, *, epsilon=0.1, power=2):
    """Stands for a loss."""


def bare(prediction):
    """Stands for a loss without hyper-parameters."""


def needy(prediction, *, gamma):
    """Stands for a loss whose hyper-parameter has no default."""


def bound(function, text):
    return formula.bind(function, parse(text).terms[0][1])


def test_parameters_are_bound_by_name_or_one_by_position():
    assert bound(some, "some(epsilon=0.2)") == {"epsilon": 0.2}
    assert bound(some, "some") == {} == bound(bare, "bare")
    assert bound(needy, "needy(3)") == {"gamma": 3}


@pytest.mark.parametrize(
    ("function", "text", "sentence"),
    [
        (some, "some(epsilom=1)", "some has no parameter 'epsilom'; did you mean epsilon\\?; it has epsilon, power"),
        (bare, "bare(x=1)", "bare has no parameter 'x'; it has none"),
        (bare, "bare(1)", "write the parameters of bare by name: it has none"),
        (some, "some(1)", "write the parameters of some by name: epsilon, power"),
        (needy, "needy", "needy needs a value for gamma"),
        (needy, "needy(1, 2)", "by name: gamma"),
    ],
)
def test_a_wrong_parameter_is_answered_with_the_right_ones(function, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        bound(function, text)


def test_one_parameter_given_twice_is_refused():
    with pytest.raises(ValueError, match=r"needy\(1, gamma=2\) gives one parameter twice"):
        bound(needy, "needy(1, gamma=2)")
    with pytest.raises(ValueError, match=r"gamma=2\) gives one parameter twice|cannot read the formula"):
        bound(needy, "needy(gamma=1, gamma=2)")
    with pytest.raises(ValueError, match="gives one parameter twice"):
        formula.bind(needy, Call("needy", (), (("gamma", 1), ("gamma", 2))))


def test_the_folder_is_the_registry():
    assert {"cross_entropy", "z_loss"} <= set(formula.names("losslab.losses"))
    assert formula.names("losslab.transforms") == ["isru_cap", "sigmoid_cap", "softcap", "temperature"]
    assert formula.load("losslab.losses", "z_loss").__module__ == "losslab.losses.z_loss"


@pytest.mark.parametrize("package", ["losslab.losses", "losslab.transforms"])
def test_every_file_defines_the_function_it_is_named_for(package):
    assert all(formula.load(package, name).__name__ == name for name in formula.names(package))


def test_lists_of_whole_numbers_and_of_floats_are_one_identity():
    loss = formula.load("losslab.losses", "multi_token")
    one, other = (parse(text).terms[0][1] for text in ("multi_token([1, 0.5])", "multi_token(weights=(1.0, 0.5))"))
    assert formula.explicit(loss, one) == formula.explicit(loss, other) == "multi_token(weights=(1.0, 0.5))"


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown loss 'crossentropy'; did you mean cross_entropy\\?; the family is"):
        formula.load("losslab.losses", "crossentropy")
    with pytest.raises(ValueError, match="unknown transform 'softcat'; did you mean softcap"):
        formula.transforms("softcat(3)")
    with pytest.raises(ValueError, match="unknown loss '__init__'; the family is"):
        formula.load("losslab.losses", "__init__")


def test_transforms_alone_are_read_apart():
    assert formula.transforms("") == ()
    (cap,) = formula.transforms("softcap(3)")
    assert cap.name == "softcap" and dict(cap.parameters) == {"cap": 3} and str(cap) == "softcap(3)"
    assert [str(call) for call in formula.parse_transforms("a(2) | b")] == ["a(2)", "b"]


def test_a_transform_is_a_value_and_prints_as_it_was_written():
    texts = ("softcap", "softcap(15)", "softcap(15.0)", "softcap(cap=15)")
    caps = [formula.transforms(text)[0] for text in texts]
    assert len(set(caps)) == 1 and tuple(map(str, caps)) == texts
    assert {cap.explicit for cap in caps} == {"softcap(cap=15.0)"}
    twice = formula.transforms("softcap(15) | sigmoid_cap(B=0) | softcap(15)")
    assert twice[0] == twice[2] and twice[1].parameters == (("A", 23.0), ("B", 0.0), ("C", 7.5))
    z = torch.linspace(-40, 40, 9)
    inner = 23.0 * torch.sigmoid((15 * torch.tanh(z / 15) + 0.0) / 7.5)
    assert torch.equal(formula.transformed(z, twice), 15 * torch.tanh(inner / 15))
    assert formula.transformed(z.bfloat16(), ()).dtype == torch.float32
    assert formula.transformed(z.double(), twice[:1]).dtype == torch.float64


ATTACKS = [
    'file("x.py") + cross_entropy #', 'file("x.py") | cross_entropy #', "softcap(15) | cross_entropy #",
    "softcap(15) #", "softcap(15)\n", "(softcap(15)\n)", "softcap(15) | file('x.py')", "file('x.py')", "x.py",
    "softcap(15.)",
    "softcap( 15)", "softcap(15)|softcap(15)", "softcap(cap=1_5)", "softcap(15) + softcap(15)", "2*softcap(15)",
    "softcap(-1)", "softcap(0)", "softcap('15')", "softcap([15])", "softcap(True)", "softcap(1, 2)", "softcap(cup=3)",
    "softcap(1e400)", f"softcap(1{'0' * 400})", "temperature(1e-320)", "cross_entropy", "z_loss", "__init__", " ", "#",
    " | ".join(["softcap(15)"] * 17), "softcap(15" + " " * 5_000 + ")", "-" * 3_000, "(" * 3_000, "\0", "\ud800",
    None, 15, True, ["softcap(15)"], {"softcap": 15},
]


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: repr(text)[:30])
def test_a_transform_that_is_read_is_one_of_losslab_s_and_printed_as_it_prints_it(text):
    with pytest.raises(ValueError, match=r"^config\.json has a logit transform .* that is not read: ") as caught:
        formula.check_transforms(text, "config.json")
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "text",
    ["", "softcap(15)", "softcap(cap=15.0)", "softcap", "temperature(0.5) | isru_cap(cap=3) | softcap(30)",
     "sigmoid_cap(A=4, C=0.5)"],
)
def test_every_transform_that_losslab_ever_printed_is_read(text):
    given = Objective.parse(f"{text} | cross_entropy" if text else "cross_entropy")  # what a run's model is given
    assert given.transform_text == text
    assert formula.print_transforms(formula.check_transforms(text, "model.json")) == text


@given(st.lists(st.builds(Call, st.sampled_from(formula.names("losslab.transforms")), st.tuples(finite)), max_size=3))
def test_printed_transforms_are_read_back_as_they_were(calls):
    text = formula.print_transforms(tuple(calls))
    assert formula.parse_transforms(text) == tuple(calls)
    assert parse(f"{text} | a" if text else "a") == dataclasses.replace(parse("a"), transforms=tuple(calls))


@given(st.text(alphabet="softcap(15)|file\"'. #\n=+-*", max_size=30))
def test_any_text_is_a_transform_or_refused_with_a_sentence(text):
    try:
        calls = formula.check_transforms(text, "model.json")
    except ValueError as error:
        assert str(error).startswith("model.json has a logit transform ")
    else:
        assert formula.print_transforms(calls) == text


FAMILY = [(package, name, parameter) for package in ("losslab.losses", "losslab.transforms")
          for name in formula.names(package)
          for parameter in list(inspect.signature(formula.load(package, name)).parameters)[1:]]
WRITTEN = st.one_of(
    st.sampled_from(["[[1]]", "[]", "['a']", "[True]", "'x'", "True", "9223372036854775807", "1e308", "-1e308",
                     "1e-320", "[1e308, 1e308]", "[1, -1]", "0", "-1", "2.5", f"1{'0' * 400}",
                     f"[{'[' * 40}{']' * 40}]"]),
    st.floats().map(repr), st.integers().map(repr), st.lists(st.floats(), max_size=3).map(repr),
)


@settings(max_examples=80)
@given(st.sampled_from(FAMILY), WRITTEN)
def test_any_value_of_any_parameter_is_taken_or_refused_with_a_sentence(which, value):
    package, name, parameter = which
    call, is_loss = f"{name}({parameter}={value})", package == "losslab.losses"
    try:
        Objective.parse(f"cross_entropy + {call}" if is_loss else f"{call} | cross_entropy").check(7)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 400


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("poly_n(coefficients=['a'])", r"poly_n takes coefficients as a list of numbers such as \[1.0\], got \['a'\]"),
        ("poly_n(coefficients=[True])", r"as a list of numbers such as \[1.0\], got \[True\]"),
        ("multi_token(weights=2)", r"multi_token takes weights as a list such as \[1.0, 0.5, 0.25\], got 2"),
        ("focal(gamma=True)", "focal takes a number for gamma, such as 2.0; got True"),
        ("focal(gamma=[1])", r"focal takes a number for gamma, such as 2.0; got \(1,\)"),
    ],
)
def test_a_parameter_is_of_the_kind_of_its_default(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        Objective.parse(text)


def flagged(prediction, *, hard=False, side="left", among=("a",)):
    """Stands for a loss file's loss with switches."""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("flagged(hard=1)", "flagged takes a boolean for hard, such as False; got 1"),
        ("flagged(side=1)", "flagged takes a string for side, such as 'left'; got 1"),
        ("flagged(among=[1])", r"flagged takes among as a list of strings such as \['a'\], got \[1\]"),
    ],
)
def test_switches_and_words_are_kept_apart_from_numbers(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        bound(flagged, text)
    assert bound(flagged, "flagged(hard=True, side='x', among=['b', 'c'])")["among"] == ("b", "c")
