"""The z-loss: a penalty on the log-partition function."""

ROLE = "term"  # says nothing of the target: a term to add to a loss, not a loss


def z_loss(prediction):
    r"""The square of the log-partition function, which keeps logits from drifting.

    With $p = \operatorname{softmax}(z)$ and $\log Z = \log \sum_j e^{z_j}$,

    $$\ell(z) = (\log Z)^2, \qquad \nabla_z \ell = 2 \log Z \; p.$$

    A term: it ignores the target. Written `cross_entropy + 1e-4*z_loss` it pulls
    $\log Z$ toward 0, where logits are log-probabilities, and leaves the
    probabilities free; with weight 0 it is cross-entropy.

    Args:
        prediction: what the model said about `[...]` tokens; uses `log_z` alone.

    Returns:
        `[...]`, squared nats.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> z_loss(Prediction.dense(torch.zeros(1, 4), torch.tensor([2])))  # (log 4)^2
        tensor([1.9218])

    Reference:
        Chowdhery et al., PaLM: Scaling Language Modeling with Pathways, 2022, section 5.
        arXiv:2204.02311
    """
    return prediction.log_z**2
