"""What is said in a conversation, as the one prompt that an instruction-tuned model reads."""

from collections.abc import Callable, Mapping, Sequence

from losslab.words import nearest

Message = Mapping[str, str]  # `role` (user or assistant) and `content`


def render(name: str, messages: Sequence[Message]) -> str:
    r"""The prompt after which a model answers the last message.

    Args:
        name: `alpaca`, the template without input of the published Alpaca, one message after the other; or `plain`, the
            messages alone, a line each.
        messages: from the first to the one that is to be answered.

    Raises:
        ValueError: for another name.

    Example:
        >>> render("plain", [{"role": "user", "content": "Name a colour."}])
        'Name a colour.\n'
    """
    if name not in TEMPLATES:
        raise ValueError(f"unknown template {name!r}{nearest(name, TEMPLATES)}; there are {', '.join(TEMPLATES)}")
    return TEMPLATES[name](messages)


def _alpaca(messages: Sequence[Message]) -> str:
    head = ("Below is an instruction that describes a task. Write a response that appropriately completes the "
            "request.\n\n")
    marks = {"user": "### Instruction:\n{}\n\n### Response:", "assistant": "{}\n\n"}
    return head + "".join(marks[message["role"]].format(message["content"]) for message in messages)


def _plain(messages: Sequence[Message]) -> str:
    return "".join(message["content"] + "\n" for message in messages)


TEMPLATES: dict[str, Callable[[Sequence[Message]], str]] = {"alpaca": _alpaca, "plain": _plain}
