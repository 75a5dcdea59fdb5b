"""A penalty on the variance of the logits."""

ROLE = "term"  # says nothing of the target: a term to add to a loss, not a loss


def logit_variance(prediction):
    r"""The variance of the logits over the vocabulary, which keeps predictions from sharpening.

    With $V$ classes and the mean logit $\bar z = \frac1V \sum_j z_j$,

    $$\ell(z) = \frac1V \sum_j (z_j - \bar z)^2 = \frac1V \sum_j z_j^2 - \bar z^2, \qquad
      \nabla_z \ell = \frac2V\,(z - \bar z).$$

    A term: it ignores the target, as in `cross_entropy + 1e-3*logit_variance`. Adding a
    constant to all logits leaves it as it is. Together with `mean_logit` at the same
    weight it is the mean square of the logits; with weight 0 it is cross-entropy.

    Args:
        prediction: what the model said about `[...]` tokens; uses `sum_squares` and
            `sum_logits`, whose difference loses digits where the mean is far larger
            than the spread.

    Returns:
        `[...]`, squared nats.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> logit_variance(Prediction.dense(torch.tensor([[1.0, 5.0]]), torch.tensor([0])))  # 26/2 - 3^2
        tensor([4.])

    Reference:
        The variance itself; no paper is known that proposes it.
    """
    mean = prediction.sum_logits / prediction.vocab_size
    return prediction.sum_squares / prediction.vocab_size - mean**2
