"""Prompts in a file: a line each, JSON Lines, a JSON list, or a YAML list."""

import json
from pathlib import Path

from losslab import untrusted

MOST_BYTES = 2**26
MOST_PROMPTS = 1_000_000
LINES = (".jsonl", ".ndjson")


def read_prompts(path: str | Path) -> list[str]:
    """The prompts of a file, in its order.

    - `.jsonl`: on each line an object with a `prompt`, or a string. What else an object has is not used.
    - `.json`: a list of the same.
    - `.yaml` or `.yml`: a list of strings, as the authors of TinyStories publish their prompts.
    - any other: a text, each line of which is a prompt; empty lines are left out.

    Raises:
        ValueError: naming the file and the line or number, for what is no prompt, or a file without any.
    """
    path = Path(path)
    with open(untrusted.descriptor(path, follow=True), "rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ValueError(untrusted.one_line(f"{path} has more than {MOST_BYTES:,} bytes, which is no file of prompts"))
    found = _found(path, raw)
    prompts = [_prompt(value, untrusted.one_line(f"{path}, {place},")) for place, value in found]
    if not prompts:
        raise ValueError(untrusted.one_line(f"{path} has no prompts; write one a line"))
    if len(prompts) > MOST_PROMPTS:
        raise ValueError(untrusted.one_line(f"{path} has {len(prompts):,} prompts; divide it into files of "
                                            f"{MOST_PROMPTS:,}"))
    return prompts


def _found(path: Path, raw: bytes) -> list[tuple[str, object]]:
    """(where in the file, value) of everything that should be a prompt."""
    kind = path.suffix.lower()
    if kind == ".json":
        return _listed(path, untrusted.parse_json(raw, str(path)))
    text = _decoded(path, raw)
    if kind in (".yaml", ".yml"):
        return _listed(path, _yaml(path, text))
    lines = [(f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if kind in LINES:
        return [(place, untrusted.parse_json(line.encode(), f"{path}, {place},")) for place, line in lines]
    return [(place, line.removesuffix("\r")) for place, line in lines]


def _decoded(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(untrusted.one_line(f"{path} is not UTF-8: {error.reason} at byte {error.start}")) from None


def _listed(path: Path, value: object) -> list[tuple[str, object]]:
    if not isinstance(value, list):
        raise ValueError(untrusted.one_line(f"{path} must hold a list of prompts, got {untrusted.shown(value)}"))
    return [(f"number {number}", each) for number, each in enumerate(value, 1)]


def _yaml(path: Path, text: str) -> object:
    try:
        import yaml
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"reading {path} needs PyYAML: run `pip install pyyaml`, or write the prompts as {path.stem}.jsonl"
        ) from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(untrusted.one_line(f"{path} is not readable YAML: {' '.join(str(error).split())}")) from None


def _prompt(value: object, where: str) -> str:
    if isinstance(value, dict) and "prompt" not in value:
        raise ValueError(f"{where} has no prompt; write it as {json.dumps({'prompt': 'Once upon a time'})}")
    prompt = value["prompt"] if isinstance(value, dict) else value
    if not isinstance(prompt, str):
        raise ValueError(f"{where} has the prompt {untrusted.shown(prompt)}; a prompt is a text")
    return prompt
