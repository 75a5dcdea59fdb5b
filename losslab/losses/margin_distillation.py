"""Margin-gated self-distillation: a loss that needs all the logits."""

import math

import torch


def margin_distillation(prediction, *, share=0.1, temperature=1.35, margin=1.0):
    r"""Cross-entropy whose target gives way a little, where it leads, to what the model said.

    With $p = \operatorname{softmax}(z)$, target $y$, temperature $T$ and the target's lead
    $\delta = z_y - \max_{j \ne y} z_j$ over its best rival, all of them taken as numbers in

    $$q = \operatorname{softmax}(z / T), \qquad g = a\,\sigma(\delta - m), \qquad
      \ell(z, y) = -(1 - g) \log p_y - g \sum_j q_j \log p_j,$$

    $$\nabla_z \ell = p - (1 - g)\,e_y - g\,q,$$

    which is therefore not the derivative of the value. Where the target leads by more
    than the margin the model is, in the share $a$, its own teacher, and a flatter one for
    $T > 1$; where it is behind, this is cross-entropy, as everywhere for $a = 0$.
    An example of a loss that uses `logits`, and so takes the dense route.

    Args:
        prediction: what the model said about `[...]` tokens; uses `logits`, `targets`,
            `target_logit` and `nll`.
        share: the most that the target gives up, $a$, in [0, 1].
        temperature: of the teacher, positive.
        margin: the lead $m$ in nats at which half of the share is given up, finite.

    Returns:
        `[...]`, nats per token, the cross-entropy from the mixed target.

    Raises:
        ValueError: for a share outside [0, 1], a temperature that is not above 0 or a margin that is
            not finite; and on the streamed route, which holds no logits.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> even = Prediction.dense(torch.zeros(1, 2), torch.tensor([1]))
        >>> margin_distillation(even, share=1.0, margin=0.0)  # g = 1/2, and both parts are log 2
        tensor([0.6931])

    Reference:
        Distillation from a softened teacher: Hinton, Vinyals and Dean, Distilling the
        Knowledge in a Neural Network, 2015. arXiv:1503.02531. The gate is new here.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"margin_distillation takes a share in [0, 1], got {share}")
    if not temperature > 0:
        raise ValueError(f"margin_distillation takes a positive temperature, got {temperature}")
    if not math.isfinite(margin):
        raise ValueError(f"margin_distillation takes a finite margin, got {margin}")
    logits, targets = prediction.logits, prediction.targets.unsqueeze(-1)
    with torch.no_grad():
        teacher = (logits / temperature).softmax(-1)
        rival = logits.scatter(-1, targets, -torch.inf).amax(-1)
        gate = share * torch.sigmoid(prediction.target_logit - rival - margin)
    from_teacher = -(teacher * logits.log_softmax(-1)).sum(-1)
    return (1 - gate) * prediction.nll + gate * from_teacher
