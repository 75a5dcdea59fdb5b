"""The prefix token: half a point for the beginning of the right token."""

import torch

ROLE = "term"  # asks for the beginning of the target, never for the target: to be added to a loss


def prefix_token(prediction):
    r"""The code length of the longest other token with which the target begins.

    With $p = \operatorname{softmax}(z)$ and $r$ the longest proper prefix, in bytes, of target
    $y$ that is itself a token, such as " sto" for " story" in the vocabulary of GPT-2,

    $$\ell(z, y) = -\log p_r, \qquad \nabla_z \ell = p - e_r,$$

    and 0 where no token is a prefix of $y$. A term, as in
    `cross_entropy + 0.25*prefix_token`; with weight 0 it is cross-entropy, and with any
    other the prefix gets probability that the truth does not give it. It gives token ids a
    meaning. In a vocabulary of single bytes or characters it is 0.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll`, `target_logit`,
            `targets`, `logit_at` and the vocabulary vector `prefix_of`.

    Returns:
        `[...]`, nats.

    Raises:
        ValueError: where the corpus gave no vocabulary vector `prefix_of`.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> prefixes = {"prefix_of": torch.tensor([-1, 0, -1, -1])}  # token 1 begins with token 0
        >>> both = Prediction.dense(torch.zeros(2, 4), torch.tensor([1, 2]), prefixes)
        >>> prefix_token(both)  # log 4, and 0 where there is none
        tensor([1.3863, 0.0000])

    Reference:
        The NanoGPT speedrun (github.com/KellerJordan/modded-nanogpt, record 88, 2026).
    """
    prefix = prediction.vocabulary("prefix_of")[prediction.targets]
    exists = prefix >= 0
    at_prefix = prediction.logit_at(prefix.where(exists, 0).unsqueeze(-1)).squeeze(-1)
    return torch.where(exists, prediction.nll + (prediction.target_logit - at_prefix), 0.0)
