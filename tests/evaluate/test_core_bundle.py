"""Bundles of CORE that are whole, damaged, others', or downloaded."""

import gzip
import json
import math
import shutil

import numpy as np
import pytest
from chance import Chance
from chance import folder as folder

from losslab import tokenizer as tokenizers
from losslab.evaluate import bundle, core
from losslab.evaluate.tasks import Settings

# --- bundles that are not whole ----------------------------------------------------------------

@pytest.fixture
def small(tmp_path, monkeypatch):
    """A bundle of three tasks, one of each kind."""
    (tmp_path / "eval_data" / "a").mkdir(parents=True)
    entries = [("copa", "multiple_choice"), ("winograd", "schema"), ("squad", "language_modeling")]
    (tmp_path / "core.yaml").write_text("icl_tasks:\n" + "".join(
        f"-\n  label: {label}\n  dataset_uri: a/{label}.jsonl\n  num_fewshot: [0]\n  icl_task_type: {kind}\n"
        for label, kind in entries
    ))
    (tmp_path / "eval_meta_data.csv").write_text("Eval Task,Random baseline\ncopa,50\nwinograd,50\nsquad,0\n")
    rows = {
        "copa": {"query": "It rained, so", "choices": ["it was wet.", "it was dry."], "gold": 0},
        "winograd": {"context_options": ["The dog", "The cat"], "continuation": "barked.", "gold": 0},
        "squad": {"context": "One, two,", "continuation": "three"},
    }
    standard = {label: core.Standard(4, 0, 0 if label == "squad" else 50, 0) for label, _ in entries}
    for label, row in rows.items():
        (tmp_path / "eval_data" / "a" / f"{label}.jsonl").write_text((json.dumps(row) + "\n") * 4)
    monkeypatch.setattr(core, "STANDARD", standard)
    return tmp_path


def run_small(folder, limit=0, seq_len=128):
    return core.run(Chance(seq_len=seq_len), tokenizers.make("bytes"), Settings(folder, limit), tuple(core.STANDARD))


def test_a_whole_bundle_gives_core_under_both_names(small):
    result = run_small(small)
    assert {"core_v1", "core_v2"} == result.scores.keys() and result.is_evidence and result.notes == [core.BEGINNING]
    assert result.counts == {"tasks": 3, "items": 12, "skipped": 0, "cut": 0}
    part = result.parts[0]
    assert list(part.scores) == ["accuracy", "centered_v1", "centered_v2", "accuracy_sum", "accuracy_per_token",
                                 "accuracy_per_character", "accuracy_per_byte", "share_cut"]
    assert json.loads(json.dumps(result.to_dict(with_items=True)))["parts"][2]["items"][3]["index"] == 3


def test_tasks_that_ask_the_same_items_do_not_count_as_independent(small, monkeypatch):
    """The whole covariance matrix of the three means, computed from the items."""
    path = small / "eval_data" / "a" / "copa.jsonl"
    rows = [json.dumps({"query": f"It {n}", "choices": ["wet", "dry"], "gold": n % 2}) for n in range(12)]
    path.write_text("\n".join(rows))
    (small / "core.yaml").write_text((small / "core.yaml").read_text().replace(
        "winograd\n", "again\n", 1).replace("a/winograd.jsonl", "a/copa.jsonl").replace("schema", "multiple_choice"))
    (small / "eval_meta_data.csv").write_text("Eval Task,Random baseline\ncopa,50\nagain,20\nsquad,0\n")
    monkeypatch.setattr(core, "STANDARD", {"copa": core.Standard(12, 0, 50, 50), "again": core.Standard(12, 0, 20, 20),
                                           "squad": core.Standard(4, 0, 0, 0)})
    result = run_small(small)
    copa, again, squad = ([item.get("correct", item.get("picked", {}).get("per_own_token") == item.get("gold"))
                           for item in part.items] for part in result.parts)
    assert copa == again and 0 < sum(copa) < 12
    sums = np.array(copa) / 0.5 + np.array(again) / 0.8
    wanted = math.sqrt(sums.var(ddof=1) / 12 + np.var(squad, ddof=1) / 4) / 3
    assert result.scores["core_v1"].stderr == pytest.approx(wanted)


def test_a_file_that_unpacks_to_too_much_is_refused(small, monkeypatch):
    monkeypatch.setattr(bundle, "MAX_BYTES", 200)
    zipped(small, small.parent / "b.zip")
    with pytest.raises(ValueError, match="b.zip unpacks to more than 200 bytes; the true bundle has 50 MB"):
        bundle.unpack(small.parent / "b.zip", small.parent / "out")


def damage_nothing(path):
    path.unlink()


def damage_half(path):
    path.write_bytes(path.read_bytes()[:-30])


def damage_rows(path):
    path.write_text(path.read_text().splitlines()[0] + "\n")


def damage_gold(path):
    path.write_text(path.read_text().replace('"gold": 0', '"gold": 2').replace("continuation", "ending"))


def damage_sign(path):
    path.write_text(path.read_text().replace('"gold": 0', '"gold": -1').replace("continuation", "ending"))


def damage_gzip(path):
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    path.with_name(path.name + ".gz").write_bytes(packed[:-10])


@pytest.mark.parametrize("damage", [damage_nothing, damage_half, damage_rows, damage_gold, damage_sign, damage_gzip])
@pytest.mark.parametrize("label", ["copa", "squad"])
def test_a_damaged_file_is_named_and_the_rest_is_scored(small, damage, label):
    damage(small / "eval_data" / "a" / f"{label}.jsonl")
    result = run_small(small)
    assert result.scores == {} and not result.is_evidence
    assert f"{label}.jsonl" in result.notes[0] and "\n" not in result.notes[0]
    assert result.notes[1].startswith("no CORE: ")
    kept = {part.name for part in result.parts}
    assert kept == ({"copa", "winograd", "squad"} if damage is damage_rows else {"copa", "winograd", "squad"} - {label})


@pytest.mark.parametrize(("change", "said"), [
    (lambda folder: (folder / "eval_meta_data.csv").unlink(), "eval_meta_data.csv is missing"),
    (lambda folder: (folder / "eval_meta_data.csv").write_text("a,b\n1,2\n"), "eval_meta_data.csv is damaged"),
    (lambda folder: (folder / "eval_meta_data.csv").write_text("Eval Task,Random baseline\nwinograd,50\nsquad,0\n"
                                                               "copa,25\n"), "the baseline 25.0 where CORE v1 has 50"),
    (lambda folder: (folder / "core.yaml").write_text((folder / "core.yaml").read_text().replace("[0]", "[1]", 1)),
     "asks for 1 shots of copa where CORE has 0"),
    (lambda folder: (folder / "core.yaml").write_text((folder / "core.yaml").read_text().replace("copa\n", "cola\n")),
     "core.yaml has no task copa"),
])  # fmt: skip
def test_another_bundle_gives_no_core(small, change, said):
    change(small)
    result = run_small(small)
    assert result.scores == {} and said in result.notes[0] and len(result.parts) >= 2


@pytest.mark.parametrize("line", ["  label copa", "  num_fewshot: [0", "  label: twice", "  x: {a: 1}", "label"])
def test_yaml_that_is_not_a_list_of_flat_maps_is_refused_by_its_line(small, line):
    text = (small / "core.yaml").read_text()
    (small / "core.yaml").write_text(text + line + "\n")
    with pytest.raises(ValueError, match=f"core.yaml, line {len(text.splitlines()) + 1}: "):
        run_small(small)


@pytest.mark.parametrize("uri", ["../../secret.jsonl", "/etc/passwd"])
def test_a_bundle_cannot_reach_outside_itself(small, uri):
    (small / "core.yaml").write_text((small / "core.yaml").read_text().replace("a/copa.jsonl", uri))
    with pytest.raises(ValueError, match="the entry copa needs a label, a dataset_uri below eval_data"):
        run_small(small)


def test_a_folder_without_a_bundle_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="holds no CORE bundle; give the folder that has core.yaml"):
        core.run(Chance(), tokenizers.make("bytes"), Settings(tmp_path))


def test_a_bundle_is_found_in_the_folder_of_all_benchmarks(small, tmp_path):
    shutil.copytree(small, tmp_path / "all" / "core_eval")
    assert bundle.find(tmp_path / "all", print) == tmp_path / "all" / "core_eval"


def test_a_context_shorter_than_an_answer_skips_that_item_alone(small):
    path = small / "eval_data" / "a" / "squad.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = json.dumps({"context": "One, two,", "continuation": "three and so on until a hundred"})
    path.write_text("\n".join(lines))
    result = run_small(small, seq_len=20)
    part = result.parts[-1]
    assert part.counts == {"items": 3, "skipped": 1, "cut": 0} and part.scores["accuracy"].n == 3
    assert [item for item in part.items if "skipped" in item][0]["skipped"] == (
        "an answer of 32 tokens does not fit a context of 20")
    assert any(note.startswith("squad: 1 of 4 items were skipped") for note in result.notes)
    assert "core_v1" in result.scores and not result.is_evidence
    assert result.notes[0].startswith("1 items of squad could not be scored and are left out of every mean")
    assert result.parts[0].counts["cut"] == 4 and any("copa: 4 of 4 items are longer" in note for note in result.notes)


def test_a_character_that_the_vocabulary_has_not_skips_the_item(small):
    tokenizer = tokenizers.make("char", ["It rained, so it was wet. dry The dog cat barked. One, two, three"])
    path = small / "eval_data" / "a" / "copa.jsonl"
    path.write_text(path.read_text().replace("wet", "w\u00e9t", 1))
    result = core.run(Chance(), tokenizer, Settings(small), tuple(core.STANDARD))
    assert result.parts[0].counts["skipped"] == 1 and "\u00e9" in result.notes[1]


# --- the download ------------------------------------------------------------------------------

def zipped(folder, target, extra=()):
    shutil.make_archive(str(target.with_suffix("")), "zip", root_dir=folder.parent, base_dir=folder.name)
    import zipfile
    with zipfile.ZipFile(target, "a") as archive:
        for name in extra:
            archive.writestr(name, "x")


def test_a_bundle_is_downloaded_once_and_only_its_own_files_are_unpacked(small, tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("served")
    zipped(small, place / "b.zip", ["eval_bundle/../../out", "eval_bundle/run.sh", "eval_bundle/eval_data/../../../o"])
    monkeypatch.setenv("LOSSLAB_CACHE", str(place / "cache"))
    monkeypatch.setattr(bundle, "URL", (place / "b.zip").as_uri())
    said, size = [], (place / "b.zip").stat().st_size
    folder = bundle.find(None, lambda *told: said.append(told))
    assert [told[1:] for told in said] == [(0, 0), (size, size)]
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "copa.jsonl", "core.yaml", "eval_meta_data.csv", "squad.jsonl", "winograd.jsonl"]
    assert bundle.find(None, print) == folder
    assert sorted(path.name for path in place.rglob("*") if path.is_file() and path.suffix in ("", ".sh")) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/b.zip", "file:///nowhere/b.zip"])
def test_a_bundle_that_cannot_be_downloaded_is_one_sentence(tmp_path, monkeypatch, url):
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(bundle, "URL", url)
    with pytest.raises(ConnectionError, match="the CORE bundle cannot be downloaded .*; give the folder"):
        core.run(Chance(), tokenizers.make("bytes"), Settings())
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_zip_file_is_said_to_be_none(tmp_path):
    (tmp_path / "b.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match="b.zip is not a whole zip file"):
        bundle.unpack(tmp_path / "b.zip", tmp_path / "out")
