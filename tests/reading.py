"""The pages of the documentation, as tests read them: their blocks, their commands, the files that they name."""

import re
import shlex
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATED = {"commands.md", "api.md"}  # by docs/make_commands.py and docs/make_api.py
APART = {"notebook.md", "live-page.md", "scaling-out.md"}  # their own tests run what they show
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WRITTEN = [page for page in PAGES if page.name not in GENERATED]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
FENCE = re.compile(r"^( *)```([a-z]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


def blocks(name: str, language: str = "") -> list[str]:
    """The fenced blocks of a page in one language, without their indentation; "" is what a terminal shows."""
    return [textwrap.dedent(code) for _, found, code in FENCE.findall(TEXTS[name]) if found == language]


def commands(name: str, program: str = "losslab") -> list[list[str]]:
    """The arguments of each command that a block of the page shows, without its comment."""
    lines = "\n".join(blocks(name)).replace("\\\n", " ").splitlines()
    lines = [re.sub(r"^torchrun .* -m losslab\.cli ", "losslab ", line) for line in lines]
    wanted = [line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")]
    return [shlex.split(line.split(" > ")[0], comments=True) for line in wanted]
