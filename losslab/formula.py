"""The grammar of objectives: `softcap(15) | cross_entropy + 1e-4*z_loss`, parsed and never executed.

Also the only registry of the house: a folder of files, each of which defines the function it is named for.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

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
    if match := PATH.match(text.strip()):
        keywords = (("name", match["name"]),) if match["name"] else ()
        return Formula(((1.0, Call("file", (match["path"].strip(),), keywords)),))
    try:
        *transforms, total = _pipe(_tree(text))
        return Formula(tuple(_sum(total, 1.0, text)), tuple(_call(node, text) for node in transforms))
    except OverflowError:
        raise ValueError(f"a number in {text!r} is too large; they must lie within 1.8e308") from None
    except (RecursionError, MemoryError):
        raise ValueError(
            f"the formula {text[:40]!r}... of {len(text)} characters is too deep to read; write a flat sum of losses"
        ) from None


def parse_transforms(text: str) -> tuple[Call, ...]:
    """The transforms that `"softcap(15)"` or `"temperature(2) | softcap(15)"` writes; `""` writes none."""
    return parse(f"{text} | _").transforms if text else ()


def _tree(text: str):
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        where = f" at column {error.offset}" if getattr(error, "offset", None) else ""
        raise ValueError(
            f"cannot read the formula {text!r}{where}; write it like 'softcap(15) | cross_entropy + 1e-4*z_loss'"
        ) from None


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
                raise ValueError(f"in {text!r} only a number may multiply a loss, as in 0.1*z_loss")
            yield from _sum(rest, weight * float(_finite(factor, text)), text)
        case _:
            yield _finite(weight, text), _call(node, text)


def _call(node, text: str) -> Call:
    match node:
        case ast.Name(id=name):
            return Call(name)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            if any(keyword.arg is None for keyword in keywords):
                raise ValueError(f"in {text!r} write each parameter of {name} by name, not with **")
            return Call(
                name,
                tuple(_constant(arg, text) for arg in args),
                tuple((keyword.arg, _constant(keyword.value, text)) for keyword in keywords),
            )
    raise ValueError(
        f"in {text!r}, {ast.unparse(node)!r} is not a loss; a term is a name, name(parameter=value), "
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
            return None if one is None or other is None else one * other
    return None


def _finite(value: int | float, text: str) -> int | float:
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"a number in {text!r} is too large; they must lie within 1.8e308")
    return value


def _constant(node, text: str):
    """A number, string, boolean or list of numbers; nothing is ever executed."""
    if (value := _number(node)) is not None:
        return _finite(value, text)
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bool):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_constant(element, text) for element in node.elts)
    raise ValueError(f"in {text!r} the parameter {ast.unparse(node)!r} is not a number, string, boolean or list")


# --- the folder is the registry ----------------------------------------------------------------

def names(package: str) -> list[str]:
    """Every name that the folder of `package`, such as `losslab.losses`, defines."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__))


def load(package: str, name: str) -> Callable:
    """The function `name` of the file `name.py` in that folder."""
    known = names(package)
    if name not in known:
        kind = "transform" if package.endswith("transforms") else "loss"
        raise ValueError(f"unknown {kind} {name!r}{_nearest(name, known)}; the family is {', '.join(known)}")
    return getattr(importlib.import_module(f"{package}.{name}"), name)


def bind(function: Callable, call: Call, *, skip: int = 1) -> dict[str, object]:
    """The keyword arguments of `call`, checked against the hyper-parameters behind the first `skip` arguments."""
    known = {p.name: p for p in list(inspect.signature(function).parameters.values())[skip:]}
    values = dict(call.keywords)
    if len(values) < len(call.keywords):
        raise ValueError(f"{call} gives one parameter twice")
    if call.positional:
        if len(call.positional) > 1 or len(known) != 1:
            raise ValueError(f"write the parameters of {call.name} by name: {', '.join(known) or 'it has none'}")
        (name,) = known
        if name in values:
            raise ValueError(f"{call} gives one parameter twice")
        values[name] = call.positional[0]
    for name in values:
        if name not in known:
            raise ValueError(
                f"{call.name} has no parameter {name!r}{_nearest(name, known)}; it has {', '.join(known) or 'none'}"
            )
    for name, value in values.items():
        if _is_number(known[name].default) and not _is_number(value):
            raise ValueError(f"{call.name} takes a number for {name}, such as {known[name].default!r}; got {value!r}")
    missing = [name for name, p in known.items() if p.default is p.empty and name not in values]
    if missing:
        raise ValueError(f"{call.name} needs a value for {', '.join(missing)}")
    return values


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def explicit(function: Callable, call: Call, *, skip: int = 1) -> str:
    """`call` with every default written out: what identifies it, whatever was left unsaid."""
    given = bind(function, call, skip=skip)
    pairs = []
    for p in list(inspect.signature(function).parameters.values())[skip:]:
        value = given.get(p.name, p.default)
        pairs.append(f"{p.name}={_like(p.default, value)!r}")
    return f"{call.name}({', '.join(pairs)})"


def _like(default, value):
    """`value` with floats where `default` has them: 15 and 15.0 are one cap, and a list is a tuple."""
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, tuple) and default and isinstance(value, tuple | list):
        return tuple(_like(default[0], element) for element in value)
    return value


def transforms(text: str) -> tuple[partial, ...]:
    """The logit transforms that `text` writes, ready to be applied one after the other."""
    made = []
    for call in parse_transforms(text):
        function = load("losslab.transforms", call.name)
        made.append(partial(function, **bind(function, call)))
    return tuple(made)


def _nearest(name: str, known) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
