"""`--size` and `--recipe` next to `--preset`, and how a run says which recipe it has."""

import pytest

from losslab.cli.flags import configure
from losslab.cli.showing import nearest_preset
from losslab.cli.studying import Asked, study
from losslab.config import chosen, load, override, preset, recipe_of, to_dict

NOTHING = dict.fromkeys(("data", "model", "train", "evaluate"))


def test_a_run_is_of_this_size_and_this_recipe(tmp_path):
    assert configure(None, None, NOTHING, size="char", recipe="modern") == chosen(size="char", recipe="modern")
    (tmp_path / "spec.toml").write_text('preset = "char"\nseed = 4\n')
    assert configure(None, tmp_path / "spec.toml", NOTHING, recipe="modern") == load(
        tmp_path / "spec.toml", recipe="modern")
    with pytest.raises(ValueError) as error:
        configure("tiny", None, NOTHING, size="char", recipe="modern")
    assert str(error.value) == ("--preset is a size, a recipe and data in one word; give --preset or --size and "
                                "--recipe")


def test_a_study_of_flags_keeps_the_names_it_was_asked_with():
    asked, from_file = study(("mse", "cross_entropy"), Asked(size="char", recipe="modern"))
    assert not from_file and (asked.preset, asked.size, asked.recipe) == ("", "char", "modern")
    assert asked.configs["mse"].train == chosen(size="char", recipe="modern").train
    assert study(("mse",), Asked())[0].preset == "tiny"
    with pytest.raises(ValueError, match="give --preset or --recipe"):
        study(("mse",), Asked(preset="tiny", recipe="modern"))


def test_flags_take_the_place_of_what_the_file_of_a_study_names(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('preset = "char"\n[settings]\ntrain.num_steps = 50\n[[arm]]\nloss = "mse"\n')
    modern = study((str(path),), Asked(recipe="modern"))[0]
    assert (modern.preset, modern.size, modern.recipe, modern.data) == ("", "char", "modern", "tales-characters")
    assert modern.configs["mse"].num_steps == 50 and modern.configs["mse"].train.optimizer == "muon"
    path.write_text('size = "char"\nrecipe = "modern"\n[[arm]]\nloss = "mse"\n')
    assert study((str(path),), Asked(recipe="classic"))[0].configs["mse"].train == chosen(size="char").train
    tiny = study((str(path),), Asked(preset="tiny"))[0]
    assert (tiny.preset, tiny.size, tiny.recipe) == ("tiny", "", "")


def test_a_run_is_shown_beside_the_preset_and_the_recipe_that_are_nearest_and_a_recipe_is_told_by_its_switches():
    config = override(chosen(size="char", recipe="modern"), {"train": {"learning_rate": 0.01}})
    assert nearest_preset(to_dict(config)) == ("char with the recipe modern", {"train.learning_rate": 0.01})
    assert recipe_of(to_dict(config)) == "modern"
    other = override(config, {"train": {"schedule": "cosine"}, "model": {"qk_norm": False}})
    assert recipe_of(to_dict(other)) == "modern with model.qk_norm false, train.schedule cosine"
    assert recipe_of({"model": {"n_layer": 3}}) == recipe_of(to_dict(preset("char"))) == "classic"
