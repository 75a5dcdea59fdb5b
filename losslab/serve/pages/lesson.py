"""The lesson, trained when it is first asked for: the page of `losslab lesson --page`."""

import re

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from losslab.serve.site import of

STEPS = 1_000


def show(request: Request) -> Response:
    """The page, with the policy that it carries itself: it names its own script by its hash."""
    text = of(request).once(("lesson",), _text)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1].replace("&#39;", "'")
    return HTMLResponse(text, headers={"content-security-policy": f"{policy}; frame-ancestors 'none'"})


def _text() -> str:
    from losslab.lesson import chapters, names, page
    from losslab.lesson.vectorized import Training

    read = names.embedded()
    return page.html(page.document(Training(read), STEPS, chapters.example(read)))
