"""losslab in Python, for notebooks and scripts; `import losslab as ll` offers these names.

Nothing is computed here: `compare` conducts a study, `runs` reads records, `load` reads weights, `inspect` asks
`anatomy`, and what they return shows itself in a notebook.
"""
