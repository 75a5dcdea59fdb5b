"""What tests of the arena share: attack files, a host with something to steal, and short refereed trainings."""

import hashlib
import random
import re
import tempfile
from pathlib import Path

import torch

from losslab import formula, lossfile
from losslab.arena import checks, tiers
from losslab.arena.jail import Ended, Jail, Limits
from losslab.arena.jailed import Jailed, Referee, submission
from losslab.arena.memory import Layout
from losslab.config import ModelConfig, TrainConfig
from losslab.model import initialized
from losslab.training_loop import Diverged, train

ATTACKS = Path(__file__).parent / "attacks"
MARKED = re.compile(r"^ *# --- the attack\n.*?^ *# --- end of the attack\n", re.MULTILINE | re.DOTALL)
LIMITS = Limits(memory_bytes=1_000_000_000, scratch_bytes=2_000_000, load_seconds=10.0, call_seconds=10.0)
CALLS, ROWS, SEQ, VOCAB = 64, 4, 8, 32
ACCEPTED = tiers.at_least("landlock")


def attacks():
    """Name -> how the file may end, for each attack."""
    return {path.stem: re.search(r"^# ends: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)[1].split()
            for path in sorted(ATTACKS.glob("*.py")) if path.stem != "honest"}


def text_of(name, host="/nowhere", port=9):
    text = (ATTACKS / f"{name}.py").read_text(encoding="utf-8")
    return text.replace("@HOST@", str(host)).replace("@PORT@", str(port))


def honest(text):
    """The file without its attack."""
    return re.sub(r'^""".*?"""\n# ends: [^\n]*\n', '"""The same without its attack."""\n# ends: same\n',
                  MARKED.sub("", text), flags=re.DOTALL)


def together(names, texts):
    """One file that does what many do, each in its own module; its loss is the mean of theirs."""
    each = [f"MODULES.append({{'__name__': {name!r}}})\nexec(compile({text!r}, {name!r}, 'exec'), MODULES[-1])"
            for name, text in zip(names, texts, strict=True)]
    return "\n".join(["MODULES = []", *each, "def compute_loss(logits, targets):", "    return sum(module["
                      "'compute_loss'](logits, targets) for module in MODULES) / len(MODULES)"])


def robbed(folder):
    """A host's folder, with all that an attack looks for; its digest tells whether any of it was changed."""
    for name in ("cache/val.bin", "ledger.jsonl", "secret.json", "run/result.json", "other/result.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"what belongs to the host " * 100)
    return folder


def fingerprint(folder):
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        sha.update(str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b""))
    return sha.hexdigest()


def jail_of(text, layout=None, accepted=ACCEPTED, limits=LIMITS):
    parsed = formula.parse('file("loss.py")')
    asked = submission(parsed, lossfile.sources(parsed, {"loss.py": text}))
    return Jail(asked, layout or Layout(ROWS, SEQ, VOCAB), limits, accepted)


def tried(text, accepted=ACCEPTED):
    """The checks before a test; `passed`, or how it ended and why."""
    def start():
        return jail_of(text, Layout(checks.ROWS, checks.SEQ, VOCAB), accepted)

    try:
        with start() as jail:
            checks.check(jail, start, 0, "of the loss")
    except Ended as error:
        return error.status, error.reason
    return "passed", ""


def trained(text, accepted=ACCEPTED, calls=CALLS):
    """A short training of a small model: `same` and a digest of its weights, or how it ended and why."""
    parsed = formula.parse('file("loss.py")')
    sources = lossfile.sources(parsed, {"loss.py": text})
    model = initialized(ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=SEQ), VOCAB, 0, ())
    config = TrainConfig(num_steps=calls, batch_size=ROWS, device="cpu", dtype="float32", learning_rate=1e-2)

    def batches(step):
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(VOCAB, (ROWS, SEQ + 1), generator=generator)
        return ids[:, :-1], ids[:, 1:]

    try:
        with tempfile.TemporaryDirectory() as folder, jail_of(text, accepted=accepted) as jail:
            referee = Referee(jail, lambda: jail_of(text, accepted=accepted), calls, Path(folder),
                              rng=random.Random(0))
            outcome = train(model, batches, Jailed(parsed, sources, referee), config)
            referee.finish()
    except Ended as error:
        return error.status, error.reason
    if isinstance(outcome, Diverged):
        return "diverged", ""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sha.update(name.encode() + tensor.numpy().tobytes())
    return "same", sha.hexdigest()
