"""A reader's folder: whatever the pages call by a name is there, and small; trainings take a second."""

import re
import shutil
from pathlib import Path

import scaling_tables
from commands import FAST
from instruction_data import alpaca, chats, write
from reading import ROOT, blocks

FILES = {  # what the pages name and tell a reader to have
    "my_loss.py", "study.toml", "spec.toml", "ladder.csv", "claims.csv", "alpaca.json", "chats.jsonl", "prompts.txt",
    "prompts.yaml", "names.txt", "votes-1f0c.json", "board.json"}
PLACES = {"RUN", "RUN1", "RUN2", "OTHER", "FOLDER", "DIR", "STORIES", "NAME", "WORD", "FILE", "URL", "BASE", "TUNED",
          "DIR_OR_NAME"}  # words in capitals that stand for a reader's own
OUTPUTS = ("--out", "--report", "--page", "--save", "--human", "--jsonl", "--name", "--store")
TRAINS = ("compare", "noise", "train", "tune")
TINY = (*FAST, "--data.max-bytes", "100_000")
FILE = re.compile(r"(?:[\w./-]+/)?([\w-]+\.(?:py|toml|csv|jsonl?|txt|ya?ml))")


def folder(at: Path, benchmarks: Path, runs: tuple[Path, Path] | None = None) -> Path:
    """Everything of FILES that a command reads, and where two `runs` are given those that stand for a reader's."""
    shutil.copy(ROOT / "examples" / "margin.py", at / "my_loss.py")
    (at / "study.toml").write_text(blocks("guide.md", "toml")[0])
    (at / "spec.toml").write_text(blocks("train.md", "toml")[0])
    (at / "ladder.csv").write_text(scaling_tables.csv(scaling_tables.pair(1.3, seeds=2)).replace("arm", "loss", 1))
    (at / "claims.csv").write_text("loss,perplexity\n1.83,6.23\n1.83,3.8\n")
    write(at / "alpaca.json", alpaca())
    write(at / "chats.jsonl", chats())
    (at / "prompts.txt").write_text("Once upon a time\nThe cat\n")
    (at / "prompts.yaml").write_text("- Once upon a time\n- The cat\n")
    (at / "names.txt").write_text("emma\nольга\nanna\nada\n")
    (at / "FOLDER").symlink_to(benchmarks)
    for run, names in zip(runs or (), (("RUN", "RUN1", "runs/RUN", "runs/BASE"), ("RUN2", "OTHER", "runs/OTHER")),
                          strict=False):
        for name in names:
            shutil.copytree(run, at / name)
    return at


def named(arguments: list[str]) -> set[str]:
    """The files of a reader that a command reads."""
    reads = [word for before, word in zip(["", *arguments], arguments, strict=False) if before not in OUTPUTS]
    return {found for word in reads for found in FILE.findall(word)}


def small(arguments: list[str]) -> list[str]:
    """The same command for a model of a few hundred weights and two seeds."""
    values = {"--num-tokens": "0.64k", "--seeds": "2", "--epochs": "1", "--crossed": "2", "--num": "2"}
    found = [values.get(before, word) for before, word in zip(["", *arguments], arguments, strict=False)]
    for flag, takes in (("--num-tokens", TRAINS), ("--seeds", ("compare", "noise"))):
        found += [flag, values[flag]] if found[0] in takes and not {flag, "--resume", "--epochs"} & {*found} else []
    if found[0] in TRAINS and "--resume" not in found:
        found += [word for k in range(0, len(TINY), 2) for word in TINY[k:k + 2] if TINY[k] not in found]
    return found

