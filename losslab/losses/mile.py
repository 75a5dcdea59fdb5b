"""MiLe: cross-entropy weighted by the entropy of the prediction."""

import torch


def mile(prediction, *, gamma=1.0):
    r"""Cross-entropy that counts more where the model is undecided, and 1 on average.

    With $p = \operatorname{softmax}(z)$, its entropy $H$, target $y$ and
    $w = (1 + H)^\gamma$, divided by its mean over the valid tokens $i$ of one call,

    $$\ell(z, y) = -\frac{w}{\overline{w}} \log p_y, \qquad
      \nabla_z \ell = \frac{w}{\overline{w}}\,(p - e_y), \qquad
      \overline{w} = \frac1n \sum_i w_i.$$

    The weight is not differentiated, so the gradient is not the derivative of the value.
    The loss is not token-wise independent: a call is one micro-batch, and each has its
    own mean. $\gamma = 0$ is cross-entropy. Unlike focal weights these do not depend on
    the target, so a token with many good continuations is not taken for a hard one.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll`, `entropy` and `valid`.
        gamma: how much an undecided prediction gains, not negative; the paper uses 1.

    Returns:
        `[...]`, weighted nats per token.

    Raises:
        ValueError: for a gamma below 0.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> logits = torch.tensor([[0.0, 0.0], [100.0, 0.0]])  # entropies log 2 and 0: the mean is 1.3466
        >>> mile(Prediction.dense(logits, torch.tensor([0, 1])))  # 1.6931/1.3466 * log 2, 100/1.3466
        tensor([ 0.8715, 74.2626])

    Reference:
        Su et al., MiLe Loss: a New Loss for Mitigating the Bias of Learning Difficulties in
        Generative Language Models, 2023. arXiv:2310.19531
    """
    if not gamma >= 0:
        raise ValueError(f"mile takes a gamma of at least 0, got {gamma}")
    valid = prediction.valid
    weight = torch.where(valid, (1 + prediction.entropy.detach()) ** gamma, 0.0)
    mean = weight.sum() / valid.sum().clamp_min(1)
    return weight / mean.clamp_min(torch.finfo(mean.dtype).tiny) * prediction.nll
