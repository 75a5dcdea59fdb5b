"""The sum of powers of the predicted probabilities."""

import math

ROLE = "term"  # says nothing of the target: a term to add to a loss, not a loss


def power(prediction, *, alpha=2.0):
    r"""The sum of a power of all probabilities, a penalty on being sure.

    With $p = \operatorname{softmax}(z)$ and $C = \sum_j p_j^\alpha$,

    $$\ell(z) = C, \qquad (\nabla_z \ell)_j = \alpha\,(p_j^\alpha - C\,p_j).$$

    A term: it ignores the target, as in `cross_entropy + 0.1*power(2)`. Renyi's entropy of
    order $\alpha$ is $\log C / (1 - \alpha)$, and that of Tsallis $(C - 1) / (1 - \alpha)$, which
    is `entropy` for $\alpha \to 1$; at $\alpha = 1$ itself this term is the constant 1. With
    $\alpha > 1$ a positive weight flattens predictions, with $\alpha < 1$ it sharpens them.

    Args:
        prediction: what the model said about `[...]` tokens; uses `power_sum`.
        alpha: the power, positive.

    Returns:
        `[...]`, without unit; `vocab_size**(1 - alpha)` for an untrained (uniform) model.

    Raises:
        ValueError: for an alpha that is not above 0 and finite.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> power(Prediction.dense(torch.zeros(1, 4), torch.tensor([2])), alpha=2.0)  # 4/16
        tensor([0.2500])

    Reference:
        Renyi, On Measures of Entropy and Information, Fourth Berkeley Symposium, 1961.
    """
    if not 0 < alpha < math.inf:
        raise ValueError(f"power takes a positive alpha, got {alpha}")
    return prediction.power_sum(alpha)
