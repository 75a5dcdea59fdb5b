"""What a long build of a corpus says of itself."""

import time
from collections.abc import Callable


def duration(seconds: float) -> str:
    """A time as people say it, to the second, and from an hour on to the minute.

    Example:
        >>> duration(45), duration(512), duration(3840)
        ('45 s', '8 min 32 s', '1 h 04 min')
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"


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
        left = f", {duration((total - done) / rate)} left" if total and rate > 0 else ""
        tell(f"{what}: {done / 1e6:.1f}{of} MB, {rate / 1e6:.1f} MB/s{left}")

    return progress
