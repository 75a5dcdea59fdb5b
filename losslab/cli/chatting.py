"""generate --chat: a conversation with an instruction-tuned model."""

import sys

from losslab.cli.speech import tell
from losslab.cli.writing import say
from losslab.drawing import is_terminal

ANEW = "/new"


def converse(model, tokenizer, template: str, *, sampling, num_tokens: int, seed: int, stop) -> None:
    """Answer each line of standard input, until it ends.

    What was said before belongs to the prompt, as far as the model's context has room for it.
    """
    from losslab.generate import prompt_ids, write
    from losslab.instruct import templates

    limit, said, turn = model.config.num_positions, [], 0
    room = limit - min(num_tokens, limit // 2)  # for the prompt
    tell(f"template {template}; {ANEW} forgets what was said, Ctrl-D ends")
    while (line := _line()) is not None:
        if line.strip() in ("", ANEW):
            said = said if not line.strip() else []
            continue
        said.append({"role": "user", "content": line.strip()})
        ids = prompt_ids(tokenizer, templates.render(template, said))
        while len(ids) > room and len(said) > 1:  # the oldest question and its answer
            said = said[2:]
            ids = prompt_ids(tokenizer, templates.render(template, said))
        if len(ids) > limit:
            tell(f"that has {len(ids):,} tokens with its template, and the model's context is {limit:,}: the model "
                 "reads the end of it")
        (answer,) = write(model, tokenizer, [ids], sampling, num_tokens=num_tokens, seeds=[seed + turn], stop=stop,
                          show=lambda index, piece, ended: say(piece))
        say("\n")
        said.append({"role": "assistant", "content": answer.text})
        turn += 1


def _line() -> str | None:
    """What the user says next; None where no more comes."""
    try:
        return input("> " if is_terminal(sys.stdin) and is_terminal(sys.stdout) else "")
    except EOFError:
        return None
