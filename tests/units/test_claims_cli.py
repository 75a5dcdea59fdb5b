"""losslab convert and losslab audit."""

import json

import pytest

from losslab import cli


def losslab(*arguments):
    with pytest.raises(SystemExit) as exit:
        cli.main(list(arguments))
    return exit.value.code


def refusal(capsys, *arguments):
    assert losslab(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    return err


def test_convert_prints_what_can_be_derived(capsys):
    assert losslab("convert", "1.83", "nats/token", "--bytes-per-token", "4.39") == 0
    out = capsys.readouterr().out
    assert "perplexity        6.23389" in out and "1.83 / 4.39 / ln 2" in out
    assert "word perplexity   needs --tokens-per-word" in out


def test_convert_for_programs(capsys):
    assert losslab("convert", "1.2", "bits", "per", "byte", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["unit"] == "bits_per_byte" and document["values"]["byte_perplexity"] == pytest.approx(2**1.2)
    assert document["missing"]["perplexity"] == ["bytes_per_token"]
    assert document["arithmetic"]["byte_perplexity"] == "2^(1.2)"


def test_convert_to_one_unit(capsys):
    assert losslab("convert", "1.83", "nats", "--to", "bpb", "--bytes-per-token", "4.39", "--json") == 0
    assert json.loads(capsys.readouterr().out)["values"] == {"bits_per_byte": pytest.approx(0.601397, abs=1e-6)}
    said = refusal(capsys, "convert", "1.83", "nats", "--to", "bpb")
    assert "nats/token to bits/byte needs --bytes-per-token" in said
    assert "must be at least 0" in refusal(capsys, "convert", "-1.83", "nats")
    assert "unknown unit" in refusal(capsys, "convert", "1.83", "frobs")


def test_an_infinity_is_no_number_in_json(capsys):
    assert losslab("convert", "1000", "nats", "--json") == 0
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["values"]["perplexity"] is None


def test_audit_prints_findings(tmp_path, capsys):
    file = tmp_path / "claims.csv"
    rows = ["name,loss,perplexity,vocab_size,claim,who", "a,1.83,3.8,,,me", "b,1.83,6.23,,,", "c,11.2,,50257,trained,",
            'd,,,,"gzip is 4.5 bpb,\non \x1b[1mEnglish",']
    file.write_text("\n".join(rows))
    assert losslab("audit", str(file), "--json") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert [(row["name"], row["ok"]) for row in document["findings"]] == [
        ("a", False), ("b", True), ("c", True), ("d", None)]
    assert all(set(row) == {"name", "label", "ok", "message", "claim"} and row["message"]
               for row in document["findings"])
    assert document["counts"] == {"ok": 1, "warning": 1, "wrong": 1, "not checked": 1}
    assert document["ok"] is False and document["notes"] == ["columns that are not read: who"] and "who" in err
    assert losslab("audit", str(file)) == 0
    out = capsys.readouterr().out
    assert "WRONG        a: exp(1.83) = 6.23" in out and "ok           b: " in out and "not checked  d: nothing" in out
    assert "warning      c: ln 50257" in out and "text, not judged: gzip is 4.5 bpb,\\non \\x1b[1mEnglish\n" in out
    assert out.endswith("1 of 4 claims cannot be true as they stand, 1 can as far as they were checked, 1 can but with "
                        "a warning, 1 were not checked\n")


@pytest.mark.parametrize(("rows", "is_ok"), [
    (["1.83,6.23"], True), (["1.83,6.23", "3.2,"], False), (["3.2,"], False), (["3.2,", "1.83,3.8"], False),
    (["0.5,1.65"], True)], ids=str)  # fmt: skip
def test_a_claim_that_was_not_checked_does_not_count_as_ok(tmp_path, capsys, rows, is_ok):
    (tmp_path / "a.csv").write_text("\n".join(["loss,ppl", *rows]))
    assert losslab("audit", str(tmp_path / "a.csv"), "--json") == 0  # a finding is no error
    assert json.loads(capsys.readouterr().out)["ok"] is is_ok


def test_the_columns_are_listed(capsys):
    assert losslab("audit", "--columns") == 0
    out = capsys.readouterr().out
    assert "\nbits_per_byte (bits/byte, 0 or more; also bpb)\n    Bits of the text over its UTF-8 bytes" in out
    assert losslab("audit", "--columns", "--json") == 0
    listed = {column["name"]: column for column in json.loads(capsys.readouterr().out)["columns"]}
    assert listed["accuracy"]["range"] == "0 to 1" and all(one["meaning"] for one in listed.values())


def test_audit_refuses_in_one_sentence(tmp_path, capsys):
    assert "takes a file of claims; `losslab audit --columns`" in refusal(capsys, "audit")
    assert "there is no file" in refusal(capsys, "audit", str(tmp_path / "none.csv"))
    assert "is a folder" in refusal(capsys, "audit", str(tmp_path))
    (tmp_path / "a.csv").write_text("loss\nlow\n")
    assert "loss must be a number, got 'low'" in refusal(capsys, "audit", str(tmp_path / "a.csv"))
