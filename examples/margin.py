"""A custom loss in losslab's own form: one function of a `Prediction`, one number a token."""

import torch


def margin(prediction, *, width=1.0):
    """Cross-entropy plus a hinge: the target's logit should lead the mean logit by `width` nats or more."""
    lead = prediction.target_logit - prediction.sum_logits / prediction.vocab_size
    return prediction.nll + torch.relu(width - lead)
