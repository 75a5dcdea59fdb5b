"""What was typed and is no command line: one sentence that says what came, and what would do."""

import shlex

from cyclopts import CycloptsError, MissingArgumentError, UnknownOptionError, UnusedCliTokensError

from losslab.cli.flags import unknown
from losslab.config.numbers import shown

EXAMPLES = {  # by the names that commands give to what they cannot do without
    "loss": "squentropy", "study": "squentropy", "run": "runs/RUN", "runs": "runs/RUN", "tags": "good",
    "source": "gpt2", "folder": "exported", "value": "1.5",
    "start": "runs/RUN --data alpaca.json", "first": "runs/FIRST", "second": "runs/SECOND", "table": "ladder.csv",
    "challenge": "loss-laptop", "transcript": "log.json",
    "row": "cross_entropy",
}


def told(error: CycloptsError) -> str:
    """The sentence on a command line that cannot be read."""
    match error:
        case UnknownOptionError():
            return unknown(error)
        case MissingArgumentError(argument=argument) if argument is not None:
            return _missing(error)
        case UnusedCliTokensError():
            more = " ".join(map(shown, error.unused_tokens))
            return f"`{_command(error)}` has no use for {more}; `{_command(error)} --help` says what it takes"
    return str(error).strip()


def _missing(error: MissingArgumentError) -> str:
    """An argument that was left out, or a flag without its value, with a command line that has it."""
    argument, command = error.argument, _command(error)
    given = argument.tokens or not argument.required
    if given or argument.index is None:  # a flag, which came alone
        flag, default = argument.name, argument.field_info.default
        known = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
        example = f", such as {flag} {shlex.quote(str(default))}" if known else ""
        return f"{flag} needs a value after it{example}; `{command} --help` says which"
    needed = sorted((one for one in error.app.assemble_argument_collection(parse_docstring=False)
                     if one.required and one.index is not None), key=lambda one: one.index)
    names = [one.name.lstrip("-") for one in needed]
    line = " ".join([command, *(EXAMPLES.get(name, name.upper()) for name in names)])
    return f"`{command}` needs {' and '.join(name.upper() for name in names)}, such as `{line}`"


def _command(error: CycloptsError) -> str:
    return " ".join(["losslab", *(error.command_chain or ())])
