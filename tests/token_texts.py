"""Texts for vocabularies: scripts, joined emoji, control characters."""


FAMILY = "👩‍👩‍👧‍👦 naïve Ωmega 你好 — don't\r\n\t  2,000 words\n\n"
STORY = "Once upon a time there was a tokenizer. It was lossless. " * 40
TEXTS = [FAMILY, STORY, "ünïcödé 🙂🙃 " * 20, "\x00\x01\x7f\u2028"]
