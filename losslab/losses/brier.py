"""The Brier score."""


def brier(prediction):
    r"""The squared distance between the predicted probabilities and what came.

    With $p = \operatorname{softmax}(z)$, target $y$ and $C = \sum_j p_j^2$,

    $$\ell(z, y) = \sum_j (p_j - [j = y])^2 = C - 2 p_y + 1, \qquad
      (\nabla_z \ell)_j = 2 p_j\,(p_j - C + p_y) - 2 p_y\,[j = y].$$

    A strictly proper scoring rule like cross-entropy: its expectation is smallest at the
    truth. Unlike it, it is bounded by 2, and its gradient vanishes where the model is
    sure, right or wrong. With two classes it is $2\,(1 - p_y)^2$.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll` and `power_sum(2)`.

    Returns:
        `[...]`, squared probability, from 0 to 2.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> brier(Prediction.dense(torch.zeros(1, 4), torch.tensor([2])))  # 4/16 - 2/4 + 1
        tensor([0.7500])

    Reference:
        Brier, Verification of Forecasts Expressed in Terms of Probability, 1950; for language
        models Shao et al., Language Generation with Strictly Proper Scoring Rules, ICML 2024.
        arXiv:2405.18906
    """
    return prediction.power_sum(2) - 2 * (-prediction.nll).exp() + 1
