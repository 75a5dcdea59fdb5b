"""Each kind of file that losslab reads: how it is bent, who reads it, and what a message may hold."""

import contextlib
import io
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faults_mutate as mutate

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# words of Python or a library that name nothing of the user's
RAW = re.compile(
    r"^('utf-8' codec|'[\w-]+' codec can't|Expecting |invalid literal|could not convert|Extra data|Unterminated|"
    r"not enough values|too many values|cannot convert float|Exceeds the limit|math domain|zip\(\)|embedded null|"
    r"\[Errno|year \d|Out of range float|argument of type|unsupported operand|expected str)")  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """One kind of file: where a good one is, how it is bent, who reads it."""

    name: str
    root: str  # a folder of the material, which is copied
    pattern: str  # of the files below it of which one is bent
    mutation: Callable
    read: Callable[[Path, Path], None]  # (the copied folder, the bent file)
    weight: int = 1


def cli(*arguments) -> None:
    """A command, in this process; what it prints is checked."""
    from losslab.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)
                for errors in ("strict", "backslashreplace"))  # fmt: skip
    code = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    said = [stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err)]
    if code not in (0, 2, 3, 4, 5, 6, *((1, 7) if arguments[0] == "audit" else ())):  # 1 wrong, 7 not all checked
        raise AssertionError(f"exit code {code}")
    if code == 2:
        _, found, sentence = said[1].rpartition("error: ")
        check_sentence(sentence.rstrip("\n") if found else said[1].strip())
    for text in said:
        check_output(text)


class Sentence(Exception):
    """An error that is not one sentence, or one that explains nothing."""


class Terminal(Exception):
    """Something that a terminal would obey."""


def check_sentence(text: str) -> None:
    if not text.strip() or "\n" in text or len(text) > 4000 or RAW.match(text):
        raise Sentence(f"{text[:300]!r}")


def check_output(text: str) -> None:
    if found := CONTROL.search(text):
        at = found.start()
        raise Terminal(f"{found[0]!r} in {text[max(0, at - 60) : at + 20]!r}")


def _formula(folder: Path, file: Path) -> None:
    from losslab.objective import Objective

    text = file.read_bytes().decode("utf-8", errors="surrogateescape")
    found = Objective.parse(text)
    found.check(257)
    str(found), found.explicit


def _specification(folder: Path, file: Path) -> None:
    from losslab import config

    found = config.load(file)
    found.num_steps, found.tokens_per_step, found.evaluate_every  # noqa: B018
    config.digest(config.to_dict(found))


def _optimizer(folder: Path, file: Path) -> None:
    from losslab import checkpoint, optim

    run = _run_of(folder)
    path = min(checkpoint.steps(run / "checkpoint"))
    loaded = checkpoint.load(path)
    checkpoint.restore_optimizer(path, loaded.model, optim.build(loaded.model, _train_config()))


def _train_config():
    from losslab.config import TrainConfig

    return TrainConfig(num_steps=10)


def _run_of(folder: Path) -> Path:
    return folder if (folder / "spec.json").exists() else next(p for p in sorted(folder.iterdir()) if p.is_dir())


def _model(folder: Path, file: Path) -> None:
    cli("generate", _run_of(folder), "--num-tokens", "2")


def _start(folder: Path, file: Path) -> None:
    from losslab import config, start

    found = start.read(str(_run_of(folder)))
    found.formula("cross_entropy")
    found.settle(config.preset("tiny"))


def _export(folder: Path, file: Path) -> None:
    cli("export", folder, folder.with_name("exported"), "--remote-code")


def _import(folder: Path, file: Path) -> None:
    cli("import", folder, "--out", folder.with_name("imported"))


def _list(folder: Path, file: Path) -> None:
    cli("runs", "list", folder)
    cli("runs", "list", folder, "--json")


def _show(folder: Path, file: Path) -> None:
    run = next(p for p in file.parents if p.parent == folder)
    cli("runs", "show", run)
    cli("runs", "show", run, "--json")


def _report(folder: Path, file: Path) -> None:
    """All that a page is made from, without the drawing of it."""
    from losslab import comparison, records, report

    document = report.document(comparison.compare(records.find([folder])))
    check_output(report.table(document))
    json.dumps(document, allow_nan=False)


def _page(folder: Path, file: Path) -> None:
    cli("report", folder, "--out", folder.with_name("report.html"))


def _audit(folder: Path, file: Path) -> None:
    cli("audit", file)
    cli("audit", file, "--json")


def _corpus(folder: Path, file: Path) -> None:
    where = file.parent if file.parent.name == "folder" else file
    texts = random.Random(file.read_bytes()).choice(("bytes", "char", "bpe:270"))
    tokenizer = "gpt2" if file.suffix == ".bin" else texts
    cli("corpus", where, "--tokenizer", tokenizer, "--data.val-bytes", "1000", "--data.tune-bytes", "1000")


def _task(name: str) -> Callable[[Path, Path], None]:
    def read(folder: Path, file: Path) -> None:
        from losslab.evaluate import tasks

        tasks.run(name, *_tiny(), tasks.Settings(benchmarks=folder, limit=2))

    return read


def _question(folder: Path, file: Path) -> None:
    _task(file.name.partition(".")[0])(folder, file)


def _tiny():
    """A model of nothing for tasks that have to be asked of one."""
    if not _TINY:
        from losslab.config import ModelConfig
        from losslab.model import initialized
        from losslab.tokenizer import make

        made = make("bytes")
        _TINY.append(initialized(ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=96), 257, 0).eval())
        _TINY.append(made)
    return _TINY


_TINY: list = []
_RUN = "store"  # the runs of the study
SUBJECTS = (
    Subject("formula", "formula", "*.txt", mutate.as_text, _formula, 10),
    Subject("spec.toml", "spec", "spec.toml", mutate.as_text, _specification, 8),
    Subject("specification in JSON", "spec", "spec.json", mutate.as_json, _specification, 8),
    Subject("claims.csv", "tables", "claims.csv", mutate.as_text, _audit, 8),
    Subject("claims.json", "tables", "claims.json", mutate.as_json, _audit, 8),
    Subject("corpus .txt", "texts", "*.txt", mutate.raw, _corpus, 2),
    Subject("corpus .jsonl", "texts", "rows.jsonl", mutate.as_lines, _corpus, 2),
    Subject("corpus .gz", "texts", "*.gz", mutate.as_gzip, _corpus, 2),
    Subject("corpus .bin", "texts", "*.bin", mutate.raw, _corpus, 2),
    Subject("corpus folder", "texts", "folder/*", mutate.raw, _corpus, 2),
    Subject("run spec.json, listed", _RUN, "*/spec.json", mutate.as_json, _list, 4),
    Subject("run spec.json, reported", _RUN, "*/spec.json", mutate.as_json, _report, 4),
    Subject("run result.json, listed", _RUN, "*/result.json", mutate.as_json, _list, 4),
    Subject("run result.json, reported", _RUN, "*/result.json", mutate.as_json, _report, 5),
    Subject("run environment.json, reported", _RUN, "*/environment.json", mutate.as_json, _report, 4),
    Subject("run log.jsonl, reported", _RUN, "*/log.jsonl", mutate.as_lines, _report, 5),
    Subject("run files, shown", _RUN, "*/*.json", mutate.as_json, _show, 2),
    Subject("run files, drawn", _RUN, "*/*.json*", mutate.as_lines, _page, 1),
    Subject("tags", _RUN, "*/tags.json", mutate.as_json, _list, 2),
    Subject("index of a store", _RUN, ".index.sqlite", mutate.raw, _list, 4),
    Subject("checkpoint model.json", "bpe", "checkpoint/*/model.json", mutate.as_json, _model, 5),
    Subject("checkpoint manifest.json", "bpe", "checkpoint/*/manifest.json", mutate.as_json, _model, 4),
    Subject("checkpoint model.safetensors", "bpe", "checkpoint/*/model.safetensors", mutate.as_safetensors, _model, 6),
    Subject("checkpoint optimizer", "bpe", "checkpoint/*/optimizer.safetensors", mutate.as_safetensors, _optimizer, 4),
    Subject("checkpoint tokenizer", "bpe", "checkpoint/*/*tokenizer.json", mutate.as_json, _model, 5),
    Subject("start from a checkpoint", "capped-run", "checkpoint/*/*.json", mutate.as_json, _start, 3),
    Subject("export of an imported model", "imported", "*.json", mutate.as_json, _export, 1),
    Subject("export of a changed model", "capped-run", "checkpoint/*/model.json", mutate.as_json, _export, 3),
    Subject("import config.json", "hf", "config.json", mutate.as_json, _import, 4),
    Subject("import config.json with a transform", "capped", "config.json", mutate.as_json, _import, 4),
    Subject("import tokenizer files", "hf", "*tokenizer*.json", mutate.as_json, _import, 4),
    Subject("import model.safetensors", "hf", "model.safetensors", mutate.as_safetensors, _import, 4),
    Subject("import parts", "parts", "model*", mutate.as_json, _import, 3),
    Subject("import vocab.json", "merges", "vocab.json", mutate.as_json, _import, 3),
    Subject("import merges.txt", "merges", "merges.txt", mutate.as_text, _import, 3),
    Subject("questions", "bench", "hf_eval/*", mutate.as_lines, _question, 5),
    Subject("lambada", "bench", "lambada_openai.jsonl", mutate.as_lines, _task("lambada"), 3),
    Subject("blimp", "bench", "blimp.jsonl", mutate.as_lines, _task("blimp"), 3),
    Subject("wikitext2", "bench", "wiki.test.raw", mutate.raw, _task("wikitext2"), 2),
    Subject("bundle core.yaml", "bench", "core.yaml", mutate.as_text, _task("core"), 4),
    Subject("bundle baselines", "bench", "eval_meta_data.csv", mutate.as_text, _task("core"), 3),
    Subject("bundle rows", "bench", "eval_data/*", mutate.as_lines, _task("core"), 3),
)
