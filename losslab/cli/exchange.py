"""export, import: to and from Hugging Face."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab.cli.application import app
from losslab.cli.flags import Json, Tokenizer
from losslab.cli.speech import show, tell

Switch = Annotated[bool, Parameter(negative="")]


@app.command(sort_key=7)
def export(run: Path, folder: Path, *, remote_code: Switch = False, json: Json = False):
    """Write a trained model as one that transformers loads.

    Parameters
    ----------
    run
        A run folder.
    folder
        Where it goes; a new folder.
    remote_code
        Write what GPT-2 has no setting for (softcap, rotary positions, RMS norm, QK-norm) as code next to the weights,
        for trust_remote_code=True.
    """
    from losslab import hub

    written = hub.export_run(run, folder, with_code=remote_code)
    text = f"{written['folder']}: {written['num_params']:,} parameters in {', '.join(written['files'])}"
    if written["code"]:
        text += f"; {', '.join(written['code'])} is code, so transformers loads it with trust_remote_code=True alone"
    show({"run": str(run), **written}, text, json)


@app.command(name="import", sort_key=7)
def import_(source: str, *, out: Path | None = None, tokenizer: Tokenizer = None, trust_pickle: Switch = False,
            json: Json = False):
    """Read a GPT-2 of transformers, to be evaluated, sampled and trained on.

    Parameters
    ----------
    source
        The folder of a GPT2LMHeadModel, or a name on the hub such as gpt2.
    out
        The folder that is made; models/<name> unless given.
    tokenizer
        `gpt2` or `bytes`, for a model that comes without one.
    trust_pickle
        Read pytorch_model.bin, its tensors alone.
    """
    from losslab import hub

    folder = out or Path("models") / Path(source).resolve().name
    record = hub.import_model(source, folder, tokenizer=tokenizer, trust_pickle=trust_pickle, tell=tell)
    size, corpus = record.result["model"]["num_params"], record.spec["corpus"]
    text = f"{folder}: {size:,} parameters, {corpus['vocab_size']:,} tokens of {corpus['tokenizer']}; " \
           f"`losslab evaluate {folder} --corpus NAME` measures it"
    show({"run": str(folder), "condition": record.condition, "num_params": size, "origin": record.spec["origin"]},
         text, json)
