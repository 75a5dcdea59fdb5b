"""Tables of runs: what is read, and what is refused with one sentence."""

import os

import numpy as np
import pytest
from record_runs import refused
from scaling_tables import csv, runs

from losslab.scaling import table

HEAD = "num_params,num_tokens,nll\n"
GOOD = HEAD + "1e4,2e5,5.5\n20k,4e5,5\n1_000_000,20M,3.25\n"


def written(tmp_path, text, name="runs.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("text", [
    GOOD, "\ufeff" + GOOD, GOOD.replace(",", ";"), GOOD.replace(",", "\t"), GOOD.replace(",", " | "),
    HEAD + GOOD.removeprefix(HEAD).replace("\n", ", ,\n"),
    GOOD.replace("\n", "\r\n"), GOOD.replace("\n", "\n\n"), GOOD.replace(",", ", "),
    '"num_params","note","num_tokens","nll"\n1e4,"a, b",2e5,5.5\n2e4,,4e5,5\n1e6,"""",2e7,3.25\n',
])  # fmt: skip
def test_delimiters_marks_and_spaces(tmp_path, text):
    found = table.read(written(tmp_path, text))
    assert found.num_params.tolist() == [1e4, 2e4, 1e6] and found.nll.tolist() == [5.5, 5.0, 3.25]
    assert found.num_tokens.tolist() == [2e5, 4e5, 2e7] and not found.notes


@pytest.mark.parametrize(("text", "sentence"), [
    (HEAD + "1e4,2e5,nan\n", "row 1: nll must be a number (nats per token), got 'nan'; or leave the run out"),
    (HEAD + "1e4,2e5,3\n1e4,-2,3\n", "row 2: num_tokens must lie between 1 and 1e+17 (tokens"),
    (HEAD + "1e4,2e5,three\n", "row 1: nll must be a number (nats per token), got 'three'"),
    (HEAD + "1e4,,3\n", "row 1: num_tokens must be a number (tokens that it was trained on), got ''"),
    (HEAD + "1e4,2e5\n", "row 1: nll must be a number (nats per token), got None"),
    (HEAD + "1e4,2e5,3,4\n", "row 1 has more cells than the header"),
    (HEAD + "1e4,2e5,1e999\n", "got '1e999'"), (HEAD + f"1e4,2e5,{'9' * 5000}\n", "row 1: nll must be a number"),
    (HEAD.replace(",", ";") + "1e4;2e5;3,25\n", "got '3,25'; write a point, and no comma"),
    ("N,D,nll\n1,2,3\n", "has no column num_params (--columns num_params=NAME says which it is); its columns are N, D"),
    ("num_parms,num_tokens,nll\n1,2,3\n", "has no column num_params; did you mean num_parms?"),
    ("", "has no runs; a table has a column for each of num_params, num_tokens and nll"), (HEAD, "has no runs"),
    ("nll,nll,num_params,num_tokens\n1,2,3,4\n", "has two columns called nll"),
    (HEAD + '"1e4,2e5,3\n', "cannot be read as CSV"), (GOOD + "\0", "holds a NUL"),
    (GOOD.encode("utf-16"), "is not UTF-8 text (byte 0)"), (HEAD + "1e4,2e5,3\n" * 5001, "more than 5,000 rows"),
    (b"a" * (2**25 + 1), "more than 33,554,432 bytes"), ("\x1b[2J,b\n1,2\n", r"its columns are \x1b[2J, b"),
])  # fmt: skip
def test_what_is_no_table_of_runs(tmp_path, text, sentence):
    assert sentence in refused(table.read, written(tmp_path, text))


def test_what_is_no_file(tmp_path):
    assert "is a device" in refused(table.read, "/dev/zero")
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        table.read(tmp_path / "none.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    assert "is a pipe" in refused(table.read, tmp_path / "pipe.csv", welcome=("seed",))
    (tmp_path / "link.csv").symlink_to(written(tmp_path, GOOD))  # one's own file may be a link
    assert len(table.read(tmp_path / "link.csv", welcome=("seed",))) == 3


def test_copies_and_arms_that_are_not_asked_for_are_said(tmp_path):
    found = table.read(written(tmp_path, GOOD + GOOD.removeprefix(HEAD)))
    assert len(found) == 6 and found.notes[0].startswith("3 of 6 rows repeat an earlier one")
    some = written(tmp_path, csv(runs()).replace(",,", ",a,", 3).replace(",,", ",b,"))
    assert "the column arm names several arms" in table.read(some).notes[0]
    asked = table.read(some, wanted=("arm", "seed"))
    assert set(asked.by_arm()) == {"a", "b"} and not asked.notes and asked.seeds == ("0",) * 8


def test_columns_by_other_names_and_tokens_from_compute(tmp_path):
    names = table.columns("num_params=Model Size, flops=C, nll=loss")
    found = table.read(written(tmp_path, "Model Size,C,loss,num_tokens\n1e4,6e10,3,7\n"), names)
    assert found.num_tokens.tolist() == [1e6] and found.flops.tolist() == pytest.approx([6e10])
    wrong = written(tmp_path, "N,C,nll,num_tokens\n1e6,1e15,3,7\n")
    assert "has no column Cx; did you mean C?" in refused(table.read, wrong, table.columns("num_params=N,flops=Cx"))
    for text, sentence in (("nll", "takes pairs"), ("nl=x", "did you mean nll?"), ("nll=a,nll=b", "nll twice"),
                           ("nll=", "takes pairs")):
        assert sentence in refused(table.columns, text)


def test_the_highest_are_left_out():
    found = runs().without_highest(2)
    assert len(found) == 6 and found.nll.max() < np.sort(runs().nll)[-2]
    assert "cannot be left out" in refused(runs().without_highest, 8)
