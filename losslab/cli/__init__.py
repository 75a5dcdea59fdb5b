"""Verbs to functions. Everything heavy is imported by the verb that needs it."""

import os
import sys
from contextlib import contextmanager

from cyclopts import CycloptsError

from losslab.cli import claims, exchange, family, measuring, records, training  # noqa: F401  (each adds its verbs)
from losslab.cli.application import app
from losslab.cli.speech import MISSING_EXTRA, OK, STOPPED, USER_ERROR, tell
from losslab.words import printable_lines


@contextmanager
def _one_sentence():
    """A user's mistake ends in one sentence and an exit code, never in a traceback."""
    from losslab.config import Errors

    try:
        yield
    except ModuleNotFoundError as error:
        tell(f"error: {error}")
        sys.exit(MISSING_EXTRA)
    except Errors as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            sys.exit(128 + 13)  # as a program that the signal ends: `| head` has read enough
        tell(f"error: {printable_lines(error)}")
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        tell("stopped at once")
        sys.exit(130)
    except Exception as error:
        if type(error).__name__ != "Stopped":  # the study's; naming its class here would load torch
            raise
        tell(str(error))
        sys.exit(STOPPED)


def _nobody_reads() -> bool:
    """Whether standard output was closed by its reader; what was left to print then goes nowhere, in silence."""
    import select

    where = sys.stdout.fileno()
    asked = select.poll()
    asked.register(where, select.POLLOUT)
    closed = any(event & select.POLLERR for _, event in asked.poll(0))
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), where)
    return closed


def main(arguments: list[str] | None = None) -> None:
    with _one_sentence():
        try:
            code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        except CycloptsError as error:
            raise ValueError(str(error).strip()) from None
        sys.stdout.flush()  # here, where a closed pipe is still an error that can be met
        code = code if isinstance(code, int) else OK
        if "WORLD_SIZE" in os.environ:  # started by torchrun: torch is loaded anyway
            from losslab import machine

            machine.leave(code)
        sys.exit(code)
