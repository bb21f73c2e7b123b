#!/usr/bin/env python3
"""Makes gain.gold, the golden file of tests/test_gain.c.

    python3 tests/golden/make_gain.py [FOLDER]          (default: this file's folder)

Gain-shape quantisation in float64: every product of every vector with every shape is worked
out and the largest looked for, PyTorch (2.13) differentiates what the definition leaves
when its constants are detached, and spherical k-means runs by those brute-force codes.  A
choice that float32 could take for another is an error here, so that indices can be compared
one by one.  Format and conventions are those of make_golden.py.
"""
import sys

import torch

from make_golden import HERE, Gold, case, draw, rng

SIZES = [(1, 1), (1, 7), (5, 2), (33, 16), (40, 70), (300, 3)]
APART = 1e-6            # first choice over second, in lengths of u: 16 float32 roundings


def centre(gold):
    g = rng(601)
    for i, (n, d) in enumerate(SIZES):
        x = draw(g, n, d, shift=3.0)
        case(gold, f"centre/{i}", [("x", x)], x - x.mean(1, keepdim=True), g)


def gain(gold):
    g = rng(602)
    for i, (n, d) in enumerate(SIZES):
        x, a, b = draw(g, n, d), draw(g, n, 1).detach(), draw(g, n, 1).detach()
        case(gold, f"gain/{i}", [("x", x), ("g", a), ("b", b)], a * x + b, g)


def unit(e, bias):
    e = e - e.mean(1, keepdim=True) if bias else e
    return e / e.norm(dim=1, keepdim=True)


def code_of(v, s, bias, signed):
    """Index, gain, offset, and u, by all products."""
    b = v.mean(1, keepdim=True) if bias else torch.zeros(len(v), 1)
    u = v - b
    product = u @ s.T
    score = product.abs() if signed else product
    best = score.max(1)
    if len(s) > 1:
        second = score.scatter(1, best.indices[:, None], -float("inf")).max(1).values
        assert ((best.values - second) > APART * u.norm(dim=1)).all()
    return best.indices, product.gather(1, best.indices[:, None]), b, u


def quantise(gold):
    #         n   d   K  bias signed beta
    cases = [(1, 2, 1, 1, 0, 0.25), (7, 3, 4, 1, 0, 0.25), (7, 3, 4, 1, 1, 0.25),
             (60, 16, 20, 1, 0, 1), (60, 16, 20, 1, 1, 0.25), (60, 16, 20, 0, 0, 0.25),
             (60, 16, 20, 0, 1, 0), (200, 9, 70, 1, 1, 0.5), (100, 2, 3, 0, 0, 0.25)]
    g = rng(603)
    for i, (n, d, k, bias, signed, beta) in enumerate(cases):
        v, e = draw(g, n, d, shift=1.0), draw(g, k, d)
        s = unit(e, bias)
        with torch.no_grad():
            index, a, b, u = code_of(v, s, bias, signed)
        q = a * s[index] + b
        loss = (v.detach() - q).square().mean() + beta * (v - q.detach()).square().mean()
        y = v + (q - v).detach()
        dy = torch.randn(n, d, generator=g).float().double()
        dv, de = torch.autograd.grad((y * dy).sum() + loss, [v, e])
        name = f"quantise/{i}"
        gold.put(f"{name}/set", [bias, signed, beta])
        for key, x in [("v", v), ("e", e), ("index", index), ("gain", a[:, 0]),
                       ("offset", b[:, 0]), ("q", q), ("loss", loss.view(1)), ("dy", dy),
                       ("dv", dv), ("de", de)]:
            gold.put(f"{name}/{key}", x)


def fit(gold):
    #         n    d  K  bias signed
    cases = [(300, 8, 6, 1, 0), (300, 8, 6, 1, 1), (300, 8, 6, 0, 0), (200, 5, 1, 0, 1),
             (150, 2, 3, 0, 0)]
    g = rng(604)
    for i, (n, d, k, bias, signed) in enumerate(cases):
        length = torch.exp(torch.randn(n, 1, generator=g))
        v = (torch.randn(n, d, generator=g) * length + 0.5).float().double()
        s = e = torch.randn(k, d, generator=g).float().double()
        s, objective = unit(s, bias), []
        for turn in range(21):
            index, a, _, u = code_of(v, s, bias, signed)
            a = a if signed else a.clamp_min(0)
            objective.append(a.square().sum())
            if turn < 20:
                s = unit(torch.zeros(k, d).index_add(0, index, a * u), bias)
        gold.put(f"fit/{i}/set", [bias, signed])
        for key, x in [("v", v), ("e", e), ("objective", torch.stack(objective)), ("s", s)]:
            gold.put(f"fit/{i}/{key}", x)


if __name__ == "__main__":
    file = Gold("gain.gold")
    for make in (centre, gain, quantise, fit):
        make(file)
    file.write(sys.argv[1] if len(sys.argv) > 1 else HERE)
