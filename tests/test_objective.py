"""The formula over losses: weights, transforms, identity, masks, and loss files in both forms."""

import math
import textwrap

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losslab.config import IGNORE_INDEX
from losslab.objective import LossError, Objective
from losslab.prediction import Prediction

V = 11


@pytest.fixture
def logits():
    return (2 * torch.randn(2, 4, V, dtype=torch.float64)).requires_grad_()


@pytest.fixture
def targets():
    return torch.randint(V, (2, 4))


@pytest.fixture
def masked(targets):
    return targets.index_put((torch.tensor([0, 1, 1]), torch.tensor([3, 0, 2])), torch.tensor(IGNORE_INDEX))


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a loss file into the current folder; its path from there."""
    monkeypatch.chdir(tmp_path)

    def writer(source, path="my_loss.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    return writer


def nll(logits, targets):
    return F.cross_entropy(logits.transpose(1, -1), targets, reduction="none")


# --- formulas ----------------------------------------------------------------------------------

def test_terms_are_added_with_their_weights(logits, targets):
    value = Objective.parse("2*cross_entropy - 0.5*mse + 1e-2*z_loss")(logits, targets)
    mse = (logits - F.one_hot(targets, V)).square().mean(-1)
    assert_close(value, 2 * nll(logits, targets) - 0.5 * mse + 1e-2 * logits.logsumexp(-1) ** 2)


def test_a_weight_of_zero_leaves_the_rest_alone(logits, targets):
    assert_close(Objective.parse("cross_entropy + 0*z_loss")(logits, targets), nll(logits, targets))


def test_the_transform_is_applied_once_to_the_raw_logits(logits, targets):
    objective = Objective.parse("softcap(2) | cross_entropy")
    capped = 2 * torch.tanh(logits / 2)
    assert_close(objective(logits, targets), nll(capped, targets))
    assert_close(objective.transform(logits), capped)
    # a prediction is of transformed logits already
    assert_close(objective.losses(Prediction.dense(capped, targets)), nll(capped, targets))


def test_transforms_apply_left_to_right(logits):
    capped = 3 * torch.tanh(2 * torch.tanh(logits / 2) / 3)
    assert_close(Objective.parse("softcap(2) | softcap(3) | cross_entropy").transform(logits), capped)


@pytest.mark.parametrize(("given", "wanted"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_logits_are_scored_in_float32_or_better(given, wanted, targets):
    raw = torch.randn(2, 4, V, dtype=given)
    objective = Objective.parse("softcap(5) | cross_entropy")
    assert objective(raw, targets).dtype == wanted
    assert_close(objective(raw, targets), objective(raw.to(wanted), targets))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("label_smoothing", "label_smoothing(epsilon=0.1)"),
        ("label_smoothing(0.2)", "label_smoothing(epsilon=0.2)"),
        ("softcap(15) | cross_entropy", "softcap(cap=15.0) | cross_entropy"),
        ("softcap | cross_entropy", "softcap(15) | cross_entropy"),
        ("weighted_mse", "weighted_mse(65)"),
        ("cross_entropy + 1e-4*z_loss", "1*cross_entropy + 0.0001 * z_loss"),
    ],
)
def test_two_ways_of_writing_one_objective_have_one_identity(one, other):
    assert Objective.parse(one).explicit == Objective.parse(other).explicit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("label_smoothing", "label_smoothing(0.2)"),
        ("softcap(15) | cross_entropy", "softcap(16) | cross_entropy"),
        ("softcap(15) | cross_entropy", "cross_entropy"),
        ("softcap(2) | softcap(3) | cross_entropy", "softcap(3) | softcap(2) | cross_entropy"),
        ("cross_entropy + z_loss", "cross_entropy - z_loss"),
        ("cross_entropy", "2*cross_entropy"),
    ],
)
def test_two_objectives_have_two_identities(one, other):
    assert Objective.parse(one).explicit != Objective.parse(other).explicit


@pytest.mark.parametrize("text", ["mse", "softcap(15) | cross_entropy + 0.0001*z_loss", "-mse + 2.0*squentropy"])
def test_its_text_gives_it_back(text):
    assert str(Objective.parse(text)) == text == str(Objective.parse(str(Objective.parse(text))))


def test_the_transform_is_known_in_the_words_of_the_formula():
    assert Objective.parse("softcap(15)|cross_entropy").transform_text == "softcap(15)"
    assert Objective.parse("cross_entropy").transform_text == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("crossentropy", "unknown loss 'crossentropy'; did you mean cross_entropy\\?; the family is brier, cross_ent"),
        ("softcat(3) | cross_entropy", "unknown transform 'softcat'; did you mean softcap\\?"),
        ("label_smoothing(eps=0.1)", "label_smoothing has no parameter 'eps'; did you mean epsilon\\?; it has epsilon"),
        ("mse(3)", "write the parameters of mse by name: it has none"),
        ("label_smoothing(1.5)", r"an epsilon in \[0, 1\], got 1.5"),
        ("squentropy(-1)", "square_weight of at least 0, got -1"),
        ("softcap(0) | cross_entropy", "softcap takes a positive cap, got 0"),
        ("softcap | softcap", "unknown loss 'softcap'"),
        ("z_loss", "'z_loss' has no whole loss to descend, only terms; write cross_entropy \\+ 1e-4\\*z_loss"),
        ("cross_entropy | cross_entropy", "unknown transform 'cross_entropy'; the family is isru_cap, sigmoid_cap"),
        ("file()", 'names no file; write file\\("my_loss.py"\\)'),
    ],
)
def test_an_objective_that_cannot_be_is_answered_with_one_that_can(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        Objective.parse(text)


@pytest.mark.parametrize("wrong", [V, 50_000, -1, -101])
def test_a_target_outside_the_vocabulary_is_named(logits, targets, wrong):
    targets[1, 2] = wrong
    with pytest.raises(ValueError, match=f"targets has id {wrong}, but vocab_size is {V}; was this corpus tokenized"):
        Objective.parse("cross_entropy")(logits, targets)


def test_masked_targets_count_nothing(logits, masked):
    value = Objective.parse("softcap(5) | cross_entropy + z_loss")(logits, masked)
    value.sum().backward()
    ignored = masked == IGNORE_INDEX
    assert not value[ignored].any() and not logits.grad[ignored].any()
    assert value[~ignored].all() and logits.grad[~ignored].all()


@pytest.mark.parametrize("filler", [math.inf, -math.inf, math.nan])
def test_a_masked_token_of_a_prediction_is_left_out_rather_than_multiplied_by_zero(filler):
    logits = torch.randn(3, V)
    logits[1] = filler
    value = Objective.parse("cross_entropy + z_loss").losses(Prediction.dense(logits, torch.tensor([2, -100, 4])))
    assert value[1] == 0 and value[[0, 2]].isfinite().all()


@pytest.mark.parametrize("text", ["cross_entropy", "softcap(15) | label_smoothing + 1e-4*z_loss"])
def test_check_finds_that_each_token_is_scored_alone(text):
    objective = Objective.parse(text)
    assert objective.scored_alone is None and not objective.takes_logits and not objective.sources
    assert objective.check(V) is True and objective.scored_alone is True


@pytest.mark.parametrize("text", [
    "mile", "multi_token", "cross_entropy + 1e-3*unlikelihood", "focal_detached(1)", "softcap(3) | focal_detached",
    "softcap(3) | cross_entropy + 0.5*entropy + 0.3*focal_detached",
    "softcap(9) | softcap(3) | cross_entropy + 1e-3*mile",
])
@pytest.mark.parametrize("vocab", [2, 5, 300, 50_257])
def test_check_finds_that_tokens_are_not_scored_alone_however_little_the_others_count(text, vocab):
    assert Objective.parse(text).check(vocab) is False


@pytest.mark.parametrize("body", [
    "prediction.nll.float() * 1.5",  # computes in float32
    "prediction.nll + (prediction.nll[..., None] @ torch.ones(1, 1))[..., 0]",  # and cannot do otherwise
    "prediction.nll + prediction.nll.new_ones(1) * torch.tensor([0.1])",
])
def test_a_file_that_computes_in_float32_is_token_wise_independent_all_the_same(write, body):
    text = write(f"import torch\n\ndef loss(prediction):\n    return {body}\n")
    assert Objective.parse(text).check(V) is True
    of_others = write(f"import torch\n\ndef loss(prediction):\n    return ({body}) + 1e-3 * prediction.nll.mean()\n")
    assert Objective.parse(of_others).check(V) is False


@pytest.mark.parametrize("text", ["unigram_smoothing(0.2)", "cross_entropy + 0.25*prefix_token"])
def test_what_needs_a_vocabulary_is_read_without_one_and_checked_with_it(text):
    objective = Objective.parse(text)
    vocabulary = {"unigram": torch.full((V,), 1 / V), "prefix_of": torch.arange(V) - 1}
    assert objective.check(V, vocabulary) is True
    with pytest.raises(ValueError, match="needs the vocabulary vector"):
        objective.check(V)


# --- loss files in the form of the house -------------------------------------------------------

MARGIN = """
    import torch

    def margin(prediction, *, power=1, scale=2.0):
        '''How far the target lies below the largest logit.'''
        return scale * (prediction.max_logit - prediction.target_logit) ** power + prediction.nll
"""


def test_a_file_is_a_loss_by_its_path(write, logits, targets):
    objective = Objective.parse(write(MARGIN))
    gap = logits.max(-1).values - logits.gather(-1, targets[..., None])[..., 0]
    assert_close(objective(logits, targets), 2 * gap + nll(logits, targets))
    assert str(objective) == "my_loss.py" and not objective.takes_logits and objective.check(V)


def test_a_file_has_hyper_parameters_a_weight_and_company(write, logits, targets):
    write(MARGIN)
    objective = Objective.parse('softcap(9) | 0.5*file("my_loss.py", power=2, scale=1) + z_loss')
    z = 9 * torch.tanh(logits / 9)
    gap = z.max(-1).values - z.gather(-1, targets[..., None])[..., 0]
    assert_close(objective(logits, targets), 0.5 * (gap**2 + nll(z, targets)) + z.logsumexp(-1) ** 2)
    assert Objective.parse(str(objective)).explicit == objective.explicit


SEVERAL = """
    def double(prediction):
        return 2 * _once(prediction)

    def triple(prediction):
        return 3 * _once(prediction)

    def _once(prediction):
        return prediction.nll
"""


def test_a_function_of_a_file_is_named_after_a_colon(write, logits, targets):
    path = write(SEVERAL)
    for text, factor in [(f"{path}:double", 2), (f'file("{path}", name="triple")', 3), (f"{path}:_once", 1)]:
        assert_close(Objective.parse(text)(logits, targets), factor * nll(logits, targets))
    assert str(Objective.parse(f"{path}:double")) == f"{path}:double"


@pytest.mark.parametrize("name", ["my_loss", "compute_loss"])
def test_the_function_named_for_the_file_or_compute_loss_comes_first(write, logits, targets, name):
    path = write(SEVERAL + f"\n    def {name}(prediction):\n        return 7 * prediction.nll\n")
    assert_close(Objective.parse(path)(logits, targets), 7 * nll(logits, targets))


def test_functions_that_a_file_imports_are_not_its_own(write, logits, targets):
    path = write("from textwrap import dedent, indent\n\ndef only(prediction):\n    return prediction.nll\n")
    assert_close(Objective.parse(path)(logits, targets), nll(logits, targets))


def test_a_file_says_that_it_is_only_a_term(write, logits, targets):
    path = write("ROLE = 'term'\n\ndef pull(prediction):\n    return prediction.log_z.abs()\n")
    with pytest.raises(ValueError, match="has no whole loss to descend"):
        Objective.parse(path)
    value = Objective.parse(f'cross_entropy + 0.1*file("{path}")')(logits, targets)
    assert_close(value, nll(logits, targets) + 0.1 * logits.logsumexp(-1).abs())


def test_a_file_is_known_by_its_text_not_by_its_path(write):
    one, same = Objective.parse(write(MARGIN, "a/margin.py")), Objective.parse(write(MARGIN, "b/margin.py"))
    other = Objective.parse(write(MARGIN.replace("2.0", "3.0"), "c/margin.py"))
    assert one.sources[0].sha256 == same.sources[0].sha256 != other.sources[0].sha256
    assert one.explicit.replace("a/margin", "b/margin") == same.explicit
    assert one.explicit != other.explicit


def test_a_run_keeps_the_text_that_was_read(write, logits, targets):
    objective = Objective.parse(write(MARGIN))
    before = objective(logits, targets)
    (source,) = objective.sources
    write("def my_loss(prediction):\n    return 0 * prediction.nll\n")
    assert_close(objective(logits, targets), before)
    again = Objective.parse("my_loss.py", files={"my_loss.py": source.text})
    assert again.explicit == objective.explicit
    assert_close(again(logits, targets), before)


# --- loss files in the classic form ------------------------------------------------------------

CLASSIC = {
    "per token": "F.cross_entropy(logits.view(-1, V), targets.view(-1), reduction='none').view(targets.shape)",
    "flattened": "F.cross_entropy(logits.view(-1, V), targets.view(-1), reduction='none', ignore_index=-1)",
    "scalar": "F.cross_entropy(logits.view(-1, V), targets.view(-1), ignore_index=-1)",
}


def classic(body):
    return f"""
    import torch
    import torch.nn.functional as F

    SEEN = []

    def compute_loss(logits, targets):
        SEEN.append((tuple(logits.shape), tuple(targets.shape), logits.is_contiguous(), targets.is_contiguous()))
        V = logits.shape[-1]
        return {body}
    """


@pytest.mark.parametrize("form", CLASSIC)
@pytest.mark.parametrize("some_masked", [False, True])
def test_every_classic_result_has_the_total_and_gradient_of_the_same_loss_per_token(
    write, logits, targets, masked, form, some_masked
):
    y = masked if some_masked else targets
    value = Objective.parse(write(classic(CLASSIC[form])))(logits, y)
    wanted = Objective.parse("cross_entropy")(logits, y)
    assert value.shape == y.shape
    assert_close(value.sum(), wanted.sum())
    if form == "scalar":  # the mean over the valid tokens, in each of their places
        assert_close(value[y >= 0], wanted[y >= 0].mean().expand(int((y >= 0).sum())))
    else:
        assert_close(value, wanted)
    upstream = torch.autograd.grad(value.sum(), logits)
    assert_close(upstream, torch.autograd.grad(wanted.sum(), logits))
    assert not value[y < 0].any() and not upstream[0][y < 0].any()


def seen_by(objective):
    """What the file's function was called with."""
    function = objective.terms[0].loss.args[1].args[1].func
    return function.__globals__["SEEN"]


def test_a_classic_loss_gets_one_contiguous_batch(write, logits, targets):
    objective = Objective.parse(write(classic(CLASSIC["scalar"])))
    assert objective.takes_logits and objective.check(V) is False  # never cut into pieces
    seen = seen_by(objective)
    seen.clear()
    objective(logits.transpose(0, 1), targets.transpose(0, 1))
    objective(logits[0], targets[0])
    assert seen == [((4, 2, V), (4, 2), True, True), ((1, 4, V), (1, 4), True, True)]


def test_a_classic_loss_gets_only_the_valid_rows_where_some_are_masked(write, logits, masked):
    objective = Objective.parse(write(classic(CLASSIC["scalar"])))
    seen_by(objective).clear()
    objective(logits, masked)
    assert seen_by(objective) == [((1, 5, V), (1, 5), True, True)]


@pytest.mark.parametrize("form", CLASSIC)
def test_a_classic_loss_with_nothing_to_score_gives_zero(write, logits, targets, form):
    objective = Objective.parse(write(classic(CLASSIC[form])))
    value = objective(logits, torch.full_like(targets, IGNORE_INDEX))
    value.sum().backward()
    assert not value.any() and not logits.grad.any()


def test_a_classic_loss_has_hyper_parameters(write, logits, targets):
    path = write("""
        import torch.nn.functional as F

        def compute_loss(logits, targets, scale=2.0):
            return scale * F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    """)
    wanted = nll(logits, targets).mean()
    assert_close(Objective.parse(path)(logits, targets), (2 * wanted).expand(2, 4))
    assert_close(Objective.parse(f'file("{path}", scale=3)')(logits, targets), (3 * wanted).expand(2, 4))


def test_a_classic_loss_sees_transformed_logits(write, logits, targets):
    write(classic(CLASSIC["per token"]))
    value = Objective.parse('softcap(2) | file("my_loss.py")')(logits, targets)
    assert_close(value, nll(2 * torch.tanh(logits / 2), targets))


# written afresh from the descriptions of two functions published for the `llm-pretrain-loss` task
SMOOTHED_BONUS = """
    import torch
    import torch.nn.functional as F

    def compute_loss(logits, targets):
        flat, ids = logits.view(-1, logits.size(-1)), targets.view(-1)
        if not torch.is_grad_enabled():
            return F.cross_entropy(flat, ids, ignore_index=-1)
        smoothed = F.cross_entropy(flat, ids, ignore_index=-1, label_smoothing=0.05)
        valid = ids != -1
        log_z = torch.logsumexp(flat.float(), dim=-1)
        log_p = flat.gather(1, ids.clamp(min=0).unsqueeze(1)).squeeze(1) - log_z
        return smoothed + (1 - log_p.exp())[valid].mean() + 1e-4 * log_z[valid].pow(2).mean()
"""
CAPPED = """
    import torch
    import torch.nn.functional as F

    def compute_loss(logits, targets):
        flat, ids = logits.view(-1, logits.size(-1)), targets.view(-1)
        if not torch.is_grad_enabled():
            return F.cross_entropy(flat, ids, ignore_index=-1)
        capped = 30.0 * torch.tanh(flat / 30.0)
        loss = F.cross_entropy(capped, ids, ignore_index=-1, label_smoothing=0.1)
        return loss + 1e-4 * torch.logsumexp(capped, dim=-1)[ids != -1].pow(2).mean()
"""


@pytest.mark.parametrize("some_masked", [False, True])
@pytest.mark.parametrize("source", [SMOOTHED_BONUS, CAPPED], ids=["smoothed with a bonus", "capped"])
def test_a_published_function_equals_the_same_in_the_words_of_the_house(
    write, logits, targets, masked, source, some_masked
):
    y = masked if some_masked else targets
    objective = Objective.parse(write(source))
    value = objective(logits, y)
    if source is CAPPED:
        wanted = Objective.parse("softcap(30) | label_smoothing(0.1) + 1e-4*z_loss")(logits, y)
    else:
        wanted = Objective.parse("label_smoothing(0.05) + 1e-4*z_loss")(logits, y)
        wanted = wanted - torch.expm1(-Objective.parse("cross_entropy")(logits, y))  # 1 - p_y; 0 where masked
    assert_close(value.sum(), wanted.sum())
    assert_close(torch.autograd.grad(value.sum(), logits), torch.autograd.grad(wanted.sum(), logits))
    with torch.no_grad():
        assert_close(objective(logits, y).sum(), Objective.parse("cross_entropy")(logits, y).sum())
    assert objective.check(V) is False


# --- loss files that are not losses ------------------------------------------------------------

@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (SEVERAL, r"my_loss.py has several functions; it defines double, triple: name one as my_loss.py:NAME"),
        ("x = 1\n", "my_loss.py defines no function"),
        ("def loss(prediction:\n    pass\n", r"my_loss.py failed at line 1: SyntaxError"),
        ("x = 1\ny = 1 / 0\n", "my_loss.py failed at line 2: ZeroDivisionError: division by zero"),
        ("import no_such_module\n", "failed at line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def loss():\n    return 1\n", r"my_loss.py:loss takes no positional argument; a loss is a function of"),
        ("def loss(a, b, c):\n    return 1\n", r"my_loss.py:loss takes a, b, c; a loss is a function of \(prediction"),
        ("def loss(prediction, *, power):\n    return 1\n", "my_loss.py:loss needs a value for power"),
    ],
    ids=["ambiguous", "empty", "syntax", "at import", "missing module", "no argument", "three arguments", "no default"],
)
def test_a_file_that_defines_no_loss_is_answered_in_one_sentence(write, source, sentence):
    with pytest.raises(LossError if "needs" not in sentence else ValueError, match=sentence) as caught:
        Objective.parse(write(source))
    assert "\n" not in str(caught.value).strip() or "SyntaxError" in str(caught.value)


def test_a_missing_file_or_function_is_named(write, tmp_path):
    path = write(SEVERAL)
    with pytest.raises(LossError, match=r"there is no loss file nowhere.py; give its path from the current folder"):
        Objective.parse("nowhere.py")
    with pytest.raises(LossError, match=r"no function 'tripel'; did you mean triple\?; it defines double, triple"):
        Objective.parse(f"{path}:tripel")
    with pytest.raises(LossError, match="cannot read the loss file folder.py"):
        (tmp_path / "folder.py").mkdir()
        Objective.parse("folder.py")
    (tmp_path / "latin.py").write_bytes("# \xe9".encode("latin-1"))
    with pytest.raises(LossError, match="cannot read the loss file latin.py"):
        Objective.parse("latin.py")
    with pytest.raises(LossError, match="cannot read the loss file .*null byte"):
        Objective.parse('file("nul\\x00.py")')


def test_a_wrong_hyper_parameter_of_a_file_is_answered_with_the_nearest(write):
    write(MARGIN)
    with pytest.raises(ValueError, match=r"my_loss.py:margin has no parameter 'powr'; did you mean power\?"):
        Objective.parse('file("my_loss.py", powr=2)')


BAD = {
    "an exception": ("my_loss.py failed at line 4: RuntimeError: oh", "raise RuntimeError('oh')"),
    "nan": ("my_loss.py gives nan on the logits of an untrained model", "return prediction.nll * float('nan')"),
    "infinite": ("my_loss.py gives inf on the logits", "return prediction.nll / 0"),
    "a scalar": (r"returned shape \[\] for targets of shape \[9, 11\]; a loss gives one number per token and leaves",
                 "return prediction.nll.mean()"),
    "a wrong shape": (r"my_loss.py returned shape \[9, 11, 11\] for targets of shape \[9, 11\]",
                      "return prediction.logits"),
    "a slice": (r"my_loss.py returned shape \[3, 11\] for targets of shape \[9, 11\]", "return prediction.nll[:3]"),
    "a number": ("returned float, not a tensor", "return 1.5"),
    "nothing": ("returned NoneType, not a tensor", "pass"),
    "no gradient": ("my_loss.py gives no gradient: nothing it returns depends on the logits",
                    "return prediction.nll.detach()"),
    "a gradient of something else": ("my_loss.py has a gradient of exactly zero",
                                     "return torch.ones(prediction.nll.shape, requires_grad=True) * 1"),
    "a zero gradient": ("my_loss.py has a gradient of exactly zero on the logits", "return 0 * prediction.nll + 1"),
    "an infinite gradient": ("my_loss.py has a gradient that is not finite",
                             "return (prediction.nll - prediction.nll.detach()).sqrt()"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_loss_that_cannot_be_descended_is_found_before_training(write, case):
    sentence, body = BAD[case]
    objective = Objective.parse(write(f"import torch\n\ndef loss(prediction):\n    {body}\n"))
    with pytest.raises(LossError, match=sentence):
        objective.check(V)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("logits", r"my_loss.py returned shape \[1, 5, 11\] for targets of shape \[1, 5\]; a loss gives one"),
        ("logits.sum(-1)[:, :2]", r"returned shape \[1, 2\] for targets of shape \[1, 5\]"),
        ("1.0", "returned float, not a tensor"),
        ("logits.nothing", "failed at line 10: AttributeError"),
    ],
)
def test_a_classic_loss_of_a_wrong_shape_is_found_behind_a_mask(write, logits, masked, body, sentence):
    with pytest.raises(LossError, match=sentence):
        Objective.parse(write(classic(body)))(logits, masked)


def test_a_loss_over_the_whole_batch_is_found_not_to_score_tokens_alone(write):
    path = write("def focused(prediction):\n    return prediction.nll * (prediction.nll / prediction.nll.mean())\n")
    assert Objective.parse(path).check(V) is False


def test_an_untrained_model_costs_log_vocab(logits):
    zeros = torch.zeros(2, 4, V)
    value = Objective.parse("cross_entropy")(zeros, torch.zeros(2, 4, dtype=torch.long))
    assert_close(value, torch.full((2, 4), math.log(V)))
