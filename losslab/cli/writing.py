"""generate: what a trained model writes, and answers."""

import hashlib
import json as jsons
import re
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.flags import Json, Whole
from losslab.cli.speech import show, tell
from losslab.config import TrainConfig
from losslab.config.numbers import TOKENS, check
from losslab.drawing import is_terminal
from losslab.words import printable

MOST_SEED = 2**62
CHAT_TEMPLATE = "alpaca"  # where the run was not trained on instructions


@app.command(sort_key=4)
def generate(
    run: Path, prompt: str = "", *, prompts: Path | None = None,
    num: Annotated[Whole, Parameter(name=["--num", "--num-samples"])] = 1, num_tokens: Whole = 300,
    temperature: float = 0.8, top_k: Whole = 0, top_p: float = 1.0, min_p: float = 0.0, repetition_penalty: float = 1.0,
    stop: Annotated[list[str] | None, Parameter(negative="")] = None, seed: Whole = 0, batch_size: Whole = 16,
    chat: Annotated[bool, Parameter(negative="")] = False, template: str | None = None, device: str = "cpu",
    json: Json = False, jsonl: Annotated[bool, Parameter(negative="")] = False,
):
    """Let a trained model write, or answer.

    Beyond the model's context the newest half of it is read again, and fills up again. Settings of sampling are applied
    in the order of their flags here, the repetition penalty first.

    Parameters
    ----------
    run
        A run folder.
    prompt
        Text to continue; none starts a new document. Spaces at its end are left out.
    prompts
        A file of prompts in place of one: a line each, or JSON Lines (.jsonl) with a `prompt` on each, or an
        `instruction` and perhaps an `input`, or a JSON or YAML list.
    num
        Texts for each prompt.
    num_tokens
        The most tokens of each text.
    temperature
        Divides the logits; 0 takes the most likely token each time.
    top_k
        Sample among the k most likely tokens; 0 for all.
    top_p
        Sample among the fewest most likely tokens whose probabilities reach this sum; 1 for all.
    min_p
        Sample among tokens with at least this share of the largest probability; 0 for all.
    repetition_penalty
        Divides the logits of tokens that were there before, multiplies negative ones; 1 for none.
    stop
        A text before which the writing ends; give it again for several.
    seed
        Of the random numbers of a prompt's first text, and 1 more for each that follows. To that of each prompt in a
        file a number is added that the prompt's own words give, so that prompts do not share their luck; --jsonl shows
        the sum, which gives the same text with that prompt alone.
    batch_size
        Texts written at once; what is written does not depend on it.
    chat
        Ask and answer, line by line, with an instruction-tuned model.
    template
        How an instruction is put to the model: alpaca, chat or plain. None gives it the prompt as it is, and a row with
        an instruction in alpaca; with --chat, the one that the run was trained with, else alpaca.
    jsonl
        Print a JSON object a line for each text, as soon as it is there.
    """
    from losslab import checkpoint, machine
    from losslab.generate import Sampling
    from losslab.instruct import Prompt, read_prompts, templates

    for name, value, low, high in (("--num", num, 1, 1_000_000), ("--num-tokens", num_tokens, 0, TOKENS[0]),
                                   ("--batch-size", batch_size, 1, 65_536), ("--seed", seed, -MOST_SEED, MOST_SEED)):
        check(name, value, low, high)
    if json and jsonl:
        raise ValueError("--json prints one document and --jsonl an object a line; give one of them")
    if prompts is not None and prompt:
        raise ValueError("give a prompt or --prompts FILE, not both")
    if chat and (prompt or prompts or num > 1 or json or jsonl):
        raise ValueError("--chat asks for what you say; leave out the prompt, --prompts, --num, --json and --jsonl")
    template = _template_of(run) if chat and template is None else template
    stop = [*(stop or ()), *(templates.stops(template) if template is not None else ())]
    rules = {"sampling": Sampling(temperature, top_k, top_p, min_p, repetition_penalty), "num_tokens": num_tokens,
             "stop": stop}
    given = [Prompt(prompt)] if prompts is None else read_prompts(prompts)
    asked = [each.rendered(template) for each in given]
    asked = _stripped(asked) if template is None else asked
    seeds = [seed if prompts is None else seed + _number(each) for each in asked]
    device = machine.resolve_device(TrainConfig(device=device).device)  # checked there
    loaded = checkpoint.load(checkpoint.newest(run / "checkpoint", warn=tell), device=device)
    if min(batch_size, num * len(asked)) == 1:
        loaded.model.lay_out_for_one_row()
    if chat:
        from losslab.cli.chatting import converse

        return converse(loaded.model, loaded.tokenizer, template, seed=seed, **rules)
    _say_cut(asked, loaded)
    return _print(run, loaded, _batches(list(zip(asked, seeds, strict=True)), num, batch_size), rules, json, jsonl)


def _print(run: Path, loaded, batches, rules: dict, json: bool, jsonl: bool) -> None:
    """The texts of all batches: as one document, a line of JSON each, or as they are written."""
    found, first = [], True
    for batch in batches:
        rows = _write(loaded, batch, rules, None if json or jsonl else _Printer(first, batch).show)
        rows, first = [{"run": str(run), **row} for row in rows], False
        if jsonl:
            print("\n".join(jsons.dumps(row, ensure_ascii=False) for row in rows), flush=True)
        if json:
            found += rows
    if json:
        show(found, "", json)


def _template_of(run: Path) -> str:
    """The template of the instruction data that a run was trained on."""
    from losslab import records
    from losslab.instruct import TEMPLATES

    try:
        name = (records.read(run).spec.get("corpus") or {}).get("instructions", {}).get("template")
    except (ValueError, OSError, AttributeError):
        return CHAT_TEMPLATE
    return name if name in TEMPLATES else CHAT_TEMPLATE


def _number(prompt: str) -> int:
    """A number below 2^32 that the text gives, the same everywhere."""
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")


def _stripped(asked: list[str]) -> list[str]:
    """Without spaces at the end: a token of most vocabularies begins with the space, and none follows one."""
    stripped = [prompt.rstrip(" ") for prompt in asked]
    if count := sum(len(one) > len(other) for one, other in zip(asked, stripped, strict=True)):
        which = "the prompt" if len(asked) == 1 else f"{count} of {len(asked)} prompts"
        tell(f"the spaces at the end of {which} were left out: most tokens begin with a space, and none follows one")
    return stripped


def _say_cut(asked: list[str], loaded) -> None:
    """What of a prompt longer than the context is read."""
    from losslab.generate import prompt_ids, window_start

    limit = loaded.model.config.num_positions
    lengths = [len(prompt_ids(loaded.tokenizer, prompt)) for prompt in asked]
    cut = [length - window_start(length, limit) for length in lengths if length > limit]
    if cut and len(asked) == 1:
        tell(f"the prompt has {lengths[0]:,} tokens with its end mark, and the model's context is {limit:,}: its last "
             f"{cut[0]:,} are read")
    elif cut:
        read = f"{min(cut):,} to {max(cut):,}" if min(cut) < max(cut) else f"{cut[0]:,}"
        tell(f"{len(cut):,} of {len(asked):,} prompts are longer than the model's context of {limit:,} tokens: of each "
             f"the last {read} are read")


def _batches(asked: list[tuple[str, int]], num: int, size: int):
    """(prompt, its seed, number of its text) of all texts, prompt by prompt, `size` at a time."""
    batch = []
    for prompt, seed in asked:
        for sample in range(num):
            batch.append((prompt, seed, sample))
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch


def _write(loaded, batch: list[tuple[str, int, int]], rules: dict, shown) -> list[dict]:
    from losslab.generate import prompt_ids, write

    ids = [prompt_ids(loaded.tokenizer, prompt) for prompt, _, _ in batch]
    seeds = [seed + sample for _, seed, sample in batch]
    samples = write(loaded.model, loaded.tokenizer, ids, seeds=seeds, show=shown, **rules)
    return [
        {"prompt": prompt, "text": prompt + written.text, "continuation": written.text, "tokens": written.tokens,
         "logprobs": written.logprobs, "end": written.end, "sample": number, "seed": seed, "prompt_tokens": read}
        for (prompt, _, number), written, seed, read in zip(batch, samples, seeds, ids, strict=True)
    ]  # fmt: skip


def say(piece: str) -> None:
    """A piece of text on standard output at once; on a terminal, characters that would act on it are written out."""
    if is_terminal(sys.stdout):
        piece = "".join(part if part in ("\n", "\t") else printable(part) for part in re.split("([\n\t])", piece))
    sys.stdout.write(piece)
    sys.stdout.flush()


class _Printer:
    """Texts one after the other, the first that is not finished growing as it is written."""

    def __init__(self, first: bool, batch: list[tuple[str, int, int]]):
        self.begin = "" if first else "\n"  # an empty line between texts
        self.waiting = [[prompt] for prompt, _, _ in batch]
        self.ended = [False] * len(batch)
        self.current = 0

    def show(self, index: int, piece: str, ended: bool) -> None:
        self.waiting[index].append(piece)
        self.ended[index] = ended
        while self.current < len(self.waiting):
            say(self.begin + "".join(self.waiting[self.current]))
            self.begin, self.waiting[self.current] = "", []
            if not self.ended[self.current]:
                return
            say("\n")
            self.current, self.begin = self.current + 1, "\n"
