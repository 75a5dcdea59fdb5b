"""Every completion before the judge, several at once; what it could not grade is counted, and never a grade."""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol as Interface

from losslab.judge import cache
from losslab.judge.endpoint import Endpoint, NoAnswer, Refused, Reply
from losslab.judge.parsing import Unread, grades
from losslab.judge.protocols import Message, Protocol
from losslab.progress import Progress, silent

MOST_IN_A_ROW = 8  # requests without an answer, after which nobody is asked any more
FIRST = 20  # gradings; where none of them could be read, somebody who watches is told


@dataclass(frozen=True)
class Task:
    """What is graded once.

    Args:
        model: whose text it is; of a pair, the two in the order in which they are shown.
        prompt: the number of the prompt.
        number: which of the completions of that prompt.
        texts: one for each part of the protocol.
        repeat: how often the same was graded before.
    """

    model: str | tuple[str, str]
    prompt: int
    number: int
    texts: tuple[str, ...]
    repeat: int = 0


@dataclass(frozen=True)
class Outcome:
    """The grades of a task, or why there are none."""

    task: Task
    grades: dict[str, float] | None
    failure: str = ""
    assessment: str = field(default="", repr=False)


class Judge(Interface):
    """Whoever grades."""

    def grade(self, protocol: Protocol, texts: Sequence[str], repeat: int) -> tuple[dict[str, float], str]:
        """Grades by name, and the assessment in words.

        Raises:
            Unread: where it gave no grades that can be read.
            NoAnswer: where it gave no answer.
        """


class Asking:
    """A judge behind an endpoint, whose answers are kept."""

    def __init__(self, endpoint: Endpoint, kept: cache.Cache):
        self.endpoint, self.kept = endpoint, kept
        # a port of this machine names no model: what listens there tomorrow may be the same one
        self._at = "this machine" if endpoint.to.is_local else endpoint.to.name
        self._options = dict(endpoint.options)

    def grade(self, protocol: Protocol, texts: Sequence[str], repeat: int) -> tuple[dict[str, float], str]:
        assessment = self.answer(protocol.first(texts), repeat).text
        if not assessment.strip():
            raise Unread("an empty assessment")
        return grades(self.answer(protocol.second(texts, assessment), repeat).text, protocol), assessment

    def answer(self, messages: Sequence[Message], repeat: int) -> Reply:
        """From what is kept; else from the endpoint, and kept before anything else happens."""
        asked = self._asked(messages, repeat)
        name = cache.key(asked)
        with self.kept.alone(name):
            if (reply := _reply(self.kept.read(name))) is not None:
                self.endpoint.spend.add(kept_calls=1, kept_tokens_in=reply.tokens_in or 0,
                                        kept_tokens_out=reply.tokens_out or 0)
                return reply
            reply = self.endpoint.ask(messages)
            self.kept.write(name, {"asked": asked, "reply": vars(reply)})
            return reply

    def has(self, messages: Sequence[Message], repeat: int) -> Reply | None:
        """The answer that is kept, if one is."""
        return _reply(self.kept.read(cache.key(self._asked(messages, repeat))))

    def _asked(self, messages: Sequence[Message], repeat: int) -> dict:
        return {"at": self._at, "model": self.endpoint.model, "messages": list(messages), "options": self._options,
                "repeat": repeat}


def _reply(found: dict | None) -> Reply | None:
    """A kept answer; None where there is none, or it is not one that was written here."""
    kept = (found or {}).get("reply")
    if not isinstance(kept, dict) or kept.keys() != {"text", "tokens_in", "tokens_out", "finish", "model"}:
        return None
    counts = (kept["tokens_in"], kept["tokens_out"])
    is_text = all(isinstance(kept[name], str) for name in ("text", "finish", "model"))
    return Reply(**kept) if is_text and all(count is None or type(count) is int for count in counts) else None


def run(
    judge: Judge, protocol: Protocol, tasks: Sequence[Task], *, at_once: int = 4, progress: Progress = silent,
) -> list[Outcome]:
    """One outcome for each task, in their order.

    Raises:
        Refused: if the judge cannot be asked at all; what was answered before is kept.
    """
    found: list[Outcome | None] = [None] * len(tasks)
    in_a_row = 0
    graded = _pooled(lambda task: _graded(judge, protocol, task), tasks, at_once)
    for done, (number, outcome) in enumerate(graded, 1):
        found[number] = outcome
        in_a_row = in_a_row + 1 if outcome.failure.startswith(NO_ANSWER) else 0
        if in_a_row == MOST_IN_A_ROW:
            raise Refused(f"the judge gave no answer {MOST_IN_A_ROW} times in a row ({outcome.failure}); what was "
                          "answered is kept, and the same command continues from there")
        if done == FIRST and all(one is None or one.grades is None for one in found):
            progress(f"none of the first {FIRST} gradings could be read ({outcome.failure}); Ctrl-C stops, and what "
                     "was paid for is kept", 0, 0)
        progress("judging", done, len(tasks), "texts")
    return found


NO_ANSWER = "no answer: "


def _graded(judge: Judge, protocol: Protocol, task: Task) -> Outcome:
    try:
        found, assessment = judge.grade(protocol, task.texts, task.repeat)
        return Outcome(task, found, "", assessment)
    except Unread as error:
        return Outcome(task, None, str(error))
    except NoAnswer as error:
        return Outcome(task, None, f"{NO_ANSWER}{error.reason}")


def _pooled(work: Callable, items: Sequence, at_once: int) -> Iterable[tuple[int, object]]:
    """`(number, work(item))` as they come. The first error ends it; threads that still wait for an answer do not hold
    up the end of the process."""
    todo, done, over = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()
    for numbered in enumerate(items):
        todo.put(numbered)

    def serve() -> None:
        while not over.is_set():
            try:
                number, item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((number, work(item), None))
            except BaseException as error:
                done.put((number, None, error))
                return

    try:
        for _ in range(min(at_once, len(items))):
            threading.Thread(target=serve, daemon=True).start()
        for _ in items:
            number, outcome, error = done.get()
            if error is not None:
                raise error
            yield number, outcome
    finally:
        over.set()
