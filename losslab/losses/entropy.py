"""The entropy of the prediction."""

ROLE = "term"  # says nothing of the target: a term to add to a loss, not a loss


def entropy(prediction):
    r"""The entropy of what the model predicts, to reward doubt or to penalize it.

    With $p = \operatorname{softmax}(z)$,

    $$\ell(z) = H = -\sum_j p_j \log p_j, \qquad (\nabla_z \ell)_j = -p_j\,(\log p_j + H).$$

    A term: it ignores the target. `cross_entropy - 0.1*entropy` is the confidence penalty,
    whose minimizer is flatter than the truth; with a plus it makes predictions sharper,
    and with weight 0 it is cross-entropy.

    Args:
        prediction: what the model said about `[...]` tokens; uses `entropy` alone.

    Returns:
        `[...]`, nats; `log(vocab_size)` for an untrained (uniform) model.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> entropy(Prediction.dense(torch.zeros(1, 4), torch.tensor([2])))  # log 4
        tensor([1.3863])

    Reference:
        Pereyra et al., Regularizing Neural Networks by Penalizing Confident Output
        Distributions, 2017. arXiv:1701.06548
    """
    return prediction.entropy
