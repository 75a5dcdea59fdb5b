"""Mean squared error with a heavier target, as in the TinyStories study of squentropy."""


def weighted_mse(prediction, *, target_weight=65.0):
    r"""Squared error from the one-hot target in which the target's own entry weighs more.

    With logits $z$, target $y$, $V$ classes and target weight $k$,

    $$\ell(z, y) = \frac1V \Bigl(k\,(z_y - 1)^2 + \sum_{j \ne y} z_j^2\Bigr), \qquad
      \nabla_z \ell = \frac2V \bigl(z + (k\,(z_y - 1) - z_y)\,e_y\bigr).$$

    Of $V$ entries only one is the target's, so with $k = 1$, which is `mse`, its
    pull is lost among the others. `cross_entropy + weighted_mse` is the form that a
    study of GPT models on TinyStories called squentropy; the paper's own, which
    leaves the target's logit alone, is `squentropy`.

    Args:
        prediction: what the model said about `[...]` tokens; uses `sum_squares`
            and `target_logit`.
        target_weight: weight of the target's entry, not negative; the study used 65.

    Returns:
        `[...]`, squared logits.

    Raises:
        ValueError: for a target_weight below 0.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> off = Prediction.dense(torch.tensor([[1.0, 3.0]]), torch.tensor([1]))
        >>> weighted_mse(off, target_weight=65.0)  # (1 + 65*4) / 2
        tensor([130.5000])

    Reference:
        Hui and Belkin, Evaluation of Neural Architectures Trained with Square Loss vs
        Cross-Entropy in Classification Tasks, 2020, for the rescaled square loss.
        arXiv:2006.07322
    """
    if not target_weight >= 0:
        raise ValueError(f"weighted_mse takes a target_weight of at least 0, got {target_weight}")
    target = prediction.target_logit
    wrong = prediction.sum_squares - target**2
    return (target_weight * (target - 1) ** 2 + wrong) / prediction.vocab_size
