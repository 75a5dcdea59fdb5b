"""Generalized cross-entropy, also called L_q or Tsallis loss."""

import torch


def generalized_cross_entropy(prediction, *, q=0.7):
    r"""A loss between cross-entropy and the probability of a mistake, bounded for every q.

    With $p = \operatorname{softmax}(z)$ and target $y$,

    $$\ell(z, y) = \frac{1 - p_y^q}{q}, \qquad \nabla_z \ell = p_y^q\,(p - e_y).$$

    For $q \to 0$ it is cross-entropy; $q = 1$ is $1 - p_y$, which forgives a token that
    the model gives no chance. That is its purpose, for wrong labels, and its danger:
    an untrained model gives hardly any token a chance.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll` alone.
        q: in (0, 1].

    Returns:
        `[...]`, from 0 to 1/q; nats per token in the limit of `q` to 0.

    Raises:
        ValueError: for a q outside (0, 1].

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> even = Prediction.dense(torch.zeros(1, 4), torch.tensor([1]))
        >>> generalized_cross_entropy(even, q=0.5)  # (1 - sqrt(1/4)) / 0.5
        tensor([1.])

    Reference:
        Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks
        with Noisy Labels, NeurIPS 2018. arXiv:1805.07836
    """
    if not 0 < q <= 1:
        raise ValueError(f"generalized_cross_entropy takes a q in (0, 1], got {q}; cross_entropy is its limit at 0")
    return -torch.expm1(-q * prediction.nll) / q
