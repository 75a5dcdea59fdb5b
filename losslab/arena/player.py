"""One verb that takes long, in a process of its own: it can be asked how far it is, and be ended.

It reads one JSON object from standard input and prints another. When standard input closes, it stops: whoever started
it has ended, or does not want the answer any more.
"""

import json
import os
import signal
import sys
import threading

from losslab.arena import verbs

VERBS = ("check", "test", "submit")
CANCELLED = "cancelled; what was paid for is not lost: the same command goes on with it"


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    request = json.loads(sys.stdin.buffer.readline())
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        threading.Thread(target=_watch, daemon=True).start()
        found = play(**request)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is done
    except KeyboardInterrupt:
        found = {"status": "cancelled", "reason": CANCELLED}
    json.dump(found, answer)
    answer.flush()
    return 0


def play(verb: str, place: str, arguments: list) -> dict:
    """What the verb returns; a mistake of the user is `refused`, with its sentence."""
    assert verb in VERBS, verb
    try:
        return getattr(verbs, verb)(place, *arguments, tell=_say)
    except (ValueError, OSError) as error:
        return {"status": "refused", "reason": str(error)}


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C: what was started is ended on the way out


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
