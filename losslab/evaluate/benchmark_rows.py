"""Where the rows of a benchmark come from: a local file, or the hub."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from losslab import untrusted
from losslab.corpus.hub_datasets import REACH_SECONDS, library, one_line

MAX_BYTES = 2**30


def find(folder: Path | None, names: Iterable[str]) -> Path | None:
    """The first of the files `names` (with or without `.gz`) under `folder`; None without a folder.

    Raises:
        FileNotFoundError: if the folder has none of them.
    """
    if folder is None:
        return None
    names = list(names)
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise FileNotFoundError(f"{folder} has none of {', '.join(names)} (.gz too); name the folder that holds one")


def text(path: Path) -> str:
    """A UTF-8 text, unpacked where it is `.gz`.

    Raises:
        ValueError: for a file that is too large, damaged, or not UTF-8.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)  # a few packed kilobytes may be a flood
        if len(content) > MAX_BYTES:
            raise ValueError(f"{path} is larger than {MAX_BYTES:,} bytes; no benchmark known here is")
        return content.decode()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file ({error}); unpack it, or fetch it again") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); fetch it again") from None


def rows(path: Path, columns: Iterable[str]) -> Iterator[dict]:
    """The rows of a JSON-lines file, each with text in `columns`.

    Raises:
        ValueError: naming the line that is no such row.
    """
    columns = tuple(columns)
    for number, line in enumerate(text(path).split("\n"), 1):  # not splitlines: a text may hold other line breaks
        if not line.strip():
            continue
        try:
            row = untrusted.parse_json(line.encode(), f"line {number} of {path}")
        except ValueError as error:
            raise ValueError(f"{error}; fetch the file again") from None
        if not isinstance(row, dict) or not all(isinstance(row.get(column), str) for column in columns):
            raise ValueError(f"line {number} of {path} is not a row with the texts {', '.join(columns)}")
        yield row


def hub_rows(repository: str, configuration: str | None, split: str, columns: Iterable[str]) -> list[dict]:
    """The rows of a data set of the hub, of all its configurations if none is named; needs the extra `hf`.

    Raises:
        ModuleNotFoundError: without the library `datasets`.
        ConnectionError: if the hub cannot be reached.
        ValueError: for rows without these texts.
    """
    where, offline = f"the hub data set {repository}", "or name a local folder of benchmarks"
    datasets = library(where, offline)
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(repository, timeout=REACH_SECONDS)
        names = [configuration] if configuration else datasets.get_dataset_config_names(repository)
        found = [row for name in names for row in datasets.load_dataset(repository, name, split=split)]
    except Exception as error:  # each layer below (sockets, http, the hub, the library) has its own exceptions
        raise ConnectionError(
            f"{where} cannot be read ({type(error).__name__}: {one_line(error)}); connect to the network, {offline}"
        ) from None
    columns = tuple(columns)
    if not all(isinstance(row.get(column), str) for row in found for column in columns):
        raise ValueError(f"{where} has rows without the texts {', '.join(columns)}; name a local folder of benchmarks")
    return found
