"""How commands report: results on standard output, everything else on standard error."""

import errno
import json as jsons
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence

from losslab import drawing, signals
from losslab.drawing import Ticker
from losslab.progress import Running, duration
from losslab.words import printable_lines

OK, USER_ERROR, MISSING_EXTRA, DIVERGED, STOPPED, RUNS_FAILED = 0, 2, 3, 4, 5, 6
EXIT_CODES = {
    OK: "ok", USER_ERROR: "user error", MISSING_EXTRA: "missing extra", DIVERGED: "every run of an arm diverged",
    STOPPED: "stopped and resumable", RUNS_FAILED: "some runs failed",
}  # fmt: skip
BEFORE = (USER_ERROR, MISSING_EXTRA, STOPPED, RUNS_FAILED, DIVERGED)  # where several apply, the first of these


def exit_code(codes: Sequence[int]) -> int:
    """The one that a command ends with, where several apply."""
    return min((code for code in codes if code != OK), key=BEFORE.index, default=OK)


def outcome(arms: Mapping[str, Sequence[str]]) -> int:
    """The exit code that the statuses of runs ask for.

    Args:
        arms: the status of every run, arm by arm. An arm of which no run is left is diverged; one diverged run is a
            finding that stands in the verdict.
    """
    every = [status for statuses in arms.values() for status in statuses]
    codes = [STOPPED] * any(status in ("stopped", "running") for status in every)
    codes += [RUNS_FAILED] * ("failed" in every)
    codes += [DIVERGED] * any(statuses and set(statuses) == {"diverged"} for statuses in arms.values())
    return exit_code(codes)


# --- lines for people --------------------------------------------------------------------------

def tell(text: str) -> None:
    """A line for people: on standard error, so that standard output stays the result's."""
    text = printable_lines(text)
    if Ticker.current is not None:
        Ticker.current.say(text)
    else:
        print(text, file=sys.stderr, flush=True)


def show(document: dict | list, text: str, as_json: bool) -> None:
    """The result, as a document for programs or as text for people; it is out before anything else happens."""
    if Ticker.current is not None:
        Ticker.current.close()
    print(jsons.dumps(document, indent=1, ensure_ascii=False, default=str) if as_json else text, flush=True)


def wrapped(text: str, indent: str = "") -> str:
    """Prose in lines as wide as the terminal; as it is where there is none, for programs that read lines."""
    if not drawing.is_terminal(sys.stdout):
        return text
    width = drawing.columns(sys.stdout) - 1
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def score_text(score: dict) -> str:
    from losslab.stats import Score

    return f"{Score.from_dict(score)} {score['unit']}"


def command_line() -> str:
    import shlex

    return shlex.join(["losslab", *sys.argv[1:]])


# --- the progress of one run -------------------------------------------------------------------

def run_lines(ticker: Ticker | None = None, *, clock: Callable[[], float] = time.monotonic) -> Callable[[dict], None]:
    """Takes the log lines of a single run: shows how far it is, and keeps the lines of its learning curve."""
    ticker, seen, signs = ticker or Ticker(clock=clock), {}, signals.Teller(tell)
    used = 0.0

    def take(values: dict) -> None:
        nonlocal used
        signs(values)
        used = signals.utilization(values) or used
        step, steps, tokens = values["step"], values["num_steps"], values["tokens"]
        phase, share = ("training", step / steps) if step < steps else ("measuring", 0.0)
        ticker("training", tokens, tokens * steps // max(1, step), "tokens", [Running("", 0, phase, share, used)])
        rate = ticker.state.per_second or tokens / max(values["seconds"], 1e-9)
        seen.update({name: values[name] for name in ("train/objective", "train/nll", "tune/nll") if name in values})
        if "tune/nll" in values:
            curve = "  ".join(f"{name} {value:.4f}" for name, value in seen.items())
            left = ticker.state.seconds_left if step < steps else None
            of_peak = f", {100 * used:.0f} % of the product peak" if used else ""
            until = f", {duration(max(1.0, left))} left" if left else ""
            tell(f"step {step}/{steps}  {curve}  {rate:,.0f} tokens/s{of_peak}{until}")

    return take


# --- mistakes ----------------------------------------------------------------------------------

def sentence(error: Exception) -> str:
    """What went wrong, for a user: what the operating system says in numbers is said in words."""
    if isinstance(error, UnicodeDecodeError):
        return f"a text that was read is not UTF-8: {error.reason} at byte {error.start}"
    if not isinstance(error, OSError) or error.errno is None:
        return " ".join(str(error).split()) or type(error).__name__
    name, said = error.filename, error.strerror or "an input or output error"
    if isinstance(name, bytes):
        name = name.decode(errors="replace")
    if error.errno == errno.ENOSPC:
        return f"the disk is full ({said}{f', at {name}' if name else ''}); what was written before is kept"
    if not isinstance(name, str):  # none, or the number of an open file
        return said
    name = name if len(name) <= 200 else f"{name[:197]}..."
    match error.errno:
        case errno.ENOENT:
            return f"there is no file or folder {name}"
        case errno.EISDIR:
            return f"{name} is a folder, and a file is needed"
        case errno.ENOTDIR:
            return f"{name} leads through a file as if it were a folder"
        case errno.EEXIST:
            return f"{name} exists already"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{name} may not be read or written by you here ({said})"
        case _:
            return f"{name}: {said}"
