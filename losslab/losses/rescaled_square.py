"""The rescaled square loss."""

import math


def rescaled_square(prediction, *, k=1.0, M=1.0):
    r"""Squared error from a raised target, in which the target's own entry weighs more.

    With logits $z$, target $y$, $V$ classes, target weight $k$ and goal $M$,

    $$\ell(z, y) = \frac1V \Bigl(k\,(z_y - M)^2 + \sum_{j \ne y} z_j^2\Bigr), \qquad
      \nabla_z \ell = \frac2V \bigl(z + (k\,(z_y - M) - z_y)\,e_y\bigr).$$

    With many classes the target's pull is lost among the others, and a target logit of
    1 is hardly more than none: $k$ mends the one and $M$ the other. $k = M = 1$ is `mse`,
    and $M = 1$ alone is `weighted_mse`. Like these it has no softmax, so read it
    through `nll_calibrated`.

    Args:
        prediction: what the model said about `[...]` tokens; uses `sum_squares`
            and `target_logit`.
        k: weight of the target's entry, not negative.
        M: goal of the target's logit, finite; that of the others is 0.

    Returns:
        `[...]`, squared logits; k*M^2/V for an untrained (uniform) model.

    Raises:
        ValueError: for a k below 0 or an M that is not finite.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> off = Prediction.dense(torch.tensor([[1.0, 3.0]]), torch.tensor([1]))
        >>> rescaled_square(off, k=2.0, M=5.0)  # (1 + 2*4) / 2
        tensor([4.5000])

    Reference:
        Hui and Belkin, Evaluation of Neural Architectures Trained with Square Loss vs
        Cross-Entropy in Classification Tasks, 2020. arXiv:2006.07322
    """
    if not k >= 0:
        raise ValueError(f"rescaled_square takes a k of at least 0, got {k}")
    if not math.isfinite(M):
        raise ValueError(f"rescaled_square takes a finite M, got {M}")
    target = prediction.target_logit
    wrong = prediction.sum_squares - target**2
    return (k * (target - M) ** 2 + wrong) / prediction.vocab_size
