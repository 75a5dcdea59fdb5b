"""From the names in a formula to functions: a folder of files, each of which defines the function it is named for.

How a formula is read stands in `grammar`; its names are offered here, too.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial

from losslab.grammar import PATH, Call, Formula, cut, parse, parse_transforms, print_transforms
from losslab.words import nearest

__all__ = [
    "PATH", "Call", "Formula", "Transform", "bind", "bound", "check_transforms", "completed", "explicit", "load",
    "names", "parse", "parse_transforms", "print_transforms", "transformed", "transforms",
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


def completed(text: str) -> str:
    """A formula as it is trained: a term that is published as a part of an objective is that objective where it stands
    alone. Such a term names the other part, `WITH`, in its file. What is no formula stays as it is.

    Example:
        >>> completed("unlikelihood(window=8)"), completed("z_loss")
        ('cross_entropy + unlikelihood(window=8)', 'z_loss')
    """
    try:
        parsed = parse(text)
    except ValueError:  # said where it is used; it may be the folder of a study
        return text
    if len(parsed.terms) > 1 or (name := parsed.terms[0][1].name) not in names("losslab.losses"):
        return text
    other = getattr(importlib.import_module(f"losslab.losses.{name}"), "WITH", None)
    return text if other is None else str(Formula(((1.0, Call(other)), *parsed.terms), parsed.transforms))


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
    return _printed(call.name, parameters(function, call, skip=skip))


def parameters(function: Callable, call: Call, *, skip: int = 1) -> tuple[tuple[str, object], ...]:
    """Every parameter of `function` with its value, given in `call` or by default, in the order of its signature."""
    given = bind(function, call, skip=skip)
    own = list(inspect.signature(function).parameters.values())[skip:]
    return tuple((p.name, _like(p.default, given.get(p.name, p.default))) for p in own)


def _printed(name: str, pairs: tuple[tuple[str, object], ...]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in pairs)})"


def _like(default, value):
    """`value` with floats where `default` has them: 15 and 15.0 are one cap, and a list is a tuple."""
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, tuple) and default and isinstance(value, tuple | list):
        return tuple(_like(default[0], element) for element in value)
    return value


# --- logit transforms ----------------------------------------------------------------------------

@dataclass(frozen=True)
class Transform:
    """A logit transform with all its parameters: called on logits, equal where it is the same function, printed as it
    was written.

    Example:
        >>> (cap,) = transforms("softcap(20)")
        >>> cap.name, cap.parameters, str(cap)
        ('softcap', (('cap', 20.0),), 'softcap(20)')
    """

    name: str
    parameters: tuple[tuple[str, object], ...]  # every one, in the order of the signature
    call: Call = field(compare=False, repr=False)

    @cached_property
    def function(self) -> Callable:
        return partial(load("losslab.transforms", self.name), **dict(self.parameters))

    def __call__(self, logits):
        """Raw logits `[..., vocab]` to transformed ones."""
        return self.function(logits)

    def __str__(self) -> str:
        return str(self.call)

    @property
    def explicit(self) -> str:
        """With every default written out."""
        return _printed(self.name, self.parameters)


def bound(calls: Iterable[Call]) -> tuple[Transform, ...]:
    """The transforms that `calls` name, to be applied one after the other.

    Raises:
        ValueError: for an unknown name or parameter, or a value out of range.
    """
    import torch  # only callers that have logits need torch

    made = []
    for call in calls:
        transform = Transform(call.name, parameters(load("losslab.transforms", call.name), call), call)
        transform(torch.zeros(1))  # a parameter out of range is an error here
        made.append(transform)
    return tuple(made)


def transforms(text: str) -> tuple[Transform, ...]:
    """The transforms that `"temperature(2) | softcap(15)"` writes; `""` writes none."""
    return bound(parse_transforms(text))


def transformed(logits, transforms: Iterable[Transform]):
    """Raw logits `[..., vocab]` in, float32 (or float64) transformed logits out."""
    logits = logits if logits.element_size() == 8 else logits.float()
    for transform in transforms:
        logits = transform(logits)
    return logits


def check_transforms(text: object, source: str) -> tuple[Transform, ...]:
    """The transforms that somebody else's file names: each is one of losslab's, and its parameters are in range.

    Args:
        text: what stands in the file; it must be written exactly as losslab writes it, so that nothing in it is
            overlooked.
        source: the file, for the message.

    Raises:
        ValueError: for every other text.
    """
    import torch

    try:
        if not isinstance(text, str):
            raise ValueError("it is no text such as 'softcap(15)'")
        calls = parse_transforms(text)
        if (printed := print_transforms(calls)) != text:
            raise ValueError(f"losslab writes it as {cut(printed)}, so the text is from another program")
        found = bound(calls)
        if not all(bool(each(torch.tensor([-1.0, 0.0, 1.0])).isfinite().all()) for each in found):
            raise ValueError("it gives values that are not finite")
    except ValueError as error:
        shown = cut(text) if isinstance(text, str) else f"of type {type(text).__name__}"
        raise ValueError(f"{source} has a logit transform {shown} that is not read: {error}") from None
    return found
