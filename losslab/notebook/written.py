"""Whether a loss file makes what the notebook has: the same steps, defaults, closures and attributes.

A source says what a function was when its cell ran, and today's values of the names in it. What was bound at that time
(a default, what a decorator keeps) or changed since (an attribute, a wrapper around it) may be something else. So the
text is run, as the processes that train run it, and what it makes is compared with what the notebook has.
"""

import dis
import functools
import types
from collections.abc import Mapping
from typing import Any

from losslab.config.numbers import shown
from losslab.words import printable

CALLING = ("PUSH_NULL", "PRECALL", "EXTENDED_ARG", "CACHE", "NOP")  # steps of Python that a method call has or has not
KINDS = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200  # of a code's flags: *args, **kwargs, generators, coroutines
AGAIN = "run its cell again"


def check(loss: str, text: str, known: Mapping[str, object]) -> None:
    """That a text makes these values by these names.

    Args:
        loss: the name of the function that the text is for.
        text: of the loss file; it is executed, which its parts were already when their cells ran.
        known: name -> what the notebook has by this name.

    Raises:
        ValueError: in one sentence, for what the text makes otherwise.
    """
    made = types.ModuleType(loss)
    try:
        exec(compile(text, loss, "exec", dont_inherit=True), made.__dict__)
    except (Exception, SystemExit) as error:
        raise ValueError(f"the loss file of {loss} fails where it is read, {type(error).__name__}: "
                         f"{printable(str(error))[:200]}; run its cells again") from None
    for name, value in known.items():
        if type(value) is not types.FunctionType:
            if not _equal(value, vars(made).get(name), set()):
                raise ValueError(f"{loss} uses two different things called {name}; rename one of them")
        elif told := _otherwise(value, vars(made).get(name), set()):
            raise ValueError(told)


# --- values ------------------------------------------------------------------------------------

def _otherwise(one: types.FunctionType, other: object, seen: set) -> str:
    """How a function differs from the one that its source makes, as a sentence; empty where it does not."""
    name = one.__name__
    changed = (f"{name} is not what its source makes, for it was changed or wrapped since; write what wraps it as a "
               f"decorator above its def, and {AGAIN}")
    if not isinstance(other, types.FunctionType):
        return changed
    if one is other or (id(one), id(other)) in seen:
        return ""
    seen.add((id(one), id(other)))
    if not same_code(one.__code__, other.__code__):
        return changed
    ours, theirs = _defaults(one), _defaults(other)
    for key in {**theirs, **ours}:
        if key not in ours or key not in theirs or not _equal(ours[key], theirs[key], seen):
            has, gives = (f"{key}={shown(held[key])}" if key in held else "none" for held in (ours, theirs))
            return f"the default of {key} in {name} is {has}, and its source makes it {gives} today; {AGAIN}"
    inside, written = ([_content(cell) for cell in each.__closure__ or ()] for each in (one, other))
    for mine, their in zip(inside, written, strict=True):  # of a decorator: the function itself, and its arguments
        told = _otherwise(mine, their, seen) if isinstance(mine, types.FunctionType) else ""
        if told:
            return told
        if not _equal(mine, their, seen):
            return (f"a decorator of {name} keeps {shown(mine)}, and its source makes it {shown(their)} today; {AGAIN}")
    for key in {**vars(one), **vars(other)}:
        if key not in vars(one) or key not in vars(other) or not _equal(vars(one)[key], vars(other)[key], seen):
            return (f"{name} has other attributes than its source gives it, such as {shown(key)}; make it a parameter "
                    f"of the loss, such as def {name}(prediction, *, {key}=...)")
    return ""


def _defaults(function: types.FunctionType) -> dict[str, object]:
    code, last = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[:code.co_argcount]
    return dict(zip(names[len(names) - len(last):], last, strict=False)) | (function.__kwdefaults__ or {})


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # nothing is in it yet
        return None


def _equal(one: object, other: object, seen: set) -> bool:
    """Whether two values are the same to a loss; those of which that cannot be said are not."""
    if one is other or (id(one), id(other)) in seen:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, types.FunctionType):
        return not _otherwise(one, other, seen)
    if one is None or isinstance(one, bool | int | float | complex | str | bytes):
        return repr(one) == repr(other)  # so that -0.0 is not 0.0, and nan is itself
    if isinstance(one, set | frozenset):
        return one == other
    seen.add((id(one), id(other)))
    parts, others = _parts(one), _parts(other)
    return parts is not None and others is not None and len(parts) == len(others) and all(
        _equal(part, its, seen) for part, its in zip(parts, others, strict=True))


def _parts(value: Any) -> list | None:
    """What a value is made of, down to what can be compared; None where that is not known."""
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, dict):
        return [part for item in value.items() for part in item]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if hasattr(value, "untyped_storage"):  # a tensor
        return [str(value.dtype), str(value.device), value.requires_grad, value.detach().cpu().tolist()]
    held = getattr(value, "__dict__", None)
    return [held] if isinstance(held, dict) and type(value).__module__ != "builtins" else None


# --- codes -------------------------------------------------------------------------------------

def same_code(one: types.CodeType, other: types.CodeType) -> bool:
    """Whether two codes take and do the same, wherever they stand in a file."""
    inner, others = ([const for const in code.co_consts if isinstance(const, types.CodeType)] for code in (one, other))
    return (_takes(one) == _takes(other) and _steps(one) == _steps(other) and len(inner) == len(others)
            and all(map(same_code, inner, others)))


def _takes(code: types.CodeType) -> tuple:
    return (code.co_varnames, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & KINDS)


def _steps(code: types.CodeType) -> list[tuple]:
    """What a code does; how it calls is left out, since that depends on where its modules were imported."""
    every, number, count = list(dis.get_instructions(code)), {}, 0
    for step in every:  # where a jump to this place ends, in steps
        number[step.offset] = count
        count += step.opname not in CALLING
    steps: list[tuple] = []
    for step in every:
        if step.opname in CALLING:
            continue
        if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs:
            value = str(number.get(step.argval))
        else:
            value = "" if isinstance(step.argval, types.CodeType) else repr(step.argval)
        steps.append((step.opname.replace("LOAD_METHOD", "LOAD_ATTR"), value))
    guarded = getattr(dis.Bytecode(code), "exception_entries", ())  # where a try begins and ends
    places = [(number.get(each.start), number.get(each.end), number.get(each.target)) for each in guarded]
    return [*steps, *places]
