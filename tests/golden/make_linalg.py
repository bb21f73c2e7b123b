#!/usr/bin/env python3
"""Makes linalg.gold for tests/test_linalg.c.

    python3 tests/golden/make_linalg.py [FOLDER]        (default: this file's folder)

Needs NumPy and SciPy (made with NumPy 2 and SciPy 1); the tests need neither.
Eigenvalues are those of LAPACK's dsyev.  The format is that of make_golden.py; a double
is stored as two float32 numbers, NAME/head + NAME/tail, which keeps 48 bits of it.
"""
import os
import sys

import numpy as np
import scipy.linalg

BODY = [b"fullrank golden 1\n"]


def put(name, value):
    a = np.array(value, dtype="<f4", order="C")
    assert np.isfinite(a).all(), name
    BODY.append((" ".join([name] + [str(d) for d in a.shape]) + "\n").encode())
    BODY.append(a.tobytes())


def put_double(name, value):
    head = np.asarray(value, dtype=np.float64).astype(np.float32)
    put(name + "/head", head)
    put(name + "/tail", value - head.astype(np.float64))


def matrix(name, a):
    """The lower triangle, row by row, and the eigenvalues in descending order."""
    a = np.asarray(a, dtype=np.float64)
    assert (a == a.T).all() and (a == a.astype(np.float32)).all(), name
    put(name + "/lower", a[np.tril_indices(len(a))])
    put_double(name + "/w", scipy.linalg.eigh(a, eigvals_only=True, driver="ev")[::-1])


def whole(rng, n, most):
    a = rng.integers(-most, most + 1, (n, n))
    return a + a.T


rng = np.random.default_rng(1)
matrix("dense24", whole(rng, 24, 99))
matrix("dense130", whole(rng, 130, 9))

x = rng.integers(-9, 10, (5, 20))
matrix("rank5", x.T @ x)

matrix("fourfold", np.kron(np.eye(4), whole(rng, 4, 9)))

# Wilkinson's W21+: pairs of eigenvalues that agree to 14 digits and yet differ
matrix("pairs", np.diag(np.abs(np.arange(-10, 11))) + np.eye(21, k=1) + np.eye(21, k=-1))

# entries fall by a factor of four from row to row
scale = 2.0 ** -np.arange(12)
matrix("graded", whole(rng, 12, 9) * np.outer(scale, scale))

# columns far from zero: the mean must go before the squares are summed
x = (rng.standard_normal((700, 7)) * np.arange(1, 8) + 1000).astype(np.float32)
wide = x.astype(np.longdouble)
mean = wide.mean(axis=0)
put("gram/x", x)
put_double("gram/mean", mean.astype(np.float64))
put_double("gram/c", ((wide - mean).T @ (wide - mean) / 699).astype(np.float64))
put_double("gram/raw", (wide.T @ wide).astype(np.float64))

folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "linalg.gold"), "wb") as f:
    f.write(b"".join(BODY))
