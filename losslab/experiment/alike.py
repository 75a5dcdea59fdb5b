"""Whether the ranks of a training continue from one checkpoint."""

from pathlib import Path

import torch

from losslab import checkpoint, parallel

DIGITS = 12  # of a sha256 in base 16, as many as a float64 holds


def check_alike(restored: checkpoint.Checkpoint | None, folder: Path, device: str) -> None:
    """Compare step and weights over the ranks, each of which has read its own checkpoint.

    Args:
        restored: the checkpoint from which this rank continues; None if it begins.
        folder: of the run.
        device: through which the ranks speak.

    Raises:
        OSError: on all ranks, where they differ: the run itself has not failed, and continues once all see one disk.
    """
    if parallel.world_size() == 1:
        return
    own = [-1.0, 0.0]
    if restored is not None:
        sha256 = checkpoint.manifest(restored.path)[checkpoint.WEIGHTS]
        own = [float(restored.step), float(int(sha256[:DIGITS], 16))]
    first, *others = parallel.everyone(torch.tensor(own, dtype=torch.float64), device).tolist()
    for rank, found in enumerate(others, start=1):
        if found != first:
            here, there = (f"step {step:.0f}" if step >= 0 else "no checkpoint" for step, _ in (first, found))
            also = " with other weights" if here == there else ""
            raise OSError(f"the ranks are not alike: rank 0 continues from {here} and rank {rank} from {there}{also}; "
                          f"give all of them the folder {folder} on one disk")
