"""Multi-token prediction with one head."""

import torch


def multi_token(prediction, *, weights=(1.0, 0.5, 0.25)):
    r"""Cross-entropy that also asks, with less weight, for the tokens that come after the next.

    With $p = \operatorname{softmax}(z)$ and $y_0 = y, y_1, y_2, \ldots$ the target of a token and
    those of the tokens behind it in the same row,

    $$\ell(z, y) = -\sum_i w_i \log p_{y_i}, \qquad \nabla_z \ell = \sum_i w_i\,(p - e_{y_i}).$$

    All are asked of one softmax, so what is learned is a mixture of near futures; hence
    schedules lower the later weights to 0, where it is cross-entropy. It depends on
    the tokens after each one, so a row must be whole; what lies behind the end of the row or is
    masked is not asked for. Documents that share a row are not kept apart.

    Args:
        prediction: what the model said about `[..., batch, seq]` tokens; uses `nll`,
            `target_logit`, `targets`, `valid` and `logit_at` at the later targets.
        weights: of the next token, the one after it, and so on, not negative; the first
            is positive.

    Returns:
        `[..., batch, seq]`, weighted nats.

    Raises:
        ValueError: for weights that are no list, that are negative or whose first is 0; for targets
            without a dimension of rows, `[batch, seq]`.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> row = Prediction.dense(torch.zeros(1, 3, 4), torch.tensor([[2, 0, 1]]))
        >>> multi_token(row, weights=(1.0, 0.5))  # 1.5 log 4, and log 4 where nothing follows
        tensor([[2.0794, 2.0794, 1.3863]])

    Reference:
        Gloeckle et al., Better & Faster Large Language Models via Multi-token Prediction,
        2024, arXiv:2404.19737, with a head for each future token; the form with one head
        is of the NanoGPT speedrun (github.com/KellerJordan/modded-nanogpt, 2025-12-22).
    """
    if not isinstance(weights, tuple | list) or not weights:
        raise ValueError(f"multi_token takes weights as a list such as [1.0, 0.5], got {weights!r}")
    if not (weights[0] > 0 and all(weight >= 0 for weight in weights)):
        raise ValueError(f"multi_token takes weights that are not negative, the first positive, got {list(weights)}")
    targets, valid = prediction.targets, prediction.valid
    if targets.dim() < 2:
        raise ValueError(
            f"multi_token uses later tokens of the same row, so it takes targets [batch, seq], got "
            f"{list(targets.shape)}"
        )
    if len(weights) == 1:
        return weights[0] * prediction.nll
    seq = targets.shape[-1]
    here, steps = (torch.arange(n, device=targets.device) for n in (seq, len(weights) - 1))
    later = here.unsqueeze(-1) + 1 + steps
    exists, later = later < seq, later.clamp_max(seq - 1)  # [seq, k]
    asked = (exists & valid[..., later]) * prediction.nll.new_tensor(weights[1:])
    behind = prediction.target_logit.unsqueeze(-1) - prediction.logit_at(targets[..., later])
    return weights[0] * prediction.nll + (asked * (prediction.nll.unsqueeze(-1) + behind)).sum(-1)
