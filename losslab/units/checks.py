"""What a rule says of a claim."""

from dataclasses import dataclass

OK, WARNING, WRONG = "ok", "warning", "wrong"


@dataclass(frozen=True)
class Check:
    """`ok`; `wrong`, where numbers contradict each other or a definition; or `warning`, where they can be true but do
    not say what a reader would take them for."""

    label: str
    message: str


def fits(is_so: bool, message: str) -> Check:
    """A check that is `ok` or `wrong`."""
    return Check(OK if is_so else WRONG, message)


def likely(is_so: bool, message: str) -> Check:
    """A check that is `ok` or a warning."""
    return Check(OK if is_so else WARNING, message)
