"""From the names in a formula to functions: a folder of files, each of which defines the function it is named for.

How a formula is read stands in `grammar`; its names are offered here, too.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import partial

from losslab.grammar import PATH, Call, Formula, cut, parse, parse_transforms, print_transforms
from losslab.words import nearest

__all__ = [
    "PATH", "Call", "Formula", "bind", "check_transforms", "explicit", "load", "names", "parse", "parse_transforms",
    "print_transforms", "transforms",
]


def names(package: str) -> list[str]:
    """Every name that the folder of `package`, such as `losslab.losses`, defines."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__))


def load(package: str, name: str) -> Callable:
    """The function `name` of the file `name.py` in that folder."""
    known = names(package)
    if name not in known:
        kind = "transform" if package.endswith("transforms") else "loss"
        raise ValueError(f"unknown {kind} {name!r}{nearest(name, known)}; the family is {', '.join(known)}")
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
                f"{call.name} has no parameter {name!r}{nearest(name, known)}; it has {', '.join(known) or 'none'}"
            )
    for name, value in values.items():
        _check_kind(call.name, name, value, known[name].default)
    missing = [name for name, p in known.items() if p.default is p.empty and name not in values]
    if missing:
        raise ValueError(f"{call.name} needs a value for {', '.join(missing)}")
    return values


def _check_kind(owner: str, name: str, value: object, default: object) -> None:
    """`value` is of the kind of `default`: a number, a boolean, a string, or a list of what its first element is."""
    if isinstance(default, tuple | list):
        wanted, listed = _kind(default[0]) if default else None, list(default)
        if not isinstance(value, tuple | list):
            raise ValueError(f"{owner} takes {name} as a list such as {listed}, got {cut(value)}")
        if wanted and any(_kind(element) != wanted for element in value):
            raise ValueError(f"{owner} takes {name} as a list of {wanted}s such as {listed}, got {cut(list(value))}")
    elif (wanted := _kind(default)) and _kind(value) != wanted:
        raise ValueError(f"{owner} takes a {wanted} for {name}, such as {default!r}; got {cut(value)}")


def _kind(value: object) -> str | None:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string"}
    return kinds.get(type(value))


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


def check_transforms(text: object, source: str) -> tuple[Call, ...]:
    """The transforms that a stranger's file names: each is one of the house, and its parameters are in range.

    Args:
        text: what stands in the file; it must be written exactly as losslab writes it, so that nothing in it is
            overlooked.
        source: the file, for the message.

    Raises:
        ValueError: for every other text.
    """
    import torch  # only who reads models comes here, and they have it

    try:
        if not isinstance(text, str):
            raise ValueError("it is no text such as 'softcap(15)'")
        calls = parse_transforms(text)
        if (printed := print_transforms(calls)) != text:
            raise ValueError(f"losslab writes it as {cut(printed)}, so the text is not one of its own")
        numbers = torch.tensor([-1.0, 0.0, 1.0])
        for transform in transforms(text):
            if not bool(transform(numbers).isfinite().all()):
                raise ValueError("it gives values that are not finite")
    except ValueError as error:
        shown = cut(text) if isinstance(text, str) else f"of type {type(text).__name__}"
        raise ValueError(f"{source} has a logit transform {shown} that is not read: {error}") from None
    return calls
