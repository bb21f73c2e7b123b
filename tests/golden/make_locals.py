#!/usr/bin/env python3
"""Makes locals.gold: losses with local crops (multi-crop), for tests/test_locals.c.

    python3 tests/golden/make_locals.py [FOLDER]       (default: this file's folder)

In float64 by PyTorch, written as SwAV's and DINO's programs do it: over all directions from
a view or local crop to a view that is a target, but for a view to itself, the mean of the
distances.  BYOL's loss is a sum over two directions, so twice that mean.
Format and conventions are those of make_golden.py.
"""
import sys

import torch

from make_golden import Gold, HERE, rng
from make_methods import cosines, unit

LOCALS = 3
FORMS = ("simsiam", "simsiam/asym", "simsiam/no_stop", "simsiam/xent", "byol", "byol/asym",
         "byol/online")


def distance(form, p, z):
    if "no_stop" not in form:
        z = z.detach()
    if form.startswith("byol"):
        return (unit(p) - unit(z)).square().sum(1).mean()
    if "xent" in form:
        return -(z.softmax(1) * p.log_softmax(1)).sum(1).mean()
    return -cosines(p, z).mean()


def loss(form, v, locals_):
    target = "z" if form.startswith("simsiam") or "online" in form else "t"
    targets = (1,) if "asym" in form else (0, 1)
    terms = []
    for k in targets:
        z = v[f"{target}{k}"]
        terms.append(distance(form, v[f"p{1 - k}"], z))
        terms += [distance(form, v[f"l{i}"], z) for i in range(locals_)]
    mean = sum(terms) / len(terms)
    return 2 * mean if form in ("byol", "byol/online") else mean


def main():
    gold = Gold("locals.gold")
    g = rng(507)
    names = ["p0", "p1", "z0", "z1", "t0", "t1"] + [f"l{i}" for i in range(LOCALS)]
    base = torch.randn(7, 5, generator=g)
    views = {n: (base + torch.randn(7, 5, generator=g)).float().double() for n in names}
    for n in names:
        gold.put(n, views[n])
    for form in FORMS:
        for locals_ in range(LOCALS + 1):
            v = {n: x.clone().requires_grad_(n[0] != "t") for n, x in views.items()}
            total = loss(form, v, locals_)
            total.backward()
            gold.put(f"{form}/{locals_}/loss", total.detach().reshape(1))
            for n in names:
                d = v[n].grad
                gold.put(f"{form}/{locals_}/{n}",
                         torch.zeros_like(views[n]) if d is None else d)
    gold.write(sys.argv[1] if len(sys.argv) > 1 else HERE)


if __name__ == "__main__":
    main()
