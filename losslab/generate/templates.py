"""What is said in a conversation, as the one prompt that an instruction-tuned model reads."""

from collections.abc import Mapping, Sequence

from losslab.words import nearest

Message = Mapping[str, str]  # `role` (user or assistant) and `content`
ALPACA = ("Below is an instruction that describes a task. "
          "Write a response that appropriately completes the request.\n\n")
TEMPLATES = {  # what stands before all, around a question, behind an answer
    "alpaca": (ALPACA, "### Instruction:\n{}\n\n### Response:", "\n\n"),
    "plain": ("", "{}\n", "\n"),
}


def check(name: str) -> None:
    """An error unless there is such a template.

    Raises:
        ValueError: with the names that there are.
    """
    if name not in TEMPLATES:
        raise ValueError(f"unknown template {name!r}{nearest(name, TEMPLATES)}; the templates are "
                         f"{', '.join(TEMPLATES)}")


def render(name: str, messages: Sequence[Message]) -> str:
    r"""The text of a conversation up to where the next answer begins.

    Args:
        name: `alpaca`, the published template without input; or `plain`, the messages alone, a line each.
        messages: `user` and `assistant` in turn; the last one is answered.

    Example:
        >>> render("plain", [{"role": "user", "content": "Name a color."}])
        'Name a color.\n'
    """
    check(name)
    opening, question, behind = TEMPLATES[name]
    return opening + "".join(
        question.replace("{}", message["content"]) if message["role"] == "user" else message["content"] + behind
        for message in messages
    )


def stops(name: str) -> tuple[str, ...]:
    """Texts at which an answer ends, besides the end mark: the model begins to ask itself."""
    check(name)
    return ("\n\n### Instruction:",) if name == "alpaca" else ()
