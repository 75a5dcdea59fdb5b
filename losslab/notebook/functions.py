"""A loss that is a Python function, such as one of a notebook: its source as the text of a loss file.

A loss is recorded by its text and runs in processes that never saw the notebook, so the text must be whole: the
modules, constants and functions that the loss uses stand in it, before it. What no text can hold is refused with the
reason.
"""

import ast
import builtins
import hashlib
import inspect
import symtable
import sys
import sysconfig
import textwrap
import types
from collections.abc import Callable
from pathlib import Path

from losslab.notebook import written

FOLDER = Path("runs", "losses")  # the same for every store: the path of a loss file is a part of the name of its runs
MOST_LETTERS = 10_000  # of a constant


def loss_file(function: Callable) -> str:
    """Write a loss that is a Python function into a file, and return the path, which is a loss in every formula.

    Args:
        function: of `(prediction, *, ...)` or `(logits, targets)`, defined by `def` in a notebook cell or a file.

    Returns:
        `runs/losses/SHA/NAME.py`, from the current folder; the same for the same source.

    Raises:
        ValueError: in one sentence, where the function has no source, or uses what no file can hold.
    """
    text = source(function)
    path = FOLDER / hashlib.sha256(text.encode()).hexdigest()[:12] / f"{function.__name__}.py"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write the loss file {path}: {error.strerror}; work in a folder that you may write "
                         "in") from None
    return str(path)


def source(function: Callable) -> str:
    """The text of a loss file that defines `function`, and before it all that the function uses.

    Raises:
        ValueError: as for `loss_file`.
    """
    if not isinstance(function, types.FunctionType):
        raise ValueError(f"a loss is a formula or a function made by def, got {_named(function)}; write a def that "
                         "calls it")
    parts = _Parts(function.__name__)
    parts.add(function.__name__, function)
    head = f'"""The loss {function.__name__}, as it was defined in Python."""'
    blocks = [head, "\n".join(sorted(parts.imports)), "\n".join(parts.constants)]
    text = "\n\n".join(filter(None, blocks)) + "".join(f"\n\n\n{each}" for each in parts.functions) + "\n"
    written.check(function.__name__, text, parts.known)
    return text


class _Parts:
    """What a loss file is made of, collected from the function that it is for."""

    def __init__(self, loss: str):
        self.loss = loss
        self.known: dict[str, object] = {}
        self.imports: set[str] = set()
        self.constants: list[str] = []
        self.functions: list[str] = []

    def add(self, name: str, value: object) -> None:
        """Take in what is called `name`, and what it uses itself."""
        if name in self.known:
            if self.known[name] is not value:
                raise ValueError(f"{self.loss} uses two different things called {name}; rename one of them")
            return
        self.known[name] = value
        if isinstance(value, types.ModuleType):
            self.imports.add(_import(self.loss, value, name))
        elif public := _public(value):
            module, own = public
            self.imports.add(f"from {module} import {own}" + ("" if own == name else f" as {name}"))
        elif isinstance(value, types.FunctionType):
            self._add_function(name, value)
        elif _is_literal(value):
            self.constants.append(f"{name} = {value!r}")
        else:
            raise ValueError(f"{self.loss} uses {name}, {_named(value)}, which its source does not hold; make it "
                             "inside the loss, or write the loss as a file")

    def _add_function(self, name: str, function: types.FunctionType) -> None:
        text = _text(function)
        names = inspect.unwrap(function).__globals__  # a wrapper's own may be those of another module
        for used in _names(text):
            if used == function.__name__:
                if names.get(used) is not function:
                    raise ValueError(f"{used} uses {used}, which is no longer this function; run its cell again")
            elif used in names:
                self.add(used, names[used])
            elif not hasattr(builtins, used):
                raise ValueError(f"{function.__name__} uses {used}, which is not defined; define it, and run the cell "
                                 f"of {function.__name__} again")
        self.functions.append(text if name == function.__name__ else f"{text}\n\n\n{name} = {function.__name__}")


# --- the source of one function ----------------------------------------------------------------

def _text(function: types.FunctionType) -> str:
    """The source of a function as it is, checked to be what runs."""
    name = function.__name__
    if name == "<lambda>":
        raise ValueError("a lambda has no name and no source of its own that could be recorded; write the loss as def "
                         "my_loss(prediction): ...")
    inner = inspect.unwrap(function)
    if free := inner.__code__.co_freevars:
        raise ValueError(f"{name} uses {' and '.join(free)} of the function around it, which no file can hold; make "
                         f"{free[0]} a parameter of the loss, such as def {name}(prediction, *, {free[0]}=...)")
    try:
        text = textwrap.dedent(inspect.getsource(function)).rstrip()
        made = compile(text, name, "exec", dont_inherit=True)
    except (OSError, TypeError, SyntaxError):
        raise ValueError(f"the source of {name} cannot be read, so it could not be recorded; define it by def in a "
                         "notebook cell or a file") from None
    codes = [const for const in made.co_consts if isinstance(const, types.CodeType) and const.co_name == name]
    if not any(written.same_code(code, inner.__code__) for code in codes):
        raise ValueError(f"the source of {name} is not what was defined, for it was changed since; run its cell again")
    return text


def _names(text: str) -> list[str]:
    """The names that a text looks up in its module: also those of defaults, annotations and decorators, and its own."""
    found: dict[str, None] = {}

    def walk(table: symtable.SymbolTable, top: bool) -> None:
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (not symbol.is_assigned() if top else symbol.is_global()):
                found[symbol.get_name()] = None
        for child in table.get_children():
            walk(child, False)

    table = symtable.symtable(text, "loss", "exec")
    walk(table, True)
    return list(found)


# --- what it uses ------------------------------------------------------------------------------

def _import(loss: str, module: types.ModuleType, name: str) -> str:
    full = module.__name__
    if not _is_installed(full):
        raise ValueError(f"{loss} uses the module {full}, which the processes that train do not see; put what it needs "
                         "of it into the notebook")
    return f"import {full}" if name == full else f"import {full} as {name}"


def _is_installed(module: str) -> bool:
    """Whether a process that knows nothing of the current folder can import it."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return top not in ("__main__", "builtins")
    file = getattr(sys.modules.get(top), "__file__", None)
    places = [Path(place).resolve() for key, place in sysconfig.get_paths().items() if key in ("purelib", "platlib")]
    return file is not None and any(Path(file).resolve().is_relative_to(place) for place in places)


def _public(value: object) -> tuple[str, str] | None:
    """The installed module that has it, and its name there; None for what a process cannot import."""
    module, name = getattr(value, "__module__", None) or "", getattr(value, "__name__", "")
    if name and _is_installed(module) and getattr(sys.modules.get(module), name, None) is value:
        return module, name
    return None


def _is_literal(value: object) -> bool:
    text = repr(value)
    try:
        return len(text) <= MOST_LETTERS and type(ast.literal_eval(text)) is type(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _named(value: object) -> str:
    return f"an object of type {type(value).__name__}"
