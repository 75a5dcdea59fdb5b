"""What SLURM is asked for: the options of a job, as they were typed and as submitit takes them."""

import contextlib
from collections.abc import Iterator, Mapping

from losslab.config.numbers import shown
from losslab.words import printable

MINUTES = 60  # of a job, unless said
NUMBERS = ("time", "nodes", "ntasks_per_node", "cpus_per_task", "cpus_per_gpu", "signal_delay_s", "array_parallelism",
           "use_srun", "stderr_to_stdout")  # options that submitit computes with; 0042 is an account, and no 42


def ask(engine, asked: Mapping[str, object]) -> None:
    """Set the parameters of an executor of submitit.

    Raises:
        ValueError: for one that it does not have, or whose value is of another kind.
    """
    try:
        engine.update_parameters(**asked)
    except (ValueError, TypeError) as error:
        known = ", ".join(sorted(engine._valid_parameters() - {"map_count", "command"}))
        what = "is not known" if isinstance(error, ValueError) else "takes no text"
        raise ValueError(printable(f"an option of --executor slurm {what} ({str(error).splitlines()[0]}); there are "
                                   f"{known}")) from None


def typed(options: Mapping[str, str]) -> dict[str, object]:
    """Options as submitit takes them: those that are numbers as numbers, and of `time` whole minutes.

    Raises:
        ValueError: for a number that is none.

    Example:
        >>> typed({"account": "0042", "time": "240"})
        {'account': '0042', 'time': 240}
    """
    found: dict[str, object] = {name.replace("-", "_"): value for name, value in options.items()}
    for name, value in found.items():
        if name in NUMBERS and value.isascii() and value.isdigit():
            found[name] = int(value)
    if not isinstance(found.get("time", 1), int) or found.get("time") == 0:
        raise ValueError(f"the option time is a number of minutes, got {shown(found['time'])}; a job that is out of "
                         "time continues in the queue")
    for name in NUMBERS:
        if not isinstance(found.get(name, 1), int):
            raise ValueError(f"the option {name} is a whole number, got {shown(found[name])}")
    return found


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What `sbatch` refuses, such as a partition that does not exist, is the user's to put right."""
    from submitit.core.utils import FailedJobError

    try:
        yield
    except FailedJobError as error:
        lines = [line for line in str(error).splitlines() if "error" in line] or [str(error)]
        raise ValueError(printable(f"SLURM takes no such job: {lines[-1].strip()}; --executor-option says what to ask "
                                   "it for")) from None
