"""Cross-entropy weighted by the probability of the target."""


def token_scaled(prediction):
    r"""Cross-entropy that counts as much as the model already believes in the target.

    With $p = \operatorname{softmax}(z)$, target $y$ and a weight $p_y$ that is not
    differentiated,

    $$\ell(z, y) = -p_y \log p_y, \qquad \nabla_z \ell = p_y\,(p - e_y).$$

    Its gradient is that of $1 - p_y$, which is `generalized_cross_entropy` with $q = 1$,
    and not the derivative of this value. It is meant for tuning a trained model: an
    untrained one hardly learns, since every token has a weight of about $1/V$.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll` alone.

    Returns:
        `[...]`, weighted nats per token; at most 1/e.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> token_scaled(Prediction.dense(torch.zeros(1, 4), torch.tensor([1])))  # log(4) / 4
        tensor([0.3466])

    Reference:
        Pang and He, Text Generation by Learning from Demonstrations, 2020, arXiv:2009.07839;
        Wu et al., On the Generalization of SFT: A Reinforcement Learning Perspective with
        Reward Rectification, 2025. arXiv:2508.05629
    """
    return (-prediction.nll.detach()).exp() * prediction.nll
