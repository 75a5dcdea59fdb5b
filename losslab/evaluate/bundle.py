"""The files of a CORE bundle, checked as they are read: `core.yaml`, `eval_meta_data.csv`, the rows in `eval_data/`."""

import csv
import shutil
import tempfile
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from losslab import untrusted
from losslab.corpus.disk import root
from losslab.evaluate import benchmark_rows
from losslab.evaluate.benchmark_rows import MAX_BYTES
from losslab.progress import Progress

URL = "https://karpathy-public.s3.us-west-2.amazonaws.com/eval_bundle.zip"  # where nanochat has it from
REACH_SECONDS = 20

FIELDS = {
    "multiple_choice": {"query": str, "choices": list, "gold": int},
    "schema": {"context_options": list, "continuation": str, "gold": int},
    "language_modeling": {"context": str, "continuation": str},
}


@dataclass(frozen=True)
class BundleTask:
    """One entry of core.yaml."""

    label: str
    dataset_uri: str  # below eval_data/
    icl_task_type: str  # a key of FIELDS
    num_fewshot: int
    continuation_delimiter: str = " "


def find(folder: Path | None, progress: Progress) -> Path:
    """The folder with core.yaml: `folder` or one in it; without `folder` the bundle is downloaded once.

    Raises:
        ValueError: there is no bundle in `folder`.
        ConnectionError: it cannot be downloaded.
    """
    if folder is None:
        return _downloaded(progress)
    for place in (folder, folder / "core_eval", folder / "eval_bundle"):
        if (place / "core.yaml").is_file():
            return place
    raise ValueError(f"{folder} holds no CORE bundle; give the folder that has core.yaml, or none to download it")


def tasks(folder: Path) -> list[BundleTask]:
    """The entries of core.yaml, in its order.

    Raises:
        ValueError: naming the entry that is not whole.
    """
    path, found = folder / "core.yaml", []
    for entry in _entries(path):
        try:
            kind, (num_fewshot,) = entry["icl_task_type"], entry["num_fewshot"]
            uri = PurePosixPath(entry["dataset_uri"])
            delimiter = entry.get("continuation_delimiter", " ")
            if kind not in FIELDS or uri.is_absolute() or ".." in uri.parts or not isinstance(delimiter, str):
                raise ValueError
            found.append(BundleTask(str(entry["label"]), str(uri), kind, int(num_fewshot), delimiter))
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{path}: the entry {entry.get('label', entry)} needs a label, a dataset_uri below eval_data, "
                f"num_fewshot such as [10] and an icl_task_type of {', '.join(FIELDS)}"
            ) from None
    return found


def rows(folder: Path, task: BundleTask) -> list[dict]:
    """The items of a task, from its `.jsonl` or `.jsonl.gz`.

    Raises:
        ValueError, OSError: the file is missing or damaged; the sentence names it.
    """
    path = benchmark_rows.find(folder / "eval_data", [task.dataset_uri])
    found = list(benchmark_rows.rows(path, ()))
    for number, row in enumerate(found, start=1):
        if not _is_whole(row, task.icl_task_type):
            wanted = ", ".join(FIELDS[task.icl_task_type])
            raise ValueError(f"{path} is damaged: item {number} is none of {task.label}, which has {wanted}")
    if not found:
        raise ValueError(f"{path} is damaged: it is empty")
    return found


def baselines(folder: Path) -> dict[str, float]:
    """What a random guesser scores on each task, in percent, as eval_meta_data.csv has it.

    Raises:
        ValueError: for a file that is missing or damaged.
    """
    path = folder / "eval_meta_data.csv"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return {row["Eval Task"]: float(row["Random baseline"]) for row in csv.DictReader(file)}
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; unpack the bundle again") from None
    except (ValueError, KeyError, TypeError, OSError, csv.Error):
        raise ValueError(f"{path} is damaged: it needs the columns Eval Task and Random baseline") from None


def _is_whole(row: dict, kind: str) -> bool:
    if any(not isinstance(row.get(name), type_) for name, type_ in FIELDS[kind].items()):
        return False
    options = row.get("choices" if kind == "multiple_choice" else "context_options", [""])
    return all(isinstance(one, str) for one in options) and 0 <= row.get("gold", 0) < len(options)


def _entries(path: Path) -> list[dict]:
    """The list under `icl_tasks:`. Of YAML this reads one list of flat maps and refuses the rest by its line."""
    entries: list[dict] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#") or (text == "icl_tasks:" and not entries):
            continue
        if text == "-" or text.startswith("- "):
            entries.append({})
            text = text[1:].strip()
            if not text:
                continue
        name, colon, value = text.partition(":")
        if not colon or not entries or not name.replace("_", "").isalnum() or name in entries[-1]:
            raise ValueError(f"{path}, line {number}: {text!r:.80} is not `name: value` in an entry that begins with -")
        entries[-1][name] = _value(value.strip(), path, number)
    return entries


def _value(text: str, path: Path, number: int):
    if text[:1] in ('"', "["):
        try:
            return untrusted.parse_json(text.encode(), "a value")
        except ValueError:
            wrong = f"{path}, line {number}: {text:.80} is neither a quoted text nor a list of numbers"
            raise ValueError(wrong) from None
    if text[:1] in ("'", "{", "&", "*", "!", "|", ">", "%", "@", "`"):
        raise ValueError(f"{path}, line {number}: {text:.80} is YAML that this reader does not know; use \"...\"")
    return text


def _downloaded(progress: Progress) -> Path:
    folder = root() / "core_eval"
    if (folder / "core.yaml").is_file():
        return folder
    progress(f"downloading the CORE bundle once, from {URL}", 0, 0)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            packed = Path(place) / "bundle.zip"
            with urllib.request.urlopen(URL, timeout=REACH_SECONDS) as source, open(packed, "wb") as file:
                total = int(source.headers.get("Content-Length") or 0)
                while block := source.read(1 << 20):
                    file.write(block)
                    progress("downloading the CORE bundle", file.tell(), total)
            unpack(packed, Path(place) / "core_eval")
            if not (folder / "core.yaml").is_file():  # another process may have been faster
                (Path(place) / "core_eval").replace(folder)
    except OSError as error:  # every failure of the network is one
        raise ConnectionError(
            f"the CORE bundle cannot be downloaded ({error}); give the folder of an unpacked one"
        ) from None
    return folder


def unpack(packed: Path, folder: Path) -> None:
    """The files of a zipped bundle that belong to one, and no others, into `folder`.

    Raises:
        ValueError: for a file that is no whole zip file, or unpacks to more than `MAX_BYTES`.
    """
    try:
        with zipfile.ZipFile(packed) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"{packed.name} unpacks to more than {MAX_BYTES:,} bytes; the true bundle has 50 MB")
            for info in archive.infolist():
                parts = PurePosixPath(info.filename).parts[1:]  # below the one folder that everything is in
                wanted = parts in (("core.yaml",), ("eval_meta_data.csv",)) or parts[:1] == ("eval_data",)
                if info.is_dir() or not wanted or ".." in parts:
                    continue
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{packed.name} is not a whole zip file ({error}); download it again") from None
