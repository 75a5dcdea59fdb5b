# %% [markdown]
# # Why is my loss worse?
#
# A loss can lose for several reasons: it wants something else than the true probabilities, its runs had trouble, or its
# probabilities are only too sharp or too flat. Three looks tell them apart. The focal loss is the example.

# %%
import losslab as ll
from losslab import signals

SIZE = {"corpus": "tales", "num_tokens": 500_000, "seeds": 5}
LOSS = "focal(gamma=3.0)"

found = ll.compare(["cross_entropy", LOSS], **SIZE)
print(found.verdict)

# %% [markdown]
# ## 1. Its anatomy: what does it want?
#
# A loss is proper if training that has seen everything ends at the true probabilities. `bias` says how far it ends from
# them, and on which side.

# %%
about = ll.inspect(LOSS, measure=False)
print("proper:", about.proper)
print("bias:", about.bias)
about.chart("bias")

# %% [markdown]
# ## 2. Its runs: was there trouble?
#
# Spikes, plateaus, a slow start: losslab watches every run by fixed rules. And the curves show since when it is behind.

# %%
runs = [run for arm in found.arms for run in arm.runs]
for run in runs:
    for event in signals.events(run.log):
        print(run.loss, "seed", run.seed, "step", event.step, event.sentence)
for arm in found.arms:
    print(arm.name, [round(value, 3) for _, value in arm.runs[0].curve("tune/nll")][:: max(1, len(arm.runs))])
found.chart("curves")

# %% [markdown]
# ## 3. Its calibration: is it only a temperature?
#
# One number that divides all logits is fitted on the tune split. If the loss is as good behind it, it knows as much as
# cross-entropy does, and says it too loud or too low.

# %%
for arm in found.arms:
    plain, calibrated = arm.scores["nll"]["value"], arm.scores["nll_calibrated"]["value"]
    print(f"{arm.name}: nll {plain:.4f}, behind the temperature {arm.temperature:.3f} it is {calibrated:.4f}")

# %% [markdown]
# What a single token looks like: the three most likely next characters of both models.

# %%
for arm in found.arms:
    model = ll.load(arm.runs[0])
    chances = model.logits("Once upon a ")[-1].softmax(-1)
    best = chances.topk(3)
    print(arm.name, [(model.tokenizer.decode([token]), round(chance, 3))
                     for token, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True)])
