#!/usr/bin/env python3
"""Jacobians of a small convolutional network for tests/test_jacobian.c: jacobian.gold.

    python3 tests/golden/make_jacobian.py [FOLDER]      (PyTorch 2.13 on a CPU)

Inputs are float32 numbers, results float64: torch.func.jacrev for the Jacobian of

    conv 3x3 -> BatchNorm -> ReLU -> conv 3x3 of stride 2 -> BatchNorm -> ReLU -> linear

with running statistics, and the sum of ln max(s, 1e-6) over LAPACK's singular values.
"""
import sys

import torch
import torch.nn.functional as F

from make_golden import Gold, HERE, draw, nhwc, rng

H, W, CIN, MID, LAST = 6, 5, 2, 5, 6


def network(g, outputs):
    p = {"conv1": draw(g, MID, CIN, 3, 3, scale=.3),
         "conv2": draw(g, LAST, MID, 3, 3, scale=.2),
         "fc": draw(g, outputs, 3 * 3 * LAST, scale=.2)}
    for i, c in (1, MID), (2, LAST):
        p[f"gamma{i}"] = draw(g, c, scale=.3, shift=1)
        p[f"beta{i}"] = draw(g, c, scale=.3, shift=.3)
        p[f"mean{i}"] = draw(g, c, scale=.3)
        p[f"var{i}"] = draw(g, c).abs().detach().float().double() + .5
    return {k: v.detach() for k, v in p.items()}


def forward(p, x):
    x = x[None]
    for i, stride in (1, 1), (2, 2):
        x = F.conv2d(x, p[f"conv{i}"], stride=stride, padding=1)
        x = F.batch_norm(x, p[f"mean{i}"], p[f"var{i}"], p[f"gamma{i}"], p[f"beta{i}"],
                         training=False, eps=1e-5)
        x = F.relu(x)
    return (x.permute(0, 2, 3, 1).reshape(1, -1) @ p["fc"].T)[0]


def main():
    gold = Gold("jacobian.gold")
    g = rng(501)
    for i, outputs in enumerate((4, 70)):       # 70: more than go into one batch
        p = network(g, outputs)
        p = {k: v.float().double() for k, v in p.items()}
        x = draw(g, CIN, H, W).detach()
        j = torch.func.jacrev(lambda t: forward(p, t))(x)
        s = torch.linalg.svdvals(j.reshape(outputs, -1))
        score = s.clamp(min=1e-6).log().sum()
        print(outputs, "outputs, singular values", s[0].item(), "to", s[-1].item(),
              "score", score.item(), "floored", int((s < 1e-6).sum()))
        assert not ((s > 1e-9) & (s < 1e-4)).any()      # none whose size float32 blurs
        for k, v in p.items():
            gold.put(f"{i}/{k}", nhwc(v))
        gold.put(f"{i}/x", x.permute(1, 2, 0)[None])
        gold.put(f"{i}/j", j.permute(0, 2, 3, 1).reshape(outputs, -1))
        gold.put(f"{i}/score", score)
        gold.put(f"{i}/floored", float((s < 1e-6).sum()))
    gold.write(sys.argv[1] if len(sys.argv) > 1 else HERE)


if __name__ == "__main__":
    main()
