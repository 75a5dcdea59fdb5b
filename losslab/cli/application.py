"""The application to which each module adds its commands."""

from typing import Literal

from cyclopts import App

from losslab import __version__
from losslab.cli.speech import BEFORE, EXIT_CODES, tell

_codes = ", ".join(f"{code} {meaning}" for code, meaning in sorted(EXIT_CODES.items()))
app = App(
    name="losslab",
    version=__version__,
    help="Does this training loss make a better language model? Answers with an interval.",
    help_epilogue=f"Exit codes: {_codes}; where several apply, the first of {', '.join(map(str, BEFORE))}.",
)
runs_app = App(name="runs", help="List, show, tag and remove runs.")
app.command(runs_app)


@app.command(name="--install-completion")
def install_completion(*, shell: Literal["bash", "zsh", "fish", "powershell"] | None = None):
    """Let the shell complete commands and flags: writes a completion file, and names it in the shell's start-up file.

    Parameters
    ----------
    shell
        The shell; the one in use unless given.
    """
    from cyclopts.completion.detect import ShellDetectionError

    try:
        path = app.install_completion(shell=shell)
    except ShellDetectionError:
        raise ValueError("the shell in use is not known; name it, such as --install-completion --shell bash") from None
    tell(f"completion is in {path}; a new shell has it")
