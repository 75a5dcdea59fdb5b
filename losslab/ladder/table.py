"""The results of a ladder as one table: a row for each run that finished."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from losslab import records
from losslab.comparison import Comparison, measured
from losslab.ladder.rungs import Rung
from losslab.ladder.settings import COUNTS, Ladder
from losslab.records import Record
from losslab.scaling.counts import counts
from losslab.scaling.table import Runs, from_rows

COLUMNS = (
    "arm", "seed", "rung", "size", "tokens_per_param", "num_params", "num_params_with_head", "num_params_non_embedding",
    "num_tokens", "flops_6nd", "flops_exact", "learning_rate", "nll", "nll_stderr", "bits_per_byte",
)  # fmt: skip


def rows(rung: Rung, found: Comparison) -> list[dict]:
    """A row for each run of a rung that finished, with its arm's name; those of one seed lie together."""
    made = [_row(rung, arm.name, run) for arm in found.arms for run in arm.finished]
    return sorted((row for row in made if row["nll"] is not None), key=lambda row: (row["seed"], row["arm"]))


def lost(rung: Rung, found: Comparison) -> list[str]:
    """A sentence for each arm that has no run at one of the seeds."""
    return [f"{arm.name} at {rung.name}: {arm.status}, and the law is fitted to the runs that finished"
            for arm in found.arms if arm.status != "finished"]


def _row(rung: Rung, arm: str, run: Record) -> dict:
    config = run.config
    try:
        vocab_size = int(run.spec["corpus"]["vocab_size"])
    except (LookupError, TypeError, ValueError, OverflowError):
        raise ValueError(f"{run.path} does not say how many tokens its vocabulary has; take it away, and the ladder "
                         "trains it again") from None
    # as planned: where documents are packed whole, targets and rows differ a little from seed to seed
    known = counts(config.model, vocab_size, config.num_tokens, config.seq_len)
    score = run.scores.get(records.score_name([run], "nll")) or {}
    return {
        "arm": arm, "seed": run.seed, "rung": rung.name, "size": rung.size.name, "tokens_per_param": rung.asked,
        "num_params": known.num_params, "num_params_with_head": known.num_params_with_head,
        "num_params_non_embedding": known.num_params_non_embedding, "num_tokens": known.num_tokens,
        "flops_6nd": known.flops_6nd, "flops_exact": known.flops, "learning_rate": config.train.learning_rate,
        "nll": measured.score(run, records.score_name([run], "nll")), "nll_stderr": measured.figure(
            score.get("stderr")),
        "bits_per_byte": measured.score(run, records.score_name([run], "bits_per_byte")),
    }  # fmt: skip


def csv_text(found: Sequence[Mapping]) -> str:
    """As CSV; columns of tasks come after the others."""
    more = dict.fromkeys(key for row in found for key in row if key not in COLUMNS)
    out = io.StringIO()
    writer = csv.DictWriter(out, [*COLUMNS, *more], lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(found)
    return out.getvalue()


def read(path: Path) -> list[dict]:
    """The rows of a table as text; none where there is no table, or none that can be read."""
    try:
        return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    except (OSError, ValueError, csv.Error):
        return []


def write(found: Sequence[Mapping], path: Path) -> None:
    """Write the table, whole or not at all."""
    records.files.write_whole(path, csv_text(found).encode())


def runs(found: Sequence[Mapping], ladder: Ladder, source: str) -> Runs:
    """The rows as runs of a fit, with N as the ladder counts it.

    Raises:
        ValueError: where nothing finished.
    """
    column = COUNTS[ladder.params][0]
    several = len({row["arm"] for row in found}) > 1
    return from_rows(found, {"num_params": column} if column != "num_params" else None,
                     wanted=("arm", "seed") if several else (), source=source)
