"""A penalty on the mean logit."""

ROLE = "term"  # says nothing of the target: a term to add to a loss, not a loss


def mean_logit(prediction):
    r"""The square of the mean logit, which keeps all logits from drifting together.

    With $V$ classes and the mean logit $\bar z = \frac1V \sum_j z_j$,

    $$\ell(z) = \bar z^2, \qquad \nabla_z \ell = \frac{2 \bar z}{V}\,\mathbf 1.$$

    A term: it ignores the target, as in `cross_entropy + 1e-4*mean_logit`. Adding a
    constant to all logits changes no probability, so this fixes what cross-entropy
    leaves free and biases nothing; with weight 0 it is cross-entropy.

    Args:
        prediction: what the model said about `[...]` tokens; uses `sum_logits` alone.

    Returns:
        `[...]`, squared nats.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> mean_logit(Prediction.dense(torch.tensor([[1.0, 5.0]]), torch.tensor([0])))  # 3^2
        tensor([9.])

    Reference:
        Stollenwerk, Lokrantz and Hertzberg, Output Embedding Centering for Stable LLM
        Pretraining, 2026, whose penalty is of the mean output embedding; this one is
        of what the embeddings give. arXiv:2601.02031
    """
    return (prediction.sum_logits / prediction.vocab_size) ** 2
