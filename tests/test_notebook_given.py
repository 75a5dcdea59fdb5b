"""What cannot be asked of losslab in Python is refused in one sentence, a 0 and an empty list, too."""

import pytest
from record_runs import refused
from report_runs import three_arms

import losslab as ll

HASH = "ab" * 32


@pytest.mark.parametrize(("losses", "options", "says"), [
    (["squentropi"], {}, "unknown loss 'squentropi'; did you mean squentropy?"),
    (["mse", "mse"], {}, "are the same; leave one out"), ([], {}, "compare takes at least one loss"),
    (["mse", "study.toml"], {}, "study.toml is a study, which has its own arms; give it alone, or name losses alone"),
    ([lambda prediction: prediction.nll], {}, "a lambda has no name"), (["mse", 3], {}, "got an object of type int"),
    (["mse"], {"seeds": 0}, "seeds in compare"), (["mse"], {"seeds": "5"}, "seeds in compare is a number of seeds"),
    (["mse"], {"preset": "tinny"}, "did you mean tiny?"), (["mse"], {"corpus": 0}, "corpus must be a text, got 0"),
    (["mse"], {"store": 0}, "store must be a text, got 0"), (["mse"], {"baseline": "brier"}, "is no arm"),
    (["mse"], {"settings": {"train.learning_rat": 1}}, "learning_rate"),
    (["mse"], {"settings": ["a"]}, "settings in compare is a table, got ['a']"),
    (["mse"], {"num_tokens": 0}, "the horizon is not set: give train.num_tokens or train.num_steps"),
    (["mse"], {"margin": 0}, "margin must be more than 0, got 0"), (["mse"], {"margin": -1}, "must not be negative"),
    (["mse"], {"margin": "x"}, "margin must be a number, got 'x'"),
    (["mse"], {"race": 3}, "race in compare is a list of whole numbers, got 3"),
    (["mse"], {"race": "48"}, "race in compare is a list of whole numbers, got '48'"),
    (["mse"], {"tune": 3}, 'tune in compare is a text, such as "learning_rate=5", or the table of a study file; got 3'),
    (["mse"], {"tune": 0}, "the table of a study file; got 0"),
    (["mse"], {"final": 0}, "final in compare must be true or false, got 0"),
    (["mse"], {"trust": [HASH]}, "trust goes with a study file"),
    (["mse"], {"trust": HASH}, "trust takes a list of the sha256 of loss files, 64 hexadecimal digits each, got 'abab"),
    (["mse"], {"trust": [3]}, "64 hexadecimal digits each, got [3]"),
    (["mse"], {"workers": 0}, "workers must be at least 1, got 0"),
    (["mse"], {"threads": 1.5}, "threads must be a whole number, got 1.5"),
])
def test_what_cannot_be_compared_is_one_sentence(tmp_path, monkeypatch, losses, options, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused(ll.compare, losses, progress=False, **options)
    assert not list(tmp_path.glob("runs/*-seed*"))


def test_a_margin_of_nothing_is_refused_and_not_another_one(tmp_path):
    three_arms(tmp_path)
    for found in (ll.runs(tmp_path), ll.runs(tmp_path)[:8]):
        for margin, says in ((0, "margin must be more than 0, got 0"), (-1, "margin must not be negative, got -1"),
                             (True, "margin must be a number"), (1000, "margin must be at most 100 (nats/token)")):
            assert says in refused(found.compare, margin=margin)
    assert ll.runs(tmp_path)[:8].compare(margin=0.5).margin == 0.5 and ll.runs(tmp_path)[:8].compare().margin == 0.002


def test_runs_takes_a_folder():
    assert refused(ll.runs, 3) == "store must be a text, got 3"
