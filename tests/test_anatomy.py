"""What a loss is, against closed forms: minimizers, gradients, convexity; and what a loss file cannot hide."""

import functools
import html
import json
import math

import pytest
import torch
from commands import losslab, refuses

from losslab import anatomy, formula, fused
from losslab.anatomy import cost, minimizer, probe, shape
from losslab.objective import Objective
from losslab.report import anatomy_page, anatomy_text

DEPEND_ON_OTHERS = {"mile", "focal_detached", "multi_token", "unlikelihood"}


def found(text, **options):
    return anatomy.inspect(text, **{"sizes": (27,), "measure": False} | options)


@functools.cache
def document(text):
    """What is found of a formula of the family, as a document that no test changes."""
    return found(text).to_dict()


@pytest.fixture
def no_minimizer(monkeypatch):
    """For what has nothing to do with the minimizer, which takes most of the time."""
    monkeypatch.setattr(minimizer, "find", lambda objective, alone: [])


def file_of(tmp_path, body):
    path = tmp_path / "mine.py"
    path.write_text("import torch\nimport torch.nn.functional as F\n\n\n" + body, encoding="utf-8")
    return str(path)


# --- the form ----------------------------------------------------------------------------------

def test_the_curves_of_cross_entropy_are_its_closed_forms():
    curve = shape.curve(Objective.parse("cross_entropy"), 27)
    p = torch.tensor(curve["p_correct"], dtype=torch.float64)
    assert torch.allclose(torch.tensor(curve["value"], dtype=torch.float64), -p.log())
    assert torch.allclose(torch.tensor(curve["target_gradient"], dtype=torch.float64), p - 1)
    norm = ((1 - p) ** 2 + (1 - p) ** 2 / 26).sqrt()
    assert torch.allclose(torch.tensor(curve["gradient_norm"], dtype=torch.float64), norm)


def test_behind_a_soft_cap_the_curve_shows_the_probability_that_comes_out():
    capped = shape.curve(Objective.parse("softcap(5) | cross_entropy"), 4_096)
    assert capped["value"][-1] == pytest.approx(-math.log(capped["p_correct"][-1])) and capped["p_correct"][-1] < 0.2


def test_a_classic_mean_is_drawn_point_by_point(tmp_path):
    body = "def mine(logits, targets):\n    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())\n"
    curve = shape.curve(Objective.parse(file_of(tmp_path, body)), 27)
    p = torch.tensor(curve["p_correct"], dtype=torch.float64)  # the mean of all points would be flat
    assert torch.allclose(torch.tensor(curve["value"], dtype=torch.float64), -p.log(), atol=1e-6)
    assert torch.allclose(torch.tensor(curve["target_gradient"], dtype=torch.float64), p - 1, atol=1e-6)


def test_a_loss_that_fails_on_one_token_has_no_curve_and_says_why(tmp_path, no_minimizer):
    body = "def mine(logits, targets):\n    return F.cross_entropy(logits[:, 1:].flatten(0, 1), "
    about = found(file_of(tmp_path, body + "targets[:, 1:].flatten())\n")).to_dict()
    why = "no curve is drawn for 27 classes: the loss fails on a batch of one token, as each point of the curve is"
    assert about["curves"] == [] and about["left_out"].startswith(why)
    assert not anatomy_page.charts(about) and why in " ".join(anatomy_text.text(about).split())


TOP_K = "def mine(prediction):\n    top = prediction.logits.topk({}).values\n    return top.logsumexp(-1) - prediction."


def test_a_loss_of_the_likeliest_classes_is_tried_where_it_has_as_many(tmp_path):
    path = file_of(tmp_path, TOP_K.format(50) + "target_logit\n")
    assert probe.smallest(Objective.parse(path)) == 64
    about = found(path, sizes=(27, 64)).to_dict()
    assert [len(one["truth"]) for one in about["minimizers"]] == about["convexity"]["classes"] == [64]
    assert [curve["vocab_size"] for curve in about["curves"]] == [64]
    assert about["left_out"] == "no curve is drawn for 27 classes: the loss fails on so many, or is not finite there"
    told = " ".join(anatomy_text.text(about).split())
    assert "(tried on 64 classes)" in told and set(anatomy_page.charts(about)) == {"value", "gradient"}

    nowhere = found(file_of(tmp_path, TOP_K.format(200) + "target_logit\n")).to_dict()
    assert nowhere["proper"] is nowhere["convex"] is None and nowhere["minimizers"] == []
    assert "not found out: the loss fails on the few classes" in " ".join(anatomy_text.text(nowhere).split())
    anatomy_text.markdown(nowhere), anatomy_text.gallery([(nowhere, "", None)]), anatomy_page.html(nowhere)


def test_a_loss_that_is_another_one_on_few_classes_is_found_out_on_many(tmp_path):
    body = TOP_K.format("min(8, prediction.logits.shape[-1])") + "target_logit\n"
    many = found(file_of(tmp_path, body))
    few = many.minimizers[:-1]
    assert minimizer.is_proper(few) and not many.proper  # cross-entropy on 3 to 5 classes, and not on 64
    assert "(tried on 3, 4, 5 and 64 classes)" in anatomy_text.proper(many.to_dict())


def test_words_of_an_untrusted_formula_are_only_words_in_the_markdown(tmp_path):
    about = document("cross_entropy") | {"loss": "a|b <script>x</script> `y`", "inspected": "\x1b[2J"}
    text = anatomy_text.markdown(about)
    assert "<script" not in text and "# a&#124;b &lt;script&gt;x" in text
    assert "\x1b" not in anatomy_text.text(about)


def test_an_untrained_model_costs_log_vocab():
    known = shape.untrained(Objective.parse("cross_entropy"), 4_096)
    assert known["zero"]["value"] == pytest.approx(math.log(4_096))
    assert known["gpt2"]["times_cross_entropy"] == 1.0
    scaled = shape.untrained(Objective.parse("3*cross_entropy"), 27)
    assert scaled["zero"]["times_cross_entropy"] == pytest.approx(3.0)


@pytest.mark.parametrize(("text", "convex"), [
    ("cross_entropy", True), ("label_smoothing(0.1)", True), ("squentropy", True), ("mse", True),
    ("poly1(epsilon=1)", True), ("poly1(epsilon=2)", False),  # of two classes convex up to epsilon 1
    ("focal(2)", False), ("brier", False), ("cross_entropy + z_loss", False),
])
def test_convexity_has_a_witness_or_no_counterexample(text, convex):
    tried = shape.convexity(Objective.parse(text), True)
    assert (tried["witness"] is None) is convex and tried["pairs"] >= 1_000
    if not convex:  # the witness can be checked by hand
        start, end = (torch.tensor(tried["witness"][key], dtype=torch.float64) for key in ("from", "to"))
        targets = torch.tensor(tried["witness"]["targets"])
        first, last = (probe.losses_and_gradient(Objective.parse(text), z, targets)[1] for z in (start, end))
        assert ((last - first) * (end - start)).sum() < 0


def test_finite_names_the_case_that_breaks(tmp_path):
    assert all(shape.finite(Objective.parse("squentropy")).values())
    naive = "def mine(prediction):\n    return -prediction.logits.softmax(-1).gather(-1, prediction.targets[..., None])"
    cases = shape.finite(Objective.parse(file_of(tmp_path, naive + ".squeeze(-1).log()\n")))
    assert cases["masked"] and cases["certain and right"] and not cases["certain and wrong by 1e4"]


# --- what a token has to do with others --------------------------------------------------------

@pytest.mark.parametrize("name", sorted(DEPEND_ON_OTHERS))
def test_what_the_family_says_of_itself_is_by_definition(name):
    text = f"cross_entropy + {name}" if name == "unlikelihood" else name
    assert probe.scored_alone(Objective.parse(text)) == "by definition"


def test_a_file_that_depends_on_other_tokens_is_found(tmp_path, no_minimizer):
    body = "def mine(prediction):\n    return prediction.nll - 0.5 * prediction.nll.mean()\n"
    path = file_of(tmp_path, body)
    assert probe.scored_alone(Objective.parse(path)) is False
    assert probe.scored_alone(Objective.parse(f'mile + file("{path}")')) is False
    assert "no: a token's loss changes" in anatomy_text.text(found(path).to_dict())


def test_a_classic_file_with_a_plain_mean_is_token_wise_independent(tmp_path):
    body = "def mine(logits, targets):\n    return F.cross_entropy(logits.float().view(-1, logits.size(-1)), "
    about = found(file_of(tmp_path, body + "targets.view(-1))\n"))
    assert about.scored_alone is True and about.proper and about.convex and about.route["name"] == "dense"


# --- how it is evaluated -----------------------------------------------------------------------

@pytest.mark.parametrize(("text", "statistics"), [
    ("cross_entropy", ["nll"]), ("squentropy", ["nll", "sum_squares", "target_logit"]),
    ("softcap(15) | cross_entropy - 0.1*entropy", ["entropy", "nll"]), ("brier", ["nll", "power_sum(2)"]),
    ("cross_entropy + 0.1*power(0.5)", ["nll", "power_sum(0.5)"]),
    ("unigram_smoothing", ["dot(unigram)", "nll", "target_logit"]), ("cross_entropy + z_loss", ["log_z", "nll"]),
    ("multi_token", ["logit_at", "nll", "target_logit"]), ("mile", ["entropy", "nll"]),
])
def test_a_function_of_row_statistics_is_streamed_and_names_them(text, statistics):
    about = cost.route(Objective.parse(text))
    assert about["name"] == "streamed" and about["statistics"] == statistics
    assert f"row statistics ({', '.join(statistics)})" in about["why"]
    second = text in ("multi_token", "mile")
    assert ("second sweep" in about["why"]) is second and ("one sweep" in about["why"]) is not second


def test_what_reads_the_logits_says_so_and_whether_it_is_cut(tmp_path):
    for name in ("entmax15", "margin_distillation"):
        about = cost.route(Objective.parse(name))
        assert about["name"] == "chunked" and about["statistics"] == []
        assert about["why"] == "it reads the logits themselves, and is token-wise independent"
    body = "def mine(prediction):\n    z = prediction.logits\n    return z.logsumexp(-1) - prediction.target_logit - "
    about = cost.route(Objective.parse(file_of(tmp_path, body + "0.1 * z.mean()\n")))
    assert about["name"] == "dense" and about["why"].endswith("is not token-wise independent")
    classic = "def mine(logits, targets):\n    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())\n"
    about = cost.route(Objective.parse(file_of(tmp_path, classic)))
    assert about["name"] == "dense" and "classic form" in about["why"]


@pytest.mark.parametrize("name", formula.names("losslab.losses"))
def test_the_route_is_the_one_that_a_large_batch_takes(name, monkeypatch):
    try:
        objective = Objective.parse(name)
    except ValueError:
        objective = Objective.parse(f"cross_entropy + {name}")
    took, stream = [], fused.streamed

    def streamed(*given, **how):
        found = stream(*given, **how)
        took.extend([] if isinstance(found, str) else ["streamed"])
        return found

    monkeypatch.setattr(fused, "DENSE_BYTES", 0)
    monkeypatch.setattr(fused, "checkpoint", lambda f, x, y, **how: took.append("chunked") or f(x, y))
    monkeypatch.setattr(fused, "streamed", streamed)
    given = torch.randn(2, 3, 4), torch.randn(27, 4), torch.arange(6).view(2, 3)
    fused.linear_loss(*given, objective, vocabulary=probe.vectors(27, torch.float32))
    assert took == [cost.route(objective)["name"]]


def test_every_form_of_a_finding_tells_the_route(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(anatomy.inspect.__kwdefaults__, "sizes", (27,))
    monkeypatch.setitem(anatomy.inspect.__kwdefaults__, "measure", False)
    out, text = tmp_path / "page.html", tmp_path / "page.md"
    assert losslab("inspect", "entmax15", "--out", str(out), "--markdown", str(text), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    about = document["route"]
    sentence = f"{about['name']}: {about['why']}"
    assert about["name"] == "chunked" and sentence in text.read_text()
    assert sentence in html.unescape(out.read_text()).split("<script")[0]
    assert sentence in " ".join(anatomy_text.text(document).split())


# --- terms, files, documents -------------------------------------------------------------------

def test_a_term_is_inspected_with_cross_entropy_and_says_so(tmp_path, no_minimizer):
    about = found("z_loss")
    assert about.loss == "z_loss" and about.inspected == "cross_entropy + z_loss"
    assert "this is cross_entropy + z_loss" in " ".join(anatomy_text.text(about.to_dict()).split())
    blind = file_of(tmp_path, "def mine(prediction):\n    return prediction.log_z**2\n")
    assert found(blind).inspected.startswith("cross_entropy + file(")
    assert found("softcap(15) | 0.1*entropy").inspected == "softcap(15) | cross_entropy + 0.1*entropy"


def test_the_document_of_a_file_is_json_with_the_findings_that_matter(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(anatomy.inspect.__kwdefaults__, "sizes", (27, 64))
    path = file_of(tmp_path, "def mine(prediction):\n    return 1 - (-prediction.nll).exp() + prediction.nll\n")
    page, text = tmp_path / "page.html", tmp_path / "page.md"
    assert losslab("inspect", path, "--json", "--out", str(page), "--markdown", str(text)) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["proper"] is False and document["scored_alone"] is True
    assert document["bias"]["direction"] == "sharper" and 0 < document["bias"]["max_abs"] < 1
    assert [curve["vocab_size"] for curve in document["curves"]] == [27, 64]
    assert document["cost"]["time_ratio"] > 0 and document["cost"]["memory_ratio"] >= 1
    assert text.read_text().startswith(f"# {path}\n")
    body = html.unescape(page.read_text()).split("<script")[0]  # behind it are data and the bundle
    assert "default-src 'none'" in body and body.count('data-chart="') == 3 and "<img" not in body


def test_numbers_that_are_not_finite_become_null(tmp_path, no_minimizer):
    about = found(file_of(tmp_path, "def mine(prediction):\n    return prediction.nll / (prediction.nll < 6)\n"))
    (drawn,), (written,) = about.curves, json.loads(json.dumps(about.to_dict(), allow_nan=False))["curves"]
    broken = [i for i, value in enumerate(drawn["value"]) if not math.isfinite(value)]
    assert broken and [i for i, value in enumerate(written["value"]) if value is None] == broken


def test_drawings_stand_alone_with_their_colors():
    drawn = anatomy_page.drawings(document("cross_entropy"))
    assert drawn.keys() == anatomy_page.CHARTS.keys()
    for drawing in drawn.values():
        used = {part.split(")")[0] for part in drawing.split("var(")[1:]}
        assert used and all(f"{color}:" in drawing for color in used) and "prefers-color-scheme: dark" in drawing


def test_the_gallery_has_a_row_a_loss():
    rows = anatomy_text.gallery([(document("mse"), "A square | of logits.", "mse.md")]).splitlines()
    assert rows[2] == "| [`mse`](mse.md) | A square \\| of logits. | no | 0.330, flatter | yes | yes | streamed |"


def test_bad_input_is_one_sentence(tmp_path, capsys):
    assert "did you mean focal" in refuses(capsys, "inspect", "focl")
    flat = file_of(tmp_path, "def mine(prediction):\n    return prediction.nll.detach()\n")
    assert "no gradient" in refuses(capsys, "inspect", flat)
    broken = file_of(tmp_path, "def mine(prediction):\n    return prediction.nll.foo\n")
    assert "failed at line 6" in refuses(capsys, "inspect", broken)
    assert "there is no loss file" in refuses(capsys, "inspect", "nowhere.py")
