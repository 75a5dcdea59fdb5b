"""What a long build of a corpus says of itself."""

import time
from collections.abc import Callable

from losslab.progress import duration


def as_lines(tell: Callable[[str], None], *, every_seconds: float = 2.0) -> Callable[[str, int, int], None]:
    """A `Progress` that tells people a line now and then: what, how much, how fast, how long still.

    What has no bytes, neither done nor to do, is news, and is told at once.
    """
    state = {"last": time.monotonic(), "what": "", "begun": 0.0, "first": 0}

    def progress(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != state["what"]:
            state.update(what=what, begun=now, first=done)
            if not done and not total:
                tell(what)
                return
        if now - state["last"] < every_seconds:
            return
        state["last"] = now
        rate = (done - state["first"]) / max(now - state["begun"], 1e-9)
        of = f" of {total / 1e6:.1f}" if total else ""
        fast = f", {rate / 1e6:.1f} MB/s" if rate > 0 else ""
        left = f", {duration((total - done) / rate)} left" if total and rate > 0 else ""
        tell(f"{what}: {done / 1e6:.1f}{of} MB{fast}{left}")

    return progress
