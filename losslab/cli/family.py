"""losses, inspect: the family, and what a loss is."""

import sys
from pathlib import Path

from losslab.cli.application import app
from losslab.cli.flags import Json
from losslab.cli.speech import show, tell
from losslab.tables import Table, left
from losslab.words import nearest


@app.command(sort_key=5)
def losses(name: str | None = None, *, json: Json = False):
    """List the family of losses, or show the page of one.

    Parameters
    ----------
    name
        A loss or logit transform; none lists them all.
    """
    import inspect

    from losslab import formula

    family = {f"{kind}": {n: inspect.getdoc(formula.load(package, n)) for n in formula.names(package)}
              for kind, package in (("loss", "losslab.losses"), ("transform", "losslab.transforms"))}
    everything = family["loss"] | family["transform"]
    if name is not None:
        if name not in everything:
            raise ValueError(f"unknown loss {name!r}{nearest(name, everything)}; "
                             f"the family is {', '.join(everything)}")
        file = f"losslab/{'losses' if name in family['loss'] else 'transforms'}/{name}.py"
        return show({"name": name, "page": everything[name], "file": file}, f"{everything[name]}\n\nFile: {file}", json)
    rows = [(_kind(kind, n), n, page.splitlines()[0]) for kind, pages in family.items() for n, page in pages.items()]
    table = Table((left("kind"), left("name"), left("what it is")), rows)
    show({kind: {n: page.splitlines()[0] for n, page in pages.items()} for kind, pages in family.items()},
           table.text(heading=False), json)


def _kind(kind: str, name: str) -> str:
    """`loss`, `term` for what is only to be added to a loss, or `transform`."""
    role = getattr(sys.modules[f"losslab.{'losses' if kind == 'loss' else 'transforms'}.{name}"], "ROLE", "whole")
    return kind if role == "whole" else role


@app.command(sort_key=5)
def inspect(loss: str, *, out: Path | None = None, markdown: Path | None = None, json: Json = False):
    """Find out what a loss is: its minimizer and bias, curves, convexity, cost; nothing is trained.

    Parameters
    ----------
    loss
        A formula such as "cross_entropy + 1e-4*z_loss", or the path of a loss file.
    out
        Write an HTML page with charts here.
    markdown
        Write the findings as Markdown here.
    """
    from losslab import anatomy
    from losslab.report import anatomy_page, anatomy_text

    found = anatomy.inspect(loss).to_dict()
    if out is not None:
        tell(f"page: {anatomy_page.write(found, out)}")
    if markdown is not None:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        markdown.write_text(anatomy_text.markdown(found), encoding="utf-8")
        tell(f"Markdown: {markdown}")
    show(found, anatomy_text.text(found), json)
