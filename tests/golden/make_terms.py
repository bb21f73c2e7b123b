#!/usr/bin/env python3
"""Makes terms.gold, the golden file of tests/test_terms.c: terms of methods.

    python3 tests/golden/make_terms.py [FOLDER]         (default: this file's folder)

Written from the formulas of the papers with all pairs and all matrices in full, in
float64, and differentiated by PyTorch (2.13).  Settings are float32 numbers, too.  Where
a row has no direction (a zero row, two equal ones under a root) the gradient is zero.
Format and conventions are those of make_golden.py.
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F

from make_golden import HERE, Gold, case, draw, rng

#        rows  d   what is special (edit)
SHAPES = [(6, 5, ""), (14, 33, ""), (34, 150, ""), (40, 7, ""), (12, 20, "copies"),
          (10, 13, "zero"), (2, 9, "")]


def single(x):
    return float(np.float32(x))


def edit(x, what):
    with torch.no_grad():
        if what == "copies":
            x[3], x[7] = x[1], x[1]
        if what == "zero":
            x[4] = 0
    return x


def batch(g, n, d, what):
    """Rows of length about 1."""
    x = draw(g, n, d, scale=d ** -0.5)
    return edit(x, what)


def ntxent_of(e, tau):
    m = len(e)
    s = e @ e.T / tau
    others = s.masked_fill(torch.eye(m, dtype=torch.bool), -torch.inf)
    pos = torch.arange(m).roll(m // 2)
    return (others.logsumexp(1) - s[torch.arange(m), pos]).mean().reshape(1)


def ntxent(gold):
    g = rng(501)
    for i, (n, d, what) in enumerate(SHAPES):
        tau = single([0.5, 0.1, 0.2][i % 3])
        x = batch(g, n, d, what)
        case(gold, f"ntxent/{i}", [("x", x)], ntxent_of(x, tau), g)
        gold.put(f"ntxent/{i}/set", [tau])


def simclr(gold):
    """Cosines: rows are brought to length one first."""
    g = rng(502)
    for i, (n, d) in enumerate([(16, 40), (64, 24)]):
        tau = single(0.2)
        x = draw(g, n, d, scale=3)
        case(gold, f"simclr/{i}", [("x", x)], ntxent_of(F.normalize(x, dim=1), tau), g)
        gold.put(f"simclr/{i}/set", [tau])


def uniformity(gold):
    """All pairs by differences."""
    g = rng(503)
    for i, (n, d, what) in enumerate(SHAPES):
        t = single([2, 0.5, 30][i % 3])
        x = batch(g, n, d, what)
        a, b = torch.triu_indices(n, n, 1)
        d2 = (x[a] - x[b]).square().sum(1)
        y = (-t * d2).logsumexp(0) - np.log(len(a))
        case(gold, f"uniformity/{i}", [("x", x)], y.reshape(1), g)
        gold.put(f"uniformity/{i}/set", [t])


def alignment(gold):
    """Rows 1 and 3 of the two batches are equal in one case."""
    g = rng(504)
    for i, power in enumerate([2, 1, 0.5, 3, 1]):
        x, z = draw(g, 11, 19), draw(g, 11, 19)
        if i == 4:
            with torch.no_grad():
                z[1], z[3] = x[1], x[3]
        r2 = (x - z).square().sum(1)
        apart = r2 > 0
        y = (r2[apart] ** (power / 2)).sum() / len(x)
        case(gold, f"alignment/{i}", [("x", x), ("x2", z)], y.reshape(1), g)
        gold.put(f"alignment/{i}/set", [power])


def sphere(gold):
    """The last case is so near to the sphere that only digits of its distance count."""
    g = rng(505)
    for i, (n, d, what) in enumerate(SHAPES):
        x = batch(g, n, d, what)
        radius = single([1, 0.5, 7][i % 3])
        if i == 6:
            with torch.no_grad():
                x.copy_((x / x.norm(dim=1, keepdim=True) * 1.001).float().double())
        off = x.norm(dim=1) - radius
        case(gold, f"sphere/{i}", [("x", x)], off.square().mean().reshape(1), g)
        gold.put(f"sphere/{i}/set", [radius])


def roots(gold):
    """Absolute values, exponentials and the root of a mean square."""
    g = rng(506)
    x = draw(g, 5, 19)
    with torch.no_grad():
        x[2, 3] = 0
    case(gold, "abs/0", [("x", x)], x.abs().sum().reshape(1), g)
    case(gold, "exponential/0", [("x", x)], x.exp().mean().reshape(1), g)
    for i, (n, d) in enumerate([(5, 19), (1, 1), (90, 50)]):
        x = draw(g, n, d)
        case(gold, f"rms/{i}", [("x", x)], x.square().mean().sqrt().reshape(1), g)


def wasserstein_of(z):
    """By the formula of the paper; eigenvalues that are zero have no slope."""
    n, d = z.shape
    mu = z.mean(0)
    sigma = (z - mu).T @ (z - mu) / n
    s = torch.linalg.eigvalsh(sigma)
    s = s[s > 1e-12 * s.max()]
    square = mu @ mu + 1 + sigma.trace() - 2 / d ** 0.5 * s.sqrt().sum()
    return square.sqrt().reshape(1)


def wasserstein(gold):
    """Rows of about length one; the last two are brought there, one after a collapse to a
    few dimensions and one around a common point."""
    g = rng(507)
    for i, (n, d, what) in enumerate(SHAPES):
        x = batch(g, n, d, what)
        case(gold, f"wasserstein/{i}", [("x", x)], wasserstein_of(x), g)
    for i, (n, d) in enumerate([(60, 20), (16, 24)]):
        x = draw(g, n, d, shift=i)
        with torch.no_grad():
            x *= torch.logspace(0, -1.5, d)
            x.copy_(x.float().double())
        case(gold, f"wunit/{i}", [("x", x)], wasserstein_of(F.normalize(x, dim=1)), g)


if __name__ == "__main__":
    file = Gold("terms.gold")
    for make in (ntxent, simclr, uniformity, alignment, sphere, roots,
                 wasserstein):
        make(file)
    file.write(sys.argv[1] if len(sys.argv) > 1 else HERE)
