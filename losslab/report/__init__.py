"""A comparison -> one document -> one HTML file, its Markdown and JSON, and a table for terminals.

`document(comparison)` holds everything that is said; `write(document, path)` and `table(document)` only show it.
"""

from losslab.report.as_markdown import markdown
from losslab.report.document import document
from losslab.report.page import page_at, write
from losslab.report.text import table

__all__ = ["document", "markdown", "page_at", "table", "write"]
