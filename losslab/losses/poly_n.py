"""PolyLoss with several coefficients."""

import torch


def poly_n(prediction, *, coefficients=(1.0,)):
    r"""Cross-entropy with its first polynomial coefficients changed.

    With $p = \operatorname{softmax}(z)$ and target $y$, $-\log p_y$ is the series
    $\sum_{n \ge 1} (1 - p_y)^n / n$. To its first $N$ coefficients $\epsilon_n$ is added:

    $$\ell(z, y) = -\log p_y + \sum_{n=1}^N \epsilon_n\,(1 - p_y)^n, \qquad
      \nabla_z \ell = \Bigl(1 + p_y \sum_{n=1}^N n\,\epsilon_n\,(1 - p_y)^{n-1}\Bigr)\,(p - e_y).$$

    One coefficient is `poly1`; coefficients of 0 are cross-entropy.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll` alone.
        coefficients: $\epsilon_1, \epsilon_2, \ldots$, at least one; the n-th is at least
            -1/n, so that no coefficient of the series turns negative.

    Returns:
        `[...]`; nats per token only where all coefficients are 0.

    Raises:
        ValueError: for coefficients that are no list, or an n-th coefficient below -1/n.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> even = Prediction.dense(torch.zeros(1, 2), torch.tensor([1]))
        >>> poly_n(even, coefficients=(1.0, 2.0))  # log 2 + 1/2 + 2/4
        tensor([1.6931])

    Reference:
        Leng et al., PolyLoss: A Polynomial Expansion Perspective of Classification Loss
        Functions, ICLR 2022. arXiv:2204.12511
    """
    if not isinstance(coefficients, tuple | list) or not coefficients:
        raise ValueError(f"poly_n takes coefficients as a list such as [1.0, 0.5], got {coefficients!r}")
    for n, epsilon in enumerate(coefficients, start=1):
        if not epsilon >= -1 / n:
            raise ValueError(f"poly_n takes an n-th coefficient of at least -1/n, got {epsilon} for n = {n}")
    miss = -torch.expm1(-prediction.nll)
    polynomial = 0.0
    for epsilon in reversed(coefficients):
        polynomial = miss * (epsilon + polynomial)
    return prediction.nll + polynomial
