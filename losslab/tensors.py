"""Tensors in a safetensors file that someone else wrote: every size is checked before anything is allocated.

The file is eight bytes (the length of the header), the header (JSON: for each name its dtype, its shape and where
its bytes lie), and the bytes. Read here and not by the library, so that the bytes are read once and hashed as they
are read, and so that the shapes are compared with what is expected while they are still a few numbers.
"""

import hashlib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from losslab import untrusted

MOST_HEADER_BYTES = 2**24  # enough for 100,000 tensors; GPT-2 XL has 580
MOST_DIMENSIONS = 8
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
          "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
          "BOOL": torch.bool}
Kind = tuple[torch.dtype, tuple[int, ...]]  # what is expected of a tensor: its dtype and its shape


@dataclass(frozen=True)
class Entry:
    """What a header says of one tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int  # of its bytes, counted from the end of the header
    end: int


def headers(path: str | Path, *, links_into: Path | None = None) -> dict[str, Entry]:
    """The names, dtypes and shapes of a file, without its tensors."""
    with untrusted.open_file(path, links_into=links_into) as file:
        return _header(file, str(path))[1]


def read(
    path: str | Path, check: Callable[[Mapping[str, Entry]], None] = lambda entries: None, *,
    links_into: Path | None = None,
) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file, and the sha256 of exactly the bytes that they were read from.

    Args:
        path: of a regular file.
        check: is given the header before anything is allocated; it raises for what it does not want.
        links_into: see `untrusted.open_file`.

    Raises:
        ValueError: for a damaged file, one that does not fit into memory, or no file.
        OSError: where there is nothing, or the system does not let us read.
    """
    with untrusted.open_file(path, links_into=links_into) as file:
        head, entries = _header(file, str(path))
        check(entries)
        sha = hashlib.sha256(head)
        found = {}
        for name, entry in sorted(entries.items(), key=lambda pair: (pair[1].begin, pair[1].end)):
            found[name] = _tensor(file, entry, sha, str(path))
        if file.read(1):
            raise ValueError(f"{path} grew while it was read; wait until it is written")
    return {name: found[name] for name in entries}, sha.hexdigest()


def compare(found: Mapping[str, Tensor | Entry], expected: Mapping[str, Kind], source: str) -> None:
    """An error unless tensors have exactly the names, dtypes and shapes that are expected.

    Raises:
        ValueError: naming the tensor that is missing, not expected, or of another shape or dtype.
    """
    def differs(what: str) -> ValueError:
        return ValueError(untrusted.one_line(f"{source} has {what}"))

    wrong = next((name for name in expected if name not in found), None)
    if wrong is not None:
        raise differs(f"no tensor {wrong}, which a model of these sizes has")
    for name, tensor in found.items():
        if name not in expected:
            raise differs(f"the tensor {name!r}, which a model of these sizes has not")
        dtype, shape = expected[name]
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise differs(f"{name} of shape {list(tensor.shape)} in {_dtype_name(tensor.dtype)}, and a model of these "
                          f"sizes has {list(shape)} in {_dtype_name(dtype)}")


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _header(file: BinaryIO, source: str) -> tuple[bytes, dict[str, Entry]]:
    """The first bytes of `file` up to the tensors, and what they say, checked against the size of the file."""
    size = os.fstat(file.fileno()).st_size
    if size > memory_bytes():
        raise ValueError(f"{source} has {size:,} bytes, more than the memory of this machine")
    length = int.from_bytes(start := file.read(8), "little")
    if len(start) < 8 or length > size - 8:
        raise ValueError(f"{source} is damaged, or no safetensors file: its header does not fit into its {size:,} "
                         "bytes")
    if length > MOST_HEADER_BYTES:
        raise ValueError(f"{source} is damaged, or no safetensors file: a header of {length:,} bytes is none")
    raw = file.read(length)
    found = untrusted.parse_json(raw, f"{source} is damaged, or no safetensors file: its header")
    try:
        if len(raw) != length or not isinstance(found, dict):
            raise ValueError("its header describes no tensors")
        entries = {name: _entry(name, value) for name, value in found.items() if name != "__metadata__"}
        _check_layout(entries, size - 8 - length)
    except ValueError as error:
        raise ValueError(untrusted.one_line(f"{source} is damaged, or no safetensors file: {error}")) from None
    return start + raw, entries


def _entry(name: str, value: object) -> Entry:
    known = untrusted.shown(name)
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"its header does not give {known} a dtype, a shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"{known} has the dtype {untrusted.shown(dtype)}; read are {', '.join(DTYPES)}")
    if not _counts(shape) or len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"{known} has the shape {untrusted.shown(shape)}")
    if not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{known} has the data_offsets {untrusted.shown(offsets)}")
    num_bytes = math.prod(shape) * DTYPES[dtype].itemsize
    if offsets[1] - offsets[0] != num_bytes:
        raise ValueError(f"{known} of shape {untrusted.shown(shape)} takes {num_bytes} bytes, and its data_offsets are "
                         f"{untrusted.shown(offsets)}")
    return Entry(DTYPES[dtype], tuple(shape), *offsets)


def _counts(value: object) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _check_layout(entries: Mapping[str, Entry], num_bytes: int) -> None:
    """The tensors lie one behind the other, and fill the file: no byte has two readings, and none has no reading."""
    place = 0
    for name, entry in sorted(entries.items(), key=lambda pair: (pair[1].begin, pair[1].end)):
        if entry.begin != place:
            raise ValueError(f"{untrusted.shown(name)} begins at byte {entry.begin}, and what is before it ends at "
                             f"{place}")
        place = entry.end
    if place != num_bytes:
        raise ValueError(f"its tensors take {place:,} bytes, and {num_bytes:,} are there")


def _tensor(file: BinaryIO, entry: Entry, sha, source: str) -> Tensor:
    try:
        raw = torch.empty(entry.end - entry.begin, dtype=torch.uint8)
    except RuntimeError:
        raise ValueError(f"{source} does not fit into the memory that is free") from None
    buffer = memoryview(raw.numpy())
    if raw.numel() and file.readinto(buffer) != raw.numel():
        raise ValueError(f"{source} is damaged: it became shorter while it was read")
    sha.update(buffer)
    if entry.dtype == torch.bool:
        raw.ne_(0)  # another bit pattern than 0 and 1 is not a bool
    try:
        return raw.view(entry.dtype).view(entry.shape)
    except RuntimeError:  # a shape without elements can still be too large to be one
        raise ValueError(f"{source} is damaged: no tensor has the shape {list(entry.shape)}") from None


def memory_bytes() -> int:
    """The memory of this machine: what is larger is not read."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**36
