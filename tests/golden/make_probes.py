#!/usr/bin/env python3
"""Makes probes.gold for tests/test_probes.c.

    python3 tests/golden/make_probes.py [FOLDER]        (default: this file's folder)

Needs PyTorch and NumPy (made with PyTorch 2.13 on a CPU, NumPy 2); the tests need
neither.  The probes are written down here from their definitions, in float64; inputs are
float32 numbers.  What needs more than a float's digits is stored as NAME and NAME_low,
whose sum it is.  The order of the batches comes from an independent Philox 4x32-10.  The
format is that of make_golden.py.
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
BODY = [b"fullrank golden 1\n"]


def put(name, value):
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    a = np.array(value, dtype="<f4", order="C")
    assert np.isfinite(a).all(), name
    BODY.append((" ".join([name] + [str(d) for d in a.shape]) + "\n").encode())
    BODY.append(a.tobytes())


def put_exactly(name, value):
    value = np.asarray(value, dtype=np.float64)
    high = value.astype(np.float32)
    put(name, high)
    put(name + "_low", value - high)


class Words:
    """The 32-bit words of one address of nn/rng.h."""

    def __init__(self, seed, purpose, epoch, sample):
        self.key = [seed & 0xffffffff, seed >> 32]
        self.counter = [0, sample & 0xffffffff, sample >> 32, purpose << 24 | epoch]
        self.out = []

    def block(self):
        a, b, c, d = self.counter
        k, l = self.key
        for _ in range(10):
            p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
            a, b, c, d = (q >> 32) ^ b ^ k, q & 0xffffffff, (p >> 32) ^ d ^ l, p & 0xffffffff
            k, l = (k + 0x9E3779B9) & 0xffffffff, (l + 0xBB67AE85) & 0xffffffff
        self.counter[0] += 1
        return [a, b, c, d]

    def below(self, n):
        while True:
            self.out = self.out or self.block()
            p = self.out.pop(0) * n
            if (p & 0xffffffff) >= 2**32 % n:
                return p >> 32

    def permutation(self, n):
        order = list(range(n))
        for i in range(n, 1, -1):
            j = self.below(i)
            order[i - 1], order[j] = order[j], order[i - 1]
        return order


def name_hash(name):
    h = 0xcbf29ce484222325
    for b in name.encode():
        h = (h ^ b) * 0x100000001b3 % 2**64
    return h


METRIC = 5


def standardised(x, other):
    std = x.std(0)
    by = np.where(std > 0, 1 / np.where(std > 0, std, 1), 0)
    return (x - x.mean(0)) * by, (other - x.mean(0)) * by


def ridge(x, y, classes, lam):
    t = np.eye(classes)[y]
    a = x.T @ x / len(x) + lam * np.eye(x.shape[1])
    return np.linalg.solve(a, x.T @ (t - t.mean(0)) / len(x)), t.mean(0)


def share(x, y, w, b):
    return (np.argmax(x @ w + b, 1) == y).mean()


def sgd(x, y, classes, seed, lr, momentum, epochs, batch):
    x, y = torch.tensor(x), torch.tensor(y, dtype=torch.long)
    w = torch.zeros(x.shape[1], classes, requires_grad=True)
    b = torch.zeros(classes, requires_grad=True)
    opt = torch.optim.SGD([w, b], lr=lr, momentum=momentum)
    steps = epochs * -(-len(x) // batch)
    plan = torch.optim.lr_scheduler.LambdaLR(
        opt, lambda t: 0.5 * (1 + np.cos(np.pi * t / steps)))
    for epoch in range(epochs):
        order = Words(seed, METRIC, epoch,
                      name_hash("linear probe, order")).permutation(len(x))
        for at in range(0, len(x), batch):
            rows = order[at:at + batch]
            opt.zero_grad()
            F.cross_entropy(x[rows] @ w + b, y[rows]).backward()
            opt.step()
            plan.step()
    return w.detach().numpy(), b.detach().numpy()


rng = np.random.default_rng(5)
N, M, D, CLASSES, SEED = 90, 70, 7, 4, 0x123456789A
centre = rng.standard_normal((CLASSES, D))
y, y_test = rng.integers(0, CLASSES, N), rng.integers(0, CLASSES, M)
x = centre[y] + 1.2 * rng.standard_normal((N, D))
x_test = centre[y_test] + 1.2 * rng.standard_normal((M, D))
for a in (x, x_test):
    a[:, 2] = a[:, 2] * 1000 + 500
    a[:, 3] = 0.1
x_test[0, 3] = 9                            # constant in training, not here
x, x_test = x.astype(np.float32), x_test.astype(np.float32)
for name, value in (("x", x), ("y", y), ("x_test", x_test), ("y_test", y_test)):
    put("linear/" + name, value)
x, x_test = x.astype(np.float64), x_test.astype(np.float64)
s, s_test = standardised(x, x_test)

w, b = ridge(s, y, CLASSES, 0.03)
put_exactly("ridge/w", w)
put_exactly("ridge/bias", b)
put("ridge/share", share(s_test, y_test, w, b))

# the choice: a tenth is held, statistics are those of the rest
order = Words(SEED, METRIC, 0, name_hash("linear probe, split")).permutation(N)
held, kept = order[:N // 10], order[N // 10:]
k, h = standardised(x[kept], x[held])
best = max((share(h, y[held], *ridge(k, y[kept], CLASSES, lam)), -lam)
           for lam in (1e-4, 1e-3, 1e-2, 1e-1))
put("ridge/chosen", -best[1])
put("ridge/chosen_share", share(s_test, y_test, *ridge(s, y, CLASSES, -best[1])))

w, b = sgd(s, y, CLASSES, SEED, 0.1, 0.9, 4, 16)       # the last batch has 10 rows
put("sgd/w", w)
put("sgd/bias", b)
put("sgd/share", share(s_test, y_test, w, b))
best = max((share(s[held], y[held], *sgd(s[kept], y[kept], CLASSES, SEED, lr, 0.9, 4, 16)),
            -i, lr) for i, lr in enumerate((0.1, 0.01, 1)))
put("sgd/chosen", best[2])

# the online probe: five updates, each with its learning rate, the last batch a small one
x = (centre[rng.integers(0, CLASSES, 60)] * 3 + rng.standard_normal((60, D)) + 4)
y = rng.integers(0, CLASSES, 60)
x[:, 1] = 0.3                               # a dead unit
x = x.astype(np.float32)
put("online/x", x)
put("online/y", y)
x, y = torch.tensor(x, dtype=torch.float64), torch.tensor(y)
norm, linear = torch.nn.BatchNorm1d(D, affine=False), torch.nn.Linear(D, CLASSES)
torch.nn.init.zeros_(linear.weight)
torch.nn.init.zeros_(linear.bias)
opt = torch.optim.SGD(linear.parameters(), lr=1, momentum=0.9)
losses = []
for at, end, lr in ((0, 14, 0.1), (14, 28, 0.1), (28, 42, 0.5), (42, 56, 0.25), (56, 60, 0.125)):
    opt.param_groups[0]["lr"] = lr
    opt.zero_grad()
    loss = F.cross_entropy(linear(norm(x[at:end])), y[at:end])
    losses.append(loss.item())
    loss.backward()
    opt.step()
put("online/loss", losses)
put("online/weight", linear.weight)
put("online/bias", linear.bias)
put("online/weight_velocity", opt.state[linear.weight]["momentum_buffer"])
put("online/bias_velocity", opt.state[linear.bias]["momentum_buffer"])
put("online/mean", norm.running_mean)
put("online/var", norm.running_var)
norm.eval()
put("online/share", (linear(norm(x)).argmax(1) == y).double().mean())

folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "probes.gold"), "wb") as f:
    f.write(b"".join(BODY))
