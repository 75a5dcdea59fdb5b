"""Mean squared error between logits and the one-hot target."""


def mse(prediction):
    r"""The mean squared distance between the logits and the one-hot target.

    With logits $z$, target $y$ and $V$ classes,

    $$\ell(z, y) = \frac1V \sum_j (z_j - [j = y])^2
                 = \frac1V \Bigl(\sum_j z_j^2 - 2 z_y + 1\Bigr), \qquad
      \nabla_z \ell = \frac2V (z - e_y).$$

    No softmax is in it: the logits themselves learn to be the probabilities, so
    the softmax of the evaluation is far too flat for them. `nll_calibrated` exists
    for losses like this one. It is `weighted_mse` with target weight 1.

    Args:
        prediction: what the model said about `[...]` tokens; uses `sum_squares`
            and `target_logit`.

    Returns:
        `[...]`, squared logits; 1/V for an untrained (uniform) model.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> mse(Prediction.dense(torch.tensor([[0.0, 2.0]]), torch.tensor([1])))  # (0 + 1) / 2
        tensor([0.5000])

    Reference:
        Hui and Belkin, Evaluation of Neural Architectures Trained with Square Loss vs
        Cross-Entropy in Classification Tasks, 2020. arXiv:2006.07322
    """
    return (prediction.sum_squares - 2 * prediction.target_logit + 1) / prediction.vocab_size
