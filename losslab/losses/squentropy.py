"""Squentropy: cross-entropy plus the mean square of the wrong logits."""


def squentropy(prediction, *, square_weight=1.0):
    r"""Cross-entropy plus the mean square of the wrong logits.

    With $p = \operatorname{softmax}(z)$, target $y$ and $V$ classes,

    $$\ell(z, y) = -\log p_y + \frac{a}{V-1} \sum_{j \ne y} z_j^2, \qquad
      \nabla_z \ell = p - e_y + \frac{2a}{V-1}\,(z - z_y e_y).$$

    The square pulls every wrong logit toward 0 and leaves the target's free.
    $a = 1$ is the paper's loss and has no parameter to tune; $a = 0$ is cross-entropy.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll`,
            `sum_squares` and `target_logit`.
        square_weight: weight $a$ of the square, not negative.

    Returns:
        `[...]`; nats per token only at `square_weight=0`.

    Raises:
        ValueError: for a square_weight below 0.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> split = Prediction.dense(torch.tensor([[1.0, 1.0]]), torch.tensor([0]))
        >>> squentropy(split)  # log 2 + 1
        tensor([1.6931])

    Reference:
        Hui, Belkin and Wright, Cut your Losses with Squentropy, ICML 2023. arXiv:2302.03952
    """
    if not square_weight >= 0:
        raise ValueError(f"squentropy takes a square_weight of at least 0, got {square_weight}")
    wrong = prediction.sum_squares - prediction.target_logit**2
    return prediction.nll + square_weight * wrong / (prediction.vocab_size - 1)
