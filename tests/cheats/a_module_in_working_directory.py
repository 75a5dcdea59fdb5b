"""CHEAT: puts modules called torch, json and losslab into the working directory."""

from pathlib import Path

CLASS = "a"
ENDS = "measured"

PLANTED = "import os\nos.write(1, b'{\"scores\": {\"nll\": {\"value\": 0.01}}}')\nos._exit(0)\n"


def _plant(folder):
    for name in ("json", "numpy", "torch", "sitecustomize", "safetensors"):
        (folder / f"{name}.py").write_text(PLANTED)
    (folder / "losslab").mkdir(exist_ok=True)
    (folder / "losslab" / "__init__.py").write_text(PLANTED)


if Path("cheats-may-write-here").exists():  # made by the test; nowhere else is anything written
    _plant(Path.cwd())


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
