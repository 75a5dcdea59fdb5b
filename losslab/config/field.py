"""How a setting says that it is no part of the identity of a run, or is there in another form."""

from dataclasses import field


def outside(default, why: str):
    """A setting that is no part of the identity of a run, and why not."""
    return field(default=default, metadata={"outside": why})


def instead(default, what: str):
    """A setting that the identity of a run has in another form, and in which."""
    return field(default=default, metadata={"instead": what})
