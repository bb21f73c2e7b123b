#!/usr/bin/env python3
"""Makes codes.gold for tests/test_codes.c.

    python3 tests/golden/make_codes.py [FOLDER]         (default: this file's folder)

Needs NumPy and SciPy (made with NumPy 2 and SciPy 1); the tests need neither.  Every
number is written down from its definition, in float64 and in the plainest way: ranks by
SVD, lives from the list of a code's hits, SSIM by a two-dimensional window.  The format is
that of make_golden.py.
"""
import os
import sys
from decimal import Decimal, getcontext

import numpy as np
from scipy.signal import correlate2d

BODY = [b"fullrank golden 1\n"]
IDLE = 100


def put(name, value):
    a = np.array(value, dtype="<f4", order="C")
    assert np.isfinite(a).all(), name
    BODY.append((" ".join([name] + [str(d) for d in a.shape]) + "\n").encode())
    BODY.append(a.tobytes())


def chance():
    """1 - (1 - 1/K)^n to 50 digits, as the sum of two floats."""
    getcontext().prec = 50
    rows = []
    for k in (1, 2, 3, 512, 1025, 65536, 999983):
        for n in (1, 2, 7, 512, 12544, 490000, 2**24):
            u = 1 - (1 - 1 / Decimal(k))**n
            high = np.float32(u)
            rows.append([k, n, high, float(u - Decimal(float(high)))])
    put("chance", rows)


def usage(name, count):
    count = np.asarray(count, dtype=np.float64)
    k, n = len(count), count.sum()
    p = count / n
    used = (count > 0).sum()
    q = p[p > 0]
    h = -(q * np.log(q)).sum()
    put(f"usage/{name}/count", count)
    put(f"usage/{name}/want", [n, used, used / k, (p > 0.1 / k).mean(), np.exp(h),
                               np.exp(h + (used - 1) / (2 * n))])
    b = np.clip(12 + np.floor(np.log2(q * k) + 0.5), 1, 23).astype(int)
    bins = np.bincount(b, minlength=24).astype(np.float64)
    bins[0] = k - used
    put(f"usage/{name}/bins", bins / k)


def ranks(x):
    s = np.linalg.svd(x - x.mean(0), compute_uv=False)
    s = s[s > 1e-9 * s[0]]
    p = s / s.sum()
    return [np.exp(-(p * np.log(p)).sum()), (s**2).sum()**2 / (s**4).sum()]


def rank(name, code, count):
    code = code.astype(np.float32)
    put(f"rank/{name}/code", code)
    put(f"rank/{name}/count", count)
    x = code.astype(np.float64)
    put(f"rank/{name}/want", ranks(x) + ranks(x[count > 0]))


def moved(name, before, now):
    before, now = before.astype(np.float32), now.astype(np.float32)
    put(f"moved/{name}/before", before)
    put(f"moved/{name}/now", now)
    a, b = before.astype(np.float64), now.astype(np.float64)
    m = np.linalg.norm(b - a, axis=1) / np.median(np.linalg.norm(a, axis=1))
    put(f"moved/{name}/want", (m > 0.01).mean())


def near(name, code):
    x = code.astype(np.float64)
    r = np.sqrt(((x[:, None] - x[None])**2).sum(2))
    np.fill_diagonal(r, np.inf)
    r = r.min(1)
    put(f"near/{name}/dist", r)
    put(f"near/{name}/want", [r.min(), np.median(r), (r < 1e-6).sum()])


def lives(g):
    """Zipf draws, whose rare codes come and go, over three epochs of 150 steps."""
    k, n, steps, epoch = 40, 3, 450, 150
    p = 1 / np.arange(1, k + 1)**1.6
    index = g.choice(k - 1, (steps, n), p=p[:-1] / p[:-1].sum())    # the last never
    put("life/index", index)
    want = []
    for end in range(epoch, steps + 1, epoch):
        births = deaths = dead = dead_epoch = 0
        ages = []
        for c in range(k):
            hits = [s + 1 for s in range(end) if c in index[s]]
            parts = []
            for s in hits:
                if parts and s - parts[-1][-1] - 1 < IDLE:
                    parts[-1].append(s)
                else:
                    parts.append([s])
            births += sum(end - epoch < q[0] <= end for q in parts)
            deaths += sum(end - epoch < q[-1] + IDLE <= end for q in parts)
            dead += not any(s > end - IDLE for s in hits)
            dead_epoch += not any(s > end - epoch for s in hits)
            if parts:
                ages.append(parts[-1][-1] - parts[-1][0] + 1)
        want.append([dead, dead_epoch, births, deaths, *np.percentile(ages, [50, 90])])
    assert all(w[3] for w in want[1:]) and want[2][2]       # births and deaths, later too
    put("life/want", want)


def error(name, z, q):
    z, q = z.astype(np.float32), q.astype(np.float32)
    put(f"error/{name}/z", z)
    put(f"error/{name}/q", q)
    z, q = z.astype(np.float64), q.astype(np.float64)
    e = ((z - q)**2).sum(1).mean()
    put(f"error/{name}/want", [e, e / z.shape[1], e / ((z - z.mean(0))**2).sum(1).mean(),
                               np.sqrt((z**2).sum(1).mean())])


def ssim(x, y):
    """One channel."""
    t = np.arange(-5, 6)
    w = np.exp(-(t[:, None]**2 + t**2) / (2 * 1.5**2))
    w /= w.sum()
    mean = lambda a: correlate2d(a, w, "valid")
    mx, my = mean(x), mean(y)
    xx, yy, xy = mean((x - .5)**2), mean((y - .5)**2), mean((x - .5) * (y - .5))
    xx, yy, xy = xx - (mx - .5)**2, yy - (my - .5)**2, xy - (mx - .5) * (my - .5)
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * xy + c2)
            / ((mx**2 + my**2 + c1) * (xx + yy + c2))).mean()


def image(name, x, y):
    x, y = x.astype(np.float32), y.astype(np.float32)
    put(f"image/{name}/x", x)
    put(f"image/{name}/y", y)
    x, y = x.astype(np.float64), y.astype(np.float64)
    mse = ((x - y)**2).mean((1, 2, 3))
    psnr = 10 * np.log10(1 / mse)
    like = [np.mean([ssim(a[..., c], b[..., c]) for c in range(x.shape[3])])
            for a, b in zip(x, y)]
    put(f"image/{name}/each", np.stack([mse, psnr, like], 1))
    put(f"image/{name}/mean", [mse.mean(), mse.mean() / x.var(), psnr.mean(), np.mean(like)])


def pictures(g, n, h, w, c, noise):
    i, j = np.mgrid[0:h, 0:w]
    x = [[.5 + .5 * np.sin(g.uniform(.1, .7) * i + g.uniform(.1, .7) * j) for _ in range(c)]
         for _ in range(n)]
    x = np.moveaxis(np.array(x), 1, 3)
    return x, np.clip(.8 * x + .1 + noise * g.normal(size=x.shape), 0, 1)


if __name__ == "__main__":
    g = np.random.default_rng(41)
    chance()
    usage("uniform", np.full(96, 5))
    usage("skewed", g.multinomial(20000, g.dirichlet(np.full(300, .05))))
    usage("few", np.bincount(g.integers(0, 700, 90), minlength=700))
    usage("huge", [2**24, 1, 3, 0, 2**20])

    spread = np.linspace(2, .05, 8)
    rank("tall", g.normal(size=(60, 8)) * spread + 3, g.integers(0, 2, 60))
    x = g.normal(size=(40, 6))
    x[25:] = 0                                      # dead ones at the origin
    rank("dead", x + np.array([4, 0, 0, 0, 0, 0]) * (x != 0), np.arange(40) < 25)
    rank("wide", g.normal(size=(9, 16)), np.array([1, 0, 3, 2, 0, 0, 1, 1, 9]))

    x = g.normal(size=(50, 7))
    step = g.normal(size=x.shape) * (g.random((50, 1)) < .4) * np.geomspace(1e-4, 1, 50)[:, None]
    moved("some", x, x + step)
    moved("even", x[:10], x[:10] * np.where(np.arange(10)[:, None] % 3, 1, 1.05))

    x = g.normal(size=(30, 3))
    near("apart", x)
    x[7] = x[3]
    x[20] = x[11] = x[2]
    near("twins", x)

    lives(g)

    z = g.normal(size=(700, 5)) * spread[:5]
    error("plain", z, np.round(z))
    error("far", z + 1e6, np.round(z) + 1e6 + 1)

    for name, shape in (("grey", (3, 28, 28, 1)), ("colour", (2, 15, 19, 3)),
                        ("least", (2, 11, 11, 2))):
        image(name, *pictures(g, *shape, .08))

    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    data = b"".join(BODY)
    with open(os.path.join(folder, "codes.gold"), "wb") as f:
        f.write(data)
    print(f"codes.gold: {len(data)} bytes")
