#!/usr/bin/env python3
"""Makes gram.gold, the golden file of tests/test_covariance.c.

    python3 tests/golden/make_gram.py [FOLDER]          (default: this file's folder)

Written from the formulas of the papers, with the d x d matrices in full, in float64, and
differentiated by PyTorch (2.13).  Format and conventions are those of make_golden.py.
"""
import sys

import torch
import torch.nn.functional as F

from make_golden import HERE, Gold, case, draw, rng


def off_diagonal_squares(c):
    return (c - torch.diag(c.diagonal())).square().sum()


def variance_of(x, target, eps, ddof):
    std = (x.var(0, correction=ddof) + eps).sqrt()
    return F.relu(target - std).mean().reshape(1)


def covariance_of(x, ddof):
    z = x - x.mean(0)
    return (off_diagonal_squares(z.T @ z / (len(x) - ddof)) / x.shape[1]).reshape(1)


def crosscorr_of(a, b, weight):
    c = a.T @ b / len(a)
    return ((1 - c.diagonal()).square().sum() + weight * off_diagonal_squares(c)).reshape(1)


def variance(gold):
    """Spreads on both sides of the target; column 0 far from zero."""
    g = rng(301)
    for i, (n, d, target, eps, ddof) in enumerate(
            [(6, 5, 1, 1e-4, 1), (40, 19, 1, 1e-4, 0), (300, 33, 0.5, 1e-2, 1)]):
        x = draw(g, n, d)
        with torch.no_grad():
            x *= torch.linspace(0.2, 1.8, d) * target
            x[:, 0] += 10
            x.copy_(x.float().double())
        case(gold, f"variance/{i}", [("x", x)], variance_of(x, target, eps, ddof), g)
        gold.put(f"variance/{i}/set", [target, eps, ddof])


def covariance(gold):
    """More rows than columns, as many, and fewer; columns far from zero."""
    g = rng(302)
    for i, (n, d, ddof) in enumerate(
            [(9, 5, 1), (40, 40, 1), (300, 13, 0), (7, 33, 1), (33, 150, 1), (2, 5, 0)]):
        x = draw(g, n, d, shift=2)
        case(gold, f"covariance/{i}", [("x", x)], covariance_of(x, ddof), g)
        gold.put(f"covariance/{i}/set", [ddof])


def crosscorr(gold):
    g = rng(303)
    for i, (n, d, weight) in enumerate([(64, 20, 0.005), (5, 5, 0.3), (33, 150, 0.005)]):
        a = draw(g, n, d)
        b = a.detach() * 0.8 + 0.6 * torch.randn(n, d, generator=g)
        b = b.float().double().requires_grad_(True)
        case(gold, f"crosscorr/{i}", [("a", a), ("b", b)], crosscorr_of(a, b, weight), g)
        gold.put(f"crosscorr/{i}/set", [weight])


def vicreg(gold):
    """The whole loss of the authors' code: 25 mse, 25 times the mean of two variance
    terms, the sum of two covariance terms."""
    g = rng(304)
    for i, (n, d) in enumerate([(40, 12), (12, 40)]):
        a, b = draw(g, n, d, scale=0.9), draw(g, n, d, scale=0.9)
        y = 25 * F.mse_loss(a, b)
        y = y + 12.5 * (variance_of(a, 1, 1e-4, 1) + variance_of(b, 1, 1e-4, 1))
        y = y + covariance_of(a, 1) + covariance_of(b, 1)
        case(gold, f"vicreg/{i}", [("a", a), ("b", b)], y, g)


def barlow(gold):
    """With its standardisation: biased variance, eps 1e-5, no affine part."""
    g = rng(305)
    for i, (n, d) in enumerate([(40, 12), (12, 40)]):
        a, b = draw(g, n, d, shift=1), draw(g, n, d, shift=1)
        norm = [F.batch_norm(v, None, None, training=True, eps=1e-5) for v in (a, b)]
        case(gold, f"barlow/{i}", [("a", a), ("b", b)], crosscorr_of(*norm, 0.005), g)


if __name__ == "__main__":
    file = Gold("gram.gold")
    for make in (variance, covariance, crosscorr, vicreg, barlow):
        make(file)
    file.write(sys.argv[1] if len(sys.argv) > 1 else HERE)
