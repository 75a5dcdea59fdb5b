"""What a comparison would cost."""

from losslab import config as configuration
from losslab.experiment import timing
from losslab.running.plan import Plan


def estimate(planned: Plan, *, workers: int, threads: int) -> dict:
    """What a comparison would cost, from a few timed updates of its first arm, in a separate process.

    Args:
        planned: what `plan` returned.
        workers: runs at once.
        threads: CPU threads of each; 0 as the environment says.

    Returns:
        JSON-able: `arms`, `runs`, `steps_per_run`, `tokens_per_run`, `tokens`, `num_params`, `tokens_per_second`,
        `seconds` (training of all runs), `disk_bytes`, `config` of the first arm and `corpus`.

    Raises:
        ValueError: where the timed updates fail.
    """
    first = planned.experiments[0]
    config = first.config
    found = timing.measure(first, threads=threads)
    runs = len(planned.experiments)
    weights = 4 * found["num_params"]
    return {
        "arms": list(planned.arms), "runs": runs, "steps_per_run": first.num_steps,
        "tokens_per_run": planned.tokens_per_run, "tokens": runs * planned.tokens_per_run,
        "num_params": found["num_params"], "tokens_per_second": config.tokens_per_step / found["seconds_per_step"],
        "seconds": runs * first.num_steps * found["seconds_per_step"] / max(1, min(workers, runs)),
        "disk_bytes": runs * (4 * weights + 100_000),
        "config": configuration.to_dict(config), "corpus": first.corpus.describe(),
    }
