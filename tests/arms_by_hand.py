"""Arms of a comparison written by hand."""

import math


def within_binomial_error(hits, trials, rate):
    """Whether a count is within 4 standard deviations of its expectation."""
    return abs(hits - trials * rate) < 4 * math.sqrt(trials * rate * (1 - rate))


def seeded(values):
    return dict(enumerate(values, 1))


CE = seeded([3.2810, 3.2790, 3.2830, 3.2802, 3.2818])


def shifted(by):
    """The baseline plus these differences, as the arm of a candidate."""
    return seeded([base + d for base, d in zip(CE.values(), by, strict=True)])
