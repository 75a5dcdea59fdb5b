"""Verbs to functions. Everything heavy is imported by the verb that needs it."""

import os
import sys
from contextlib import contextmanager

from cyclopts import CycloptsError

from losslab.cli import claims, exchange, family, measuring, records, training  # noqa: F401  (each adds its verbs)
from losslab.cli.application import app
from losslab.cli.speech import MISSING_EXTRA, OK, STOPPED, USER_ERROR, tell


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
        tell(f"error: {error}")
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        tell("stopped at once")
        sys.exit(130)
    except Exception as error:
        if type(error).__name__ != "Stopped":  # the study's; naming its class here would load torch
            raise
        tell(str(error))
        sys.exit(STOPPED)


def main(arguments: list[str] | None = None) -> None:
    with _one_sentence():
        try:
            code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        except CycloptsError as error:
            raise ValueError(str(error).strip()) from None
        code = code if isinstance(code, int) else OK
        if "WORLD_SIZE" in os.environ:  # started by torchrun: torch is loaded anyway
            from losslab import machine

            machine.leave(code)
        sys.exit(code)
