"""Cross-entropy."""


def cross_entropy(prediction):
    r"""The code length of the token that came, in nats.

    With $p = \operatorname{softmax}(z)$ and target $y$,

    $$\ell(z, y) = -\log p_y = \log \textstyle\sum_j e^{z_j} - z_y, \qquad
      \nabla_z \ell = p - e_y.$$

    The proper scoring rule that every other loss of the family is measured against:
    its expectation is smallest exactly where `p` is the true distribution.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll` alone.

    Returns:
        `[...]`, nats per token; `log(vocab_size)` for an untrained (uniform) model.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> cross_entropy(Prediction.dense(torch.zeros(1, 4), torch.tensor([2])))  # log 4
        tensor([1.3863])

    Reference:
        Good, Rational Decisions, Journal of the Royal Statistical Society B, 1952.
    """
    return prediction.nll
