"""Every command that the pages show is read with each of its flags, and the files that it names are a reader's.

Those that take seconds are run; those that train, in the slow lane, for a model of a few hundred weights.
"""

import itertools
import re
from pathlib import Path

import pytest
from commands import FAST, losslab
from reader import FILES, PLACES, folder, named, small
from reading import APART, WRITTEN, blocks, commands

from losslab import formula
from losslab.cli import app, current

SHOWN = [(page.name, arguments) for page in WRITTEN for arguments in commands(page.name)]
ADDED = ("taylor_cross_entropy", "softsign_cap", "caps", "plurals")  # by the pages on adding to losslab
KNOWN = {*formula.names("losslab.losses"), *formula.names("losslab.transforms"), "file", *ADDED}
QUICK = ("convert", "audit", "losses", "studies", "scaling plan", "runs list")  # without training
NOT_HERE = {  # why a command is run neither here nor in the slow lane
    "arena": "tests/test_arena_game.py plays the game",
    "reproduce": "tests/test_study_registry.py and tests/test_stages.py start them",
    "compare --start runs/BASE": "tests/test_fine_tuning.py compares from a start",
    "compare runs/NAME": "tests/test_study_ranking.py takes the best of a study again",
    "noise": "tests/test_noise.py measures it",
    "tune": "tests/test_tune.py tunes",
    "agreement": "tests/test_study_ranking.py",
    "report runs/demo": "./demo writes it",
    "judge --votes": "the votes are a person's",
    "judge runs/RUN --prompts prompts.yaml --judge": "tests/test_judge.py has a model as judge",
    "finetune models/": "tests/test_hub.py imports a model; the next line is the same from a run",
    "import": "tests/test_hub.py imports a model",
    "generate RUN --chat": "a conversation; tests/test_cli_generate.py leads one",
    "runs rm": "it would remove the run of the other commands",
    "ladder": "tests/test_ladder.py climbs one",
    "scaling fit runs/ladder": "tests/test_scaling_folders.py runs it in the folder of one",
    "serve": "it answers until it is stopped; tests/test_serve_browser.py visits it",
    "lesson --page": "tests/test_lesson_page.py opens it in a browser",
}
PLACED = {"NAME": "runs", "STORIES": "text.txt", "OTHER": "tales"}


def reason(arguments):
    line = " ".join(arguments)
    if {"--url", *ADDED} & {*arguments} or any(name in line for name in ADDED):
        return "an endpoint, or something that the page has the reader add"
    if "--tune" in arguments:
        return NOT_HERE["tune"]
    return next((why for start, why in NOT_HERE.items() if line.startswith(start)), "")


@pytest.mark.parametrize("page", sorted({page for page, _ in SHOWN}))
def test_each_command_is_read_with_every_flag_formula_and_file(page):
    made = set()
    for arguments in commands(page):
        app.parse_args(current(arguments), exit_on_error=False, print_error=False)  # raises for what is not known
        flags = [k for k, word in enumerate(arguments) if word.startswith("--")]
        losses = arguments[1 : flags[0] if flags else None] if arguments[0] in ("compare", "inspect", "noise") else []
        for text in losses:
            if not text.endswith(".toml") and not text.startswith("runs/"):
                parsed = formula.parse(text)
                assert {call.name for _, call in parsed.terms} | {each.name for each in parsed.transforms} <= KNOWN
        if page in APART:
            continue
        assert named(arguments) <= FILES | made, arguments
        made |= {Path(word).name for before, word in itertools.pairwise(arguments) if before.startswith("--")}
        words = {part for word in arguments for part in word.split("/") if re.fullmatch(r"[A-Z][A-Z_]+\d?", part)}
        assert words <= PLACES, f"{page}: {words - PLACES} is explained nowhere"


def test_what_takes_no_training_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "benchmarks").mkdir()
    folder(tmp_path, tmp_path / "benchmarks")
    asked = [arguments for page, arguments in SHOWN
             if page not in APART and " ".join(arguments).startswith(QUICK) and not reason(arguments)]
    assert len(asked) >= 7
    for arguments in asked:
        assert losslab(*arguments) == 0, arguments
        assert capsys.readouterr().out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of the reader's, of two seeds: what compares them takes no run twice."""
    at = tmp_path_factory.mktemp("reader")
    long = ["512" if before == "--model.num-positions" else word
            for before, word in zip(("", *FAST), FAST, strict=False)]
    small_run = ("train", "--corpus", "tales", "--num-tokens", "2k", "--data.max-bytes", "100_000", *long)
    for seed in "01":  # their context has room for the sentences of a benchmark, and for an instruction
        assert losslab(*small_run, "--seed", seed, "--out", str(at / seed)) == 0
    return at / "0", at / "1"


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({page for page, _ in SHOWN} - APART))
def test_the_commands_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch, capsys, runs, benchmark_data):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path, benchmark_data, runs)
    asked = [arguments for arguments in commands(page) if not reason(arguments)]
    if not asked:
        pytest.skip("each of its commands is run by the tests that NOT_HERE names")
    for arguments in asked:
        given = small([PLACED.get(word, word) if before == "--corpus" else word
                       for before, word in zip(["", *arguments], arguments, strict=False)])
        if "--out" in given and given[given.index("--out") + 1] == "RUN":
            (tmp_path / "RUN").rename(tmp_path / "earlier")
        assert losslab(*given) == 0, (given, capsys.readouterr().err[-2000:])
        capsys.readouterr()


def test_the_toml_of_a_page_is_read(tmp_path):
    from losslab import ladder, study, tune
    from losslab.config import load
    from losslab.ladder import settings

    def read(page, number=0):
        (tmp_path / "file.toml").write_text(blocks(page, "toml")[number], encoding="utf-8")
        return tmp_path / "file.toml"

    tuned = study.read(read("tune.md"))
    assert tune.Tuning.from_dict(tuned.tune).method == "tpe" and list(tuned.spaces.values()) == [
        {"epsilon": {"low": 0.01, "high": 0.3, "log": False}}, {"gamma": {}}]
    assert len(study.read(read("guide.md")).configs) == 3
    assert load(read("train.md")).train.num_tokens == 200_000
    assert len(settings.of(study.read(read("scaling.md"))).sizes) == 3 and ladder.NAME
    assert [arm.label for arm in study.read(read("recipes.md")).arms] == ["", "cosine"]
    assert len(study.read(read("add-a-study.md")).arms) == 3
    assert sum(len(blocks(page.name, "toml")) for page in WRITTEN if page.name not in APART) == 6
