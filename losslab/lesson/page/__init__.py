"""The lesson as one HTML file: nothing is loaded, and the model runs in the page."""

import base64
import math
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

from losslab import __version__
from losslab.lesson import model
from losslab.lesson.losses import LOSSES
from losslab.lesson.training import Course, sample
from losslab.report import page

HERE = Path(__file__).parent
SCRIPTS = ("arithmetic.js", "drawing.js", "bench.js", "name.js")
BENCH_TOKENS = 5  # of the prediction whose logits can be moved
EARLY_STEPS = 100  # after which the page has a model, too
AT_REST = {  # P(correct) where the gradient of a loss is 0, of V tokens
    "cross_entropy": lambda vocab_size: 1.0, "squentropy": lambda vocab_size: 1.0,
    "label_smoothing": lambda vocab_size: 0.9 + 0.1 / vocab_size,
    "mse": lambda vocab_size: math.e / (math.e + vocab_size - 1),
}  # fmt: skip


def write(
    path: str | Path, training: Course, num_steps: int, example: str, told: Callable[[int], None],
) -> tuple[Path, dict]:
    """Train, and write the page; return its path and what is in it.

    Args:
        path: of the page; `.html` is added where it is missing.
        training: that has not begun.
        num_steps: how many steps it takes.
        example: the name that stands on the page at first.
        told: takes the number of steps done, after each.
    """
    example = training.names.text(training.names.tokens(example))
    found = document(training, num_steps, example, told)
    return page.save(path, html(found)), found


def document(training: Course, num_steps: int, example: str, told: Callable[[int], None] = lambda step: None) -> dict:
    """What the page shows: the model at a few steps, the losses of all, and names that it made up."""
    names, stages, steps = training.names, [], []
    for step in range(num_steps + 1):
        if step in {0, min(EARLY_STEPS, num_steps), num_steps}:
            stages.append({"step": step, "weights": _packed(training.numbers())})
        if step < num_steps:
            steps.append(training.step())
            told(step + 1)
    return {
        "version": __version__, "source": names.source, "num_names": len(names.names), "alphabet": names.alphabet(),
        "characters": names.characters, "vocabulary": names.vocabulary, "mark": names.mark, "example": example,
        "loss": training.loss, "shapes": [[name, *shape] for name, shape in model.shapes(names.vocab_size).items()],
        "constants": {"epsilon": model.NORM_EPSILON, "head_dim": model.HEAD_DIM, "positions": model.NUM_POSITIONS},
        "stages": stages, "nll": [one.nll for one in steps], "samples": sample(training),
        "losses": {name: {"label": label(name), "value": loss.value, "rest": loss.rest,
                          "at_rest": [AT_REST[name](size) for size in (BENCH_TOKENS, names.vocab_size)]}
                   for name, loss in LOSSES.items()},
    }  # fmt: skip


def html(found: dict) -> str:
    """The page as text."""
    from markupsafe import Markup

    style = (page.HERE / "page.css").read_text("utf-8") + (HERE / "page.css").read_text("utf-8")
    script = "\n".join((HERE / name).read_text("utf-8") for name in SCRIPTS)
    policy = (f"default-src 'none'; script-src {page.source_hash(script)}; style-src {page.source_hash(style)}; "
              "base-uri 'none'; form-action 'none'")
    weights = sum(rows * columns for _, rows, columns in found["shapes"])
    return _template().render(
        policy=policy, style=Markup(style), script=Markup(script), document=Markup(page.embedded(found)),
        version=found["version"], loss=label(found["loss"]), weights=f"{weights:,}", steps=f"{len(found['nll']):,}",
        trained=bool(found["nll"]),
        vocab_size=f"{len(found['vocabulary']):,}", mark=found["mark"], names=f"{found['num_names']:,} names",
        letters=found["alphabet"],
    )


@cache
def _template():
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True,
                                     undefined=jinja2.StrictUndefined)
    return environment.get_template("page.html.j2")


def label(name: str) -> str:
    """The name of a loss in prose.

    Example:
        >>> label("cross_entropy"), label("mse")
        ('cross-entropy', 'mean squared error')
    """
    return {"cross_entropy": "cross-entropy", "mse": "mean squared error"}.get(name, name.replace("_", " "))


def _packed(numbers: list[float]) -> str:
    """Float64 in base64, least byte first."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}d", *numbers)).decode()
