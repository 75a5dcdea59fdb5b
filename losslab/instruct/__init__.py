"""Instruction data: rows of questions and answers, and the templates that make text of them. Needs no package."""

from losslab.instruct.prompts import Prompt, read_prompts
from losslab.instruct.rows import Example, form_of, group_of, is_example, read
from losslab.instruct.templates import TEMPLATES, check, parts, render, stops, written

__all__ = [
    "TEMPLATES", "Example", "Prompt", "check", "form_of", "group_of", "is_example", "parts", "read", "read_prompts",
    "render", "stops", "written",
]  # fmt: skip
