"""The audit finds columns that contradict each other, with the right arithmetic, and leaves true rows alone."""

import cProfile
import json
import os
import pstats

import claim_rows
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.units import audit, claims, columns, tables


def finding(*rows):
    """Of the first row, in a table with the others."""
    return audit.audit(claims.table(rows).claims)[0]


@pytest.mark.parametrize(("label", "rows"), [
    ("wrong", claim_rows.WRONG), ("warning", claim_rows.WARNING), ("ok", claim_rows.TRUE), ("ok", claim_rows.PUBLISHED),
    ("not checked", claim_rows.UNCHECKED)], ids=["wrong", "warning", "true", "published", "unchecked"])  # fmt: skip
def test_rows_are_wrong_misleading_or_can_be_true_or_are_said_not_to_be_checked(label, rows):
    found = [(row, finding(row)) for row in rows]
    assert [(row, one.label, one.message) for row, one in found if one.label != label] == []


def test_text_is_shown_and_never_judged():
    text = "a trained model whose perplexity is 2^bpb; a loss of 1.83, so a perplexity of 3.8; CORE has 11 tasks"
    for row in claim_rows.WRONG + claim_rows.WARNING + claim_rows.TRUE + claim_rows.UNCHECKED:
        with_text = finding(row | {"claim": text, "name": text})
        assert with_text.claim == text
        bare = finding({key: cell for key, cell in row.items() if key not in ("claim", "name")})
        assert (with_text.label, with_text.message) == (bare.label, bare.message)


def test_rows_are_compared_with_the_row_of_the_same_text_that_they_name():
    new, base = dict(val_loss="3.278", stderr="0.004", baseline="base"), dict(name="base", stderr="0.004")
    assert finding(new, base | dict(val_loss="3.280")).label == "warning"
    assert "3.278 - 3.280 (base) = -0.002" in finding(new, base | dict(val_loss="3.280")).message
    assert finding(new, base | dict(test_loss="3.280")).label == "warning"  # of another text, and it says so
    new = dict(dataset="c4", loss="3.278", stderr="0.004", baseline="base")
    assert "sqrt(0.004^2 + 0.004^2)" in finding(new, base | dict(dataset="c4", loss="3.280")).message
    other = finding(new, base | dict(dataset="lambada", loss="3.280"))
    assert other.label == "warning" and "base is of lambada and this row of c4" in other.message
    assert finding(new, base | dict(dataset="c4", accuracy="0.2")).label == "not checked"
    assert finding(new, base | dict(name="another", dataset="c4", loss="3.280")).label == "not checked"


BASELINE = dict(name="base", loss="3.280", stderr="0.004")


@pytest.mark.parametrize(("label", "row", "base"), [
    ("warning", dict(loss="3.278", stderr="0.004"), BASELINE),
    ("warning", dict(loss="3.275", stderr="0.004"), BASELINE),
    ("ok", dict(loss="3.274", stderr="0.004"), BASELINE),
    ("wrong", dict(loss="3.300", stderr="0.004", improvement="0.02"), BASELINE),
    ("ok", dict(loss="3.300", stderr="0.004", improvement="-0.02"), BASELINE),
    ("warning", dict(accuracy="0.296", n="1000"), dict(name="base", accuracy="0.290", n="1000")),
    ("ok", dict(accuracy="0.396", n="1000"), dict(name="base", accuracy="0.290", n="1000")),
    ("warning", dict(bits_per_byte="0.718", stderr="0.003"), dict(name="base", bits_per_byte="0.719", stderr="0.003")),
], ids=str)  # fmt: skip
def test_a_difference_from_another_row(label, row, base):
    assert finding(row | {"baseline": "base"}, base).label == label


@pytest.mark.parametrize(
    ("row", "arithmetic"),
    [
        (dict(loss="1.83", perplexity="3.8"), ["exp(1.83) = 6.23", "2^1.83 = 3.56", "3.8 is a loss of 1.34"]),
        (dict(loss="1.90", perplexity="5.2"), ["exp(1.90) = 6.69"]),
        (dict(bits_per_byte="1.0", perplexity="2.0"), ["the perplexity per byte", "at 4.39 bytes per token", "20.97"]),
        (dict(compressor="gzip", bits_per_byte="4.5"), ["2.2 to 3.5", "not 4.5", "4.6 to 5.3 only where each short"]),
        (dict(compute_ratio="10", loss_ratio="0.5", exponent="0.05"),
         ["10^-0.05 = 0.891", "not 0.5", "0.5^(-1/0.05) = 1,048,576 times"]),
        (dict(compute_ratio="10", loss_ratio="0.5"), ["-ln 0.5 / ln 10 = 0.301", "by compute about 0.05"]),
        (dict(parameter_ratio="100", loss_ratio="0.5", exponent="0.076"), ["100^-0.076 = 0.705", "= 9,139 times"]),
        (dict(bits_per_byte="8.4"), ["8.4 bits per byte: more than the 8"]),
        (dict(loss="11.2", vocab_size="50257"), ["ln 50257 = 10.82", "above the uniform model"]),
        (dict(improvement="0.002", stderr="0.005"), ["0.002", "0.005", "0.4 times as large"]),
        (dict(loss="3.275 ± 0.03", baseline="3.280 ± 0.04"), ["sqrt(0.03^2 + 0.04^2) = 0.05", "0.1 times"]),
        (dict(core="0.262", baseline="0.257"), ["0.0062", "0.806 times"]),
        (dict(dataset="core", num_tasks="11"), ["22 tasks", "not 11"]),
        (dict(checkpoint="gpt2", dataset="fineweb", loss="3.28"), ["3.425", "retrained"]),
        (dict(checkpoint="gpt2", dataset="lambada", accuracy="0.46"), ["0.326", "last BPE token"]),
        (dict(law_a="406.4", law_b="410.7", law_alpha="0.34", law_beta="0.28", tokens_per_parameter="20"),
         ["25.67 at 1e+18", "92.65 at 5.76e+23"]),
        (dict(bits_per_byte="0.93", loss="3.12", tokens="1e6", bytes="4.39e6"),
         ["3.12 / 4.39 / ln 2 = 1.03", "not 0.93"]),
        (dict(loss="0.5", bits_per_byte="1.2"), ["are 0.601 bytes per token, and a token has at least one"]),
        (dict(accuracy="0.2955", n="10042", stderr="0.0123"), ["sqrt(0.2955 * 0.7045 / 10042) = 0.00455", "0.0123"]),
        (dict(accuracy="0.5", n="400", stderr="0.049"), ["= 0.025", "half-width of a 95 % interval"]),
        (dict(accuracy="0.7250", n="1838"), ["0.7250 * 1838 items = 1332.55", "1333/1838 = 0.72524"]),
        (dict(accuracy="0.24", num_choices="4"), ["0.24 - 0.25 = -0.01", "guessing"]),
        (dict(accuracy="25.69"), ["above 1", "25.69% it would be 0.2569"]),
        (dict(perplexity="60000", vocab_size="50257"), ["a perplexity of 60000", "11.00", "10.82"]),
        (dict(c4_loss="2.5", c4_ppl="12.18", val_loss="2.5", val_ppl="20"), ["val: exp(2.5) = 12.18"]),
    ],
    ids=str,
)
def test_the_arithmetic_is_shown(row, arithmetic):
    found = finding(row)
    assert found.label in ("wrong", "warning")
    assert not [part for part in arithmetic if part not in found.message], found.message


def test_one_finding_a_claim_in_order_and_every_contradiction_of_it():
    rows = [dict(name="a", loss="1.83", perplexity="3.8", bits_per_byte="9"), dict(name="b"), dict(loss="3.0")]
    found = audit.audit(claims.table(rows).claims)
    assert [(f.name, f.ok) for f in found] == [("a", False), ("b", None), ("row 3", None)]
    assert "6.23" in found[0].message and "more than the 8" in found[0].message
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


def test_the_same_table_in_every_format(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"claims": [CELLS]}))
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(CELLS)}\n\n{json.dumps(CELLS)}\n")
    bars = "| " + " | ".join(f"**{name}**" for name in CELLS) + " |\n|:--" + "|---" * (len(CELLS) - 1) + "|\n| "
    bars += " | ".join(CELLS.values()) + " |\n"
    (tmp_path / "a.txt").write_text(bars)
    (tmp_path / "a.md").write_text(f"# Results\n\nOne | two.\n\n{bars}\nAnd more.\n")
    (tmp_path / "a.csv").write_text(",".join(CELLS) + "\n" + ",".join(CELLS.values()) + "\n")
    (tmp_path / "b.csv").write_text("\ufeff" + ";".join(CELLS).upper() + "\r\n" + ";".join(CELLS.values()) + "\r\n")
    for name in ("a.json", "a.jsonl", "a.csv", "b.csv", "a.txt", "a.md"):
        rows = claims.read(tmp_path / name).claims
        assert len(rows) == (2 if name == "a.jsonl" else 1)
        row = rows[-1]
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
        ("a.jsonl", b'{"loss": 1}\n{"loss": 1]}\n', "line 2 cannot be read as JSON"),
        ("a.jsonl", b'{"loss": 1}\n' * 10_001, "has more than 10,000 claims"),
        ("a.md", b"# A page\n\nwithout a table\n", "holds no Markdown table"),
        ("a.md", b"|loss|\n|---|\n|1.8|2|\n", "more cells than the header"),
        ("a.md", b"|loss|\n|---|\n" + b"|1|\n" * 10_001, "has more than 10,000 claims"),
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
        ("a.csv", b"name\n" + b"x" * (tables.LARGEST_FILE + 1), "a table of claims has at most 16,777,216"),
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
    with pytest.raises(ValueError, match="is no file; audit takes a CSV, JSON, JSON lines or Markdown file"):
        claims.read(tmp_path / "pipe")


def test_untrusted_names_cannot_move_a_terminal():
    table = claims.table([{"name": "a\x1b[2J\nok  b" + "c" * 300, "loss": "1.83", "perplexity": "3.8", "\x1b[1m": "x"}])
    name = table.claims[0].name
    assert name.startswith("a\\x1b[2J\\nok  b") and len(name) <= claims.LONGEST_NAME + 6 and name.endswith("...")
    assert table.notes == ["columns that are not read: \\x1b[1m"]


NUMBERS = st.sampled_from(["1e999", "-1e999", "1e-999", "9" * 400, "1e30", "0", "-0.0", "1.83", "6.23", "50257", "8.4",
                           "1e-30", "-3", "0.5%", "10x", "1 ± 0", "core", "\ud800"])  # fmt: skip
ROW = st.dictionaries(st.sampled_from([*columns.COLUMNS, "val_ppl", "val_loss", "x"]),
                      NUMBERS | st.none() | st.floats() | st.integers() | st.lists(st.none()), max_size=12)  # fmt: skip


@settings(max_examples=150, derandomize=True, deadline=None)
@given(ROW, ROW, st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
def test_any_table_is_audited_or_refused_in_a_sentence(tmp_path_factory, row, other, junk):
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(junk)
    for call in (lambda: claims.table([row | {"baseline": "b"}, other | {"name": "b"}]), lambda: claims.read(file)):
        try:
            found = audit.audit(call().claims)
        except ValueError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
        else:
            assert all(one.label in audit.LABELS and one.message for one in found)


@given(st.floats(0.5, 12), st.floats(1.5, 8), st.floats(0.3, 1), st.integers(2, 5))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_what_one_code_length_gives_in_every_unit_agrees(nats, bytes_per_token, characters_per_byte, digits):
    """Rounded to so many digits, and as good as never once one of them is a third off."""
    from losslab.units.convert import convert, unit

    ratios = dict(tokens_per_word=1.3, bytes_per_token=bytes_per_token, characters_per_byte=characters_per_byte)
    lines = {line.unit.key: line.value for line in convert(nats, unit("nats"), **ratios)}
    lines = {"loss" if key == "nats_per_token" else key: value for key, value in lines.items()}
    row = {key: f"{value:.{digits}f}" for key, value in (lines | ratios).items()}
    assert finding(row).label != "wrong", finding(row).message
    exact = {key: f"{value:.9f}" for key, value in (lines | ratios).items()}
    for name in lines:
        shifted = exact | {name: f"{1.34 * float(exact[name]) + 0.5:.9f}"}
        assert finding(shifted).label == "wrong", (name, shifted)


def test_every_column_is_described_and_a_number_that_it_cannot_hold_is_found():
    text = columns.describe()
    for column in columns.COLUMNS.values():
        assert f"\n{column.name} (" in text and column.meaning.split(".")[0][:30] in text
        if column.low > -columns.INFINITE and not column.is_count:
            assert finding({column.name: f"{column.low - 0.5}"}).label == "wrong"


def test_the_work_grows_as_the_number_of_rows_with_one_name_does():
    calls = {}
    for num_rows in (100, 400):
        profile, table = cProfile.Profile(), claims.table([dict(name="a", loss="3.2", baseline="a")] * num_rows)
        profile.runcall(audit.audit, table.claims)
        calls[num_rows] = pstats.Stats(profile).total_calls
    assert calls[400] < 4.2 * calls[100]
