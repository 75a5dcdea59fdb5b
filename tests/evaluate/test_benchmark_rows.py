"""Files and the hub: what is found, and what is said when nothing is."""

import builtins
import sys
from types import ModuleType

import pytest

from losslab.evaluate import benchmark_rows


def test_the_first_file_that_is_there_is_taken_packed_or_not(tmp_path):
    assert benchmark_rows.find(None, ["a.jsonl"]) is None
    (tmp_path / "b.jsonl.gz").write_bytes(b"")
    assert benchmark_rows.find(tmp_path, ["a.jsonl", "b.jsonl"]).name == "b.jsonl.gz"
    (tmp_path / "a.jsonl").write_bytes(b"")
    assert benchmark_rows.find(tmp_path, ["a.jsonl", "b.jsonl"]).name == "a.jsonl"


def test_a_line_separator_inside_a_text_is_not_the_end_of_a_row(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one\u2028two"}\n{"text": "three"}\n', encoding="utf-8")
    assert [row["text"] for row in benchmark_rows.rows(tmp_path / "a.jsonl", ["text"])] == ["one\u2028two", "three"]


def test_a_flood_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_rows, "MAX_BYTES", 10)
    (tmp_path / "a.txt").write_text("x" * 11)
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        benchmark_rows.text(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("x" * 10)
    assert benchmark_rows.text(tmp_path / "a.txt") == "x" * 10


class Hub:
    """The two libraries as far as they are used, with a hub that answers as it is told."""

    def __init__(self, monkeypatch, rows=None, error=None):
        datasets, hub, self.asked = ModuleType("datasets"), ModuleType("huggingface_hub"), []

        class HfApi:
            def dataset_info(self, name, timeout):
                assert timeout == benchmark_rows.REACH_SECONDS
                if error:
                    raise error

        datasets.get_dataset_config_names = lambda name: ["one", "two"]
        datasets.load_dataset = lambda name, part, split: self.asked.append((name, part, split)) or rows
        hub.HfApi = HfApi
        monkeypatch.setitem(sys.modules, "datasets", datasets)
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)


def test_rows_of_the_hub(monkeypatch):
    hub = Hub(monkeypatch, rows=[{"text": "a"}])
    assert benchmark_rows.hub_rows("o/n", "c", "test", ["text"]) == [{"text": "a"}]
    assert benchmark_rows.hub_rows("o/n", None, "train", ["text"]) == [{"text": "a"}] * 2
    assert hub.asked == [("o/n", "c", "test"), ("o/n", "one", "train"), ("o/n", "two", "train")]
    with pytest.raises(ValueError, match="rows without the texts word"):
        benchmark_rows.hub_rows("o/n", "c", "test", ["word"])


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch):
    Hub(monkeypatch, error=TimeoutError("no route\nto host"))
    with pytest.raises(ConnectionError) as caught:
        benchmark_rows.hub_rows("o/n", "c", "test", ["text"])
    assert str(caught.value) == (
        "the hub data set o/n cannot be read (TimeoutError: no route); connect to the network, or name a local folder "
        "of benchmarks"
    )


def test_without_the_library_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **options):
        if name == "datasets":
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModuleNotFoundError, match=r'pip install .* "\.\[hf\]"'):
        benchmark_rows.hub_rows("o/n", "c", "test", ["text"])
