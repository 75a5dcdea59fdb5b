"""The audit finds what contradicts itself, with the right arithmetic, and leaves true claims alone."""

import json
import os

import pytest
from claim_rows import FALSE, TRUE, UNCHECKED
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.units import audit, claims


def finding(*rows):
    """Of the first row, in a table with the others."""
    return audit.audit(claims.table([{"claim": row} if isinstance(row, str) else row for row in rows]).claims)[0]


@pytest.mark.parametrize(("label", "rows"), [("wrong", FALSE), ("ok", TRUE), ("not checked", UNCHECKED)])
def test_claims_are_wrong_or_can_be_true_or_are_said_not_to_be_checked(label, rows):
    found = [(row, finding(row)) for row in rows]
    assert [(row, one.message) for row, one in found if one.label != label] == []


@pytest.mark.parametrize("row", [
    "val_loss=2.3383, lambada_ppl=72.30", "lambada_ppl=72.30, loss=2.3383", "eval/loss=2.3383 lambada/ppl=72.30",
    "loss 2.3383 and perplexity 72.3 on LAMBADA", "perplexity (LAMBADA): 72.3, loss: 2.34", "loss 2.34 | c4 ppl 72.3",
    "We report a loss of 2.34 and, on WikiText, a perplexity of 40.1", "LAMBADA 72.30 ppl, val loss 2.34",
    "train loss 2.1, val loss 2.3, perplexity 8.17", "loss 2.34; perplexity 72.3", "loss 2.34, ppl 72.3 (of words)",
    "loss improves from 2.34 to 2.30, lambada ppl 72.3 ± 5", "bpb 1.0 where the LAMBADA perplexity is 2.0",
    dict(val_loss="2.3383", lambada_ppl="72.30"), dict(val_loss="2.34", perplexity="72.3"),
    dict(loss="2.34", claim="LAMBADA perplexity 72"), dict(val_bpb="1.0", wikitext_ppl="2.0"),
    dict(lambada_ppl="60000", vocab_size="50257"), dict(loss="2.34", word_perplexity="72.3"),
    dict(train_loss="3.30", val_loss="3.28", stderr="0.01", claim="an improvement"),
], ids=str)
def test_numbers_of_different_texts_are_not_held_against_each_other(row):
    assert finding(row).label == "not checked", finding(row).message


@pytest.mark.parametrize("row", [
    "val_loss=2.5, val_ppl=20", "lambada_loss=2.5, lambada_ppl=20", dict(val_loss="2.5", val_ppl="20"),
    dict(c4_loss="2.5", c4_ppl="12.18", val_loss="2.5", val_ppl="20"), dict(val_bpb="9"),
    "a val loss of 2.5, which means a perplexity of 20",
    dict(val_loss="12", vocab_size="50257"), dict(arc_acc="0.7250", n="1838"), dict(lambada_acc="1.2"),
], ids=str)
def test_numbers_of_the_same_text_are(row):
    assert finding(row).label == "wrong"


def test_rows_are_held_against_rows_of_the_same_text():
    claim = "an improvement over the baseline"
    new = dict(val_loss="3.278", stderr="0.004", claim=claim)
    assert finding(new, dict(name="baseline", val_loss="3.280", stderr="0.004")).label == "wrong"
    assert finding(new, dict(name="baseline", test_loss="3.280", stderr="0.004")).label == "not checked"
    new = dict(name="a on c4", loss="3.278", stderr="0.004", claim="an improvement")
    assert finding(new, dict(name="b on lambada", loss="3.280", stderr="0.004")).label == "not checked"
    new = dict(dataset="c4", loss="3.278", stderr="0.004", claim=claim)
    assert finding(new, dict(name="baseline", dataset="c4", loss="3.280", stderr="0.004")).label == "wrong"
    assert finding(new, dict(name="baseline", dataset="lambada", loss="3.280", stderr="0.004")).label == "not checked"


@pytest.mark.parametrize(
    ("row", "arithmetic"),
    [
        (dict(loss="1.83", perplexity="3.8"), ["exp(1.83) = 6.23", "2^1.83 = 3.56", "3.8 is a loss of 1.34"]),
        (dict(loss="1.90", perplexity="5.2"), ["exp(1.90) = 6.69"]),
        (dict(bits_per_byte="1.0", perplexity="2.0"), ["2^1.0 = 2.00", "20.97 at 4.39 bytes a token"]),
        ("perplexity = 2^bpb", ["at 1.0 and 4.39", "20.97"]),
        ("gzip is 4.5 bits per byte on English", ["2.2 to 3.5", "not 4.50", "4.6 to 5.3 only where each short"]),
        ("ten times the compute halves the loss at exponent 0.05",
         ["10^-0.05 = 0.891", "10.9 % less", "0.5^(-1/0.05) = 1,048,576 times"]),
        ("ten times the compute halves the loss", ["-ln 0.5 / ln 10 = 0.301", "0.05 for compute"]),
        ("100 times the parameters halve the loss at exponent 0.076", ["100^-0.076 = 0.705", "= 9,139 times"]),
        (dict(bits_per_byte="8.4"), ["8.4 bits per byte are above 8"]),
        (dict(loss="11.2", vocab_size="50257"), ["ln 50257 = 10.82"]),
        ("improves by 0.002 with a standard error of 0.005", ["0.002", "0.005", "0.4 times as large"]),
        ("3.275 ± 0.03 versus 3.280 ± 0.04: an improvement", ["sqrt(0.03^2 + 0.04^2) = 0.05", "0.1 times"]),
        ("two runs differ by 0.005 CORE, so A is better", ["0.0062", "0.806 times"]),
        ("CORE has 11 tasks", ["22 tasks", "not 11"]),
        ("GPT-2 124M gets 3.28 on FineWeb", ["3.425", "retrained"]),
        (dict(name="GPT-2 124M, LAMBADA", accuracy="0.46"), ["32.6 %", "last BPE token"]),
        ("406.4, 410.7, 0.34 and 0.28 give 20 tokens per parameter", ["25.7", "92.6 at 5.76e23"]),
        (dict(bits_per_byte="0.93", loss="3.12", tokens="1e6", bytes="4.39e6"), ["4,390,000", "= 2.83", "not 3.12"]),
        (dict(loss="0.5", bits_per_byte="1.2"), ["(1.2 bits per byte * ln 2) = 0.601 bytes a token"]),
        (dict(accuracy="0.2955", n="10042", stderr="0.0123"), ["sqrt(0.2955 * 0.7045 / 10042) = 0.00455", "0.0123"]),
        (dict(accuracy="0.5", n="400", stderr="0.049"), ["= 0.025", "half-width of a 95 % interval"]),
        (dict(accuracy="0.7250", n="1838"), ["0.7250 * 1838 items = 1332.55", "1333/1838 = 0.72524"]),
        (dict(accuracy="0.24", name="arc_easy", claim="it has learned science"), ["0.24 - 0.25 = -0.01", "guessing"]),
        (dict(accuracy="25.69"), ["above 1", "25.69% it would be 0.2569"]),
        ("GPT-2's bpb is 1.8", ["1.8 * 4.39", "= 5.48 nats/token", "239"]),
        ("exp(1.83) = 3.8", ["exp(1.83) = 6.23, not 3.8"]),
        (dict(perplexity="60000", vocab_size="50257"), ["ln 60000 = 11.00", "10.82"]),
    ],
    ids=str,
)
def test_the_arithmetic_is_shown(row, arithmetic):
    found = finding(row)
    assert found.label == "wrong"
    assert not [part for part in arithmetic if part not in found.message], found.message


BASELINE = dict(name="baseline", loss="3.280", stderr="0.004")


@pytest.mark.parametrize(
    ("ok", "rows"),
    [
        (False, [dict(loss="3.278", stderr="0.004", claim="an improvement over the baseline"), BASELINE]),
        (False, [dict(loss="3.275", stderr="0.004", claim="an improvement over the baseline"), BASELINE]),
        (True, [dict(loss="3.274", stderr="0.004", claim="an improvement over the baseline"), BASELINE]),
        (True, [dict(loss="3.278", stderr="0.004", claim="no improvement over the baseline"), BASELINE]),
        (True, [dict(loss="3.278", stderr="0.004"), BASELINE]),
        (False, [dict(loss="3.300", stderr="0.004", claim="improves on the baseline"), BASELINE]),
        (True, [dict(loss="3.300", stderr="0.004", claim="worse than the baseline"), BASELINE]),
        (False, [dict(loss="3.278", stderr="0.004", claim="better than run_a"), dict(name="run_b", loss="3.5"),
                 dict(name="run_a", loss="3.28", stderr="0.004")]),
        (True, [dict(loss="3.278", stderr="0.004", claim="better than run_b"), dict(name="run_b", loss="3.5"),
                dict(name="run_a", loss="3.28", stderr="0.004")]),
        (True, [dict(loss="3.30", stderr="0.04", claim="improves on the first run"), dict(name="a", loss="3.31"),
                dict(name="b", loss="3.32")]),
        (False, [dict(accuracy="0.296", n="1000", claim="beats the baseline"),
                 dict(name="baseline", accuracy="0.290", n="1000")]),
        (True, [dict(accuracy="0.396", n="1000", claim="beats the baseline"),
                dict(name="baseline", accuracy="0.290", n="1000")]),
        (False, [dict(bits_per_byte="0.718", stderr="0.003", claim="lower bpb than A, an improvement"),
                 dict(name="A", bits_per_byte="0.719", stderr="0.003")]),
    ],
)  # fmt: skip
def test_an_improvement_over_another_row(ok, rows):
    assert (finding(*rows).label != "wrong") == ok


def test_one_finding_a_claim_in_order_and_every_contradiction_of_it():
    rows = [dict(name="a", loss="1.83", perplexity="3.8", bits_per_byte="9"), dict(name="b"), dict(loss="3.0")]
    found = audit.audit(claims.table(rows).claims)
    assert [(f.name, f.ok) for f in found] == [("a", False), ("b", None), ("row 3", None)]
    assert "6.23" in found[0].message and "above 8" in found[0].message
    assert found[1].message == audit.NOTHING and found[1].to_dict()["label"] == "not checked"


def test_numbers_are_taken_as_precise_as_they_are_written():
    assert finding(dict(loss="3.28", perplexity="26.5")).ok and finding(dict(loss="3.3", perplexity="26")).ok
    assert not finding(dict(loss="3.280", perplexity="26.3")).ok and not finding(dict(loss="3.30", perplexity="25")).ok
    assert finding(dict(accuracy="0.725", n="1838")).ok  # 1333/1838, rounded
    assert not finding(dict(accuracy="0.7250", n="1838")).ok


def test_a_list_of_objects_keeps_the_digits_of_its_numbers(tmp_path):
    file = tmp_path / "claims.json"
    file.write_text('[{"accuracy": 0.7250, "n": 1838}, {"accuracy": 0.725, "n": 1838}]')
    assert [f.ok for f in audit.audit(claims.read(file).claims)] == [False, True]


CELLS = {"name": "x", "loss": "3.2785 ± 0.0004 (n=16)", "perplexity": "26.5", "tokens": "10M", "accuracy": "29.6 %"}


def test_the_same_table_as_csv_and_as_json(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"claims": [CELLS]}))
    (tmp_path / "a.csv").write_text(",".join(CELLS) + "\n" + ",".join(CELLS.values()) + "\n")
    (tmp_path / "b.csv").write_text("\ufeff" + ";".join(CELLS).upper() + "\r\n" + ";".join(CELLS.values()) + "\r\n")
    for name in ("a.json", "a.csv", "b.csv"):
        (row,) = claims.read(tmp_path / name).claims
        assert {key: number.value for key, number in row.columns.items()} == pytest.approx(
            {"loss": 3.2785, "stderr": 0.0004, "n": 16, "perplexity": 26.5, "tokens": 1e7, "accuracy": 0.296}
        )


def test_missing_values_and_other_columns_are_no_error():
    row = {"name": "a", "loss": "", "perplexity": None, "n": "n/a", "color": "red", "Bits per byte": "1.0"}
    table = claims.table([row])
    assert table.claims[0].columns.keys() == {"bits_per_byte"}
    assert table.notes == ["columns that are not read: color"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "has no claims"),
        ("a.csv", b"name,loss\n", "has no claims"),
        ("a.json", b"[]", "has no claims"),
        ("a.json", b"[1]", "row 1 is not an object"),
        ("a.json", b'[{"loss": 1.8', "cannot be read as JSON"),
        ("a.json", b"[" * 100_000, "cannot be read as JSON"),
        ("a.json", b'{"claims": 3}', "no list of claims"),
        ("a.csv", b"name,loss\na,1.8,2.3\n", "more cells than the header"),
        ("a.csv", b"name,loss\na,low\n", "row 1 (a): loss must be a number, got 'low'"),
        ("a.json", b'[{"loss": [1]}]', "row 1 (row 1): loss must be a number, got [1]"),
        ("a.json", b'[{"loss": true}]', "loss must be a number, got True"),
        ("a.json", b'[{"claim": {"a": 1}}]', "claim must be text"),
        ("a.csv", b"name,n\na,-3\n", "n must be a count above 0, got -3"),
        ("a.csv", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("a.csv", b'name,loss\n"a,1\n', "cannot be read as CSV"),
        ("a.csv", b"loss\n" + b"1" * 100_000, "loss must be a number"),
        ("a.csv", b"loss\n1e999\n", "loss must be a number up to 1e+30, got '1e999'"),
        ("a.json", b'[{"n": 1' + b"0" * 5000 + b"}]", "n must be a number"),
        ("a.json", b'[{"accuracy": 1, "n": 1e300}]', "n must be a number up to 1e+30"),
        ("a.json", b'[{"loss": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]", "cannot be read as JSON"),
        ("a.csv", b"name,loss\na\0b,1\n", "holds a NUL (sign 11)"),
        ("a.csv", b"name\n" + b"x" * 200_000 + b"\n", "cannot be read as CSV"),
        ("a.csv", b"name\n" + b"x" * (claims.LARGEST_FILE + 1), "a table of claims has at most 16,777,216"),
        ("a.csv", b"name\n" + b"x\n" * 10_001, "has more than 10,000 claims"),
    ],
)
def test_what_is_no_table_of_claims_is_refused_in_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as error:
        claims.read(tmp_path / name)
    assert said in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 400


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is no file; audit takes a CSV or JSON file"):
        claims.read(tmp_path / "pipe")


def test_names_of_strangers_cannot_move_a_terminal():
    table = claims.table([{"name": "a\x1b[2J\nok  b" + "c" * 300, "loss": "1.83", "perplexity": "3.8", "\x1b[1m": "x"}])
    name = table.claims[0].name
    assert name.startswith("a\\x1b[2J\\nok  b") and len(name) <= claims.LONGEST_NAME + 6 and name.endswith("...")
    assert table.notes == ["columns that are not read: \\x1b[1m"]


NUMBERS = st.sampled_from(["1e999", "-1e999", "1e-999", "9" * 400, "1e30", "0", "-0.0", "1.83", "6.23", "50257", "8.4"])
SAID = st.lists(st.sampled_from(
    ["loss", "val_loss", "ppl", "lambada", "bits per byte", "accuracy", "improves", "by", "from", "to", "±", "gzip",
     "ten times the compute", "exponent", "halves", "CORE", "tasks", "vocab", "exp(", "2^", "=", ",", ".", "\0",
     "\ud800"]
) | NUMBERS, max_size=12).map(" ".join)  # fmt: skip


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.dictionaries(st.sampled_from([*claims.COLUMNS, "claim", "name", "val_ppl", "x"]), NUMBERS | SAID | st.none()
                       | st.floats() | st.integers() | st.lists(st.none()), max_size=6),
       st.binary(max_size=60))  # fmt: skip
def test_any_table_is_audited_or_refused_in_a_sentence(tmp_path_factory, row, junk):
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(junk)
    for call in (lambda: claims.table([row]), lambda: claims.table([{"claim": row.get("claim")}]),
                 lambda: claims.read(file)):
        try:
            found = audit.audit(call().claims)
        except ValueError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
        else:
            assert all(one.label in audit.LABELS and one.message for one in found)
