"""Instruction data: rows of questions and answers, and the templates that make text of them. Needs no package."""

from losslab.instruct.rows import Example, form_of, group_of, is_example, read
from losslab.instruct.templates import TEMPLATES, check, parts, render, stops, written

__all__ = [
    "TEMPLATES", "Example", "check", "form_of", "group_of", "is_example", "parts", "read", "render", "stops", "written",
]  # fmt: skip
