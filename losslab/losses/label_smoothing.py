"""Label smoothing."""


def label_smoothing(prediction, *, epsilon=0.1):
    r"""Cross-entropy against a target that keeps a little probability for every token.

    With $p = \operatorname{softmax}(z)$, target $y$ and $V$ classes, the target
    distribution is $q = (1-\epsilon)\,e_y + \epsilon/V$, and

    $$\ell(z, y) = \log \textstyle\sum_j e^{z_j} - (1-\epsilon)\,z_y - \epsilon\,\bar z, \qquad
      \nabla_z \ell = p - (1-\epsilon)\,e_y - \epsilon/V,$$

    where $\bar z$ is the mean logit. Cross-entropy is included: this is a whole
    loss. $\epsilon = 0$ is cross-entropy; for $\epsilon > 0$ the minimizer is not
    the truth but the truth mixed with the uniform distribution.

    Args:
        prediction: what the model said about `[...]` tokens; uses `log_z`,
            `target_logit` and `sum_logits`.
        epsilon: share of the target spread over all tokens, in [0, 1].

    Returns:
        `[...]`, nats per token, the cross-entropy from the smoothed target.

    Raises:
        ValueError: for an epsilon outside [0, 1].

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> sure = Prediction.dense(torch.tensor([[0.0, 2.0]]), torch.tensor([1]))
        >>> label_smoothing(sure, epsilon=0.1)  # log(1 + e^2) - 0.9*2 - 0.1*1
        tensor([0.2269])

    Reference:
        Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2015.
        arXiv:1512.00567
    """
    if not 0 <= epsilon <= 1:
        raise ValueError(f"label_smoothing takes an epsilon in [0, 1], got {epsilon}")
    mean_logit = prediction.sum_logits / prediction.vocab_size
    # in this form the two log_z of the mixture meet before they can cancel
    return prediction.nll + epsilon * (prediction.target_logit - mean_logit)
