"""The site that docs/build makes of these pages: Sphinx, MyST for Markdown, the theme Furo.

The reading order stands in docs/index.md alone: each heading with a list of pages is a part of the navigation.
Formulas become MathML, so that a page loads nothing from elsewhere and needs no script to show them.
"""

import re
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

HERE = Path(__file__).parent
project = "losslab"
author = "the contributors of losslab"
html_title = "losslab"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["losses/*.svg"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = ["myst.header", "misc.highlighting_failure"]
highlight_language = "none"
html_math_renderer = "mathml"

html_theme = "furo"
html_static_path, html_css_files = ["_static"], ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

FOLDERS = {"api": "api/*", "losses/README": "[a-z]*"}  # a page, and those that it leads to
ENTRY = re.compile(r"^(?:\d+\.|-) \[([^\]]+)\]\(([^)#]+\.md)\)")


def parts(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """The headings of docs/index.md, each with the title and the file of every page in its list."""
    found = []
    for line in text.splitlines():
        if line.startswith("## "):
            found.append((line[3:].strip(), []))
        elif entry := ENTRY.match(line):
            found[-1][1].append(entry.groups())
    return [part for part in found if part[1]]


def navigation(app, name: str, source: list[str]) -> None:
    """Adds tables of contents: to the first page from its own lists, and to the pages that have a folder of pages."""
    if name in FOLDERS:
        source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{FOLDERS[name]}\n```\n"
    if name != root_doc:
        return
    missing = [f"({page})" for _, entries in parts(source[0]) for _, page in entries if not (HERE / page).exists()]
    source[0] = "\n".join(line for line in source[0].splitlines() if not any(page in line for page in missing))
    for caption, entries in parts(source[0]):
        pages = "\n".join(f"{title} <{page.removesuffix('.md')}>" for title, page in entries)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"


def _formula(self, node: nodes.Node, display: str) -> None:
    self.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def setup(app) -> dict:
    app.add_html_math_renderer("mathml", (lambda self, node: _formula(self, node, "inline"), None),
                               (lambda self, node: _formula(self, node, "block"), None))
    app.connect("source-read", navigation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
