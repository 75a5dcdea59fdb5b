"""The command line in this process, and the flags of a training that takes a second."""

import pytest

from losslab import cli

FAST = ("--model.n-layer", "1", "--model.n-head", "2", "--model.n-embd", "16", "--model.num-positions", "16",
        "--data.val-bytes", "2000", "--data.tune-bytes", "2000", "--evaluate.tune-tokens", "256", "--device", "cpu",
        "--evaluate.num-samples", "1", "--evaluate.sample-tokens", "10", "--train.batch-size", "4")
TRAIN = ("train", "--corpus", "text.txt", "--num-tokens", "1_000", *FAST)
COMPARE = ("compare", "cross_entropy", "squentropy", "--corpus", "text.txt", "--num-tokens", "0.64k", *FAST)


def losslab(*arguments):
    with pytest.raises(SystemExit) as exit:
        cli.main(list(arguments))
    return exit.value.code


def refuses(capsys, *arguments, code=2):
    """The one sentence on standard error with which a command refuses."""
    assert losslab(*arguments) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err and out == ""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    return lines[0]
