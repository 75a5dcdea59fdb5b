"""lesson: a loss, number by number, on a terminal or as a page."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab import drawing
from losslab.cli.application import app
from losslab.cli.flags import WHOLE, Json
from losslab.cli.speech import show, tell
from losslab.config.numbers import check
from losslab.drawing import Ticker

MOST_STEPS = 1_000_000
WALK_STEPS, PAGE_STEPS = 100, 1_000  # trained where no number is given


@app.command(sort_key=5)
def lesson(
    *, names: Path | None = None, num_steps: Annotated[int | None, WHOLE] = None, trace: str | None = None,
    loss: str = "cross_entropy",
    vectorized: Annotated[bool, Parameter(negative="")] = False, page: Path | None = None, json: Json = False,
):
    """Learn what a loss is: a small GPT of single numbers, trained on names, with every number in the open.

    Parameters
    ----------
    names
        A text file with one name a line, in any alphabet; about 250 first names come with losslab.
    num_steps
        Training steps, a name each. Unless given: 0 for --trace, whose model is then untrained; 1,000 for --page; else
        100. The learning rate falls to 0 over 1,000 steps, or over these where they are more.
    trace
        Take this name apart: every probability, every -ln p, their mean, and where the gradient goes.
    loss
        What training descends: cross_entropy, label_smoothing, squentropy or mse.
    vectorized
        Compute with tensors in float64: the same numbers to nine digits, many times as fast.
    page
        Write the lesson as one interactive HTML file here, which needs no network; computed with tensors.
    """
    from losslab.lesson import names as sources

    read = sources.embedded() if names is None else sources.read(names)
    if read.cut:
        tell(f"{read.cut:,} of {len(read.names):,} names have more than 15 letters; of these the first 16 are learned, "
             "and not that they end there")
    default = 0 if trace is not None and page is None else PAGE_STEPS if page is not None else WALK_STEPS
    num_steps = default if num_steps is None else num_steps
    check("--num-steps", num_steps, 0, MOST_STEPS)
    if trace is not None:
        read.tokens(trace)  # a mistake in it is said before anything is trained
    if page is not None:
        return _page(page, read, loss, num_steps, trace, json)
    training = _training(read, loss, num_steps, vectorized)
    if trace is not None:
        return _trace(training, num_steps, trace, json)
    return _walk(training, num_steps, json)


def _training(read, loss: str, num_steps: int, vectorized: bool):
    """A training that has not begun."""
    if vectorized:
        from losslab.lesson.vectorized import Training
    else:
        from losslab.lesson.training import Training

    return Training(read, loss, num_steps)


def _counted(num_steps: int):
    """Takes the number of steps that are done."""
    ticker = Ticker()
    return lambda done: ticker("training the small GPT", done, num_steps, "steps")


def _trained(training, num_steps: int) -> list:
    told, steps = _counted(num_steps), []
    for done in range(1, num_steps + 1):
        steps.append(training.step())
        told(done)
    return steps


def _trace(training, num_steps: int, name: str, json: bool) -> None:
    from losslab.lesson import trace, trace_text

    _trained(training, num_steps)
    found = trace.trace(training, name)
    document = {"names": training.names.source, "vocabulary": training.names.vocabulary, **found.to_dict()}
    show(document, _plain(trace_text.traced(found, training.names, _columns())), json)


def _walk(training, num_steps: int, json: bool) -> None:
    from losslab.lesson import chapters
    from losslab.lesson.trace import trace
    from losslab.lesson.training import sample

    name = chapters.example(training.names)
    before = trace(training, name)
    steps = _trained(training, num_steps)
    after = trace(training, name)
    document = {
        "names": training.names.source, "num_names": len(training.names.names), "vocabulary": training.names.vocabulary,
        "loss": training.loss, "step": num_steps, "losses": [step.loss for step in steps],
        "nll": [step.nll for step in steps], "samples": sample(training),
    }  # fmt: skip
    if json:
        return show(document, "", json)
    told = chapters.told(training.names, before, after, document, _columns())
    walking = drawing.is_terminal(sys.stdout) and drawing.is_terminal(sys.stdin)
    for number, chapter in enumerate(told, 1):
        show({}, _plain(chapter) + "\n", False)
        if walking and number < len(told) and not _goes_on(number, len(told)):
            break


def _goes_on(number: int, of: int) -> bool:
    """Wait at the end of a chapter; whether the reader wants the next."""
    try:
        return input(f"-- {number} of {of}: Enter continues, q ends -- ").strip().lower() not in ("q", "quit")
    except EOFError:
        return False
    finally:
        print(flush=True)


def _page(path: Path, read, loss: str, num_steps: int, name: str | None, json: bool) -> None:
    from losslab.lesson import chapters, page

    training = _training(read, loss, num_steps, vectorized=True)
    written, found = page.write(path, training, num_steps, name or chapters.example(read), _counted(num_steps))
    document = {"page": str(written), "names": read.source, "loss": loss, "step": num_steps, "nll": found["nll"],
                "samples": found["samples"]}
    show(document, f"page: {written}", json)


def _columns() -> int:
    return max(60, drawing.columns(sys.stdout)) if drawing.is_terminal(sys.stdout) else 80


def _plain(text: str) -> str:
    """The text in signs that the terminal has."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(str.maketrans("█·−≠", "#.-!")).encode(encoding, "replace").decode(encoding)
    return text
