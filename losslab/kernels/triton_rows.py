"""The two kernels of the streamed head on a GPU: row statistics of the logits, and the gradient of the logits.

Only what a loss asks for is compiled in. Products of 16-bit inputs are summed in float32; float32 inputs are multiplied
as such, never as TF32. Nothing but the gradient is ever written at the size of a tile. This file is the one that needs
Triton, so it is imported by `gpu` when it is first used.
"""

import triton
import triton.language as tl

LOWEST = tl.constexpr(-1e38)  # below any logit, and finite: minus infinity times an empty sum would be nan
TEMPERATURE, SOFTCAP, SIGMOID_CAP, ISRU_CAP = (tl.constexpr(i) for i in range(4))  # as in `gpu.TRANSFORMS`

# where a row's numbers lie: of its statistics, before the power sums and the dots ...
TOP, S0, S1, SUM, SQUARES, MORE_STATISTICS = (tl.constexpr(i) for i in range(6))
# ... and of its coefficients, before those of the powers and of the vectors
LOG_S0, A0, A1, C0, C1, MORE_COEFFICIENTS = (tl.constexpr(i) for i in range(1, 7))


@triton.jit
def _place(row_blocks, parts, GROUP: tl.constexpr):
    """The block of rows and the part of the vocabulary of this program.

    Programs that run together span a few blocks of rows and a few parts, so that both operands stay in the cache.
    """
    program = tl.program_id(0)
    first = program // (GROUP * parts) * GROUP
    height = tl.minimum(row_blocks - first, GROUP)
    within = program % (GROUP * parts)
    return first + within % height, within // height


@triton.jit
def _rows(block, n, BLOCK_N: tl.constexpr):
    """The rows of a block; beyond the last it is repeated, and not stored."""
    rows = block * BLOCK_N + tl.arange(0, BLOCK_N)
    return tl.minimum(rows, n - 1), rows < n, tl.cast(n, tl.int64)


@triton.jit
def _logits(X, W, rows, columns, vocab, d, EVEN: tl.constexpr, WIDE: tl.constexpr, BLOCK_D: tl.constexpr):
    """A tile of raw logits; beyond the last column it is repeated. EVEN: BLOCK_D divides the width."""
    k = tl.arange(0, BLOCK_D)
    x = X + rows.to(tl.int64)[:, None] * d + k[None, :]
    w = W + tl.minimum(columns, vocab - 1).to(tl.int64)[None, :] * d + k[:, None]
    raw = tl.zeros((rows.shape[0], columns.shape[0]), WIDE)
    for start in range(0, d, BLOCK_D):
        if EVEN:
            a, b = tl.load(x + start), tl.load(w + start)
        else:
            inside = k < d - start
            a = tl.load(x + start, mask=inside[None, :], other=0.0)
            b = tl.load(w + start, mask=inside[:, None], other=0.0)
        raw = tl.dot(a, b, raw, input_precision="ieee", out_dtype=WIDE)
    return raw


@triton.jit
def _tanh(u):
    """`tanh(u)` and its derivative, which does not cancel where the first saturates."""
    e = tl.exp(-2 * tl.abs(u))
    t = (1 - e) / (1 + e)
    if u.dtype == tl.float32:  # near 0 the difference would lose digits: the series, exact to rounding below 0.3
        s = u * u
        near = 1 + s * (-1 / 3 + s * (2 / 15 + s * (-17 / 315 + s * (62 / 2835))))
        t = tl.where(s < 0.09, tl.abs(u) * near, t)
    return tl.where(u < 0, -t, t), 4 * e / ((1 + e) * (1 + e))


@triton.jit
def _one_transform(r, KIND: tl.constexpr, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr):
    """One of the transforms in `losslab.transforms` and its derivative."""
    if KIND == TEMPERATURE:
        z, slope = r / A, tl.full(r.shape, 1.0, r.dtype) / A
    elif KIND == SOFTCAP:
        z, slope = _tanh(r / A)
        z *= A
    elif KIND == SIGMOID_CAP:
        u = (r + B) / C
        e = tl.exp(-tl.abs(u))
        z = tl.where(u < 0, e, 1.0) / (1 + e) * A
        slope = e / ((1 + e) * (1 + e)) * (A / C)
    else:
        tl.static_assert(KIND == ISRU_CAP)
        u = r / A
        bend = tl.rsqrt(1 + u * u)
        z, slope = r * bend, bend * bend * bend
    return z, slope


@triton.jit
def _transformed(raw, TRANSFORMS: tl.constexpr):
    """The transformed tile and the derivative `dz/draw`. TRANSFORMS: four numbers each, its kind and its parameters."""
    z, slope = raw, tl.full(raw.shape, 1.0, raw.dtype)
    for i in tl.static_range(0, len(TRANSFORMS), 4):
        z, steep = _one_transform(z, TRANSFORMS[i], TRANSFORMS[i + 1], TRANSFORMS[i + 2], TRANSFORMS[i + 3])
        slope *= steep
    return z, slope


# sizes that change from batch to batch: one compiled kernel serves them all
@triton.jit(do_not_specialize=["n", "vocab", "num_columns", "splits", "span"])
def statistics(
    X, W, COLUMNS, ALPHAS, VECTORS, OUT, ARGMAX, AT, n, d, vocab, num_columns, splits, span,
    WANTS_ARGMAX: tl.constexpr, WANTS_S1: tl.constexpr, WANTS_SUM: tl.constexpr, WANTS_SQUARES: tl.constexpr,
    POWERS: tl.constexpr, DOTS: tl.constexpr, MORE: tl.constexpr, TRANSFORMS: tl.constexpr, WIDE: tl.constexpr,
    EVEN: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_D: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Statistics of a block of rows over one of `splits` parts of the vocabulary, `span` columns each.

    OUT `[statistic, split, n]` and ARGMAX `[split, n]` are merged afterwards; AT `[num_columns, n]`, the logits at
    COLUMNS `[num_columns, n]`, is complete: each column is in one part. MORE, a power of two, holds POWERS + DOTS.
    """
    block, split = _place(tl.cdiv(n, BLOCK_N), splits, GROUP)
    rows, is_row, long_n = _rows(block, n, BLOCK_N)
    top, best = tl.full((BLOCK_N,), LOWEST, WIDE), tl.zeros((BLOCK_N,), tl.int32)
    s0, s1 = tl.zeros((BLOCK_N,), WIDE), tl.zeros((BLOCK_N,), WIDE)
    plain, squares = tl.zeros((BLOCK_N,), WIDE), tl.zeros((BLOCK_N,), WIDE)
    more, place = tl.zeros((BLOCK_N, MORE), WIDE), tl.arange(0, MORE)[None, :]
    for start in range(split * span, tl.minimum(vocab, (split + 1) * span), BLOCK_V):
        columns = start + tl.arange(0, BLOCK_V)
        is_column = (columns < vocab)[None, :]
        raw = _logits(X, W, rows, columns, vocab, d, EVEN, WIDE, BLOCK_D)
        z, _ = _transformed(raw, TRANSFORMS)
        seen = tl.where(is_column, z, LOWEST)
        if WANTS_ARGMAX:
            high, where = tl.max(seen, 1, return_indices=True)
            best = tl.where(high > top, start + where, best)
        else:
            high = tl.max(seen, 1)
        new = tl.maximum(top, high)
        down, shifted = top - new, seen - new[:, None]
        top = new
        e, scale = tl.exp(shifted), tl.exp(down)
        if WANTS_S1:
            s1 = scale * (s1 + down * s0) + tl.sum(e * shifted, 1)
        s0 = scale * s0 + tl.sum(e, 1)
        z = tl.where(is_column, z, 0.0)
        if WANTS_SUM:
            plain += tl.sum(z, 1)
        if WANTS_SQUARES:
            squares += tl.sum(z * z, 1)
        for i in tl.static_range(POWERS):
            alpha = tl.load(ALPHAS + i)
            power = tl.sum(tl.exp(alpha * shifted), 1)
            more = tl.where(place == i, more * tl.exp(alpha * down)[:, None] + power[:, None], more)
        for i in tl.static_range(DOTS):
            vector = tl.load(VECTORS + i * vocab + columns, mask=columns < vocab, other=0.0)
            dot = tl.sum(z * vector[None, :], 1)
            more = tl.where(place == POWERS + i, more + dot[:, None], more)
        for i in range(num_columns):
            at = tl.load(COLUMNS + i * long_n + rows)
            here = (at >= start) & (at < start + BLOCK_V)
            if tl.max(here.to(tl.int32), 0) > 0:  # most tiles hold none
                found = tl.sum(tl.where(columns[None, :] == at[:, None], z, 0.0), 1)
                tl.store(AT + i * long_n + rows, found, mask=here)
    step, out = splits * long_n, OUT + split * long_n + rows
    tl.store(out + TOP * step, top, mask=is_row)
    tl.store(out + S0 * step, s0, mask=is_row)
    if WANTS_ARGMAX:
        tl.store(ARGMAX + split * long_n + rows, best, mask=is_row)
    if WANTS_S1:
        tl.store(out + S1 * step, s1, mask=is_row)
    if WANTS_SUM:
        tl.store(out + SUM * step, plain, mask=is_row)
    if WANTS_SQUARES:
        tl.store(out + SQUARES * step, squares, mask=is_row)
    if POWERS + DOTS > 0:
        tl.store(out[:, None] + (MORE_STATISTICS + place) * step, more, mask=is_row[:, None] & (place < POWERS + DOTS))


@triton.jit(do_not_specialize=["n", "vocab", "num_columns", "first", "last"])
def gradient(
    X, W, COLUMNS, COLUMN_COEFFICIENTS, ALPHAS, VECTORS, COEFFICIENTS, OUT, n, d, vocab, num_columns, first, last,
    stride, WANTS_A0: tl.constexpr, WANTS_A1: tl.constexpr, WANTS_C0: tl.constexpr, WANTS_C1: tl.constexpr,
    POWERS: tl.constexpr, DOTS: tl.constexpr, TRANSFORMS: tl.constexpr, WIDE: tl.constexpr, EVEN: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_D: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """`dL/draw` of the columns `first` to `last`: `c0 + c1*z + p*(a0 + a1*z) + sum a_k*p**alpha_k + cu*u + b_t` times
    the slope of the transform.

    COEFFICIENTS is `[coefficient, n]`, COLUMN_COEFFICIENTS `[num_columns, n]`, OUT `[n, stride]`.
    """
    block, part = _place(tl.cdiv(n, BLOCK_N), tl.cdiv(last - first, BLOCK_V), GROUP)
    rows, is_row, long_n = _rows(block, n, BLOCK_N)
    start = first + part * BLOCK_V
    columns = start + tl.arange(0, BLOCK_V)
    raw = _logits(X, W, rows, columns, vocab, d, EVEN, WIDE, BLOCK_D)
    z, slope = _transformed(raw, TRANSFORMS)
    of_row = COEFFICIENTS + rows
    shifted = z - tl.load(of_row + TOP * long_n)[:, None]
    log_p = shifted - tl.load(of_row + LOG_S0 * long_n)[:, None]
    g = tl.zeros((BLOCK_N, BLOCK_V), WIDE)
    if WANTS_A0:
        inner = tl.load(of_row + A0 * long_n)[:, None]
        if WANTS_A1:
            inner += tl.load(of_row + A1 * long_n)[:, None] * shifted
        g += tl.exp(log_p) * inner
    if WANTS_C0:
        g += tl.load(of_row + C0 * long_n)[:, None]
    if WANTS_C1:
        g += tl.load(of_row + C1 * long_n)[:, None] * z
    for i in tl.static_range(POWERS):
        a = tl.load(of_row + (MORE_COEFFICIENTS + i) * long_n)
        g += a[:, None] * tl.exp(tl.load(ALPHAS + i) * log_p)
    for i in tl.static_range(DOTS):
        c = tl.load(of_row + (MORE_COEFFICIENTS + POWERS + i) * long_n)
        g += c[:, None] * tl.load(VECTORS + i * vocab + columns, mask=columns < vocab, other=0.0)[None, :]
    for i in range(num_columns):  # after p, so that p_y - 1 is formed before it is rounded
        at = tl.load(COLUMNS + i * long_n + rows)
        if tl.max(((at >= start) & (at < start + BLOCK_V)).to(tl.int32), 0) > 0:
            b = tl.load(COLUMN_COEFFICIENTS + i * long_n + rows)
            g += tl.where(columns[None, :] == at[:, None], b[:, None], 0.0)
    g *= slope
    out = OUT + rows.to(tl.int64)[:, None] * stride + (columns - first)[None, :]
    tl.store(out, g.to(OUT.dtype.element_ty), mask=is_row[:, None] & (columns < last)[None, :])
