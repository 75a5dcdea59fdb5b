"""The form of a loss over the logits: curves, gradient scale, convexity, and where it stays finite."""

import math

import torch
from torch import Tensor

from losslab.anatomy import probe
from losslab.anatomy.probe import losses_and_gradient
from losslab.config import IGNORE_INDEX
from losslab.objective import Objective

SIZES = (27, 4_096, 50_257)  # characters, a small subword vocabulary, GPT-2's
P_CORRECT = (0.001, 0.003, 0.01, *(i / 40 for i in range(1, 40)), 0.99, 0.997, 0.999)
INIT_STD = 0.02 * math.sqrt(768)  # logits of GPT-2 at the start: 768 normed features times weights of 0.02
TARGET = 1
CONVENTIONS = {
    "curves": "raw logits are log p minus their mean, with the wrong probability spread evenly; gradients are with "
    "respect to raw logits. With a logit transform P(correct) is what comes out of it. All points are one batch, which "
    "matters to a loss of a whole batch; of a classic loss, which may give the mean of a batch, each point is a "
    "separate batch.",
    "untrained": f"logits all 0, and logits from N(0, {INIT_STD:.3f}^2), as of GPT-2's initial weights at width 768: "
    "means over 16 tokens of one row with distinct targets.",
    "convex": "the gradient is monotone: for pairs of points a and b, (gradient(b) - gradient(a))(b - a) is not "
    "negative. Of a loss whose gradient is the derivative of its value this is convexity. True means that no "
    "counterexample was found, False comes with one; a slope below -1e-4 of the largest counts.",
    "vocabulary": "losses that ask for vectors of a corpus get Zipf's frequencies, and of every second token the one "
    "before as its prefix.",
}


def curve(objective: Objective, vocab_size: int) -> dict:
    """Value, derivative with respect to the target's logit and norm of the gradient along P(correct)."""
    p = torch.tensor(P_CORRECT, dtype=torch.float64)
    logits = ((1 - p) / (vocab_size - 1)).log().unsqueeze(-1).repeat(1, vocab_size)
    logits[:, TARGET] = p.log()
    logits -= logits.mean(-1, keepdim=True)
    targets = torch.full((len(p), 1), TARGET)
    batches = [(logits.unsqueeze(1), targets)]
    if objective.takes_logits:  # it may give the mean of its batch, and that of one row is the row's own value
        batches = zip(logits[:, None, None], targets.unsqueeze(1), strict=True)
    found = [losses_and_gradient(objective, x, y) for x, y in batches]
    losses, gradient = (torch.cat(each) for each in zip(*found, strict=True))
    if objective.transforms:
        p = objective.transform(logits).softmax(-1)[:, TARGET]
    return {
        "vocab_size": vocab_size, "p_correct": p.tolist(), "value": losses.flatten().tolist(),
        "target_gradient": gradient[:, 0, TARGET].tolist(), "gradient_norm": gradient.norm(dim=-1).flatten().tolist(),
    }


def drawable(objective: Objective, sizes: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """The numbers of classes of which curves can be drawn, and what is to be said of those that are left out."""
    runs = tuple(size for size in sizes if probe.runs_on(objective, size))
    if runs == sizes:
        return runs, ""
    left = ", ".join(f"{size:,}" for size in sizes if size not in runs)
    why = " a batch of one token, as each point of the curve is, of" if objective.takes_logits else ""
    return runs, f"no curve is drawn for {left} classes: the loss fails on{why} so many, or is not finite there"


def untrained(objective: Objective, vocab_size: int) -> dict:
    """Value and norm of the gradient of an untrained model, and that norm in units of cross-entropy's."""
    generator = torch.Generator().manual_seed(0)
    noise = INIT_STD * torch.randn(1, 16, vocab_size, generator=generator, dtype=torch.float64)
    targets = torch.randperm(vocab_size, generator=generator)[:16].unsqueeze(0)
    plain = Objective.parse("cross_entropy")
    found = {"vocab_size": vocab_size}
    for name, logits in (("zero", torch.zeros_like(noise)), ("gpt2", noise)):
        losses, gradient = losses_and_gradient(objective, logits, targets)
        norms = [g.norm(dim=-1).mean() for g in (gradient, losses_and_gradient(plain, logits, targets)[1])]
        found[name] = {"value": float(losses.mean()), "gradient_norm": float(norms[0]),
                       "times_cross_entropy": float(norms[0] / norms[1])}
    return found


def convexity(objective: Objective, alone: bool) -> dict:
    """How many pairs of points were tried, on how many classes, and the worst counterexample to convexity, or None.

    The search works best on few classes; on many, a loss of the likeliest classes behaves as in use.
    """
    tokens = 1 if alone else 2
    tried = [(size, pairs) for size, pairs in ((4, 4_000), (64, 400)) if probe.runs_on(objective, size, tokens)]
    found = [_monotone(objective, alone, pairs, size) for size, pairs in tried]
    witness = next((one["witness"] for one in found if one["witness"]), None)
    return {"pairs": sum(one["pairs"] for one in found), "classes": [size for size, _ in tried], "witness": witness}


def _monotone(objective: Objective, alone: bool, pairs: int, vocab_size: int) -> dict:
    generator = torch.Generator().manual_seed(0)
    tokens = 1 if alone else 4  # else as a function of all logits of a batch of 2 by 2
    pairs = pairs if alone else pairs // 10

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    def among(*values: float) -> Tensor:
        return torch.tensor(values)[torch.randint(len(values), (pairs, 1, 1), generator=generator)].double()

    start = among(0.1, 1.0, 3.0, 8.0) * normal(pairs, tokens, vocab_size)
    end = start + among(0.1, 1.0, 5.0) * normal(pairs, tokens, vocab_size)
    targets = torch.randint(vocab_size, (pairs, tokens), generator=generator)

    def gradient(z: Tensor) -> Tensor:
        if alone:
            return losses_and_gradient(objective, z, targets)[1]
        batches = zip(z.view(-1, 2, 2, vocab_size), targets.view(-1, 2, 2), strict=True)
        return torch.stack([losses_and_gradient(objective, x, y)[1].view(tokens, -1) for x, y in batches])

    along = end - start
    slopes = ((gradient(end) - gradient(start)) * along).sum((1, 2)) / along.square().sum((1, 2))
    worst = int(slopes.argmin())
    if not float(slopes[worst]) < -1e-4 * float(slopes.abs().max()):
        return {"pairs": pairs, "witness": None}
    witness = {"targets": targets[worst].tolist(), "from": start[worst].tolist(), "to": end[worst].tolist(),
               "slope": float(slopes[worst])}
    return {"pairs": pairs, "witness": witness}


def finite(objective: Objective, vocab_size: int = 27) -> dict[str, bool]:
    """Case -> whether value and gradient are finite in float32; a masked token must also give exactly nothing."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 3, vocab_size, generator=generator)
    targets = torch.randint(vocab_size, (2, 3), generator=generator)
    at_target = torch.nn.functional.one_hot(targets, vocab_size).float()
    masked = targets.clone()
    masked[0] = IGNORE_INDEX
    broken = noise.clone()
    broken[0] = float("inf")
    cases = {
        "masked": (broken, masked), "certain and right": (1e2 * at_target, targets),
        "certain and wrong by 1e2": (-1e2 * at_target, targets),
        "certain and wrong by 1e4": (-1e4 * at_target, targets),
        "extreme 1e4": (1e4 * noise, targets), "all equal 1e4": (torch.full_like(noise, 1e4), targets),
    }
    found = {}
    for name, (logits, wanted) in cases.items():
        losses, gradient = losses_and_gradient(objective, logits, wanted)
        found[name] = bool(losses.isfinite().all() and gradient.isfinite().all())
        if name == "masked":
            found[name] &= not bool(losses[0].any() or gradient[0].any())
    return found
