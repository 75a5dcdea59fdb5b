"""The grammar of objectives: what is read, how it is printed, what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losslab.formula import Call, Formula, parse


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
