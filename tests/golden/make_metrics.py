#!/usr/bin/env python3
"""Makes metrics.gold for tests/test_metrics.c.

    python3 tests/golden/make_metrics.py [FOLDER]       (default: this file's folder)

Needs NumPy (made with NumPy 2); the tests do not.  Every metric is written down here from
its definition, in the plainest way and in float64: singular values by SVD, distances and
cosines pair by pair.  The format is that of make_golden.py.
"""
import math
import os
import sys

import numpy as np

BODY = [b"fullrank golden 1\n"]


def put(name, value):
    a = np.array(value, dtype="<f4", order="C")
    assert np.isfinite(a).all(), name
    BODY.append((" ".join([name] + [str(d) for d in a.shape]) + "\n").encode())
    BODY.append(a.tobytes())


def entropy_rank(p):
    p = p[p > 0]
    return math.exp(-(p * np.log(p)).sum())


def lid(r, k):
    """One point's distances to the k nearest others; zeros are dropped."""
    r = np.sort(r)[:k]
    r = r[r > 0]
    if len(r) < 2:
        return None
    return -len(r) / np.log(r[:-1] / r[-1] + 1e-4).sum()


def twonn(rows, k):
    """Distances of each point to all others."""
    m = []
    for r in rows:
        r = np.sort(r)[:k]
        r = r[r > 0]
        if len(r) >= 2:
            m.append(math.log(r[1] / r[0]))
    m = np.sort(m)
    i = np.arange(1, int(0.9 * len(m)) + 1)
    x, y = m[i - 1], -np.log(1 - i / len(m))
    return (x @ y) / (x @ x)


def tree(u):
    """Kruskal: edges from the shortest on, unless both ends hang together."""
    n = len(u)
    edges = sorted((np.linalg.norm(u[a] - u[b]), a, b) for a in range(n) for b in range(a))
    part, length = list(range(n)), 0
    for r, a, b in edges:
        if part[a] != part[b]:
            old, new = part[a], part[b]
            part = [new if p == old else p for p in part]
            length += r
    return length


def metrics(name, x, k):
    x = np.asarray(x, dtype=np.float32)
    put(name + "/x", x)
    put(name + "/k", k)
    x = x.astype(np.float64)
    n, d = x.shape
    u = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    s = np.linalg.svd(x - x.mean(0), compute_uv=False)
    lam = s**2 / (n - 1)
    lam[lam < 1e-12 * lam[0]] = 0
    sigma = np.linalg.svd(x, compute_uv=False)
    sigma[sigma**2 < 1e-12 * sigma[0]**2] = 0
    every = np.concatenate([lam, np.zeros(d - len(lam))])

    put(name + "/std", math.sqrt(d) * u.std(0).mean())
    put(name + "/raw_std", x.std(0).mean())
    put(name + "/dead", (x.std(0) < 1e-6).mean())
    put(name + "/erank", entropy_rank(lam / lam.sum()))
    put(name + "/rankme", entropy_rank(sigma / sigma.sum() + 1e-7))
    put(name + "/participation", lam.sum()**2 / (lam**2).sum())
    put(name + "/cond", 1 / max(every[-1] / every[0], 1e-12))
    put(name + "/stable_rank", (sigma**2).sum() / sigma[0]**2)
    put(name + "/numerical_rank", (lam > 1e-3 * lam[0]).sum())
    put(name + "/top", 2 / d * (np.cumsum(every) / every.sum()).sum() - 1 - 1 / d)
    h, e = lam.sum()**2 / (lam**2).sum() / d, entropy_rank(lam / lam.sum()) / d
    put(name + "/sui", 2 * h * e / (h + e))
    r = np.corrcoef(x[:, x.std(0) > 0], rowvar=False)
    put(name + "/offdiag", ((r**2).sum() - (np.diag(r)**2).sum()) / (len(r) * (len(r) - 1)))
    i = np.arange(3, min(n, d) // 2 + 1)
    i = i[lam[i - 1] > 0]
    if len(i) >= 3:
        put(name + "/alpha", -np.polyfit(np.log(i), np.log(lam[i - 1]), 1)[0])

    pairs = [(a, b) for a in range(n) for b in range(a)]
    put(name + "/mean_cos", np.mean([u[a] @ u[b] for a, b in pairs]))
    put(name + "/uniformity",
        math.log(np.mean([math.exp(-2 * ((u[a] - u[b])**2).sum()) for a, b in pairs])))
    s = np.linalg.svd(u - u.mean(0), compute_uv=False)
    tr, root = (s**2).sum() / n, s.sum() / math.sqrt(n)
    put(name + "/wasserstein",
        math.sqrt((u.mean(0)**2).sum() + 1 + tr - 2 * root / math.sqrt(d)))
    put(name + "/share", (s**2 / (s**2).sum())[:2])

    put(name + "/mst", tree(u) / n / math.sqrt(2 * (n - 1) / n))

    lids, rows = [], []
    for a in range(n):
        r = np.array([np.linalg.norm(x[a] - x[b]) for b in range(n) if b != a])
        rows.append(r)
        value = lid(r, min(k, n - 1))
        if value is not None:
            lids.append(value)
    put(name + "/twonn", twonn(rows, k))
    put(name + "/lid_mean", np.mean(lids))
    put(name + "/lid_gmean", math.exp(np.mean(np.log(lids))))


rng = np.random.default_rng(2)
scale = np.arange(1, 17) ** -0.8
metrics("tall", rng.standard_normal((64, 16)) * scale + 0.5, 12)
metrics("wide", rng.standard_normal((14, 20)) + 0.1, 6)
x = np.maximum(rng.standard_normal((60, 9)), 0)         # as after a ReLU
x[:, 4] = 0                                             # a dead unit
x[7] = x[3]                                             # copies
x[20:23] = x[19]
metrics("copies", x, 10)
metrics("far", rng.standard_normal((300, 24)) + 8, 500)

folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "metrics.gold"), "wb") as f:
    f.write(b"".join(BODY))
