"""Grading stories and answers: by a model behind an endpoint, by a local model, by people, and by measures of the text.

`protocols` says what a judge is asked and `parsing` reads what it answers; `endpoint` and `cache` carry both; `grading`
asks about every completion; `summary` averages, with errors clustered by prompt. `measures` needs no judge, and
`human` makes the page on which people vote.
"""
