#!/usr/bin/env python3
"""Makes whiten.gold, the golden file of tests/test_whiten.c and test_intl.c.

    python3 tests/golden/make_whiten.py [FOLDER]        (default: this file's folder)

Written from the formulas, with Sigma of the whitened side in full, in float64, and
differentiated by PyTorch (2.13).  Format and conventions are those of make_golden.py.
Axis 0 whitens rows over their channels, axis 1 columns over the batch.
"""
import math
import sys

import torch

from make_golden import HERE, Gold, case, draw, rng

# Fewer rows than columns, more, as many; the last two have two equal rows and a zero one.
SHAPES = [(12, 40), (40, 12), (33, 19), (18, 18), (9, 30), (30, 9)]


def batch(g, n, d):
    x = draw(g, n, d, scale=1.5, shift=0.5)
    if 9 in (n, d):
        with torch.no_grad():
            x[2] = x[1]
            x[4] = 0
    return x


def centred(x, axis):
    return x - x.mean(1 - axis, keepdim=True)


def covariance(a, axis):
    return a @ a.T / (a.shape[1] - 1) if axis == 0 else a.T @ a / (len(a) - 1)


def turned(w, a, axis):
    return w @ a if axis == 0 else a @ w


def iternorm_of(x, iterations, axis):
    a = centred(x, axis)
    sigma = covariance(a, axis)
    trace = sigma.trace()
    p = torch.eye(len(sigma))
    for _ in range(iterations):
        p = 1.5 * p - 0.5 * p @ p @ p @ (sigma / trace)
    return turned(p / trace.sqrt(), a, axis)


def unit_variance_of(x, axis):
    return (x.var(1 - axis, correction=1) - 1).square().sum().reshape(1)


def spectral_of(x, power, axis):
    a = centred(x, axis)
    sigma = covariance(a, axis)
    eps = 1e-6 * sigma.trace() / min(x.shape)
    l, u = torch.linalg.eigh(sigma)
    return turned(u @ torch.diag(l.clamp_min(eps) ** (-power / 2)) @ u.T, a, axis)


def by_differences(gold, name, x, of, g):
    """As case() does it, where autograd knows no gradient (eigenvalues that are equal):
    fourth order central differences, in float64 good to about 1e-9."""
    x = x.detach()
    y = of(x)
    dy = torch.randn(y.shape, generator=g).float().double()
    dx, h = torch.zeros_like(x), 1e-3
    for i in range(x.numel()):
        def at(step):
            moved = x.clone()
            moved.view(-1)[i] += step * h
            return (of(moved) * dy).sum()
        dx.view(-1)[i] = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)
    for k, v in (("x", x), ("y", y), ("dy", dy), ("dx", dx)):
        gold.put(f"{name}/{k}", v)


def iternorm(gold):
    g = rng(401)
    i = 0
    for n, d in SHAPES:
        for axis in (0, 1):
            for iterations in (1, 4, 8) if (n, d) in SHAPES[1:5:3] else (4,):
                x = batch(g, n, d)
                y = iternorm_of(x, iterations, axis)
                case(gold, f"iternorm/{i}", [("x", x)], y, g)
                gold.put(f"iternorm/{i}/set", [axis, iterations])
                i += 1


def unit_variance(gold):
    g = rng(402)
    for i, (n, d) in enumerate(SHAPES):
        for axis in (0, 1):
            x = batch(g, n, d)
            case(gold, f"unit_variance/{2 * i + axis}", [("x", x)],
                 unit_variance_of(x, axis), g)
            gold.put(f"unit_variance/{2 * i + axis}/set", [axis])


def spectral(gold):
    g = rng(404)
    i = 0
    for n, d in SHAPES:
        for axis in (0, 1):
            for power in (1, 0.5) if (n, d) in SHAPES[1:5:3] else (1,):
                x = batch(g, n, d)
                by_differences(gold, f"spectral/{i}", x,
                               lambda v: spectral_of(v, power, axis), g)
                gold.put(f"spectral/{i}/set", [axis, power])
                i += 1
    # Columns of a Hadamard matrix: five equal eigenvalues.
    signs = [[3.0 * (-1) ** bin(a & (b + 1)).count("1") for b in range(5)]
             for a in range(16)]
    by_differences(gold, f"spectral/{i}", torch.tensor(signs),
                   lambda v: spectral_of(v, 0.5, 1), g)
    gold.put(f"spectral/{i}/set", [1, 0.5])


def cosine(a, b):
    """Row by row; a row of zeros has cosine 0 and no gradient."""
    there = (a.norm(dim=1) > 1e-8) & (b.norm(dim=1) > 1e-8)
    return (a[there] * b[there] / a[there].norm(dim=1, keepdim=True)
            / b[there].norm(dim=1, keepdim=True)).sum() / len(a)


def intl(gold):
    """The loss of INTL with the authors' weight of the trace term, floored at 0; with
    targets t1, t2 (INTL_M) the mean over both directions, traces of z1, z2 alone."""
    g = rng(403)
    for i, (n, d, axis, iterations, target) in enumerate(
            [(12, 40, 0, 4, 0), (40, 12, 1, 4, 0), (33, 19, 0, 4, 0), (33, 19, 1, 4, 0),
             (9, 30, 0, 4, 0), (30, 9, 1, 8, 0), (5, 20, 0, 1, 0), (20, 12, 0, 4, 1),
             (20, 12, 1, 4, 1)]):
        z1, z2, t1, t2 = (batch(g, n, d) for _ in range(4))
        with torch.no_grad():                           # two views of the same images
            z2.copy_((0.8 * z1 + 0.6 * z2).float().double())
            t1, t2 = t1.detach(), t2.detach()
        w = [iternorm_of(v, iterations, axis) for v in (z1, z2, t1, t2)]
        if target:
            apart = 2 - cosine(w[0], w[3]) - cosine(w[1], w[2])
        else:
            apart = 2 - 2 * cosine(w[0], w[1])
        trace = unit_variance_of(w[0], axis) + unit_variance_of(w[1], axis)
        beta = max(0, 0.01 * (math.log2(n if axis == 0 else d) - 3))
        ins = [("z1", z1), ("z2", z2)] + ([("t1", t1), ("t2", t2)] if target else [])
        case(gold, f"intl/{i}", ins, (apart + beta * trace).reshape(1), g,
             [("cosine", apart), ("trace", trace)])
        gold.put(f"intl/{i}/set", [axis, iterations, target])


if __name__ == "__main__":
    file = Gold("whiten.gold")
    for make in (iternorm, unit_variance, intl, spectral):
        make(file)
    file.write(sys.argv[1] if len(sys.argv) > 1 else HERE)
