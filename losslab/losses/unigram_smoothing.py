"""Label smoothing to the unigram distribution."""


def unigram_smoothing(prediction, *, epsilon=0.1):
    r"""Cross-entropy against a target that keeps a little probability for every common token.

    With $p = \operatorname{softmax}(z)$, target $y$ and the frequencies $u$ of the
    corpus, the target distribution is $q = (1-\epsilon)\,e_y + \epsilon\,u$, and

    $$\ell(z, y) = \log \textstyle\sum_j e^{z_j} - (1-\epsilon)\,z_y - \epsilon \sum_j u_j z_j, \qquad
      \nabla_z \ell = p - (1-\epsilon)\,e_y - \epsilon\,u.$$

    Cross-entropy is included: this is a whole loss. $\epsilon = 0$ is cross-entropy, and
    with a uniform $u$ it is `label_smoothing`; unlike that one it asks for no
    probability on tokens that never come. It gives token ids a meaning.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll`, `target_logit`
            and the dot product with the vocabulary vector `unigram`.
        epsilon: share of the target spread over the unigram distribution, in [0, 1].

    Returns:
        `[...]`, nats per token, the cross-entropy from the smoothed target.

    Raises:
        ValueError: for an epsilon outside [0, 1]; where the corpus gave no vocabulary vector
            `unigram`.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> logits, often = torch.tensor([[0.0, 2.0]]), {"unigram": torch.tensor([0.75, 0.25])}
        >>> sure = Prediction.dense(logits, torch.tensor([1]), often)
        >>> unigram_smoothing(sure, epsilon=0.1)  # log(1 + e^2) - 0.9*2 - 0.1*0.25*2
        tensor([0.2769])

    Reference:
        Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2015,
        section 7, where smoothing is stated for any fixed distribution. arXiv:1512.00567
    """
    if not 0 <= epsilon <= 1:
        raise ValueError(f"unigram_smoothing takes an epsilon in [0, 1], got {epsilon}")
    return prediction.nll + epsilon * (prediction.target_logit - prediction.dot("unigram"))
