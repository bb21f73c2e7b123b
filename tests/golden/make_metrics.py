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

    lids = []
    for a in range(n):
        r = np.array([np.linalg.norm(x[a] - x[b]) for b in range(n) if b != a])
        value = lid(r, min(k, n - 1))
        if value is not None:
            lids.append(value)
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
