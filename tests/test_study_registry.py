"""The studies that come with losslab: each can be run at every scale, and runs nobody's files."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from commands import losslab, refuses
from experiments import place as place

from losslab import config, formula, ladder, lossfile, objective
from losslab.config.presets import SWITCHES
from losslab.ladder import settings
from losslab.study import registry

CORPORA = ("tales", "pydoc", "tinystories", "openwebtext", "fineweb", "fineweb-edu",
           "HuggingFaceFW/fineweb-edu:sample-100BT")


@pytest.mark.parametrize("name", registry.names())
def test_a_study_has_every_scale_known_losses_and_a_source(name, tmp_path):
    found = registry.load(name)
    assert found.name == name and found.question.endswith("?") and len(found.arms) >= 3
    assert set(found.scales) == {"smoke", "laptop", "full"}
    fine_tunes = found.start == registry.GIVEN  # a model that the command line names
    if not fine_tunes:
        assert found.published["source"]
        assert {figure["label"] for figure in found.published["figures"]} >= {found.baseline}
    texts = {str(arm.loss) for arm in found.arms}
    assert len({(str(arm.loss), json.dumps(arm.settings, sort_keys=True)) for arm in found.arms}) == len(found.arms)
    assert found.baseline == (found.arms[0].label or "cross_entropy") and str(found.arms[0].loss) == "cross_entropy"
    for scale in found.scales:
        sized = found.at(scale)
        objectives = [objective.Objective(formula.parse(text)) for text in texts]
        assert len({each.explicit for each in objectives}) == len(texts)  # no arm twice, in other words
        assert not any(lossfile.sources(formula.parse(text)) for text in texts)
        for made in sized.configs.values():
            if fine_tunes:
                assert made.data.corpus == "tatsu-lab/alpaca" and made.start == registry.GIVEN
            else:
                assert made.data.corpus in CORPORA and not made.start
    smoke = found.at("smoke")
    assert len(smoke.seeds) == 2 and not smoke.tune
    if found.ladder:
        with mock.patch.dict("os.environ", {"LOSSLAB_CACHE": str(tmp_path)}):
            rungs = ladder.rungs(smoke)
        assert len(rungs) == 2 and all(rung.counts.num_tokens <= 50_000 for rung in rungs)
        assert all(len(settings.of(found.at(scale)).sizes) >= 3 for scale in ("laptop", "full"))
        return
    assert smoke.configs[found.baseline].train.num_tokens <= 50_000
    trials = [found.at(scale).tune.get("trials", 0) for scale in ("laptop", "full")]
    assert trials[0] == trials[1] and (trials[0] or fine_tunes)
    if found.preset == "tiny":
        assert found.at("laptop").configs[found.baseline] == replace(config.preset("tiny"), loss="cross_entropy")


def test_the_study_of_fine_tuning_has_losses_at_one_rate_and_takes_a_start(monkeypatch, capsys):
    found = registry.load("fine-tuning-losses")
    assert [arm.loss for arm in found.arms] == [
        "cross_entropy", "token_scaled", "cross_entropy + unlikelihood", "label_smoothing(epsilon=0.1)",
        "focal_detached(gamma=2)"]
    assert [len(found.at(scale).seeds) for scale in ("smoke", "laptop", "full")] == [2, 3, 10]
    for scale in found.scales:
        assert {made.seq_len for made in found.at(scale).configs.values()} == {512}
    with mock.patch("losslab.cli.studies.conduct", return_value=0) as conducted:
        assert losslab("reproduce", "fine-tuning-losses", "--start", "runs/base", "--data", "rows.json") == 0
    given = conducted.call_args.args[0]
    assert {(made.start, made.data.corpus) for made in given.configs.values()} == {("runs/base", "rows.json")}
    assert given.name == "fine-tuning-losses-laptop"
    assert "z-loss-laptop begins with new weights; leave out --start" in refuses(
        capsys, "reproduce", "z-loss", "--start", "runs/base")
    assert "--corpus and --data name the same text" in refuses(
        capsys, "reproduce", "z-loss", "--corpus", "a", "--data", "b")


def test_the_table_of_losses_has_every_loss_of_the_family_and_what_was_published():
    found = registry.load("loss-table")
    formulas = [formula.parse(arm.loss) for arm in found.arms]
    alone = {parsed.terms[0][1].name for parsed in formulas if len(parsed.terms) == 1 and not parsed.transforms}
    family = {name: importlib.import_module(f"losslab.losses.{name}") for name in formula.names("losslab.losses")}
    assert alone == {name for name, module in family.items() if getattr(module, "ROLE", "whole") == "whole"}
    assert {arm.label for arm in found.arms} >= {
        f"{cap}{z}" for cap in ("tanh cap 15", "tanh cap 30") for z in ("", ", z-loss")} | {"sigmoid cap 23, 5, 7.5"}
    by_label = {arm.label: objective.Objective(formula.parse(arm.loss)) for arm in found.arms}
    logits = torch.linspace(-2, 3, 7)[None]
    target = torch.tensor([2])
    p, log_z = logits.softmax(1)[0, 2], logits.logsumexp(1)
    smooth = 0.95 * -p.log() + 0.05 * (log_z - logits.mean())
    assert torch.allclose(by_label["submission 1"](logits, target), smooth + (1 - p) + 1e-4 * log_z**2)
    capped = 30 * (logits / 30).tanh()
    log_z, nll = capped.logsumexp(1), -capped.log_softmax(1)[0, 2]
    assert torch.allclose(by_label["submission 2"](logits, target),
                          0.9 * nll + 0.1 * (log_z - capped.mean()) + 1e-4 * log_z**2)
    weights = torch.where(torch.arange(7) == 2, 65.0, 1.0)
    square = (weights * (torch.eye(7)[2] - logits[0]) ** 2).mean()
    assert torch.allclose(by_label["squentropy, capstone"](logits, target), -p.log() + square)
    laptop = found.at("laptop")
    assert (laptop.race, laptop.tune["trials"], laptop.size, laptop.recipe) == ((4, 8, 16), 5, "tiny", "modern")
    assert {made.num_tokens // 1000 for made in laptop.configs.values()} == {599}


def test_the_study_of_stories_has_the_published_grid_for_every_arm_alike():
    found = registry.load("squentropy-tinystories")
    for scale, layers in (("laptop", [2, 3, 4]), ("full", [8, 12, 16])):
        assert found.at(scale).tune == {"method": "grid", "trials": 27, "space": {
            "train.learning_rate": [6e-6, 6e-4, 6e-2], "model.dropout": [0.0, 0.1, 0.2], "model.n_layer": layers}}
    assert found.at("laptop").settings["train.num_tokens"] == 150_000
    assert [arm.loss for arm in found.arms] == [
        "cross_entropy", "mse", "weighted_mse(target_weight=100)", "cross_entropy + weighted_mse(target_weight=65)",
        "squentropy"]
    assert [figure["value"] for figure in found.published["figures"]] == [1.81, 1.83, 3.8, 1.89, 1.90, 5.2]


@pytest.mark.parametrize("scale", ["laptop", "full"])
def test_the_ablation_takes_back_one_switch_of_modern_in_each_arm(scale):
    """With what belongs to AdamW or to a cosine; everything else is as in the recipe."""
    size = {"laptop": "tiny", "full": "char"}[scale]
    recipes = {name: config.combined(size, name, "tales-small") for name in ("modern", "classic")}
    modern, classic = (config.flatten(config.to_dict(recipe)) for recipe in recipes.values())
    configs = registry.load("modern-ablation").at(scale).configs
    flat = {name: config.flatten(config.to_dict(made)) for name, made in configs.items()}
    changed = {name: {key for key in settings if settings[key] != flat["modern"][key]}
               for name, settings in flat.items()}
    switches = set(SWITCHES) | {"model.tied"}
    assert {key: flat["modern"][key] for key in SWITCHES} == {key: modern[key] for key in SWITCHES}
    assert flat["modern"]["model.tied"] is True
    taken = {name: keys & switches for name, keys in changed.items()}
    assert not taken.pop("modern") and all(len(keys) == 1 for keys in taken.values())
    assert {key for keys in taken.values() for key in keys} == switches
    for name, keys in taken.items():
        for key in keys - {"model.activation", "model.tied"}:
            assert flat[name][key] == classic[key]
    rest = {name: changed[name] - keys for name, keys in taken.items() if changed[name] - keys}
    assert rest == {
        "AdamW": {f"train.{key}" for key in ("learning_rate", "embedding_rate_ratio", "vector_rate_ratio", "betas")},
        "cosine": {"train.min_learning_rate_ratio"}, "untied": {"train.head_rate_ratio", "train.embedding_rate_ratio"}}


def test_studies_are_listed_shown_and_estimated(place, capsys):
    assert losslab("studies", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["studies"]
    every = sorted((*registry.names(), *registry.names(staged=True)))
    assert [one["name"] for one in listed] == every and 4 <= len(listed)
    assert losslab("studies") == 0 and listed[0]["question"] in capsys.readouterr().out
    assert losslab("studies", "z-loss") == 0
    assert capsys.readouterr().out.startswith('name = "z-loss"\n')
    assert losslab("studies", "z-loss", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["arm"][1]["loss"] == "cross_entropy + 1e-4*z_loss"
    said = refuses(capsys, "reproduce", "z_los", "--dry-run")
    assert losslab("studies", "story-gpt", "--json") == 0
    assert [stage["name"] for stage in json.loads(capsys.readouterr().out)["stage"]][:2] == ["pretrain", "tune"]
    known = ", ".join(every)
    assert f"unknown study 'z_los'; did you mean z-loss?; the studies that come with losslab are {known}, and" in said
    assert "smoke" in refuses(capsys, "reproduce", "z-loss", "--scale", "huge")
    assert not Path("runs").exists()


def test_a_text_of_the_user_takes_the_place_of_the_corpus_of_a_study(place, capsys):
    assert losslab("reproduce", "loss-table", "--scale", "smoke", "--dry-run", "--corpus", "no/such/folder") == 2
    assert "no/such/folder" in capsys.readouterr().err
    with mock.patch("losslab.cli.studies.conduct", return_value=0) as conducted:
        assert losslab("reproduce", "loss-table", "--corpus", "stories") == 0
        given = conducted.call_args.args[0]
        assert {made.data.corpus for made in given.configs.values()} == {"stories"}
        assert given.name == "loss-table-laptop"
        assert losslab("reproduce", "loss-table") == 0
        assert conducted.call_args.args[0] == registry.load("loss-table").at("laptop")
    assert "loss-table-laptop is trained on tales; --corpus takes another text" in capsys.readouterr().err


def test_the_benchmark_task_has_its_published_updates_batches_and_rates():
    found = registry.load("mls-bench-loss").at("full")
    rungs = {size.known: (size, ratio) for size in settings.of(found).sizes for ratio in size.tokens_per_param}
    for name, updates, batch, rate in (("gpt2", 5_000, 60, 6e-4), ("gpt2-xl", 5_000, 60, 2e-4),
                                       ("gpt2-medium", 13_535, 512, 3e-4)):
        size, ratio = rungs[name]
        own, model = dict(size.settings), replace(config.SIZES[name], bias=False, vocab_multiple=64)
        assert int(ratio * model.num_params(50257)) // (batch * 1024) == updates
        assert (own["train.batch_size"], own["train.learning_rate"]) == (batch, rate)
        assert own["train.warmup_steps"] == int(0.04 * updates)
    made = found.configs["submission 1"]
    assert (made.train.betas, made.train.min_learning_rate_ratio, made.model.padding) == ((0.9, 0.95), 0.1, "counted")
    table = registry.load("loss-table")
    formulas = {arm.label: arm.loss for arm in table.arms}
    assert all(formulas[arm.label] == arm.loss for arm in found.arms if arm.label)


def test_a_ladder_that_comes_with_losslab_is_run_as_one(place, capsys):
    with mock.patch("losslab.cli.ladder.climb", return_value=0) as climbed:
        assert losslab("reproduce", "mls-bench-loss", "--scale", "smoke", "--tasks", "blimp") == 0
    assert climbed.call_args.args[0].name == "mls-bench-loss-smoke" and climbed.call_args.args[0].tasks == ("blimp",)
    assert "mls-bench-loss-smoke is trained on tales" in capsys.readouterr().err
