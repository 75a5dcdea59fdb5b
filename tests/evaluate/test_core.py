"""CORE: published numbers recomputed, chance, and every item beside a plain program written from nanochat's rules."""

import csv
import gzip
import json
import math
import random
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.evaluate import bundle, core, prompts, tasks
from losslab.evaluate.tasks import Settings
from losslab.model import initialized
from losslab.stats import Score


@pytest.fixture
def folder(benchmark_data):
    """A bundle of all 22 tasks with invented rows."""
    return benchmark_data / "core_eval"


# --- published numbers -------------------------------------------------------------------------

@pytest.mark.parametrize(("size", "v1", "v2"), [
    ("", 0.1139, 0.0881), ("-medium", 0.1849, None), ("-large", 0.2146, None), ("-xl", 0.2565, 0.2309),
])  # fmt: skip
def test_core_of_the_real_gpt2_models(size, v1, v2, real_data):
    """v1 as the files have it, v2 as DCLM's corrected baselines give for the same accuracies."""
    with open(real_data / "core_eval" / f"openai-community-gpt2{size}.csv", encoding="utf-8") as file:
        table = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in list(csv.reader(file))[1:]}
    printed = table.pop("CORE")
    accuracies = {label: Score(float(cells[0]), None, 1000) for label, cells in table.items()}
    assert core.core(accuracies, "v1").value == pytest.approx(float(printed[1]), abs=1e-6)
    assert core.core(accuracies, "v1").value == pytest.approx(v1, abs=5e-5)
    if v2 is not None:
        assert core.core(accuracies, "v2").value == pytest.approx(v2, abs=5e-5)
    for label, cells in table.items():
        ours = core.centered(accuracies[label], core.STANDARD[label].v1).value
        assert ours == pytest.approx(float(cells[1]), abs=2e-6)


def test_core_is_the_mean_of_accuracies_between_chance_and_1():
    """By hand, for accuracies of 40 to 61 %: the baselines of both versions, written out."""
    v1 = [25, 0, 0, 25, 25, 50, 20, 50, 25, 0, 25, 50, 50, 0, 20, 0, 0, 0, 0, 0, 62, 9.1]
    v2 = [25, 0, 0, 25, 25, 50, 40.3, 50, 25, 0, 25, 50, 50, 0, 25, 0, 0, 0, 0, 0, 62, 25]
    accuracies = {label: Score((40 + place) / 100, 0.01, 500) for place, label in enumerate(core.STANDARD)}
    for version, baselines in (("v1", v1), ("v2", v2)):
        by_hand = [(40 + place - chance) / (100 - chance) for place, chance in enumerate(baselines)]
        assert core.core(accuracies, version).value == pytest.approx(sum(by_hand) / 22, rel=1e-12)


@pytest.mark.parametrize("published", [False, True], ids=["invented", "published"])
def test_what_losslab_knows_of_core_is_what_the_bundle_says(published, request):
    folder = request.getfixturevalue("real_data" if published else "benchmark_data") / "core_eval"
    found = {task.label: task for task in bundle.tasks(folder)}
    assert list(found) == list(core.STANDARD)
    given = bundle.baselines(folder)
    for label, standard in core.STANDARD.items():
        assert (found[label].num_fewshot, given[label]) == (standard.num_fewshot, standard.v1)
        assert found[label].continuation_delimiter == ("\nAnswer: " if label in (
            "jeopardy", "arc_easy", "arc_challenge", "piqa", "boolq") else " ")


def test_a_random_guesser_is_below_zero(real_data):
    """-0.001 and -0.026, by each item's own number of options; and the published numbers of rows."""
    accuracies, folder = {}, real_data / "core_eval"
    for task in bundle.tasks(folder):
        if task.icl_task_type == "language_modeling":
            accuracies[task.label] = Score(0.0, 0.01, 1)
            continue
        rows = bundle.rows(folder, task)
        chance = [1 / len(row.get("choices") or row["context_options"]) for row in rows]
        accuracies[task.label] = Score(float(np.mean(chance)), 0.01, len(rows))
        assert len(rows) == core.STANDARD[task.label].num_rows
    assert core.core(accuracies, "v1").value == pytest.approx(-0.001, abs=5e-4)
    assert core.core(accuracies, "v2").value == pytest.approx(-0.026, abs=5e-4)


def test_the_error_of_core_is_that_of_a_mean_of_independent_tasks_and_what_they_share():
    accuracies = {label: Score(0.6, 0.01 + 0.001 * place, 500) for place, label in enumerate(core.STANDARD)}
    parts = [(score.stderr / (1 - core.STANDARD[label].v2 / 100)) ** 2 for label, score in accuracies.items()]
    assert core.core(accuracies, "v2").stderr == pytest.approx(math.sqrt(sum(parts)) / 22)
    assert core.core(accuracies, "v2", covariance=1e-4).stderr == pytest.approx(math.sqrt(sum(parts) + 2e-4) / 22)
    assert core.core(accuracies, "v1").n == 22
    accuracies.pop("coqa")
    with pytest.raises(ValueError, match="CORE is the mean of 22 tasks, and coqa has no score"):
        core.core(accuracies, "v1")


# --- beside a plain program --------------------------------------------------------------------

def plain(task, rows, limit, tokenizer, model):
    """Each item by itself, from the rules: (picked or None, mean losses or whether all is greedy)."""
    delimiter, window = task.continuation_delimiter, model.config.num_positions
    rows = list(rows)
    random.Random(1337).shuffle(rows)
    rows = rows[:limit]
    for index, row in enumerate(rows):
        pool = [i for i in range(len(rows)) if i != index]
        few = random.Random(1234 + index).sample(pool, min(task.num_fewshot, len(pool))) if task.num_fewshot else []
        prefix = ""
        for other in (rows[i] for i in few):
            if task.icl_task_type == "multiple_choice":
                prefix += f"{other['query']}{delimiter}{other['choices'][other['gold']]}\n\n"
            elif task.icl_task_type == "schema":
                prefix += f"{other['context_options'][other['gold']]}{delimiter}{other['continuation']}\n\n"
            else:
                prefix += f"{other['context'].strip()}{delimiter}{other['continuation']}\n\n"
        if task.icl_task_type == "multiple_choice":
            texts = [f"{prefix}{row['query']}{delimiter}{choice}" for choice in row["choices"]]
        elif task.icl_task_type == "schema":
            texts = [f"{prefix}{context}{delimiter}{row['continuation']}" for context in row["context_options"]]
        else:
            stem = f"{prefix}{row['context'].strip()}{delimiter}"
            texts = [stem.strip(), stem + row["continuation"]]
        tokens = [[tokenizer.eot, *tokenizer.encode(text).tolist()] for text in texts]
        shortest = min(map(len, tokens))
        if task.icl_task_type == "multiple_choice":
            same = next((i for i in range(shortest) if len({t[i] for t in tokens}) > 1), shortest)
            starts = [same] * len(tokens)
        elif task.icl_task_type == "schema":
            same = next((i for i in range(shortest) if len({t[-1 - i] for t in tokens}) > 1), shortest)
            starts = [len(t) - same for t in tokens]
        else:
            assert tokens[1][: len(tokens[0])] == tokens[0]
            starts, tokens = [len(tokens[0])], tokens[1:]
        losses, greedy = [], []
        for whole, start in zip(tokens, starts, strict=True):
            start -= max(0, len(whole) - window)
            whole = whole[-window:]
            assert start > 0
            with torch.no_grad():
                z = model.logits(model(torch.tensor([whole])))[0]
            own = torch.tensor(whole[start:], dtype=torch.long)
            z = z[start - 1 : len(whole) - 1]
            losses.append(torch.nn.functional.cross_entropy(z, own, reduction="none").mean().item())  # nan of nothing
            greedy.append(bool((z.argmax(-1) == own).all()))
        if task.icl_task_type == "language_modeling":
            yield None, greedy[0]
        else:
            yield losses.index(min(losses)), losses


def little_gpt2():
    config = ModelConfig(n_layer=2, n_head=2, n_embd=64, num_positions=1024)
    return initialized(config, 50257, seed=0).eval()


def assert_item_by_item(folder, limit, labels, model, tokenizer):
    result = core.run(model, tokenizer, Settings(folder, limit=limit), labels)
    assert [part.name for part in result.parts] == [label for label in core.STANDARD if label in labels]
    found = {task.label: task for task in bundle.tasks(folder)}
    for part in result.parts:
        task = found[part.name]
        wanted = list(plain(task, bundle.rows(folder, task), limit, tokenizer, model))
        assert len(part.items) == len(wanted) == part.counts["items"]
        for item, (picked, said) in zip(part.items, wanted, strict=True):
            if picked is None:
                assert item["correct"] == said, (part.name, item["index"])
                continue
            assert item["picked"]["per_own_token"] == picked, (part.name, item["index"])
            costs = [math.nan if cost is None else cost for cost in item["costs"]["per_own_token"]]
            np.testing.assert_allclose(costs, said, rtol=1e-5)
    return result


def test_core_item_by_item_on_few_items(folder):
    labels = ("piqa", "copa", "winograd", "bigbench_repeat_copy_logic", "bigbench_language_identification", "squad")
    result = assert_item_by_item(folder, 3, labels, little_gpt2(), tokenizers.make("gpt2"))
    assert not result.is_evidence and "core_v1" not in result.scores and "short_seven" not in result.scores
    assert any("limited to 3 items of each task: not evidence" in note for note in result.notes)
    assert any("piqa: 2 shots" in note for note in result.notes)


def test_core_item_by_item_in_a_context_that_cuts(folder):
    """Bytes in a context of 100; noise, so that every token counts."""
    labels = ("copa", "openbook_qa", "winograd", "winogrande", "commonsense_qa", "agi_eval_lsat_ar", "boolq",
              "bigbench_language_identification", "bigbench_operators", "coqa")
    result = assert_item_by_item(folder, 6, labels, Chance(seq_len=100), tokenizers.make("bytes"))
    shares = {part.name: part.scores["share_cut"].value for part in result.parts}
    assert 0 < shares["copa"] < 1 and shares["boolq"] == 1 and shares["winograd"] < 1


def asked(kind, items, tokenizer=None, limit=99, shots=0, delimiter=" "):
    task = bundle.BundleTask("t", "t.jsonl", kind, shots, delimiter)
    return prompts.question(tokenizer or tokenizers.make("bytes"), limit, items, 0, task)


def texts(question):
    return [tuple(bytes([*part]) for part in (np.array(one.request.context)[1:], np.array(one.request.continuation)))
            for one in question.options]


def test_the_prompt_of_a_question_with_an_example():
    items = [{"query": "Who? ", "choices": ["Ann", "Abe"], "gold": 1},
             {"query": "What?", "choices": ["x", "y"], "gold": 1}]
    one = asked("multiple_choice", items, shots=1, delimiter="\nAnswer: ")
    shown = b"What?\nAnswer: y\n\nWho? \nAnswer:"
    assert texts(one) == [(shown, b" Ann"), (shown, b" Abe")]
    assert [option.num_own for option in one.options] == [2, 2] and one.gold == 1
    two = asked("multiple_choice", [items[0] | {"query": "Who?  "}])  # the space before the delimiter's is kept
    assert texts(two)[0] == (b"Who?", b"   Ann")


def test_the_prompt_of_a_schema():
    items = [{"context_options": ["The cat", "The old dog"], "continuation": "sat.", "gold": 1},
             {"context_options": ["Ann", "Bea"], "continuation": "ran.", "gold": 0}]
    one = asked("schema", items, shots=1)
    assert texts(one) == [(b"Ann ran.\n\nThe cat", b" sat."), (b"Ann ran.\n\nThe old dog", b" sat.")]
    same = asked("schema", [items[0] | {"context_options": ["The", "The"]}])
    assert texts(same) == [(b"", b"The sat.")] * 2 and same.options[0].num_own == 8


def test_the_prompt_of_a_completion_loses_the_space_around_its_contexts():
    items = [{"context": " One, ", "continuation": "two"}, {"context": "Three,\n", "continuation": "four"}]
    assert texts(asked("language_modeling", items, shots=1)) == [(b"Three, four\n\nOne,", b" two")]
    assert "how its text with the answer begins" in asked("language_modeling", [items[0] | {"continuation": ""}],
                                                          delimiter="").skipped


def test_the_last_tokens_are_kept_and_an_answer_needs_one_before_it():
    items = [{"context": "abcdef", "continuation": "xyz"}]
    one = asked("language_modeling", items, limit=6).options[0]
    assert bytes(one.request.context.tolist()) == b"ef" and one.num_cut == 5  # the end mark and abcd
    assert asked("language_modeling", items, limit=5).options[0].num_cut == 6
    assert asked("language_modeling", items, limit=4).skipped == "an answer of 4 tokens does not fit a context of 4"


def test_items_are_shuffled_and_cut_and_examples_are_drawn_from_the_rest():
    """The generators that nanochat seeds, drawn from here in its own way."""
    rows = [{"number": number} for number in range(40)]
    order = list(range(40))
    random.Random(1337).shuffle(order)
    items = prompts.chosen(rows, 15)
    assert [item["number"] for item in items] == order[:15] and len(prompts.chosen(rows, 0)) == 40
    for index in (0, 7, 14):
        pool = [i for i in range(15) if i != index]
        drawn = [order[i] for i in random.Random(1234 + index).sample(pool, 10)]
        assert [item["number"] for item in prompts.shots(items, index, 10)] == drawn


@pytest.mark.slow
def test_core_item_by_item(real_data):
    folder, gpt2 = real_data / "core_eval", tokenizers.make("gpt2")
    result = assert_item_by_item(folder, 20, tuple(core.STANDARD), little_gpt2(), gpt2)
    assert {"core_v1", "core_v2", "short_seven"} == result.scores.keys() and not result.is_evidence
    by_name = {part.name: part for part in result.parts}
    for label in ("squad", "boolq", "bigbench_language_identification"):  # at GPT-2's own window, always cut
        assert by_name[label].scores["share_cut"].value > 0.85
    assert by_name["copa"].scores["share_cut"].value == 0
    assert result.scores["core_v1"].value - result.scores["core_v2"].value == pytest.approx(0.025, abs=0.02)


# --- chance ------------------------------------------------------------------------------------

class Chance(nn.Module):
    """Logits that are noise, another for every token and place, but the same when asked again."""

    vocab_size = 257

    def __init__(self, scale=1.0, seq_len=4096):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.config = ModelConfig(num_positions=seq_len)
        self.noise = torch.randn(1009, 257, generator=torch.Generator().manual_seed(1))

    def forward(self, tokens):
        # by all tokens so far, so that options differ at every place
        return (tokens * torch.arange(1, tokens.shape[1] + 1)).cumsum(1) % 1009

    def logits(self, hidden):
        return self.scale * self.noise[hidden]


SAMPLED = ("copa", "winograd", "winogrande", "openbook_qa", "hellaswag_zeroshot", "bigbench_operators",
           "lambada_openai")


def test_a_model_that_says_anything_scores_one_in_k(folder):
    result = core.run(Chance(), tokenizers.make("bytes"), Settings(folder, limit=200), SAMPLED)
    for part in result.parts:
        baseline = core.STANDARD[part.name].v1 / 100
        accuracy = part.scores["accuracy"]
        if not baseline:
            assert accuracy.value == 0.0
            continue
        error = math.sqrt(baseline * (1 - baseline) / accuracy.n)
        assert abs(accuracy.value - baseline) < 3 * error, part.name
        assert accuracy.stderr == pytest.approx(error, rel=0.2)
        for normalizer in ("sum", "per_token", "per_character", "per_byte") if "accuracy_sum" in part.scores else ():
            assert part.counts[f"tied_{normalizer}"] == 0


def test_a_uniform_model_takes_the_first_option_and_every_tie_is_counted(folder):
    result = core.run(Chance(scale=0.0), tokenizers.make("bytes"), Settings(folder, limit=100), SAMPLED[:5])
    for part in result.parts:
        first = [item["gold"] == 0 for item in part.items]
        assert part.scores["accuracy"].value == pytest.approx(sum(first) / len(first))
        assert part.counts["tied_per_own_token"] == len(first)
        assert all(item["picked"]["per_own_token"] == 0 for item in part.items)


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
    """The whole covariance matrix of the three means, worked out from the items."""
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


def test_the_short_seven_are_a_task_of_their_own_and_never_called_core(folder):
    result = tasks.run("short_seven", Chance(), tokenizers.make("bytes"), Settings(folder, limit=10))
    assert result.name == "short_seven" and list(result.scores) == ["short_seven"]
    assert len(result.parts) == 7 and result.scores["short_seven"].n == 7
    expected = np.mean([part.scores["centered_v1"].value for part in result.parts])
    assert result.scores["short_seven"].value == pytest.approx(expected)
