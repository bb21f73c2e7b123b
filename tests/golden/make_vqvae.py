#!/usr/bin/env python3
"""Makes vqvae.gold, the golden file of tests/test_vqvae.c.

    python3 tests/golden/make_vqvae.py [FOLDER]         (default: this file's folder)

A whole VQ-VAE by PyTorch (2.13), in float64: the network of make_autoencoder.py, nearest
codes, straight-through, and each of the three reconstruction losses.  Format and
conventions are those of make_golden.py.
"""
import sys

import torch
import torch.nn.functional as F

from make_autoencoder import autoencoder, ours
from make_golden import HERE, Gold, draw, nhwc, rng

BETA, WEIGHT = 0.25, 3.0
SETTINGS = (8, 4, 1, 5)                     # hidden, residual, layers, dim
CODES, IMAGES, IMAGE = 7, 3, (3, 8, 12)
APART = 1e-3                                # float32 must choose the same codes


def main():
    gold = Gold("vqvae.gold")
    torch.manual_seed(700)
    g = rng(703)
    c, h, w = IMAGE
    net = autoencoder(h, w, c, *SETTINGS)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((p + 0.05 * torch.randn(p.shape, generator=g)).float().double())
    x = draw(g, IMAGES, *IMAGE)
    with torch.no_grad():
        rows = net.encoder(x).permute(0, 2, 3, 1).reshape(-1, SETTINGS[3])
        spread = rows.std(0)
        code = (rows.mean(0) + torch.randn(CODES, SETTINGS[3], generator=g) * spread)
    code = code.float().double().requires_grad_(True)
    log_var = torch.tensor([-0.3]).float().double().requires_grad_(True)
    gold.put("x", nhwc(x))
    gold.put("code", code)
    gold.put("log_var", log_var)
    names, leaves = zip(*net.named_parameters())
    for k, p in zip(names, leaves):
        gold.put(f"weight/{k}", ours(p, IMAGE))

    z = net.encoder(x).permute(0, 2, 3, 1)
    rows = z.reshape(-1, SETTINGS[3])
    far = ((rows[:, None] - code[None]) ** 2).sum(-1)
    two = far.topk(2, largest=False).values
    assert ((two[:, 1] - two[:, 0]) > APART * two[:, 1]).all()
    index = far.argmin(1)
    assert len(index.unique()) > 2
    gold.put("index", index)
    q = code[index]
    aux = WEIGHT * (F.mse_loss(q, rows.detach()) + BETA * F.mse_loss(rows, q.detach()))
    past = (rows + (q - rows).detach()).reshape(z.shape).permute(0, 3, 1, 2)
    made = net.decoder(past)
    gold.put("made", nhwc(made))
    losses = {
        "mse": F.mse_loss(made, x), "l1": F.l1_loss(made, x),
        "gaussian": -torch.distributions.Normal(
            made, torch.exp(log_var / 2)).log_prob(x).mean(),
    }
    for name, loss in losses.items():
        all_leaves = leaves + (code,) + ((log_var,) if name == "gaussian" else ())
        grads = torch.autograd.grad(loss + aux, all_leaves, retain_graph=True)
        gold.put(f"{name}/reconstruction", loss)
        gold.put(f"{name}/quantiser", aux)
        gold.put(f"{name}/loss", loss + aux)
        for k, d in zip(names + ("code", "log_var"), grads):
            gold.put(f"{name}/grad/{k}", ours(d, IMAGE) if k in names else d)
    gold.write(sys.argv[1] if len(sys.argv) > 1 else HERE)


main()
