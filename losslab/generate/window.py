"""What of a text a model reads where the text is longer than its context."""


def window_start(length: int, limit: int) -> int:
    """The first token that is read of a text of `length` tokens, by a model with `limit` positions.

    All of a text that fits is read. Of a longer one the newest half of the context is, and it fills up again: the
    beginning stays until the context is full. It depends on the length alone, so that a text continues in the same way
    whether it was written here or given as a prompt, with a cache or without.

    Example:
        >>> [window_start(length, 4) for length in range(1, 13)]
        [0, 0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9]
    """
    if length <= limit:
        return 0
    stride = limit + 1 - max(1, limit // 2)
    return -((limit - length) // stride) * stride
