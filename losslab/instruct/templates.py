"""Templates: the text that is made of a conversation, and which part of it is an answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from losslab.words import nearest

Message = Mapping[str, str]  # `role` (system, user or assistant), `content`, and of a user perhaps `input`

# as published with Stanford Alpaca (Taori et al., 2023), character by character
WITH_INPUT = ("Below is an instruction that describes a task, paired with an input that provides further context. "
              "Write a response that appropriately completes the request.")
WITHOUT_INPUT = ("Below is an instruction that describes a task. "
                 "Write a response that appropriately completes the request.")


class Part(NamedTuple):
    text: str
    is_answer: bool


class Template(NamedTuple):
    """How a conversation is written: an opening once, then a question and an answer in turn.

    `next` stands between an answer and the question after it. It belongs to the answer, so that a model learns to hand
    over; generation stops there.
    """

    opening: Callable[[str, bool], str]  # of the system message, and whether the first question has an input
    question: Callable[[str, str], str]  # of the question and its input, up to where the answer begins
    next: str


def _chat_question(content: str, given: str) -> str:
    return f"{content}{given and chr(10) * 2}{given}\n\nAssistant:\n"


TEMPLATES: dict[str, Template] = {
    "alpaca": Template(
        lambda system, has_input: f"{system or (WITH_INPUT if has_input else WITHOUT_INPUT)}\n\n### Instruction:\n",
        lambda content, given: f"{content}{given and f'{chr(10) * 2}### Input:{chr(10)}'}{given}\n\n### Response:",
        "\n\n### Instruction:\n",
    ),
    "chat": Template(
        lambda system, has_input: f"{f'System:{chr(10)}{system}{chr(10) * 2}' if system else ''}User:\n",
        _chat_question, "\n\nUser:\n",
    ),
    "plain": Template(
        lambda system, has_input: f"{system}\n" if system else "",
        lambda content, given: f"{content}{given and chr(10)}{given}\n", "\n",
    ),
}


def check(name: str) -> None:
    """An error unless there is such a template.

    Raises:
        ValueError: with the names that there are, and the nearest of them.
    """
    if name not in TEMPLATES:
        raise ValueError(f"unknown template {name!r}{nearest(name, TEMPLATES)}; the templates are "
                         f"{', '.join(TEMPLATES)}")


def parts(name: str, messages: Sequence[Message]) -> list[Part]:
    """The text of a conversation in parts, each either an answer or not.

    Args:
        name: of a template.
        messages: perhaps one of `system` first, then `user` and `assistant` in turn.

    Raises:
        ValueError: for an unknown template, or messages in another order.

    Example:
        >>> turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
        >>> [tuple(part) for part in parts("chat", turns)]
        [('User:\\nHi\\n\\nAssistant:\\n', False), ('Hello.', True)]
    """
    check(name)
    template, system, turns = TEMPLATES[name], "", list(messages)
    if turns and turns[0]["role"] == "system":
        system = turns.pop(0)["content"]
    if not turns or any(turn["role"] != ("user", "assistant")[i % 2] for i, turn in enumerate(turns)):
        raise ValueError("a conversation is perhaps a system message, then user and assistant in turn, got "
                         f"{', '.join(message['role'] for message in messages) or 'none'}")
    found, before = [], template.opening(system, bool(turns[0].get("input")))
    for i, turn in enumerate(turns):
        if turn["role"] == "user":
            found.append(Part(before + template.question(turn["content"], turn.get("input") or ""), False))
        else:
            found.append(Part(turn["content"] + (template.next if i + 1 < len(turns) else ""), True))
            before = ""
    return found


def render(name: str, messages: Sequence[Message]) -> str:
    """The text of a conversation up to where the next answer begins: what a model is asked to continue.

    Args:
        name: of a template.
        messages: as those of `parts`, the last of them a `user`'s.

    Example:
        >>> render("alpaca", [{"role": "user", "content": "Name a color."}])[-45:]
        '### Instruction:\\nName a color.\\n\\n### Response:'
    """
    if messages and messages[-1]["role"] != "user":
        raise ValueError(f"a model answers a user, and the last message is of {messages[-1]['role']}; add a question")
    return "".join(part.text for part in parts(name, messages))


def stops(name: str) -> tuple[str, ...]:
    """Texts at which generation of an answer ends, besides the end mark."""
    check(name)
    return (TEMPLATES[name].next.rstrip("\n"),) if name != "plain" else ()


def written(name: str) -> str:
    """The template as people read it, with braces where texts go.

    Example:
        >>> print(written("plain"))
        {instruction}
        {output}
    """
    asked = {"role": "user", "content": "{instruction}"}
    answer = {"role": "assistant", "content": "{output}"}
    return "".join(part.text for part in parts(name, [asked, answer]))
