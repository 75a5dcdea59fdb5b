"""A model behind an OpenAI-compatible endpoint: asked with patience, paid once, and never told more than it needs.

Asked again is what may pass: no connection after there was one, a time-out, half an answer, 408, 409, 425, 429 and
5xx. `Retry-After` is honored, in seconds or as a date, and holds for all threads.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from losslab.judge import wire
from losslab.judge.keys import Key
from losslab.judge.protocols import Message
from losslab.untrusted import one_line

AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}
FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 1.0, 60.0  # of what grows from try to try
PATIENCE_SECONDS = 600.0  # the longest that a Retry-After may ask for
LEAST_WAIT_SECONDS = 0.25  # where an endpoint that is busy asks for none
MOST_ANSWER_CHARACTERS = 200_000
UNKNOWN = ("support", "unrecognized", "unknown", "not permitted", "not allowed", "extra inputs")  # of optional fields


class Refused(ValueError):
    """Nothing that this endpoint could answer: going on would be of no use."""


class NoAnswer(ValueError):
    """No answer to this one request; `reason` says why in a few words."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Reply:
    """An answer, and the tokens that the endpoint counted for it; None where it did not."""

    text: str
    tokens_in: int | None
    tokens_out: int | None
    finish: str = ""
    model: str = ""  # what the endpoint says that answered


@dataclass
class Spend:
    """What was paid for in this run, and what was not because it was kept."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    calls_without_usage: int = 0
    tries_lost: int = 0  # requests that were sent again, or brought nothing; some endpoints charge for them
    kept_calls: int = 0
    kept_tokens_in: int = 0
    kept_tokens_out: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **counts: int) -> None:
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    def to_dict(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "_lock"}


class Endpoint:
    """`ask(messages)` of one model at one address; may be called from several threads.

    Args:
        to: its address.
        model: the name of the model there.
        key: sent as a bearer token where there is one.
        timeout: seconds that one answer may take.
        retries: how often a request is sent again.
        options: optional fields of the request, such as `temperature`; one that the endpoint does not know is left out
            from then on.
        sleep, clock, now, jitter: so that a test need not wait.
    """

    def __init__(
        self, to: wire.Address, model: str, key: Key, *, timeout: float = 120.0, retries: int = 6,
        options: Mapping[str, object] | None = None, tell: Callable[[str], None] = lambda text: None,
        sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time, jitter: Callable[[], float] = random.random,
    ):
        if key and to.scheme == "http" and not to.is_local:
            raise ValueError(f"the key in {key.variable} would go to {to.name} unencrypted; give an https:// address, "
                             "or unset the variable for a server that needs no key")
        self.to, self.model, self.key, self.timeout, self.retries = to, model, key, timeout, retries
        self.options, self.tell = dict(options or {}), tell
        self.sleep, self.clock, self.now, self.jitter = sleep, clock, now, jitter
        self.spend, self._lock = Spend(), threading.Lock()
        self._reached, self._quiet_until, self._told = False, -math.inf, set()

    def ask(self, messages: Sequence[Message]) -> Reply:
        """The answer to a conversation.

        Raises:
            Refused: if no request to this endpoint can succeed.
            NoAnswer: if this one did not, however often it was sent.
        """
        reason = ""
        for turn in range(self.retries + 1):
            self._wait()
            try:
                response = self._send(messages)
                if response.status == 200:
                    reply = self._reply(response.document())
                    self.spend.add(calls=1, tokens_in=reply.tokens_in or 0, tokens_out=reply.tokens_out or 0,
                                   calls_without_usage=int(reply.tokens_in is None))
                    return reply
                if response.status not in AGAIN:
                    self.spend.add(tries_lost=1)
                    if self._adapt(response):
                        continue
                    raise self._final(response)
                reason = f"HTTP {response.status}"
                self._check_quota(response)
                self._pause(turn, response.headers.get("Retry-After"))
            except wire.Unreachable as error:
                if not self._reached:
                    raise Refused(f"cannot reach the endpoint {self.to.name}: {self._clean(str(error))}; start the "
                                  "server, or give another --url") from None
                reason = "no connection"
                self._pause(turn)
            except TimeoutError:
                reason = "a time-out"
                self._pause(turn)
            except wire.Broken:
                reason = "an answer that is not whole, or no JSON"
                self._pause(turn)
            except OSError:
                reason = "a connection that broke off"
                self._pause(turn)
            self.spend.add(tries_lost=1)
        raise NoAnswer(reason or "a request that it does not accept")

    def models(self) -> list[str]:
        """The names of the models there; none where it does not say. Nothing is paid for it.

        Raises:
            Refused: where nobody is there, or the key is not accepted.
        """
        try:
            response = wire.send(self.to, "/models", self._headers(), None, seconds=min(self.timeout, 15))
            if response.status in (401, 403):
                raise self._final(response)
            found = response.document()
        except wire.Unreachable as error:
            raise Refused(f"cannot reach the endpoint {self.to.name}: {self._clean(str(error))}; start the server, or "
                          "give another --url") from None
        except (OSError, wire.Broken):
            return []
        rows = found.get("data")
        ids = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return [name for name in ids if isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable()]

    # --- one try -------------------------------------------------------------------------------

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key.reveal()}"} if self.key else {}

    def _send(self, messages: Sequence[Message]) -> wire.Response:
        value = {"model": self.model, "messages": list(messages), **self.options}
        response = wire.send(self.to, "/chat/completions", self._headers(), value, seconds=self.timeout)
        self._reached = True
        return response

    def _reply(self, found: dict) -> Reply:
        """What a document of the endpoint says.

        Raises:
            wire.Broken: where it has no answer in it.
        """
        choices = found.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        message = choice.get("message")
        if not isinstance(message, dict):
            raise wire.Broken("the answer has no choices")
        content = message.get("content")
        if isinstance(content, list):  # in parts
            content = "".join(part["text"] for part in content
                              if isinstance(part, dict) and isinstance(part.get("text"), str))
        text = content if isinstance(content, str) else ""  # none: it refused, and was paid all the same
        usage = found.get("usage") if isinstance(found.get("usage"), dict) else {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        known = all(type(count) is int and 0 <= count < 10**9 for count in counts)
        finish, model = choice.get("finish_reason"), found.get("model")
        return Reply(self.key.hide(text)[:MOST_ANSWER_CHARACTERS], *(counts if known else (None, None)),
                     self._clean(finish if isinstance(finish, str) else "", 40),
                     self._clean(model if isinstance(model, str) else "", 100))

    # --- what is no answer ---------------------------------------------------------------------

    def _final(self, response: wire.Response) -> ValueError:
        """Why a request is not sent again: a `NoAnswer` for this one, or `Refused` for all."""
        status, at = response.status, f"the endpoint {self.to.name}"
        if 300 <= status < 400:
            place = self._clean(response.headers.get("Location") or "nowhere", 120)
            return Refused(f"{at} sends on to {place}, which is not followed, so that the key goes nowhere else; give "
                           "that place with --url if you trust it")
        if status in (401, 403):  # its words may repeat a part of the key, and are not shown
            told = f"the key in {self.key.variable}" if self.key else "a request without a key"
            return Refused(f"{at} does not accept {told} (HTTP {status}); put one that it accepts into "
                           "LOSSLAB_JUDGE_KEY")
        said = self._said(response)
        if status in (402, 404, 405, 410, 501):
            return Refused(f"{at} has nothing to answer for the model {self.model} (HTTP {status}{said}); check --url "
                           "and --judge-model")
        with self._lock:
            if said not in self._told and len(self._told) < 5:
                self._told.add(said)
                self.tell(f"{at} does not accept a request (HTTP {status}{said}); it is counted as a failure")
        return NoAnswer(f"HTTP {status}")

    def _check_quota(self, response: wire.Response) -> None:
        if response.status == 429 and "insufficient_quota" in (self._error(response).get("code"),
                                                               self._error(response).get("type")):
            raise Refused(f"the endpoint {self.to.name} says that the quota of the key in {self.key.variable or 'use'} "
                          "is used up; what was answered is kept, and the same command continues from there")

    def _adapt(self, response: wire.Response) -> bool:
        """Whether the endpoint names an optional field that it does not take, which is then left out."""
        if response.status not in (400, 422):
            return False
        error = self._error(response)
        said = f"{error.get('param')} {error.get('message')}"
        if not any(word in said.lower() for word in UNKNOWN):
            return False
        with self._lock:
            for name in list(self.options):
                if name in said:
                    value = self.options.pop(name)
                    if name == "max_tokens" and "max_completion_tokens" in said:
                        self.options["max_completion_tokens"] = value
                    self.tell(f"the endpoint does not take {name}, which is left out from here on")
                    return True
        return False

    def _error(self, response: wire.Response) -> dict:
        try:
            found = response.document().get("error")
        except wire.Broken:
            return {}
        return found if isinstance(found, dict) else {"message": found} if isinstance(found, str) else {}

    def _said(self, response: wire.Response) -> str:
        message = self._error(response).get("message")
        return f": {self._clean(message, 160)}" if isinstance(message, str) else ""

    def _clean(self, text: str, most: int = 200) -> str:
        return one_line(self.key.hide(text), most)

    # --- waiting -------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Until no thread was asked to wait any longer."""
        while (left := self._quiet_until - self.clock()) > 0:
            self.sleep(left)

    def _pause(self, turn: int, retry_after: str | None = None) -> None:
        asked = wire.seconds_of(retry_after, self.now())
        if asked is not None and asked > PATIENCE_SECONDS:
            raise Refused(f"the endpoint {self.to.name} asks to wait {asked:,.0f} s, longer than losslab waits; what "
                          "was answered is kept, and the same command continues from there")
        if turn == self.retries and asked is None:
            return  # nothing is sent after it
        grown = min(MOST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**turn) * (0.5 + 0.5 * self.jitter())
        if asked is None:
            self.sleep(grown)
        else:  # all threads: the endpoint counts them together
            with self._lock:
                self._quiet_until = max(self._quiet_until, self.clock() + max(asked, LEAST_WAIT_SECONDS))
