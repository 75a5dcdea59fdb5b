"""Write docs/losses: a page with drawings for some losses, and a gallery of the family.

Run from the root of the repository: python docs/make_losses.py
"""

import inspect
import sys
from pathlib import Path

from losslab import anatomy, formula
from losslab.report import anatomy_page, anatomy_text

HERE = Path(__file__).parent / "losses"
PAGES = ("cross_entropy", "label_smoothing", "squentropy", "mse", "poly1", "focal")
ABOUT = """# The family

What each loss is with its default parameters, found by trying it (`losslab inspect LOSS`), not written by hand.
*Bias* is the largest error in probability of the softmax where training ends, over five truths of three to five
classes; a term is inspected as `cross_entropy` plus it, with weight 1. Written by `python docs/make_losses.py`.

"""


def main() -> None:
    HERE.mkdir(parents=True, exist_ok=True)
    entries = []
    for name in formula.names("losslab.losses"):
        print(name, file=sys.stderr, flush=True)
        found = anatomy.inspect(name, measure=name in PAGES).to_dict()
        sentence = inspect.getdoc(formula.load("losslab.losses", name)).splitlines()[0]
        entries.append((found, sentence, f"{name}.md" if name in PAGES else None))
        if name not in PAGES:
            continue
        pictures = {}
        for chart, drawing in anatomy_page.drawings(found).items():
            file = HERE / f"{name}-{chart}.svg"
            file.write_text(drawing + "\n", encoding="utf-8")
            pictures[anatomy_page.CHARTS[chart]] = file.name
        page = anatomy_text.markdown(found, sentence, pictures)
        (HERE / f"{name}.md").write_text(page, encoding="utf-8")
    (HERE / "README.md").write_text(ABOUT + anatomy_text.gallery(entries), encoding="utf-8")


if __name__ == "__main__":
    main()
