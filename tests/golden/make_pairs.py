#!/usr/bin/env python3
"""Losses on pairwise distances for tests/test_tree.c and tests/test_lid.c: pairs.gold.

    python3 tests/golden/make_pairs.py [FOLDER]         (PyTorch 2.13, SciPy, on a CPU)

Inputs are float32 numbers, results float64: the tree's edges come from SciPy's
minimum_spanning_tree (Kruskal), its length and gradient from autograd through the edges;
the dimensions from a full sort of all distances and autograd.  A problem in which the
choice of a neighbour hangs on a relative difference below 1e-5 is drawn again: float32
might choose otherwise.  Trees must have no equal distances.
"""
import sys

import numpy as np
import torch
from scipy.sparse.csgraph import minimum_spanning_tree

from make_golden import Gold, HERE, case, draw, rng

MARGIN = 1e-5


def distances(x):
    """(n, n), zero on the diagonal, where the root has a harmless gradient."""
    diff = x[:, None] - x[None]
    eye = torch.eye(len(x))
    return ((diff * diff).sum(2) + eye).sqrt() * (1 - eye)


def tree(gold):
    #   n  d  spread of the first columns, shift
    cases = [(2, 3, 1, 0), (5, 1, 1, 0), (17, 4, 1, 0), (40, 33, 1, 0), (100, 2, 1, 0),
             (60, 260, 1, 0), (64, 16, 1e-3, 50)]       # a tight cloud far from zero
    g = rng(301)
    for i, (n, d, spread, shift) in enumerate(cases):
        x = draw(g, n, d, scale=spread, shift=shift)
        full = distances(x.detach()).numpy()
        t = minimum_spanning_tree(full).tocoo()
        order = np.sort(full[np.triu_indices(n, 1)])
        gap = np.diff(order) / order[1:]
        assert len(gap) == 0 or gap.min() > 1e-9        # no ties; ends agree with Kruskal
        a, b = torch.from_numpy(t.row.astype("i8")), torch.from_numpy(t.col.astype("i8"))
        y = (x[a] - x[b]).norm(dim=1).sum().view(1)
        case(gold, f"tree/{i}", [("x", x)], y, g)


def log_lid(r, k, how):
    w = r[:, -1]
    if how in (0, 1):
        mu = r[:, : k - 1 + how].mean(1)
        return (mu / (w - mu)).log()
    ratio = (r / w[:, None])[:, :-1]
    q = -(ratio + 1e-4 if how == 2 else ratio.clamp(min=1e-12)).log().sum(1)
    return ((k - 2 if how == 4 else k) / q).log()


def roots(x, both):
    """Distances, huge on the diagonal; with both = 0 neighbours stand still."""
    diff = x[:, None] - (x if both else x.detach())[None]
    eye = torch.eye(len(x))
    return ((diff * diff).sum(2) + eye).sqrt() + 1e9 * eye


def clear(g, n, d, k):
    """A draw in which every k-th neighbour is nearer than the next by MARGIN."""
    while True:
        x = draw(g, n, d)
        order = roots(x.detach(), 1).sort(dim=1).values
        if ((order[:, k] - order[:, k - 1]) / order[:, k]).min() > MARGIN:
            return x


def lid(gold):
    #   n   d  k asked
    cases = [(8, 5, 3), (30, 4, 8), (50, 40, 16), (9, 2, 64), (24, 260, 9)]
    g = rng(302)
    for i, (n, d, asked) in enumerate(cases):
        k = min(asked, n - 2)
        for how in range(5):
            x = clear(g, n, d, k)
            for both in (0, 1):
                r = roots(x, both).topk(k, dim=1, largest=False, sorted=True).values
                case(gold, f"lid/{i}/{how}/{both}", [("x", x)], log_lid(r, k, how), g)
        gold.put(f"lid/{i}/set", [asked])


def lid_reference(gold):
    """Neighbours among the other rows of x and all rows of z, which stand still.  In one
    case z holds a copy of a row of x: distance 0, no direction.  A third row must not have
    the two for its last neighbours, where it would matter which of them is the last."""
    #   n  m   d  k asked
    cases = [(6, 9, 5, 4), (20, 40, 19, 16), (130, 9, 3, 8), (3, 2, 4, 9), (2, 7, 33, 3),
             (9, 20, 6, 5)]
    g = rng(303)
    for i, (n, m, d, asked) in enumerate(cases):
        k = min(asked, n + m - 2)
        for how in range(5):
            while True:
                x, z = draw(g, n, d), draw(g, m, d).detach()
                if i == 5:
                    z[4] = x[2].detach()
                both = [reach(x, z, b) for b in (0, 1)]
                order = both[0].sort(dim=1).values.detach()
                gap = order.diff(dim=1) / order[:, 1:]
                if gap[:, k - 2:k].min() > MARGIN:
                    break
            for move in (0, 1):
                r = both[move].topk(k, dim=1, largest=False, sorted=True).values
                case(gold, f"lidref/{i}/{how}/{move}", [("x", x), ("z", z)],
                     log_lid(r, k, how), g)
        gold.put(f"lidref/{i}/set", [asked])


def reach(x, z, both):
    """Distances of x to itself, huge on the diagonal, and to z; no gradient at zero."""
    every = torch.cat([x if both else x.detach(), z])
    d2 = (x[:, None] - every[None]).square().sum(2)
    r = torch.where(d2 > 0, d2, 1).sqrt() * (d2 > 0)
    r = r + torch.cat([1e9 * torch.eye(len(x)), torch.zeros(len(x), len(z))], 1)
    return r


def main():
    gold = Gold("pairs.gold")
    tree(gold)
    lid(gold)
    lid_reference(gold)
    gold.write(sys.argv[1] if len(sys.argv) > 1 else HERE)


if __name__ == "__main__":
    main()
