"""Commands as functions. What takes long to import is imported by the command that needs it."""

import os
import sys
from contextlib import contextmanager

from cyclopts import CycloptsError

from losslab.cli import (  # noqa: F401  (each adds its commands)
    arena,
    arena_boards,
    calibrate,
    claims,
    comparing,
    exchange,
    family,
    finetuning,
    judging,
    ladder,
    lesson,
    measuring,
    mistakes,
    noise,
    records,
    scaling,
    serving,
    studies,
    training,
    tuning,
    writing,
)
from losslab.cli.application import app
from losslab.cli.flags import current
from losslab.cli.speech import MISSING_EXTRA, OK, STOPPED, USER_ERROR, sentence, tell
from losslab.drawing import Ticker

INTERRUPTED, PIPE_CLOSED = 130, 141  # as shells count: 128 and the number of the signal


@contextmanager
def _one_sentence():
    """A user's mistake ends in one sentence and an exit code, never in a traceback."""
    from losslab.config import Errors

    try:
        yield
    except ModuleNotFoundError as error:
        _leave(MISSING_EXTRA, f"error: {error}")
    except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the last flush does not fail
        sys.exit(PIPE_CLOSED)
    except Errors as error:
        _leave(USER_ERROR, f"error: {sentence(error)}")
    except MemoryError:
        _leave(USER_ERROR, "error: this takes more memory than there is; take a smaller model, batch or text")
    except KeyboardInterrupt:
        _leave(INTERRUPTED, "stopped at once")
    except Exception as error:
        if type(error).__name__ != "Stopped":  # of `running`; naming its class here would load torch
            raise
        _leave(STOPPED, str(error))


def _leave(code: int, text: str) -> None:
    if Ticker.current is not None:
        Ticker.current.close()
    tell(text)
    sys.exit(code)


def main(arguments: list[str] | None = None) -> None:
    """The command line: runs a command, and ends the process with its exit code."""
    with _one_sentence():
        try:
            given = current(sys.argv[1:] if arguments is None else arguments)
            code = app(given, exit_on_error=False, print_error=False, result_action="return_value")
        except CycloptsError as error:
            raise ValueError(mistakes.told(error)) from None
        sys.stdout.flush()
        code = code if isinstance(code, int) else OK
        if "WORLD_SIZE" in os.environ:  # started by torchrun: torch is loaded anyway
            from losslab import parallel

            parallel.leave(code)
        sys.exit(code)
