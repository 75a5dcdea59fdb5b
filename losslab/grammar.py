"""The grammar of objectives: `softcap(15) | cross_entropy + 1e-4*z_loss`, parsed and never executed.

What a text may hold is bounded (its length, how deep it is, how many terms), so that every text ends soon.
"""

import ast
import re
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

MOST_CHARACTERS = 4096
MOST_DEPTH = 100  # of the tree that Python reads; a sum of n terms is n deep
MOST_TERMS, MOST_TRANSFORMS, MOST_ELEMENTS = 64, 16, 64
PATH = re.compile(r"^(?P<path>[^|+*(]*\.py)(?::(?P<name>\w+))?$")  # my_loss.py, dir/my_loss.py:margin


@dataclass(frozen=True)
class Call:
    """A loss or transform by name with the parameters that were written."""

    name: str
    positional: tuple = ()
    keywords: tuple[tuple[str, object], ...] = ()

    def __str__(self):
        given = [repr(value) for value in self.positional] + [f"{key}={value!r}" for key, value in self.keywords]
        return f"{self.name}({', '.join(given)})" if given else self.name


@dataclass(frozen=True)
class Formula:
    """Logit transforms, applied left to right, and a weighted sum of losses."""

    terms: tuple[tuple[float, Call], ...]
    transforms: tuple[Call, ...] = field(default=())

    def __str__(self):
        text = ""
        for weight, call in self.terms:
            factor = "" if abs(weight) == 1 else f"{abs(weight)!r}*"
            sign = "-" if weight < 0 else "+"
            text += f" {sign} {factor}{call}" if text else f"{'-' if weight < 0 else ''}{factor}{call}"
        return " | ".join([*map(str, self.transforms), text])


def parse(text: str) -> Formula:
    """The formula that `text` writes.

    Example:
        >>> str(parse("softcap(15)|cross_entropy+z_loss*1e-4"))
        'softcap(15) | cross_entropy + 0.0001*z_loss'
    """
    if len(text) <= MOST_CHARACTERS and (match := PATH.match(text.strip())):
        keywords = (("name", match["name"]),) if match["name"] else ()
        return Formula(((1.0, Call("file", (match["path"].strip(),), keywords)),))
    *transforms, total = _pipe(_tree(text))
    terms = tuple(_sum(total, 1.0, text))
    if len(terms) > MOST_TERMS:
        raise ValueError(f"the formula {cut(text)} has {len(terms)} terms; at most {MOST_TERMS} are read")
    return Formula(terms, _calls(transforms, text))


def parse_transforms(text: str) -> tuple[Call, ...]:
    """The transforms that `"softcap(15)"` or `"temperature(2) | softcap(15)"` writes; `""` writes none."""
    return _calls(_pipe(_tree(text)), text) if text else ()


def print_transforms(calls: Iterable) -> str:
    """The text that `parse_transforms` reads as these calls or transforms."""
    return " | ".join(map(str, calls))


def _tree(text: str):
    """The syntax tree of an expression, not deeper than `MOST_DEPTH`."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(
            f"the formula {cut(text)} has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read"
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # of Python, on what is refused or meant as it stands
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        where = f" at column {error.offset}" if getattr(error, "offset", None) else ""
        raise ValueError(
            f"cannot read the formula {cut(text)}{where}; write it like 'softcap(15) | cross_entropy + 1e-4*z_loss'"
        ) from None
    except (RecursionError, MemoryError):
        raise _too_deep(text) from None
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise _too_deep(text)
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return tree


def _too_deep(text: str) -> ValueError:
    return ValueError(
        f"the formula {cut(text)} of {len(text)} characters is too deep to read; write a flat sum of losses"
    )


def cut(value: object, most: int = 80) -> str:
    """`repr(value)` for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _calls(nodes: list, text: str) -> tuple[Call, ...]:
    if len(nodes) > MOST_TRANSFORMS:
        raise ValueError(f"{cut(text)} has {len(nodes)} logit transforms; at most {MOST_TRANSFORMS} are read")
    return tuple(_call(node, text) for node in nodes)


def _pipe(node) -> list:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_pipe(node.left), *_pipe(node.right)]
    return [node]


def _sum(node, weight: float, text: str):
    """Flatten sums, signs and numeric factors into `(weight, call)` pairs."""
    match node:
        case ast.BinOp(left, ast.Add(), right):
            yield from _sum(left, weight, text)
            yield from _sum(right, weight, text)
        case ast.BinOp(left, ast.Sub(), right):
            yield from _sum(left, weight, text)
            yield from _sum(right, -weight, text)
        case ast.UnaryOp(ast.USub(), operand):
            yield from _sum(operand, -weight, text)
        case ast.UnaryOp(ast.UAdd(), operand):
            yield from _sum(operand, weight, text)
        case ast.BinOp(left, ast.Mult(), right):
            factor, rest = (_number(left), right) if _number(left) is not None else (_number(right), left)
            if factor is None:
                raise ValueError(f"in {cut(text)} only a number may multiply a loss, as in 0.1*z_loss")
            yield from _sum(rest, weight * float(_finite(factor, text)), text)
        case _:
            yield _finite(weight, text), _call(node, text)


def _call(node, text: str) -> Call:
    match node:
        case ast.Name(id=name):
            return Call(name)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            if any(keyword.arg is None for keyword in keywords):
                raise ValueError(f"in {cut(text)} write each parameter of {name} by name, not with **")
            return Call(
                name,
                tuple(_constant(arg, text) for arg in args),
                tuple((keyword.arg, _constant(keyword.value, text)) for keyword in keywords),
            )
    raise ValueError(
        f"in {cut(text)}, {cut(ast.unparse(node))} is not a loss; a term is a name, name(parameter=value), "
        'file("my_loss.py"), or one of these times a number'
    )


def _number(node) -> int | float | None:
    """What a number, with its signs, or a product of numbers comes to; None for anything else."""
    match node:
        case ast.Constant(value=value) if type(value) in (int, float):
            return value
        case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, operand):
            value = _number(operand)
            return -value if isinstance(sign, ast.USub) and value is not None else value
        case ast.BinOp(left, ast.Mult(), right):
            one, other = _number(left), _number(right)
            try:
                return None if one is None or other is None else one * other
            except OverflowError:  # a whole number that is no float
                return float("inf")
    return None


def _finite(value: int | float, text: str) -> int | float:
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"a number in {cut(text)} is too large; they must lie within 1.8e308")
    return value


def _constant(node, text: str):
    """A number, string, boolean or list of these; nothing is ever executed."""
    if (value := _number(node)) is not None:
        if type(value) is int and not abs(value) < 2**63:
            raise ValueError(f"a whole number in {cut(text)} does not fit 64 bits; write it like 1e20")
        return _finite(value, text)
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bool):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        if len(node.elts) > MOST_ELEMENTS or any(isinstance(element, ast.List | ast.Tuple) for element in node.elts):
            raise ValueError(
                f"in {cut(text)} the list {cut(ast.unparse(node))} is not flat, or longer than {MOST_ELEMENTS}"
            )
        return tuple(_constant(element, text) for element in node.elts)
    raise ValueError(f"in {cut(text)} the parameter {cut(ast.unparse(node))} is not a number, string, boolean or list")
