"""The grammar of objectives: what is read, how it is printed, and that nothing is ever run."""

import dataclasses
import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab import formula
from losslab.formula import Call, Formula, parse
from losslab.objective import Objective


def terms(text):
    return [(weight, str(call)) for weight, call in parse(text).terms]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a", [(1.0, "a")]),
        ("a + b", [(1.0, "a"), (1.0, "b")]),
        ("a - b", [(1.0, "a"), (-1.0, "b")]),
        ("-a", [(-1.0, "a")]),
        ("+a", [(1.0, "a")]),
        ("-(a - b)", [(-1.0, "a"), (1.0, "b")]),
        ("a - (b + c)", [(1.0, "a"), (-1.0, "b"), (-1.0, "c")]),
        ("a - b + c", [(1.0, "a"), (-1.0, "b"), (1.0, "c")]),
        ("0.1*a", [(0.1, "a")]),
        ("a*0.1", [(0.1, "a")]),
        ("a + 2*b", [(1.0, "a"), (2.0, "b")]),
        ("2*(a + 0.5*b) - c", [(2.0, "a"), (1.0, "b"), (-1.0, "c")]),
        ("2*3*a", [(6.0, "a")]),
        ("2*a*3", [(6.0, "a")]),
        ("a - -0.5*b", [(1.0, "a"), (0.5, "b")]),
        ("a*-2", [(-2.0, "a")]),
        ("-2*-a", [(2.0, "a")]),
        ("1e-4*z_loss + cross_entropy", [(1e-4, "z_loss"), (1.0, "cross_entropy")]),
        ("a + a", [(1.0, "a"), (1.0, "a")]),
        ("  a+b  ", [(1.0, "a"), (1.0, "b")]),
    ],
)
def test_sums_signs_and_factors_are_python_s(text, wanted):
    assert terms(text) == wanted


def test_transforms_stand_before_the_sum_and_apply_left_to_right():
    parsed = parse("temperature(2) | softcap(15) | a + 2*b")
    assert [str(call) for call in parsed.transforms] == ["temperature(2)", "softcap(15)"]
    assert [str(call) for _, call in parsed.terms] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("a(0.2)", Call("a", (0.2,))),
        ("a(x=1)", Call("a", (), (("x", 1),))),
        ("a(x=-1.5, y=True)", Call("a", (), (("x", -1.5), ("y", True)))),
        ("a(x='left')", Call("a", (), (("x", "left"),))),
        ("a(x=[1, 2.5])", Call("a", (), (("x", (1, 2.5)),))),
        ("a(x=(1,))", Call("a", (), (("x", (1,)),))),
        ("a()", Call("a")),
        ('file("my_loss.py")', Call("file", ("my_loss.py",))),
        ('file("d/my_loss.py", name="m", power=2)', Call("file", ("d/my_loss.py",), (("name", "m"), ("power", 2)))),
    ],
)
def test_parameters_are_positional_or_named_constants(text, call):
    assert parse(text).terms == ((1.0, call),)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("my_loss.py", Call("file", ("my_loss.py",))),
        (" losses/my_loss.py ", Call("file", ("losses/my_loss.py",))),
        ("../a b/my-loss.py:margin", Call("file", ("../a b/my-loss.py",), (("name", "margin"),))),
        ("/abs/path/x.py:f", Call("file", ("/abs/path/x.py",), (("name", "f"),))),
    ],
)
def test_a_bare_path_is_a_file(text, call):
    assert parse(text) == Formula(((1.0, call),))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("softcap(15)|cross_entropy+z_loss*1e-4", "softcap(15) | cross_entropy + 0.0001*z_loss"),
        ("-a-2*b", "-a - 2.0*b"),
        ("1.0*a - 1*b", "a - b"),
        ("a(x=.5)", "a(x=0.5)"),
        ("1e-05*a + 1e22*b", "1e-05*a + 1e+22*b"),
        ("my_loss.py:margin", "file('my_loss.py', name='margin')"),
        ('file("it\'s.py")', 'file("it\'s.py")'),
    ],
)
def test_prints_canonically(text, printed):
    assert str(parse(text)) == printed


finite = st.floats(allow_nan=False, allow_infinity=False)
identifiers = st.sampled_from(["a", "cross_entropy", "z_loss", "_x", "file", "lossé"])
scalars = st.one_of(finite, st.integers(1 - 2**63, 2**63 - 1), st.booleans(), st.text(max_size=8))
values = st.one_of(scalars, st.lists(scalars, max_size=3).map(tuple))
keywords = st.dictionaries(st.sampled_from(["x", "power", "name"]), values, max_size=2).map(lambda d: tuple(d.items()))
calls = st.builds(Call, identifiers, st.lists(values, max_size=1).map(tuple), keywords)
formulas = st.builds(
    Formula,
    st.lists(st.tuples(finite, calls), min_size=1, max_size=4).map(tuple),
    st.lists(calls, max_size=2).map(tuple),
)


@given(formulas)
def test_what_is_printed_is_read_back_as_the_same_formula(made):
    assert parse(str(made)) == made
    assert str(parse(str(made))) == str(made)


def written(draw):
    """A formula as people write it, with parentheses and factors, and its value where a = 2, b = 3, c = 5."""
    leaf = st.sampled_from([("a", 2.0), ("b", 3.0), ("c", 5.0)])

    def larger(inner):
        number = st.sampled_from(["2", "0.5", "3.0", "1e1"])
        return st.one_of(
            st.tuples(inner, inner).map(lambda p: (f"{p[0][0]} + {p[1][0]}", p[0][1] + p[1][1])),
            st.tuples(inner, inner).map(lambda p: (f"{p[0][0]} - ({p[1][0]})", p[0][1] - p[1][1])),
            st.tuples(number, inner).map(lambda p: (f"{p[0]}*({p[1][0]})", float(p[0]) * p[1][1])),
            st.tuples(inner, number).map(lambda p: (f"({p[0][0]})*{p[1]}", float(p[1]) * p[0][1])),
            inner.map(lambda p: (f"-({p[0]})", -p[1])),
        )

    return draw(st.recursive(leaf, larger, max_leaves=6))


@given(st.composite(written)())
def test_a_nested_sum_is_worth_what_arithmetic_says(pair):
    text, value = pair
    worth = {"a": 2.0, "b": 3.0, "c": 5.0}
    assert math.isclose(sum(weight * worth[call.name] for weight, call in parse(text).terms), value, abs_tol=1e-9)


HOSTILE = [
    "__import__('os').mkdir('X')",
    "a(__import__('os').mkdir('X'))",
    "a(x=open('X', 'w'))",
    "[open('X', 'w') for _ in (1,)]",
    "(lambda: open('X', 'w'))()",
    "a if open('X', 'w') else b",
    "open('X', 'w').name*a",
    "a(**open('X', 'w'))",
    "a(*open('X', 'w'))",
    "f'{open(\"X\", \"w\")}'",
    "(x := open('X', 'w'))",
    "a | open('X', 'w').name",
    "a[open('X', 'w')]",
    "a.b(1)",
    "a()()",
    "10**10**10*a",
    "a/2",
    "a @ b",
    "await a",
    "a(x=b)",
    "a(x=1j)",
    "a(x=b'bytes')",
    "a(x=None)",
    "a(x={'k': 1})",
    "2",
    "2*3",
    "a*b",
    "True*a",
    "'a'",
    "a + (b | c)",
    "1 | a",
    "a; b",
    "a\nb",
    "a = b",
    "a\0",
    "",
    "   ",
    "# a",
    "a +",
    "1e400*a",
    "a(1e400)",
    "1e200*(1e200*a)",
    "1" + "0" * 400 + "*a",
    "0.5*1" + "0" * 400 + "*a",
    "(" * 300 + "a" + ")" * 300,
    "-" * 20_000 + "a",
    "+".join(["a"] * 20_000),
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:30])
def test_anything_else_is_refused_and_never_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError):
        parse(text)
    assert not list(tmp_path.iterdir())


@given(st.text(alphabet="ab_( )+-*|.,=1e'\"[]:\n\\p", max_size=30))
def test_any_text_is_read_or_refused_with_a_sentence(text):
    try:
        parsed = parse(text)
    except ValueError as error:
        assert str(error)
    else:
        assert parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a b", r"cannot read the formula 'a b' at column \d; write it like 'softcap"),
        ("a*b", r"in 'a\*b' only a number may multiply a loss, as in 0\.1\*z_loss"),
        ("a/2", r"in 'a/2', 'a / 2' is not a loss; a term is a name, .* or one of these times a number"),
        ("a(x=b)", "the parameter 'b' is not a number, string, boolean or list"),
        ("a(**{})", r"write each parameter of a by name, not with \*\*"),
        ("1e999*a", "a number in '1e999\\*a' is too large; they must lie within"),
        ("-" * 20_000 + "a", r"the formula '-{60,}\.\.\. has 20,001 characters; at most 4,096 are read"),
        ("a(x=[[1]])", r"in 'a\(x=\[\[1\]\]\)' the list '\[\[1\]\]' is not flat, or longer than 64"),
        (f"a(x={[0] * 65})", "is not flat, or longer than 64"),
        (f"a(x={2**63})", "a whole number in .* does not fit 64 bits; write it like 1e20"),
        (f"a(x=1{'0' * 400})", "a whole number in .* does not fit 64 bits"),
        (f"a(x=0.5*1{'0' * 400})", "a number in .* is too large; they must lie within"),
        (f"1{'0' * 400}*0.5*a", "a number in .* is too large; they must lie within"),
        ("+".join(["a"] * 65), "has 65 terms; at most 64 are read"),
        ("|".join(["a"] * 18), "has 17 logit transforms; at most 16 are read"),
        ("-" * 1_000 + "a", r"'-{60,}\.\.\. of 1001 characters is too deep to read; write a flat sum"),
    ],
)
def test_an_error_says_what_came_and_what_would_do(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse(text)


# --- names and parameters ----------------------------------------------------------------------

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


# --- what strangers wrote ----------------------------------------------------------------------

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
def test_a_transform_from_a_stranger_is_one_of_the_house_and_written_as_it_writes_it(text):
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
