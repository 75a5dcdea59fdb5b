"""Files that define losses, and files that do not."""

import pytest
import torch
from loss_inputs import V, nll
from loss_inputs import logits as logits
from loss_inputs import targets as targets
from loss_inputs import write as write
from torch.testing import assert_close

from losslab.objective import LossError, Objective


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


def test_a_loss_over_the_whole_batch_is_found_not_to_be_token_wise_independent(write):
    path = write("def focused(prediction):\n    return prediction.nll * (prediction.nll / prediction.nll.mean())\n")
    assert Objective.parse(path).check(V) is False
