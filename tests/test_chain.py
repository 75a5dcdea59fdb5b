"""The chain rule from row statistics to logits: one order of its sums, whatever order the parts come in."""

import itertools

import torch

from losslab.kernels.chain import coefficients


def test_the_parts_of_a_gradient_are_added_in_one_order():
    """A set of names has another order in each process; a run that resumes there must end bit-identically."""
    generator = torch.Generator().manual_seed(0)
    names = ["nll", "log_z", "entropy", ("power_sum", 1.5), ("power_sum", 3.0)]
    found = {name: torch.rand(50, generator=generator) for name in [*names, "log_s0"]}
    partials = {name: torch.randn(50, generator=generator) for name in names}
    targets = torch.randint(9, (50,), generator=generator)
    made = [coefficients(found, {name: partials[name] for name in order}, targets, [], {})
            for order in itertools.permutations(names)]
    assert all(torch.equal(made[0].a0, other.a0) for other in made)
    assert all([alpha for alpha, _ in other.powers] == [1.5, 3.0] for other in made)
