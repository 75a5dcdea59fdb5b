"""Batches of whole documents: what is in them, and that a document costs in a row what it costs by itself."""

import numpy as np
import pytest
import torch
from corpus_texts import cache as cache
from instruction_data import alpaca, corpus_of

from losslab.config import IGNORE_INDEX, DataConfig, Growth, ModelConfig, TrainConfig
from losslab.corpus import Corpus
from losslab.model import initialized, segments
from losslab.objective import Objective
from losslab.training_loop import accumulate

CPU = torch.device("cpu")
SEQ = 300  # some examples are longer
ROW = 700  # several examples in a row
SMALL = {"n_layer": 2, "n_head": 2, "n_embd": 16, "num_positions": ROW, "dropout": 0.0}


@pytest.fixture
def corpus(tmp_path):
    return corpus_of(tmp_path / "a.json", alpaca())


def batches(corpus, packing="packed", seq_len=SEQ, batch_size=4, **more):
    data = DataConfig(packing=packing, **more)
    return corpus.batches("train", seed=3, batch_size=batch_size, seq_len=seq_len, data=data)


def alone(corpus, document, seq_len=SEQ):
    """The tokens and targets of a document by itself, prompts masked."""
    whole = np.concatenate([[corpus.tokenizer.eot], document.tokens, [corpus.tokenizer.eot]]).astype(np.int64)
    targets = np.where(document.scored, whole[1:], IGNORE_INDEX)
    return whole[:-1][:seq_len], targets[:seq_len]


@pytest.mark.parametrize("packing", ["packed", "padded"])
def test_an_epoch_has_each_document_once_whole_and_the_rest_of_a_row_does_not_count(corpus, packing):
    made = batches(corpus, packing, seq_len=ROW)
    rows = len(made.layout.rows)
    found = []
    assert packing == "padded" or max(map(len, made.layout.rows)) > 1
    for number in range(rows):
        batch = made.read([made._number(number)])
        for row, of in enumerate(batch[2] if packing == "packed" else np.where(batch.targets < -100, 0, 0)):
            for segment in sorted({*of.tolist()} - {-1}):
                here = of == segment
                found.append((batch.tokens[row][here].tolist(), batch.targets[row][here].tolist()))
            if packing == "packed":
                assert (batch.targets[row][of == -1] == IGNORE_INDEX).all()
    expected = [alone(corpus, document, ROW) for document in corpus.documents("train")]
    if packing == "padded":  # filled up with end marks that do not count
        expected = [(np.pad(x, (0, ROW - len(x)), constant_values=corpus.tokenizer.eot),
                     np.pad(y, (0, ROW - len(y)), constant_values=IGNORE_INDEX)) for x, y in expected]
    assert sorted(found) == sorted((x.tolist(), y.tolist()) for x, y in expected if (y >= 0).any())
    assert sum((np.array(y) >= 0).sum() for _, y in found) == made.layout.row_counted.sum()


def test_a_batch_is_a_function_of_digest_seed_and_step_and_ranks_share_it(corpus):
    made, again = batches(corpus), batches(corpus)
    again(11)
    for step in (0, 7):
        assert all(np.array_equal(a, b) for a, b in zip(made(step), again(step), strict=True))
        shares = [corpus.batches("train", seed=3, batch_size=4, seq_len=SEQ, data=DataConfig(), rank=r, world=2)(step)
                  for r in range(2)]
        assert all(np.array_equal(whole[r::2], share) for r in range(2)
                   for whole, share in zip(made(step), shares[r], strict=True))
    other = corpus.batches("train", seed=4, batch_size=4, seq_len=SEQ, data=DataConfig())
    assert other.layout.rows == made.layout.rows and not np.array_equal(other(0).tokens, made(0).tokens)
    assert batches(corpus, mask_prompts=False).layout.rows == made.layout.rows


@pytest.mark.parametrize("data", [{}, {"packing": "padded"}, {"packing": "stream"}, {"mask_prompts": False}])
def test_the_targets_of_a_run_are_known_before_it(corpus, data):
    growth = Growth(5, 2, 3)
    made = corpus.batches("train", seed=3, batch_size=5, seq_len=220, data=DataConfig(**data), growth=growth)
    counted = [int((made(step).targets >= 0).sum()) for step in range(40)]
    assert [made.num_targets(steps) for steps in (1, 7, 40)] == [sum(counted[:steps]) for steps in (1, 7, 40)]


def test_in_a_stream_the_prompts_do_not_count_either(corpus):
    batch = batches(corpus, "stream")(0)
    flags, stream = corpus.answers("train"), corpus.stream("train").astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(stream, SEQ)
    for tokens, targets in zip(*batch, strict=True):
        starts = np.flatnonzero((windows[:-1] == tokens).all(1))
        assert any(np.array_equal(np.where(flags[s + 1 : s + SEQ + 1] == 1, stream[s + 1 : s + SEQ + 1], IGNORE_INDEX),
                                  targets) for s in starts)


@pytest.mark.parametrize(("seq_len", "rule"), [(190, "truncate"), (230, "leave_out"), (230, "truncate"),
                                               (400, "truncate")])
def test_what_is_too_long_is_truncated_or_left_out_and_counted(corpus, seq_len, rule):
    layout = corpus.layout("train", DataConfig(too_long=rule), seq_len)
    sizes = [(len(d.tokens) + 1, int(d.scored[:seq_len].sum())) for d in corpus.documents("train")]
    kept = [size for size, answers in sizes if answers and (size <= seq_len or rule == "truncate")]
    assert layout.about()["documents"] == len(kept)
    assert layout.truncated == sum(size > seq_len for size in kept)
    assert layout.left_out == len(sizes) - len(kept)
    assert layout.left_out + layout.truncated == sum(size > seq_len for size, _ in sizes)


def test_rows_with_nothing_to_learn_are_a_sentence(corpus):
    with pytest.raises(ValueError, match="no document of a.json fits a row of 20 tokens with something to learn in it; "
                                         "take a larger train.seq_len"):
        batches(corpus, seq_len=20)


SWITCHES = [{}, {"position_embedding": "rotary", "qk_norm": True, "norm": "rms"}]


@pytest.mark.parametrize("switches", SWITCHES)
@pytest.mark.parametrize("loss", ["cross_entropy", "cross_entropy + unlikelihood", "multi_token"])
def test_a_packed_batch_has_the_losses_and_gradients_of_its_documents_apart(corpus, switches, loss):
    model = initialized(ModelConfig(**SMALL, **switches), corpus.tokenizer.vocab_size, 0).double()
    objective, config = Objective.parse(loss), TrainConfig(num_steps=1, micro_batch_size=2, dtype="float32")
    objective.check(corpus.tokenizer.vocab_size)
    batch = batches(corpus, seq_len=ROW)(0)
    assert batch.segments.max() > 1
    total, _, count = accumulate(model, batch, objective, config, CPU)
    packed = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    every = 0.0
    for row in range(4):
        tokens, targets, of = (torch.from_numpy(part[row : row + 1]) for part in batch)
        for segment in range(int(of.max()) + 1):
            here = (of == segment)[0]
            hidden = model(tokens[:, here])
            loss_sum = objective(hidden @ model.lm_head.T, targets[:, here]).sum()
            (loss_sum / count).backward()
            every += loss_sum.item()
    assert total == pytest.approx(every, rel=1e-12)
    for own, parameter in zip(packed, model.parameters(), strict=True):
        torch.testing.assert_close(own, parameter.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("switches", SWITCHES)
def test_each_token_of_a_packed_row_has_the_loss_that_it_has_alone(corpus, switches):
    model = initialized(ModelConfig(**SMALL, **switches), corpus.tokenizer.vocab_size, 0).double()
    objective = Objective.parse("cross_entropy")
    tokens, targets, of = map(torch.from_numpy, batches(corpus, seq_len=ROW, mask_prompts=False)(1))
    assert of.max() > 1
    with torch.no_grad():
        packed = objective(model.logits(model(tokens, **segments.placed(of))), targets)
        for row, segment in {(i, int(s)) for i in range(4) for s in of[i] if s >= 0}:
            here = of[row] == segment
            own = objective(model.logits(model(tokens[row : row + 1, here])), targets[row : row + 1, here])
            assert (packed[row, here] - own[0]).abs().max() < 1e-12


@pytest.mark.parametrize("packing", ["packed", "padded", "stream"])
def test_masked_prompts_contribute_exactly_nothing(corpus, packing):
    """The gradient is that of the answers alone: at the hidden states before masked targets it is exactly zero."""
    model = initialized(ModelConfig(**SMALL), corpus.tokenizer.vocab_size, 0)
    batch = batches(corpus, packing)(0)
    seen = []
    model.ln_f.register_forward_hook(lambda module, given, out: (out.retain_grad(), seen.append(out))[0])
    config, objective = TrainConfig(num_steps=1, dtype="float32"), Objective.parse("cross_entropy + 0.1*z_loss")
    total, _, count = accumulate(model, batch, objective, config, CPU)
    masked, gradient = torch.from_numpy(batch.targets) == IGNORE_INDEX, seen[0].grad
    assert masked.any() and (gradient[masked] == 0).all() and (gradient[~masked].abs().sum(-1) > 0).all()
    hidden, targets = seen[0].detach()[~masked], torch.from_numpy(batch.targets)[~masked]
    own = objective(hidden @ model.lm_head.T, targets).sum().item()
    assert count == len(targets) and total == pytest.approx(own, rel=1e-5)


def test_padding_and_packing_train_on_the_same_targets(corpus):
    """A whole epoch at once: one update of either, with the same mean over the same targets."""
    model = initialized(ModelConfig(**SMALL), corpus.tokenizer.vocab_size, 0).double()
    config, found = TrainConfig(num_steps=1, dtype="float32", micro_batch_size=1), []
    for packing in ("packed", "padded"):
        made = batches(corpus, packing, seq_len=ROW)
        batch = made.read(range(len(made.layout.rows)))
        model.zero_grad()
        total, _, count = accumulate(model, batch, Objective.parse("cross_entropy"), config, CPU)
        found.append((count, total, model.wte.weight.grad.clone()))
    assert found[0][0] == found[1][0] and found[0][1] == pytest.approx(found[1][1], rel=1e-12)
    torch.testing.assert_close(found[0][2], found[1][2], rtol=1e-9, atol=1e-12)


def test_plain_text_packs_too_and_stays_a_stream_unless_asked(tmp_path):
    (tmp_path / "t.txt").write_text("\n<|endoftext|>\n".join(f"Story {i} is short. " * 3 for i in range(80)))
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "t.txt")))
    assert len(batches(corpus, "auto")(0)) == 2
    packed = batches(corpus, "packed", seq_len=128)(0)
    assert packed.segments.max() >= 1 and ((packed.targets >= 0) == (packed.segments >= 0)).all()


def test_rows_are_filled_well(corpus):
    assert corpus.layout("train", DataConfig(), 1024).filled > 0.9
    assert corpus.layout("train", DataConfig(packing="padded"), 1024).filled < 0.3


def test_few_examples_are_enough_for_a_row_that_is_longer_than_a_split(tmp_path):
    corpus = corpus_of(tmp_path / "few.json", alpaca(40))
    long = 2 * corpus.num_tokens["val"]
    batch = batches(corpus, seq_len=long, batch_size=1)(0)
    assert batch.tokens.shape == (1, long) and (batch.targets >= 0).any()
    with pytest.raises(ValueError, match="fewer than one context of"):
        batches(corpus, "stream", seq_len=long)
    assert corpus.layout("train", DataConfig(), long) is corpus.layout("train", DataConfig(), long)
