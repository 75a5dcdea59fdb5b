"""The prompts of a judgement, and what was written after them."""

from dataclasses import dataclass
from pathlib import Path

from losslab import instruct
from losslab.untrusted import one_line

MOST_CHARACTERS = 100_000  # of a prompt


@dataclass(frozen=True)
class Prompt:
    """What a model continues, and what a judge is shown of it."""

    text: str
    shown: str


@dataclass(frozen=True)
class Written:
    """What one model wrote: `[prompts][completions]`."""

    name: str
    texts: list[list[str]]


def read(path: Path, most: int = 0) -> tuple[list[Prompt], list[str]]:
    """The prompts of a file, each once, and what there is to say of them.

    Spaces at the end of a prompt are left out: a byte-level vocabulary has the space at the beginning of the next word.

    Args:
        path: as `instruct.read_prompts` takes it.
        most: the first so many that differ; 0 for all.

    Raises:
        ValueError: for a file that is no such list.
    """
    found, notes, cut = {}, [], 0
    for number, asked in enumerate(instruct.read_prompts(path), 1):
        if most and len(found) == most:
            break
        text = asked.rendered()
        told = f"{asked.text}\n\nInput:\n{asked.given}" if asked.given else asked.text
        cut += text != text.rstrip(" ")
        prompt = Prompt(text.rstrip(" "), told.rstrip(" "))
        if not prompt.text.strip() or len(prompt.text) > MOST_CHARACTERS:
            raise ValueError(one_line(f"prompt {number} of {path} is empty, or longer than {MOST_CHARACTERS:,} "
                                      "characters; take it out"))
        if prompt.text in found:
            notes.append(f"prompt {number} is the same as prompt {found[prompt.text][0]}, and is left out")
            continue
        found[prompt.text] = number, prompt
    if cut:
        notes.append(f"{cut} prompt{'s' * (cut > 1)} ended in a space, which was taken off")
    return [prompt for _, prompt in found.values()], notes
