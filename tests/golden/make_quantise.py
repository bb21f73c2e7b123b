#!/usr/bin/env python3
"""Makes quantise.gold for tests/test_quantise.c.

    python3 tests/golden/make_quantise.py [FOLDER]      (default: this file's folder)

Needs NumPy (made with NumPy 2); the test does not.  Vectors and codes are float32 numbers;
every distance to every code is worked out in float64, the least is taken and of equal ones
the first.  Rows whose two best codes are as good as equal are drawn again, so that float32
cannot decide otherwise; exact ties are made on purpose, of codes that are copies.  The
format is that of make_golden.py.

    NAME/x (n, D)   NAME/c (stages, K, D)   NAME/index (n, stages)   NAME/q (n, D)
    NAME/want (stages + 1, 9): used, usage, usage_max, perplexity, error, relative, z_rms,
        erank, duplicates of every stage, and of the whole (its usage is the stages' mean)
"""
import os
import sys

import numpy as np

BODY = [b"fullrank golden 1\n"]
MARGIN = 1e-3


def put(name, value):
    a = np.array(value, dtype="<f4", order="C")
    assert np.isfinite(a).all(), name
    BODY.append((" ".join([name] + [str(d) for d in a.shape]) + "\n").encode())
    BODY.append(a.tobytes())


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def scores(x, c, how):
    """Small is near: squared distances, or minus the cosine of the angle times |x|."""
    if how == "cosine":
        return -(x @ unit(c).T)
    return ((x[:, None, :] - c[None, :, :])**2).sum(-1)


def clear(x, books, how):
    """Rows whose choice is plain at every stage."""
    good, rest = np.ones(len(x), bool), x
    for c in books:
        distinct = np.unique(c, axis=0)
        s = np.sort(scores(rest, distinct, how), axis=1)
        if len(distinct) > 1:
            good &= s[:, 1] - s[:, 0] > MARGIN
        rest = rest - c[scores(rest, c, how).argmin(1)]
    return good


def erank(c):
    s = np.linalg.svd(c - c.mean(0), compute_uv=False)
    if s.sum() == 0:
        return 1
    p = s[s > 1e-12 * s.max()] / s.sum()
    return np.exp(-(p * np.log(p)).sum())


def loss(z, q):
    error = ((z - q)**2).sum(1).mean()
    spread = ((z - z.mean(0))**2).sum(1).mean()
    return [error, error / spread, np.sqrt((z**2).sum(1).mean())]


def usage(index, k):
    count = np.bincount(index, minlength=k)
    p = count[count > 0] / count.sum()
    return [(count > 0).sum(), (count > 0).mean(), 1 - (1 - 1 / k)**len(index),
            np.exp(-(p * np.log(p)).sum())]


def rows(r, n, d, books, how):
    x = r.normal(size=(8 * n, d)).astype("f4").astype("f8")
    books = [unit(c) for c in books] if how == "unit" else books
    x = x[clear(unit(x) if how == "unit" else x, books, how)]
    assert len(x) >= n
    return x[:n]


def case(name, x, books, how):
    put(f"{name}/x", x)
    put(f"{name}/c", np.stack(books))
    if how == "unit":
        x, books = unit(x), [unit(c) for c in books]
    rest, index, want = x, [], []
    for c in books:
        i = scores(rest, c, how).argmin(1)
        want.append(usage(i, len(c)) + loss(rest, c[i])
                    + [erank(c), len(c) - len(np.unique(c, axis=0))])
        index.append(i)
        rest = rest - c[i]
    whole = np.mean(want, axis=0)
    whole[4:7] = loss(x, x - rest)
    put(f"{name}/index", np.stack(index, 1))
    put(f"{name}/q", x - rest)
    put(f"{name}/want", want + [whole])


def grid(name, x, level, index, q, k):
    put(f"{name}/x", x)
    put(f"{name}/index", index[:, None])
    put(f"{name}/q", q)
    put(f"{name}/want", [usage(index, k) + loss(x, q)])


def fsq(r, levels):
    """z to tanh(z + s) h - o, rounded, over floor(L / 2) (nn/ops/fsq.c)."""
    l = np.array(levels)
    h, o = (l - 1) * (1 + 1e-3) / 2, np.where(l % 2, 0, 0.5)
    z = (2 * r.normal(size=(200, len(l)))).astype("f4").astype("f8")
    u = np.tanh(z + np.arctanh(o / h)) * h - o
    z, u = [a[(abs(abs(u - np.round(u)) - 0.5) > MARGIN).all(1)][:60] for a in (z, u)]
    u = np.round(u)
    place = np.concatenate([[1], np.cumprod(l)[:-1]])
    grid("fsq", z, l, ((u + l // 2) * place).sum(1).astype(int), u / (l // 2), l.prod())


def lfq(r):
    z = r.normal(size=(60, 7)).astype("f4").astype("f8")
    bits = (z > 0).astype(int)
    index = (bits * 2**np.arange(6, -1, -1)).sum(1)
    grid("lfq", z, None, index, np.where(bits, 1.5, -1.5), 128)


def main():
    r = np.random.default_rng(20)
    code = lambda k, d: r.normal(size=(k, d)).astype("f4").astype("f8")
    c = code(12, 5)
    c[7], c[11], c[3] = c[2], c[2], c[0]        # copies: the first of them is taken
    case("vq", rows(r, 60, 5, [c], "euclid"), [c], "euclid")
    case("cosine", rows(r, 60, 5, [c], "cosine"), [c], "cosine")
    case("unit", rows(r, 60, 5, [c], "unit"), [c], "unit")
    books = [code(9, 4), code(9, 4) / 2, code(9, 4) / 4]
    case("rvq", rows(r, 60, 4, books, "euclid"), books, "euclid")
    one = code(1, 3)
    case("one", rows(r, 10, 3, [one], "euclid"), [one], "euclid")
    many = code(40, 1)
    case("many", rows(r, 6, 1, [many], "euclid"), [many], "euclid")
    fsq(r, [8, 6, 5])
    lfq(r)
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "quantise.gold"), "wb") as f:
        f.write(b"".join(BODY))


main()
