"""A loss, number by number: a small GPT made of single numbers, trained on names, every step in the open.

The scalar program needs Python alone. Read it in this order: `autograd`, `model`, `losses`, `names`, `training`.
`vectorized` computes the same with tensors, `trace` takes one name apart, `chapters` tells it on a terminal, and `page`
writes it as one HTML file.
"""
