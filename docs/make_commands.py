"""Write docs/commands.md: what each command of losslab says of itself.

    python docs/make_commands.py
"""

import io
from pathlib import Path

from rich.console import Console

from losslab.cli import app

COMMANDS = (
    "compare", "tune", "studies", "reproduce", "agreement", "ladder", "noise", "calibrate", "scaling fit",
    "scaling plan", "train", "finetune", "evaluate", "generate", "judge", "inspect", "losses", "lesson", "corpus",
    "report", "serve", "runs list", "runs show", "runs tag", "runs rm", "export", "import", "convert", "audit",
    "arena new", "arena show", "arena edit", "arena undo", "arena check", "arena test", "arena submit", "arena log",
    "arena replay", "arena board", "arena baselines", "arena verify", "arena search", "arena serve-mcp",
)
INTRODUCTION = """# Commands

What `losslab COMMAND --help` prints, for every command. Made by `python docs/make_commands.py`.
"""


def page() -> str:
    return "\n".join([INTRODUCTION, *map(section, COMMANDS)])


def section(command: str) -> str:
    out = io.StringIO()
    app.help_print(command.split(), console=Console(file=out, width=100, color_system=None))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return f"## losslab {command}\n\n```\n" + "\n".join(lines).strip() + "\n```\n"


if __name__ == "__main__":
    (Path(__file__).parent / "commands.md").write_text(page(), encoding="utf-8")
