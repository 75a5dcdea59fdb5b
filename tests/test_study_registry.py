"""The studies that come with losslab: each can be run at every scale, and runs nobody's files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from commands import losslab, refuses
from experiments import place as place

from losslab import config, formula, lossfile, objective
from losslab.study import registry


@pytest.mark.parametrize("name", registry.names())
def test_a_study_has_every_scale_known_losses_and_a_source(name):
    found = registry.load(name)
    assert found.name == name and found.question.endswith("?") and len(found.arms) >= 3
    assert set(found.scales) == {"smoke", "laptop", "full"}
    assert found.published["source"] and {figure["label"] for figure in found.published["figures"]} >= {found.baseline}
    texts = {str(arm.loss) for arm in found.arms}
    assert len({(str(arm.loss), json.dumps(arm.settings, sort_keys=True)) for arm in found.arms}) == len(found.arms)
    assert found.baseline == (found.arms[0].label or "cross_entropy") and str(found.arms[0].loss) == "cross_entropy"
    for scale in found.scales:
        sized = found.at(scale)
        objectives = [objective.Objective(formula.parse(text)) for text in texts]
        assert len({each.explicit for each in objectives}) == len(texts)  # no arm twice, in other words
        assert not any(lossfile.sources(formula.parse(text)) for text in texts)
        for made in sized.configs.values():
            assert made.data.corpus in ("tales", "pydoc", "tinystories", "openwebtext") and not made.start
    assert found.at("smoke").configs[found.baseline].train.num_tokens <= 50_000 and len(found.at("smoke").seeds) == 2
    assert not found.at("smoke").tune and found.at("laptop").tune["trials"] == found.at("full").tune["trials"]
    assert found.at("laptop").configs[found.baseline] == replace(config.preset("tiny"), loss="cross_entropy")


def test_studies_are_listed_shown_and_estimated(place, capsys):
    assert losslab("studies", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["studies"]
    assert [one["name"] for one in listed] == list(registry.names()) and 4 <= len(listed)
    assert losslab("studies") == 0 and listed[0]["question"] in capsys.readouterr().out
    assert losslab("studies", "z-loss") == 0
    assert capsys.readouterr().out.startswith('name = "z-loss"\n')
    assert losslab("studies", "z-loss", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["arm"][1]["loss"] == "cross_entropy + 1e-4*z_loss"
    said = refuses(capsys, "reproduce", "z_los", "--dry-run")
    known = ", ".join(registry.names())
    assert f"unknown study 'z_los'; did you mean z-loss?; the studies that come with losslab are {known}, and" in said
    assert "smoke" in refuses(capsys, "reproduce", "z-loss", "--scale", "huge")
    assert not Path("runs").exists()
