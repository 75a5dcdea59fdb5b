"""Write docs/api.md and docs/api: the public functions and classes of losslab, from their docstrings.

    python docs/make_api.py
"""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
MODULES = {  # what a program of a user calls; None: all that the module itself offers
    "losslab": None,
    "losslab.stats": None,
    "losslab.units": None,
    "losslab.evaluate": None,
    "losslab.study": ("Study", "read", "conduct", "agree", "best"),
    "losslab.anatomy": None,
    "losslab.generate": ("generate", "write", "Sampling", "Sample"),
    "losslab.corpus": ("Corpus",),
    "losslab.tokenizer": ("make", "load"),
    "losslab.config": ("load", "preset", "combined", "override"),
    "losslab.hub": None,
    "losslab.instruct": ("render", "parts", "stops"),
    "losslab.scaling.table": ("read", "Runs"),
    "losslab.scaling.fit": ("fit", "Fit"),
    "losslab.scaling.multiplier": ("compare", "Multiplier"),
    "losslab.scaling.counts": ("counts", "Counts"),
    "losslab.tales": None,
}
ABOUT = """# Python

The public functions and classes, from their docstrings, whose examples are tests. Made by `python docs/make_api.py`.
`import losslab` is quick: each name is loaded when it is first used. What is not here is internal, and may change.

"""
SECTION = re.compile(r"^(Args|Returns|Raises|Example|Reference|Yields):$", re.MULTILINE)
TITLES = {"Args": "Arguments", "Example": "Example", "Raises": "Errors"}


def pages() -> dict[str, str]:
    """The path below docs/ and the text of every page."""
    made, index = {}, [ABOUT]
    for module in MODULES:
        offered = names(module)
        file = f"api/{module.removeprefix('losslab.')}.md"
        loaded = importlib.import_module(module)
        made[file] = f"# {module}\n\n{about(loaded)}\n\n" + "\n".join(entry(module, name) for name in offered)
        rows = [f"| [`{name}`]({file}#{anchor(name)}) | {sentence(getattr(loaded, name))} |" for name in offered]
        index.append(f"## {module}\n\n| name | what it is |\n|---|---|\n" + "\n".join(rows) + "\n\n")
    return {"api.md": "".join(index).rstrip() + "\n", **{file: text.rstrip() + "\n" for file, text in made.items()}}


def names(module: str) -> list[str]:
    """What the table says, or `__all__`, or what the module imports as itself; functions, classes and modules alone."""
    loaded = importlib.import_module(module)
    if MODULES[module]:
        return list(MODULES[module])
    tree = ast.parse(inspect.getsource(loaded))
    offered = getattr(loaded, "__all__", None) or [
        alias.asname for found in tree.body if isinstance(found, ast.ImportFrom) for alias in found.names
        if alias.asname == alias.name]
    return sorted(name for name in offered if inspect.isroutine(getattr(loaded, name))
                  or inspect.isclass(getattr(loaded, name)) or inspect.ismodule(getattr(loaded, name)))


def about(module) -> str:
    text = (inspect.getdoc(module) or "").split("\n\n")[0]
    return " ".join(text.split())


def anchor(name: str) -> str:
    return name.lower()


def sentence(thing) -> str:
    """The first sentence of a docstring, as a cell of a table."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split()).replace("|", r"\|")


def entry(module: str, name: str) -> str:
    thing = getattr(importlib.import_module(module), name)
    if inspect.ismodule(thing):
        return f"## {name}\n\nA module: {about(thing)}\n"
    node = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    parts = [f"## {name}\n", "```python\n" + head(node) + "\n```\n", described(thing)]
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_") and ast.get_docstring(inner):
                parts += [f"### {name}.{inner.name}\n", "```python\n" + head(inner) + "\n```\n",
                          described(inspect.getattr_static(thing, inner.name))]
    return "\n".join(parts)


def head(node: ast.AST) -> str:
    """How it is called, as its author wrote it; of a class with fields, these."""
    if isinstance(node, ast.ClassDef):
        fields = [ast.unparse(inner) for inner in node.body
                  if isinstance(inner, ast.AnnAssign) and not inner.target.id.startswith("_")]
        return "\n    ".join([f"class {node.name}:", *fields]) if fields else f"class {node.name}"
    if any(isinstance(each, ast.Name) and each.id in ("property", "cached_property") for each in node.decorator_list):
        return f"{node.name}: {ast.unparse(node.returns)}" if node.returns else node.name
    arguments = ast.unparse(node.args)
    arguments = re.sub(r"^(self|cls)(, |$)", "", arguments)
    line = f"{node.name}({arguments})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
    if len(line) <= 100:
        return line
    every = split(arguments)
    return f"{node.name}(\n    " + ",\n    ".join(every) + ",\n)" + line[len(node.name) + len(arguments) + 2:]


def split(arguments: str) -> list[str]:
    """At the commas that stand in no bracket and no string."""
    found, depth, quote, start = [], 0, "", 0
    for place, letter in enumerate(arguments):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter in "([{") - (letter in ")]}")
            if letter == "," and not depth:
                found.append(arguments[start:place].strip())
                start = place + 1
    return [*found, arguments[start:].strip()]


def described(thing) -> str:
    """A docstring as Markdown: its sections as headings, arguments as a list, examples as they are run."""
    text = inspect.getdoc(thing) or ""
    pieces = SECTION.split(text)
    made = [pieces[0].strip() + "\n"]
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        inside = textwrap.dedent(body.strip("\n"))
        made.append(f"**{TITLES.get(title, title)}**\n")
        made.append(examples(inside) if title == "Example" else listed(inside) if title in ("Args", "Raises")
                    else inside.strip() + "\n")
    return "\n".join(made)


def listed(text: str) -> str:
    """`name: meaning`, its further lines indented, as a list; another text as it is."""
    items = re.split(r"\n(?=\S)", text.strip())
    if not all(re.match(r"[\w.*, ]+: ", item) for item in items):
        return text.strip() + "\n"
    rows = (re.sub(r"^([\w.*, ]+): ", r"- `\1`: ", " ".join(item.split())) for item in items)
    return "\n".join(rows) + "\n"


def examples(text: str) -> str:
    return f"```pycon\n{text.strip()}\n```\n"


if __name__ == "__main__":
    (HERE / "api").mkdir(exist_ok=True)
    made = pages()
    for file in (HERE / "api").glob("*.md"):
        if f"api/{file.name}" not in made:
            file.unlink()
    for file, text in made.items():
        (HERE / file).write_text(text, encoding="utf-8")
