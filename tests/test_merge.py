"""Parts of the vocabulary merged in any order say what the whole row says."""

import functools
import itertools

import pytest
import torch
from torch.testing import assert_close

from losslab.kernels.merge import Part
from losslab.prediction import Prediction

CUTS = [(0, 5), (5, 6), (6, 13), (13, 23)]  # columns; one part is a single column
UNIGRAM = torch.rand(23, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def part_of(logits, targets, first, last):
    """Statistics of some columns; a target elsewhere gives 0 to `target_logit`."""
    z = logits[:, first:last]
    top, argmax = z.max(1)
    shifted = z - top[:, None]
    here = (targets >= first) & (targets < last)
    sums = {"sum_logits": z.sum(1), "sum_squares": z.square().sum(1), ("dot", "unigram"): z @ UNIGRAM[first:last],
            "target_logit": logits.gather(1, targets[:, None])[:, 0].where(here, 0.0)}
    powers = {alpha: (alpha * shifted).exp().sum(1) for alpha in (0.5, 2.0)}
    return Part(top, argmax + first, shifted.exp().sum(1), (shifted.exp() * shifted).sum(1), powers, sums)


def parts(logits, targets):
    return [part_of(logits, targets, *cut) for cut in CUTS]


def merge(*parts):
    """Parts as one, by the merge of kernels, which leave them `[parts, n]`."""
    def stack(name):
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], dict):
            return {key: torch.stack([value[key] for value in values]) for key in values[0]}
        return torch.stack(values)

    return Part(*map(stack, ("top", "argmax", "s0", "s1", "powers", "sums"))).joined()


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_in_any_order_and_any_grouping(scale):
    logits = scale * torch.randn(9, 23, dtype=torch.float64)
    logits[0] = 0.0  # every logit ties: the first is the largest
    logits[1, [4, 17]] = 9 * scale
    targets = torch.randint(23, (9,))
    dense = Prediction.dense(logits, targets, {"unigram": UNIGRAM})
    merged = []
    for todo in itertools.permutations(parts(logits, targets)):
        merged += [functools.reduce(merge, todo), merge(merge(*todo[:2]), merge(*todo[2:])), merge(*todo)]
    assert len(merged) == 72
    for found in (one.quantities() for one in merged):
        for name in ("nll", "log_z", "entropy", "max_logit", "target_logit", "sum_logits", "sum_squares"):
            assert_close(found[name], getattr(dense, name), rtol=1e-10, atol=1e-10)
        for alpha in (0.5, 2.0):
            assert_close(found["power_sum", alpha], dense.power_sum(alpha), rtol=1e-10, atol=1e-10)
        assert_close(found["dot", "unigram"], dense.dot("unigram"))
        assert (found["argmax"] == dense.argmax).all()


def test_one_part_is_the_whole():
    logits, targets = torch.randn(4, 23, dtype=torch.float64), torch.randint(23, (4,))
    found = part_of(logits, targets, 0, 23).quantities()
    assert_close(found["nll"], Prediction.dense(logits, targets).nll)


def test_a_merge_that_forgets_to_shift_s1_is_seen():
    logits, targets = torch.randn(4, 23, dtype=torch.float64), torch.zeros(4, dtype=torch.long)
    one, other = part_of(logits, targets, 0, 9), part_of(logits, targets, 9, 23)
    merged = merge(one, other)
    top = merged.top
    merged.s1 = (one.top - top).exp() * one.s1 + (other.top - top).exp() * other.s1
    assert (merged.quantities()["entropy"] - Prediction.dense(logits, targets).entropy).abs().max() > 1e-3
