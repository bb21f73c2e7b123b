#!/usr/bin/env python3
"""Makes quantops.gold, the golden file of tests/test_quantops.c.

    python3 tests/golden/make_quantops.py [FOLDER]      (default: this file's folder)

Operators of vector quantisers in float64, differentiated by PyTorch (2.13).  Where the
gradient is an estimator it is got the way the papers' code does it: what counts as a
constant is detached, and autograd does the rest.  Format and conventions are those of
make_golden.py; NAME/CASE/set holds the settings.
"""
import sys

import torch

from make_golden import HERE, Gold, case, draw, rng

SIZES = [(1, 1), (1, 7), (5, 2), (33, 16), (40, 70), (300, 3)]


def gather(gold):
    #         n   K   d
    cases = [(1, 1, 1), (5, 9, 2), (40, 3, 70), (300, 70, 5), (7, 200, 33)]
    g = rng(501)
    for i, (n, k, d) in enumerate(cases):
        table = draw(g, k, d)
        index = torch.randint(k, (n,), generator=g)
        index[n // 2:] = index[0]                       # one row is asked for again
        case(gold, f"gather/{i}", [("table", table)], table[index], g)
        gold.put(f"gather/{i}/set", index)


def straight(gold):
    g = rng(502)
    for i, (n, d) in enumerate(SIZES):
        z, q = draw(g, n, d), draw(g, n, d).detach()
        case(gold, f"straight/{i}", [("z", z), ("q", q)], z + (q - z).detach(), g)


def rotated(z, q):
    """s R z by rows with s and R constants: as a function of z it is linear."""
    if z.shape[1] == 1:
        return z + (q - z).detach()
    size = [x.detach().norm(dim=1, keepdim=True).clamp_min(1e-6) for x in (z, q)]
    e, u = z.detach() / size[0], q / size[1]
    h = e + u
    length = h.norm(dim=1, keepdim=True)
    r = h / length.clamp_min(1e-6)
    y = z - 2 * (z * r).sum(1, keepdim=True) * r + 2 * (z * e).sum(1, keepdim=True) * u
    y = size[1] / size[0] * y
    return torch.where(length < 1e-6, z + (q - z).detach(), y)


def rotation(gold):
    g = rng(503)
    for i, (n, d) in enumerate(SIZES + [(6, 5), (4, 8)]):
        z, q = draw(g, n, d), draw(g, n, d).detach()
        with torch.no_grad():
            if i == len(SIZES):             # opposite, nearly so, equal, in one direction
                q[0] = -z[0]
                q[1] = -2 * z[1]
                q[2] = (-z[2] * (1 + 1e-4 * torch.randn(d, generator=g))).float()
                q[3] = z[3]
                q[4] = 4 * z[4]
            if i == len(SIZES) + 1:         # short: all gradients are a million times
                z[0] = 0
                z[1:] = (z[1:] * 1e-9).float()
        # The value is q; y, which short vectors do not bring there, is for its gradient.
        case(gold, f"rotation/{i}", [("z", z), ("q", q)], rotated(z, q), g)


def commit(gold):
    g = rng(504)
    for i, (n, d) in enumerate(SIZES):
        for j, (to_z, to_q) in enumerate([(0.25, 1), (1, 0.25), (0, 1), (2, 0)]):
            z, q = draw(g, n, d), draw(g, n, d)
            z, q = (x if w else x.detach() for x, w in ((z, to_z), (q, to_q)))
            y = to_z * (z - q.detach()).square().mean()
            y = y + to_q * (z.detach() - q).square().mean()
            name = f"commit/{4 * i + j}"
            case(gold, name, [("z", z), ("q", q)], y.view(1), g)
            gold.put(f"{name}/set", [to_z, to_q])


def fsq(gold):
    cases = [(1, [8]), (1, [3]), (5, [5, 4]), (40, [8, 8, 8, 6, 5]), (300, [7, 5, 5]),
             (33, [3, 4, 5, 6, 7, 8, 9, 10, 15, 16, 31, 64, 127, 128, 254, 255])]
    g = rng(505)
    for i, (n, levels) in enumerate(cases):
        z = draw(g, n, len(levels), scale=1.5)
        size = torch.tensor(levels)
        h = (size - 1) * (1 + 1e-3) / 2
        o = torch.where(size % 2 == 0, 0.5, 0.0)
        bound = torch.tanh(z + torch.atanh(o / h)) * h - o
        edge = (bound - bound.floor() - 0.5).abs().min().item()
        assert edge > 1e-7, edge                        # no choice hangs on a rounding
        y = bound + (bound.round() - bound).detach()
        case(gold, f"fsq/{i}", [("z", z)], y / (size // 2), g)
        gold.put(f"fsq/{i}/set", levels)


def sign(gold):
    g = rng(506)
    for i, (n, d) in enumerate(SIZES):
        z, s = draw(g, n, d), [1, 0.5, 0.3, 2, d ** -0.5, 1][i]
        with torch.no_grad():
            z[n // 2, d // 2] = 0
        s = torch.tensor(s).float().double()
        hard = torch.where(z > 0, s, -s)
        case(gold, f"sign/{i}", [("z", z)], z + (hard - z).detach(), g)
        gold.put(f"sign/{i}/set", [s])


def corners(bits, s):
    return torch.tensor([[float(s if c >> b & 1 else -s) for b in range(bits)]
                         for c in range(1 << bits)])


def bit_entropy_of(z, s, tau, gamma, group):
    """By softmax over all corners of each group: no product of bits."""
    y, d = 0, z.shape[1]
    groups = -(-d // group)
    for k in range(groups):
        part = z[:, k * d // groups:(k + 1) * d // groups]
        log_p = (2 * tau * part @ corners(part.shape[1], s).T).log_softmax(1)
        mean = log_p.exp().mean(0)
        y = y - (log_p.exp() * log_p).sum(1).mean() + gamma * (mean * mean.log()).sum()
    return y.view(1)


def bit_entropy(gold):
    #         n   d  scale  s    tau gamma group
    cases = [(1, 1, 1, 1, 1, 1, 1), (1, 3, 1, 0.5, 1, 0.75, 3), (50, 3, 1, 1, 1, 1, 3),
             (33, 9, 0.05, 1, 10, 1, 9), (70, 12, 0.01, 1, 100, 1, 12),
             (20, 70, 0.5, 0.25, 2, 1.5, 4), (300, 5, 1, 1, 0.5, 0, 3),
             (129, 7, 1, 0.5, 3, 1, 3)]
    g = rng(507)
    for i, (n, d, scale, s, tau, gamma, group) in enumerate(cases):
        z = draw(g, n, d, scale=scale)
        y = bit_entropy_of(z, s, tau, gamma, group)
        case(gold, f"bit_entropy/{i}", [("z", z)], y, g)
        gold.put(f"bit_entropy/{i}/set", [s, tau, gamma, group])


if __name__ == "__main__":
    file = Gold("quantops.gold")
    for make in (gather, straight, rotation, commit, fsq, sign, bit_entropy):
        make(file)
    file.write(sys.argv[1] if len(sys.argv) > 1 else HERE)
