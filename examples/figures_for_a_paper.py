# %% [markdown]
# # Figures for a paper
#
# From finished runs to charts, tables and the methods section. On the command line the same is
# `losslab report runs --figures paper`.

# %%
from pathlib import Path

import losslab as ll

SIZE = {"corpus": "tales", "num_tokens": 500_000, "seeds": 5}

found = ll.compare(["cross_entropy", "focal(gamma=3.0)"], **SIZE)  # what is there already is not trained again

# %% [markdown]
# Everything at once: each chart as SVG and PNG, each table as CSV, Markdown and LaTeX (booktabs), every number with all
# its digits, the sentence of the verdict, and a paragraph that says what was done.

# %%
folder = found.save("paper")
print(sorted(file.name for file in folder.iterdir()))

# %%
print((folder / "METHODS.md").read_text())
print((folder / "arms.tex").read_text())

# %% [markdown]
# A chart is one of Altair's, so a journal's wishes are a line each: a width, another size of letters, a title.

# %%
chart = found.chart("curves").properties(width=300, height=200, title="nll while training")
chart.configure_axis(labelFontSize=9, titleFontSize=9).save("curves-narrow.svg")
print(Path("curves-narrow.svg").stat().st_size, "bytes")

# %% [markdown]
# Or draw it yourself: all numbers are plain rows, and data frames where pandas is installed.

# %%
points = ll.runs().curve("tune/nll")
print(len(points), "points such as", points[0])
