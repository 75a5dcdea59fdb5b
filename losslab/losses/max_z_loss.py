"""The max-z loss: a penalty on the largest logit."""

ROLE = "term"  # says nothing of the target: a term to add to a loss, not a loss


def max_z_loss(prediction):
    r"""The square of the largest logit, which keeps logits from growing.

    With $m = \arg\max_j z_j$, the first where several tie,

    $$\ell(z) = z_m^2, \qquad \nabla_z \ell = 2\,z_m\,e_m.$$

    A term: it ignores the target, and its gradient touches one logit per token. Written
    `cross_entropy + 2e-4*max_z_loss`, which is the weight of Baichuan 2; with weight 0 it
    is cross-entropy. Where one logit towers over the others it is `z_loss`, whose
    $\log Z$ is then the largest logit.

    Args:
        prediction: what the model said about `[...]` tokens; uses `max_logit` alone.

    Returns:
        `[...]`, squared nats.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> max_z_loss(Prediction.dense(torch.tensor([[-4.0, 3.0]]), torch.tensor([0])))  # 3^2
        tensor([9.])

    Reference:
        Yang et al., Baichuan 2: Open Large-scale Language Models, 2023. arXiv:2309.10305
    """
    return prediction.max_logit**2
