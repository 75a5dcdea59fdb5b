"""losslab generate: what it prints, for people and for programs, and what it refuses."""

import io
import json
import os
import sys

import pytest
import torch
from commands import losslab, refuses

from losslab import checkpoint
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.generate import generate
from losslab.instruct import read_prompts, templates
from losslab.model import initialized


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a model with random weights that says something else after every text."""
    folder = tmp_path_factory.mktemp("generate") / "run"
    tokenizer = tokenizers.make("bytes", [])
    config = ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=24, tied=False)
    model = initialized(config, tokenizer.vocab_size, 3).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(std=0.5, generator=generator)
    model.lm_head.data[128:] *= 0.1  # bytes above ASCII, and the end, are rare
    checkpoint.save(folder / "checkpoint", model, tokenizer, step=7, tokens=700, seconds=1.0)
    return folder


@pytest.fixture
def loaded(run):
    return checkpoint.load(checkpoint.newest(run / "checkpoint"))


def documents(capsys, *arguments):
    assert losslab("generate", *map(str, arguments)) == 0
    return json.loads(capsys.readouterr().out)


def test_json_is_a_list_of_prompt_text_tokens_and_log_probabilities(run, loaded, capsys):
    (one,) = documents(capsys, run, "The cat", "--temperature", "0", "--num-tokens", "40", "--json")
    text = generate(loaded.model, loaded.tokenizer, "The cat", num_tokens=40, temperature=0)
    assert one["prompt"] == "The cat" and one["text"] == text == one["prompt"] + one["continuation"]
    assert loaded.tokenizer.decode(one["tokens"]) == one["continuation"]
    assert one["prompt_tokens"] == [256, *b"The cat"] and one["end"] in ("num_tokens", "end mark")
    assert len(one["tokens"]) == len(one["logprobs"]) == 40 and max(one["logprobs"]) < 0
    first = loaded.model.logits(loaded.model(torch.tensor([one["prompt_tokens"]])))[0, -1].log_softmax(-1)
    assert one["logprobs"][0] == pytest.approx(first.max().item(), abs=1e-5)


def test_several_texts_have_a_seed_each_and_the_old_name_of_the_flag_works(run, loaded, capsys):
    arguments = (run, "On", "--seed", "5", "--num-tokens", "9", "--json")
    found = documents(capsys, *arguments, "--num", "3", "--batch-size", "2")
    assert documents(capsys, *arguments, "--num-samples", "3") == [
        {**one, "logprobs": pytest.approx(one["logprobs"], abs=1e-5)} for one in found]
    assert [one["seed"] for one in found] == [5, 6, 7] and [one["sample"] for one in found] == [0, 1, 2]
    for one in found:
        assert one["text"] == generate(loaded.model, loaded.tokenizer, "On", num_tokens=9, seed=one["seed"])


def test_people_see_the_texts_with_an_empty_line_between(run, capsys):
    found = documents(capsys, run, "On", "--num", "3", "--num-tokens", "9", "--json")
    assert losslab("generate", str(run), "On", "--num", "3", "--num-tokens", "9", "--batch-size", "2") == 0
    assert capsys.readouterr().out == "\n\n".join(one["text"] for one in found) + "\n"


def test_a_file_of_prompts_gives_lines_of_json_each_as_with_that_prompt_alone(run, capsys, tmp_path):
    (tmp_path / "p.txt").write_text("Once\n\nThe cat  \nOn\n")
    arguments = ("--num", "2", "--num-tokens", "6", "--top-p", "0.9", "--min-p", "0.01", "--repetition-penalty", "1.1")
    assert losslab("generate", str(run), "--prompts", str(tmp_path / "p.txt"), *arguments, "--jsonl") == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["prompt"], row["sample"]) for row in rows] == [
        (prompt, sample) for prompt in ("Once", "The cat", "On") for sample in (0, 1)]
    assert "the spaces at the end of 1 of 3 prompts were left out" in err
    alone = documents(capsys, run, "The cat", *arguments, "--seed", rows[2]["seed"], "--json")
    assert [one["tokens"] for one in alone] == [row["tokens"] for row in rows[2:4]]
    assert len({row["seed"] for row in rows}) == 6


def test_a_stop_text_ends_it_and_is_not_shown(run, capsys):
    (one,) = documents(capsys, run, "On", "--num-tokens", "60", "--seed", "1", "--json")
    stop = one["continuation"][5:7]
    (other,) = documents(capsys, run, "On", "--num-tokens", "60", "--seed", "1", "--stop", "nowhere", "--stop", stop,
                         "--json")
    assert other["end"] == "stop text"
    assert other["continuation"] == one["continuation"][: one["continuation"].index(stop)]
    assert other["tokens"] == one["tokens"][: len(other["tokens"])]


def test_a_prompt_longer_than_the_context_is_said_and_its_end_read(run, capsys, tmp_path):
    assert losslab("generate", str(run), "x" * 40, "--num-tokens", "3") == 0
    out, err = capsys.readouterr()
    assert out.startswith("x" * 40)
    assert "the prompt has 41 tokens with its end mark, and the model's context is 24: its last 15 are read" in err
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n' + json.dumps("y" * 30) + "\n")
    assert losslab("generate", str(run), "--prompts", str(tmp_path / "p.jsonl"), "--num-tokens", "1", "--json") == 0
    assert "1 of 2 prompts are longer than the model's context of 24 tokens: of each the last 18 are read" in (
        capsys.readouterr().err)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_pieces_and_no_codes(run, loaded, monkeypatch):
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert losslab("generate", str(run), "On\x1b[2J", "--num-tokens", "40", "--temperature", "2", "--seed", "4") == 0
    text = generate(loaded.model, loaded.tokenizer, "On\x1b[2J", num_tokens=40, temperature=2.0, seed=4)
    assert any(ord(letter) < 32 and letter not in "\n\t" for letter in text[5:])
    shown = screen.getvalue()
    assert shown.startswith("On\\x1b[2J") and not any(ord(letter) < 32 and letter not in "\n\t" for letter in shown)


def test_chat_answers_line_by_line_and_remembers(run, loaded, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n\nyo\n/new\nhi\n"))
    arguments = ("--template", "plain", "--temperature", "0", "--num-tokens", "4")
    assert losslab("generate", str(run), "--chat", *arguments) == 0
    out, err = capsys.readouterr()
    assert "template plain; /new forgets what was said, Ctrl-D ends" in err

    def answer(prompt):
        return generate(loaded.model, loaded.tokenizer, prompt, num_tokens=4, temperature=0).removeprefix(prompt)

    first = answer("hi\n")
    second = answer(f"hi\n{first}\nyo\n")
    assert out == f"{first}\n{second}\n{first}\n" and second != answer("yo\n")


def test_a_template_is_put_around_each_prompt(run, capsys):
    (one,) = documents(capsys, run, "Name a colour. ", "--template", "alpaca", "--num-tokens", "2", "--json")
    assert one["prompt"] == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nName a colour. \n\n### Response:")
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert templates.render("alpaca", said).endswith(
        "### Instruction:\na\n\n### Response:b\n\n### Instruction:\nc\n\n### Response:")


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("x", "--prompts", "p.txt"), "give a prompt or --prompts FILE, not both"),
    (("x", "--chat"), "--chat asks for what you say; leave out the prompt"),
    (("x", "--json", "--jsonl"), "--json prints one document and --jsonl an object a line; give one of them"),
    (("x", "--template", "alpca"), "unknown template 'alpca'; did you mean alpaca?; the templates are alpaca, chat, "
                                   "plain"),
    (("--chat", "--template", "none"), "unknown template 'none'"),
    (("x", "--num", "0"), "--num must be at least 1, got 0"),
    (("x", "--num-tokens", "-1"), "--num-tokens must not be negative, got -1"),
    (("x", "--batch-size", "0"), "--batch-size must be at least 1"),
    (("x", "--seed", "9" * 30), "--seed must be at most"),
    (("x", "--device", "abacus"), "device must be auto, cpu, cuda or mps, or cuda:N, got 'abacus'"),
    (("x", "--top-p", "2"), "top_p is a probability above 0"),
    (("--prompts", "none.txt"), "no file or folder none.txt"),
])  # fmt: skip
def test_mistakes_are_one_sentence(run, capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refuses(capsys, "generate", str(run), *arguments)


@pytest.mark.parametrize(("name", "content", "prompts"), [
    ("a.txt", "One\r\n\r\n  two \n", ["One", "  two "]),
    ("a.jsonl", '{"prompt": "a\\nb", "id": 3}\n\n"c"\n', ["a\nb", "c"]),
    ("a.json", '["x", {"prompt": ""}]', ["x", ""]), ("a.txt", "\ufeffé\u2028ü", ["é\u2028ü"]),
    ("a.yaml", "---\n- |-\n  Once\n\n  upon\n- two\n", ["Once\n\nupon", "two"]),
])  # fmt: skip
def test_prompts_are_read_from_every_kind_of_file(tmp_path, name, content, prompts):
    (tmp_path / name).write_bytes(content.encode())
    assert [prompt.text for prompt in read_prompts(tmp_path / name)] == prompts


@pytest.mark.parametrize(("name", "content", "sentence"), [
    ("a.txt", b" \n\n", "a.txt has no prompts; write one a line"),
    ("a.txt", b"\xff", "a.txt is not UTF-8: invalid start byte at byte 0"),
    ("a.jsonl", b'{"words": "a"}\n', r'line 1, has no prompt; write it as \{"prompt": "Once upon a time"\}'),
    ("a.jsonl", b'"a"\n{"prompt": 3}\n', "line 2, has the prompt 3; a prompt is a text"),
    ("a.jsonl", b'"a"\nb\n', "line 2, is not readable JSON"), ("a.json", b'{"prompt": "a"}', "must hold a list"),
    ("a.yaml", b"- *a\n", r"a.yaml, line 1, is more than a plain text in YAML"),
    ("a.yaml", b"- !!python/name:os.system\n", "a.yaml, line 1, is more than a plain text"),
    ("a.json", b"[" * 5000, "not readable JSON: it is too deeply nested"),
])  # fmt: skip
def test_a_file_without_prompts_is_one_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as caught:
        read_prompts(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_pipe_in_the_place_of_prompts_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p.txt")
    with pytest.raises(ValueError, match="is a pipe, and not a file"):
        read_prompts(tmp_path / "p.txt")
    (tmp_path / "q.txt").write_text("a\n")
    (tmp_path / "r.txt").symlink_to(tmp_path / "q.txt")
    assert read_prompts(tmp_path / "r.txt") == [("a", None)]
