"""What is asked of a loss and cannot be had: one clear error at every entry, and never a silent wrong number."""

import json
import math

import pytest
import torch
from commands import losslab, refuses

from losslab import formula, fused
from losslab.anatomy.probe import vectors
from losslab.config import IGNORE_INDEX
from losslab.fused import ROUTES, linear_loss
from losslab.objective import MAX_VOCAB_SIZE, Objective

V, WIDTH = 11, 4
NAMES = formula.names("losslab.losses")
OVER_LOGITS = "def over_logits(p):\n    return p.logits.logsumexp(-1) - p.target_logit\n"
CLASSIC = (
    "import torch.nn.functional as F\n\ndef compute_loss(logits, targets):\n"
    "    return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))\n"
)
BEHIND_A_CAP = [f"{name} | squentropy" for name in formula.names("losslab.transforms")]
STRICT = CLASSIC.replace("    return ", "    assert targets.max() >= 0\n    return ")  # cannot bear an empty batch


@pytest.fixture
def written(tmp_path):
    def write(name, source):
        (tmp_path / name).write_text(source)
        return str(tmp_path / name)

    return write


def text_of(name):
    try:
        return str(Objective.parse(name))
    except ValueError:
        return f"cross_entropy + {name}"


def problem(dtype=torch.float32):
    rng = torch.Generator().manual_seed(5)
    hidden = torch.randn(2, 6, WIDTH, generator=rng, dtype=dtype).requires_grad_()
    lm_head = torch.randn(V, WIDTH, generator=rng, dtype=dtype).requires_grad_()
    return hidden, lm_head, torch.randint(V, (2, 6), generator=rng)


# --- parameters --------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "sentence"), [
    ("label_smoothing(1.5)", r"label_smoothing takes an epsilon in \[0, 1\], got 1.5"),
    ("cross_entropy + power(0)", "power takes a positive alpha, got 0"),
    ("softcap(-1) | cross_entropy", "softcap takes a positive cap, got -1"),
    ("focal('two')", "focal takes a number for gamma, such as 2.0; got 'two'"),
    ("focal(gamma=[2.0])", r"focal takes a number for gamma, such as 2.0; got \(2.0,\)"),
    ("softcap(True) | cross_entropy", "softcap takes a number for cap, such as 15.0; got True"),
])
def test_a_parameter_out_of_range_is_refused_before_anything_runs(text, sentence, capsys):
    with pytest.raises(ValueError, match=sentence):
        Objective.parse(text)
    for command in (["inspect", text], ["train", "--loss", text], ["compare", text, "--dry-run"]):
        assert sentence.replace("\\", "") in refuses(capsys, *command)


# --- routes ------------------------------------------------------------------------------------

@pytest.mark.parametrize(("source", "what"), [
    (OVER_LOGITS, "it reads prediction.logits"), (CLASSIC, r"it takes \(logits, targets\)"),
])
def test_a_loss_over_the_logits_is_not_streamed_by_hand_but_still_by_itself(source, what, written, monkeypatch):
    objective = Objective.parse(written("mine.py", source))
    sentence = f"mine.py cannot be streamed: {what}, which is never held; ask for no route, or dense"
    with pytest.raises(ValueError, match=sentence):
        linear_loss(*problem(), objective, route="streamed")
    monkeypatch.setattr(fused, "DENSE_BYTES", 0)
    plain = linear_loss(*problem(), Objective.parse("cross_entropy"), route="dense").total
    assert torch.allclose(linear_loss(*problem(), objective).total, plain)


def test_a_loss_over_its_batch_is_not_cut_by_hand():
    with pytest.raises(ValueError, match="mile cannot be cut into pieces: a token's loss depends on the others"):
        linear_loss(*problem(), Objective.parse("mile"), route="chunked")


def test_an_unknown_route_or_statistic_is_named():
    objective = Objective.parse("cross_entropy")
    with pytest.raises(ValueError, match="unknown route 'stream'; did you mean streamed"):
        linear_loss(*problem(), objective, route="stream")
    with pytest.raises(ValueError, match="observe names 'perplexity', which is none of nll, log_z"):
        linear_loss(*problem(), objective, observe=("nll", "perplexity"))


# --- targets and vocabulary --------------------------------------------------------------------

@pytest.mark.parametrize(("change", "sentence"), [
    (lambda y: y.index_fill(1, torch.tensor([2]), V), f"targets has id {V}, but vocab_size is {V}"),
    (lambda y: y.index_fill(1, torch.tensor([2]), -1), f"targets has id -1, but vocab_size is {V}"),
    (lambda y: y[:, :0], r"targets \[2, 0\] holds no tokens"),
    (lambda y: y.int(), "targets are torch.int32; token ids are int64"),
    (lambda y: y.float(), "targets are torch.float32; token ids are int64"),
])
def test_targets_that_are_none_are_named(change, sentence):
    hidden, lm_head, targets = problem()
    targets, objective = change(targets), Objective.parse("cross_entropy")
    for route in (None, *ROUTES):
        with pytest.raises(ValueError, match=sentence):
            linear_loss(hidden[:, : targets.shape[1]], lm_head, targets, objective, route=route)
    with pytest.raises(ValueError, match=sentence):
        objective((hidden @ lm_head.T)[:, : targets.shape[1]], targets)


@pytest.mark.parametrize("route", [None, *ROUTES])
def test_a_vocabulary_beyond_the_columns_of_a_tile_is_refused(route):
    lm_head = torch.zeros(1, 1).expand(MAX_VOCAB_SIZE + 1, 1)  # in no memory
    with pytest.raises(ValueError, match="a vocabulary of 2,147,483,648 is more than the int32 columns of a tile"):
        linear_loss(torch.zeros(1, 1), lm_head, torch.tensor([0]), Objective.parse("cross_entropy"), route=route)
    with pytest.raises(ValueError, match="a vocabulary of 2,147,483,648 is more"):
        Objective.parse("cross_entropy")(torch.zeros(1, 1).expand(1, MAX_VOCAB_SIZE + 1), torch.tensor([0]))


def test_at_the_command_line_a_vocabulary_that_nobody_can_hold_and_a_text_without_tokens(capsys, tmp_path):
    sentence = "bpe:N takes a whole number N of at least 257 (256 bytes and the end mark) and at most 1,048,576"
    assert sentence in refuses(capsys, "train", "--tokenizer", "bpe:3000000000", "--out", str(tmp_path / "run"))
    (tmp_path / "empty.txt").write_text("")
    assert "empty.txt is empty" in refuses(capsys, "train", "--corpus", str(tmp_path / "empty.txt"))


# --- nothing to learn --------------------------------------------------------------------------

def on_each_route(targets, objective, entry=None):
    """Hidden states (with one entry as given), head and what was found on each route that the objective can take."""
    routes = []
    for route in ROUTES:
        hidden, lm_head, _ = problem()
        if entry is not None:
            with torch.no_grad():
                hidden[1, 3, 2] = entry
        try:
            found = linear_loss(hidden, lm_head, targets, objective, vocabulary=vectors(V, torch.float32), route=route)
        except ValueError as error:  # not a route for it
            assert "cannot be" in str(error)
            continue
        routes.append(route)
        yield hidden, lm_head, found
    assert "dense" in routes


@pytest.mark.parametrize("text", [*map(text_of, NAMES), "softcap(3) | cross_entropy", CLASSIC, STRICT])
def test_where_all_targets_are_masked_total_and_gradients_are_exactly_zero(text, written):
    objective = Objective.parse(written("mine.py", text) if "def " in text else text)
    targets = torch.full((2, 6), IGNORE_INDEX)
    for hidden, lm_head, (total, count, statistics) in on_each_route(targets, objective):
        total.backward()
        assert total == 0 and count == 0 and not statistics.losses.any() and not statistics.entropy.any()
        assert not hidden.grad.any() and not lm_head.grad.any()


# --- what is not finite ------------------------------------------------------------------------

@pytest.mark.parametrize("text", [*map(text_of, NAMES), *BEHIND_A_CAP])
def test_hidden_states_that_are_not_finite_are_never_silent(text):
    (*_, targets), objective = problem(), Objective.parse(text)
    breaking = ((broken, *found) for broken in (math.nan, math.inf)
                for found in on_each_route(targets, objective, broken))
    for broken, hidden, lm_head, found in breaking:
        grads = torch.autograd.grad(found.total, (hidden, lm_head))
        norm = sum(grad.square().sum() for grad in grads)
        assert not (found.total.isfinite() and norm.isfinite())
        if math.isnan(broken):
            assert found.total.isnan()
        assert found.statistics.losses[0].isfinite().all() or text in ("mile", "focal_detached")  # other rows as ever


def test_a_run_that_meets_what_is_not_finite_says_diverged(tmp_path, capsys):
    arguments = ["--preset", "tiny", "--loss", "1e30*mse + cross_entropy", "--train.learning-rate", "1e9",
                 "--train.grad-clip", "0", "--train.num-steps", "3", "--out", str(tmp_path / "run"), "--json"]
    assert losslab("train", *arguments) == 4
    assert json.loads(capsys.readouterr().out)["status"] == "diverged"
