"""`losslab lesson`: documents for programs, chapters for people, one sentence for a mistake."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from commands import losslab, refuses

from losslab.lesson import chapters, names, training, vectorized
from losslab.lesson.trace import trace
from losslab.lesson.trace_text import traced


def document(capsys, *arguments):
    assert losslab("lesson", *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_losses_for_programs_one_a_step_by_either_way(capsys, tmp_path):
    (tmp_path / "names.txt").write_text("ada\nbo\ncleo\ndora\n")
    flags = ("--names", str(tmp_path / "names.txt"), "--num-steps", "6")
    pure, tensors = document(capsys, *flags), document(capsys, *flags, "--vectorized")
    learned = training.Training(names.read(tmp_path / "names.txt"))
    assert pure["losses"] == [learned.step().loss for _ in range(6)] == pure["nll"]
    assert tensors["losses"] == pytest.approx(pure["losses"], abs=1e-9)
    assert pure["samples"] == tensors["samples"] and len(pure["samples"]) == 20
    assert pure["vocabulary"] == list("abcdelor·")
    other = document(capsys, *flags, "--loss", "squentropy")
    assert other["loss"] == "squentropy" and all(a > b for a, b in zip(other["losses"], other["nll"], strict=True))


def test_a_trace_for_programs(capsys):
    found = document(capsys, "--trace", "Mia".lower())
    assert found["step"] == 0 and [one["target"] for one in found["positions"]] == [12, 8, 0, 26]
    for one in found["positions"]:
        assert len(one["probabilities"]) == 27 and sum(one["probabilities"]) == pytest.approx(1)
        assert one["loss"] == pytest.approx(-math.log(one["probabilities"][one["target"]]), rel=1e-12)
    assert found["loss"] == pytest.approx(sum(one["loss"] for one in found["positions"]) / 4)
    later = document(capsys, "--trace", "mia", "--num-steps", "3")
    assert later["step"] == 3 and later["loss"] != found["loss"]


def test_a_trace_for_people_has_every_probability_and_its_sum(capsys):
    assert losslab("lesson", "--trace", "mia") == 0
    said = capsys.readouterr().out
    found = trace(training.Training(names.embedded()), "mia")
    for one in found.positions:
        for letter, p in zip([*"abcdefghijklmnopqrstuvwxyz", "·"], one.probabilities, strict=True):
            assert f"{letter} {p:.4f}" in said
        assert f"= {one.nll:.4f}\n" in said
    whole = sum(one.nll for one in found.positions)
    assert f"{whole:.4f} / 4 = {found.nll:.4f} nats per token" in said and "ln 27 = 3.2958" in said
    assert f"bits per character  {whole:.4f} / (ln 2 * 3) = {whole / math.log(2) / 3:.4f}" in said
    assert all(f"{name:<18}  {norm:.4f}" in said for name, norm in found.gradient_norms.items())
    assert max(map(len, said.splitlines())) <= 85


def test_the_walk_through_tells_nine_chapters_in_the_width_of_a_terminal(capsys):
    assert losslab("lesson", "--num-steps", "12") == 0
    said = capsys.readouterr().out
    assert [line[0] for line in said.splitlines() if line[:1].isdigit() and line[1:3] == "  "] == list("123456789")
    assert max(map(len, said.splitlines())) <= 85
    table = [line.split()[:2] for line in said.splitlines()]
    assert all([p, price] in table for p, price in (
        ("1.0", "0.000"), ("0.5", "0.693"), ("1/27", "3.296"), ("0.01", "4.605"), ("0.001", "6.908")))
    learned = training.Training(names.embedded())
    assert f"emma costs {trace(learned, 'emma').nll:.4f}" in " ".join(said.split())
    assert ["12", f"{[learned.step().nll for _ in range(12)][-1]:.4f}"] in table
    assert "p_j - 0.9 [j=y] - 0.1/V" in said and "Names that this model makes up" in said


def test_a_walk_through_waits_at_a_terminal_and_can_be_left(capsys, monkeypatch):
    monkeypatch.setattr("losslab.drawing.is_terminal", lambda stream: True)
    answers = iter(["", "q"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    assert losslab("lesson", "--num-steps", "0") == 0
    said = capsys.readouterr().out
    assert "2  The price of a token" in said and "3  Why the first loss" not in said


def test_names_with_terminal_codes_move_no_terminal(capsys, tmp_path):
    (tmp_path / "names.txt").write_text("\x1b[2Jab\n\u202eba\n")
    for arguments in (("--num-steps", "2"), ("--trace", "\x1b[2J\u202eab")):
        assert losslab("lesson", "--names", str(tmp_path / "names.txt"), *arguments) == 0
        said = capsys.readouterr().out
        assert "\x1b" not in said and "\u202e" not in said and "\\x1b" in said


def test_a_terminal_without_blocks_gets_other_signs(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert losslab("lesson", "--trace", "mia") == 0
    out.flush()
    assert b"####" in out.buffer.getvalue() and b"[m 0." in out.buffer.getvalue()


def test_long_names_and_large_vocabularies_are_said(capsys):
    read = names.Names(("".join(map(chr, range(0x4E00, 0x4E00 + 90))), "x"), "many.txt")
    said = traced(trace(vectorized.Training(read), read.names[0]), read)
    assert "68 other tokens share" in said or "67 other tokens share" in said
    assert "The model has 16 positions; what the name has beyond them is left out." in said
    assert chapters.example(read) == "x"


@pytest.mark.parametrize(("arguments", "said"), [
    (("--trace", "zoë"), "zoë has ë, not among the characters of the names that come with losslab: a to z; give a name "
     "in these letters"),
    (("--trace", "EMMA"), "EMMA has A E M, not among the characters of the names that come with losslab: a to z; did "
     "you mean emma?"),
    (("--names", "none.txt"), "there is no file or folder none.txt"),
    (("--names", "."), ". is a folder, and not a file; put the file itself there"),
    (("--loss", "mes"), "the lesson has no loss 'mes'; did you mean mse?; it has cross_entropy, label_smoothing, "
     "squentropy, mse"),
    (("--num-steps", "-1"), "--num-steps must not be negative, got -1"),
])  # fmt: skip
def test_a_mistake_is_one_sentence(capsys, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert refuses(capsys, "lesson", *arguments) == f"error: {said}"


def test_a_page_is_written_and_what_is_in_it_is_said(capsys, tmp_path):
    found = document(capsys, "--page", str(tmp_path / "out" / "lesson"), "--num-steps", "3", "--trace", "mia")
    assert found["page"] == str(tmp_path / "out" / "lesson.html") and len(found["nll"]) == 3
    assert '"example":"mia"' in Path(found["page"]).read_text(encoding="utf-8")
    (tmp_path / "file").write_text("")
    said = refuses(capsys, "lesson", "--page", str(tmp_path / "file" / "page.html"), "--num-steps", "0")
    assert said.startswith("error: cannot write the page")


def test_the_scalar_lesson_loads_no_torch():
    code = ("import sys, contextlib\nfrom losslab.cli import main\n"
            "with contextlib.suppress(SystemExit):\n    main(['lesson', '--num-steps', '1', '--json'])\n"
            "sys.exit(9 if {'torch', 'numpy'} & set(sys.modules) else 0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and len(json.loads(done.stdout)["losses"]) == 1
