"""CORE: published numbers recomputed, chance, and every item compared with a plain program by nanochat's rules."""

import csv
import math
import random

import numpy as np
import pytest
import torch
from chance import Chance
from chance import folder as folder

from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.evaluate import bundle, core, tasks
from losslab.evaluate.tasks import Settings
from losslab.model import initialized
from losslab.stats import Score

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


# --- compared with a plain program --------------------------------------------------------------------

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


# --- the download ------------------------------------------------------------------------------

def test_the_short_seven_are_a_task_of_their_own_and_never_called_core(folder):
    result = tasks.run("short_seven", Chance(), tokenizers.make("bytes"), Settings(folder, limit=10))
    assert result.name == "short_seven" and list(result.scores) == ["short_seven"]
    assert len(result.parts) == 7 and result.scores["short_seven"].n == 7
    expected = np.mean([part.scores["centered_v1"].value for part in result.parts])
    assert result.scores["short_seven"].value == pytest.approx(expected)
