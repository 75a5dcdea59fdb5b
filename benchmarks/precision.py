"""Time of an update in float32 and in bfloat16, interleaved in one process: whether a CPU is good at bfloat16.

    python benchmarks/precision.py [--rounds 60] [--threads 1]

The updates of benchmarks/numerics.py, each in the numerics that `auto` takes. Writes the median seconds and their
ratio to benchmarks/results/precision_PROCESSOR_threadsN.json. Two minutes on an idle machine.
"""

from numerics import VOCAB, in_turns, run, updater

from losslab import machine

DTYPES = ("float32", "bfloat16")
CASES = [(size, recipe) for size in ("tiny", "char") for recipe in ("classic", "modern")]


def measure(size: str, recipe: str, rounds: int) -> dict:
    medians, losses = in_turns({
        dtype: updater(size, recipe, dtype, machine.resolve_numerics("auto", "cpu", dtype)) for dtype in DTYPES},
        VOCAB[size], rounds)
    return {"size": size, "recipe": recipe, "median_seconds": medians,
            "float32_over_bfloat16": medians["float32"] / medians["bfloat16"],
            "last_loss": {dtype: values[-1] for dtype, values in losses.items()}}


if __name__ == "__main__":
    run(__doc__, "precision", measure, CASES)
