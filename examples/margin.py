"""A custom loss in losslab's own form: one function of a `Prediction`, one value per token."""

import torch.nn.functional as F


def margin(prediction, *, width=1.0, weight=0.1):
    """Cross-entropy plus a smooth hinge: the target's logit should lead the mean logit by `width` nats or more."""
    lead = prediction.target_logit - prediction.sum_logits / prediction.vocab_size
    return prediction.nll + weight * F.softplus(width - lead)
