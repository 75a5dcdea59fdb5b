"""Untrusted text on a terminal."""

import re

from hypothesis import given
from hypothesis import strategies as st

from losslab.words import printable, shorten, width


@given(st.text())
def test_printable_text_moves_no_cursor_and_is_cut_to_measure(text):
    shown = printable(text)
    assert shown.isprintable() and not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert shown == text or not text.isprintable()
    assert width(shorten(shown, 7)) <= 7 and (width(shown) > 7 or shorten(shown, 7) == shown)


def test_what_is_printable_stays():
    assert printable("café ∇θ 損失 λ=1e-4") == "café ∇θ 損失 λ=1e-4" and width("損失λ") == 5
    assert printable("a\x1b]0;x\x07\nb\u202e\u2028\ud800") == r"a\x1b]0;x\x07\nb\u202e\u2028\ud800"
