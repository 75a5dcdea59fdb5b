# %% [markdown]
# # My first loss
#
# A loss is one function. Here it is written, looked at, trained against cross-entropy, and judged. Run the cells in an
# editor or a notebook that knows `# %%`, or all of them by `python examples/my_first_loss.py`.

# %%
import torch.nn.functional as F

import losslab as ll

SIZE = {"corpus": "tales", "num_tokens": 500_000, "seeds": 5}  # ten minutes on two cores


# %% [markdown]
# `prediction` holds what the model said about each token; the loss gives one number per token. The masking, the mean
# and the precision are done elsewhere.

# %%
def margin(prediction, *, width=1.0, weight=0.1):
    """Cross-entropy plus a smooth hinge: the target's logit should lead the mean logit by `width` nats or more."""
    lead = prediction.target_logit - prediction.sum_logits / prediction.vocab_size
    return prediction.nll + weight * F.softplus(width - lead)


# %% [markdown]
# What is it? Nothing is trained for this: where does training end that has seen everything, and is that the truth?

# %%
about = ll.inspect(margin)
print(about)

# %% [markdown]
# Does it train a better model? Both losses get the same initial weights and the same batches in the same order, once
# for each seed. Called again, `compare` trains nothing that is there already.

# %%
found = ll.compare(["cross_entropy", margin], **SIZE)
found

# %%
print(found.verdict)
for row in found.table():
    print(row["loss"], row["nll"], row["difference"], row["low"], row["high"], row["p_holm"])

# %% [markdown]
# The same runs, one by one; and what one of the models writes.

# %%
runs = ll.runs()
print(len(runs), "runs;", runs[0].loss, "began at", runs[0].curve("tune/nll")[0])

# %%
model = ll.load(found.arm("margin").runs[0])
print(model.generate("Once upon a time", num_tokens=60))
print("nll of a sentence:", model.nll("The cat sat on the mat."))

# %% [markdown]
# The page that `losslab compare` writes, to be sent to somebody.

# %%
print(found.save("my_first_loss.html"))
