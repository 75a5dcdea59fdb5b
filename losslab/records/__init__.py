"""Run folders: what one experiment writes down, and how it is read back.

A run is a folder. `spec.json` says what was asked, `environment.json` where it ran, `log.jsonl` what
happened step by step, `checkpoint/` holds the weights, and `result.json` is written once, at the end.
The folder is the truth; the index of a store only remembers what was read in it.

Each of the three documents carries a checksum of itself, and the result one of the log: accidents are found
when they are read. Who can write a folder can also write its checksums, so they are no seal against forgery.
"""

from losslab.records.arms import baseline, score_name
from losslab.records.files import write_json
from losslab.records.labels import labels, labels_over_sizes
from losslab.records.locks import StoreBusy, is_locked, lock
from losslab.records.looks import looks, note_look
from losslab.records.record import FORMAT, STATUSES, Record, find, folders, is_run, place, read
from losslab.records.writing import (
    Log,
    check_removable,
    create,
    note_environment,
    remove,
    restore,
    tag,
    update,
    write_result,
)

__all__ = [
    "FORMAT", "STATUSES", "Log", "Record", "StoreBusy", "baseline", "check_removable", "create", "find", "folders",
    "is_locked", "is_run", "labels", "labels_over_sizes", "lock", "looks", "note_environment", "note_look", "place",
    "read", "remove", "restore", "score_name", "tag", "update", "write_json", "write_result",
]
