"""The text of one sample as its tokens come."""

import codecs
from collections.abc import Sequence


class Text:
    """A text that grows by tokens, up to the first of some texts at which it stops.

    `whole` is the text so far, without a character of which bytes are still to come; `news()` is what of it may be
    shown already. `finish` gives what is left at the end.

    Args:
        tokenizer: the bytes of a token are the same wherever it stands.
        stop: texts before which it ends.
    """

    def __init__(self, tokenizer, stop: Sequence[str] = ()):
        self._tokenizer, self._stop = tokenizer, tuple(filter(None, stop))
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.whole, self.stopped = "", False
        self._shown = 0

    def add(self, token: int) -> None:
        """One more token; `stopped` says whether a stop text is complete."""
        if hasattr(self._tokenizer, "decode_bytes"):
            self._take(self._decoder.decode(self._tokenizer.decode_bytes([token])))
        else:
            self._take(self._tokenizer.decode([token]))

    def finish(self) -> None:
        """No more tokens come: bytes that are no character become U+FFFD."""
        if not self.stopped:
            self._take(self._decoder.decode(b"", final=True))
        self._stop = ()

    def news(self) -> str:
        """What was not given before, less an end that may become a stop text."""
        starts = [stop[:size] for stop in self._stop for size in range(1, len(stop))] if not self.stopped else []
        end = len(self.whole) - max((len(start) for start in starts if self.whole.endswith(start)), default=0)
        news, self._shown = self.whole[self._shown : end], max(end, self._shown)
        return news

    def _take(self, piece: str) -> None:
        before, self.whole = len(self.whole), self.whole + piece
        found = [self.whole.find(stop, max(0, before - len(stop) + 1)) for stop in self._stop]
        if ends := [place for place in found if place >= 0]:
            self.whole, self.stopped = self.whole[: min(ends)], True
