"""The arena: losses that people and programs propose, judged by a referee that they cannot touch.

A challenge (`challenge`) says what is trained and what may be spent. A submission is a loss file. Its loss is computed
in a jail (`jail`, `inside`, `walls`, `tiers`), which is given the logits and the targets of one micro-batch in shared
memory (`memory`) and gives back the loss of each token and a gradient; model, optimizer, data and seeds stay with the
host (`jailed`, `worker`). `game` is what a submitter does, `board` what is shown of everybody.
"""
