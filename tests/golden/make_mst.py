#!/usr/bin/env python3
"""Prints the table of metrics/tree.c: lengths of minimum spanning trees of uniform points
on the sphere, E / n / sqrt(2 (n - 1) / n).

    python3 tests/golden/make_mst.py

Needs NumPy and SciPy (made with NumPy 2, SciPy 1); a few minutes.  A row holds one n, a
figure of it one d, as listed.  Each is the mean over as many samples as make 4096 points,
at most 40.  One sample of n = 128, d = 3 scatters by 2.6 %, the mean of 32 by 0.5 %; more
points or columns scatter less.
"""
import numpy as np
from scipy.sparse.csgraph import minimum_spanning_tree

DIMS = [2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
rng = np.random.default_rng(18)
for n in (64, 128, 256, 512, 1024, 2048, 4096):
    row = []
    for d in DIMS:
        lengths = []
        for _ in range(min(40, 4096 // n)):
            x = rng.standard_normal((n, d))
            x /= np.linalg.norm(x, axis=1, keepdims=True)
            r = np.sqrt(np.maximum(2 - 2 * (x @ x.T), 1e-18))   # 0 would be no edge
            np.fill_diagonal(r, 0)
            lengths.append(minimum_spanning_tree(r).sum() / n / np.sqrt(2 * (n - 1) / n))
        row.append(np.mean(lengths))
    print(n, *("%.5f" % a for a in row), flush=True)
