#!/usr/bin/env python3
"""Makes methods.gold, the golden file of tests/test_methods.c.

    python3 tests/golden/make_methods.py [FOLDER]       (default: this file's folder)

Loss and gradient of every method and regulariser for given views, written from the
formulas of the papers (and of their codes where these are what is known), with all
matrices in full, in float64, and differentiated by PyTorch (2.13).  Format and
conventions are those of make_golden.py.  A new method is a function and a line.

Views are tensors of one letter and the view's number: z embeddings, p predictions, t the
embeddings of a momentum target, h representations, g those of the target.

One rule is not PyTorch's: a row of length zero has no direction, so its unit row is zero
and it gets no gradient (autograd would give NaN, or what is left after a division by
1e-12).  Equal rows push each other nowhere.
"""
import sys

import torch
import torch.nn.functional as F

from make_golden import Gold, HERE, draw, rng

MARGIN = 1e-5       # relative gap below which float32 might choose another neighbour
DETACHED = "tg"     # letters that never get a gradient: what follows stands still


# --- the inputs ------------------------------------------------------------------------

#           name   N   d   what is odd about it
BATCHES = [("8x5", 8, 5, None), ("12x33", 12, 33, None), ("6x40", 6, 40, None),
           ("16x16", 16, 16, None), ("twice", 11, 6, "twice"), ("zero", 9, 7, "zero")]
FEW = ("8x5", "6x40", "zero")           # for switches that change little
MOST = tuple(b[0] for b in BATCHES)


def batch(g, n, d, odd):
    """Both views of all five; the second is the first and as much noise.  Rows differ in
    length and columns in spread, so that hinges are on both sides of their target, and
    lengths of h by so much that some points have a dimension below one."""
    views = {}
    for letter in "zpthg":
        wide = d + (letter in "hg") * 2
        first = torch.randn(n, wide, generator=g)
        for k in (0, 1):
            x = first + torch.randn(n, wide, generator=g)
            x = x * torch.linspace(0.3, 1.1, wide)
            if letter in "hg":
                x = x * torch.exp(1.5 * torch.randn(n, 1, generator=g))
            if odd == "twice":
                x[7] = x[3]
            if odd == "zero" and letter != "g":     # four equal rows would be too many
                x[2 + 2 * k] = 0
            views[letter + str(k)] = x.float().double()
    return views


# --- what formulas share ---------------------------------------------------------------

def unit(x):
    q = (x * x).sum(1, keepdim=True)
    small = q < 1e-24
    return torch.where(small, 0, x / torch.where(small, 1, q).sqrt())


def lengths(x):
    """|x_i|, without a gradient where it is zero."""
    q = (x * x).sum(-1)
    return torch.where(q == 0, 0, torch.where(q == 0, 1, q).sqrt())


def cosines(a, b):
    return (unit(a) * unit(b)).sum(1)


def off_diagonal(c):
    return c - torch.diag(c.diagonal())


def both(v, letter):
    return v[letter + "0"], v[letter + "1"]


# --- methods ---------------------------------------------------------------------------

def simsiam(v, stop=True, symmetric=True, xent=False):
    """L = D(p1, z2)/2 + D(p2, z1)/2"""
    def distance(p, z):
        z = z.detach() if stop else z
        if xent:
            return -(z.softmax(1) * p.log_softmax(1)).sum(1).mean()
        return -cosines(p, z).mean()
    one = distance(v["p0"], v["z1"])
    return (one + distance(v["p1"], v["z0"])) / 2 if symmetric else one


def hinge(z):
    s = (z.var(0, correction=1) + 1e-4).sqrt()
    return F.relu(1 - s).mean()


def covariance(z):
    n, d = z.shape
    x = z - z.mean(0)
    return off_diagonal(x.T @ x / (n - 1)).square().sum() / d


def vicreg(v, inv=25.0, var=25.0, cov=1.0, convention="official"):
    """Zero weights leave their term out altogether."""
    a, b = both(v, "z")
    s = (a - b).square().mean()
    if convention == "paper":                   # a mean over rows, a sum over columns
        s = s * a.shape[1]
    half = 0.5 if convention == "official" else 1.0
    return (inv * s + var * half * (hinge(a) + hinge(b))
            + cov * (covariance(a) + covariance(b)))


def barlow(v, weight=0.005, scale=1.0):
    def standard(z):
        return (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()
    a, b = both(v, "z")
    c = standard(a).T @ standard(b) / len(a)
    return scale * ((1 - c.diagonal()).square().sum()
                    + weight * off_diagonal(c).square().sum())


def simclr(v, tau):
    e = unit(torch.cat(both(v, "z")))
    s = e @ e.T / tau
    n = len(e) // 2
    positive = torch.cat([s.diagonal(n), s.diagonal(-n)])
    itself = torch.eye(2 * n, dtype=torch.bool)
    return (s.masked_fill(itself, -torch.inf).logsumexp(1) - positive).mean()


def byol(v, target="t", symmetric=True):
    one = 2 - 2 * cosines(v["p0"], v[target + "1"].detach())
    two = 2 - 2 * cosines(v["p1"], v[target + "0"].detach())
    return (one + two if symmetric else one).mean()


def align_uniform(v, alpha=2.0, t=2.0, align=1.0, uniform=1.0):
    """mean |a - b|^alpha + the mean over views of ln mean_(i<j) exp(-t |z_i - z_j|^2)"""
    def uniformity(x):
        i, j = torch.triu_indices(len(x), len(x), 1)
        return (-t * (x[i] - x[j]).square().sum(1)).exp().mean().log()
    a, b = (unit(x) for x in both(v, "z"))
    q = (a - b).square().sum(1)
    return (align * (q ** (alpha / 2)).mean()
            + uniform * (uniformity(a) + uniformity(b)) / 2)


def tree_edges(x):
    """Prim from row 0, the lowest of equals first."""
    d = (x[:, None] - x[None]).square().sum(2).sqrt()
    n, edges = len(x), []
    best, parent, out = d[0].clone(), [0] * n, set(range(1, n))
    while out:
        j = min(out, key=lambda i: (best[i].item(), i))
        edges.append((parent[j], j))
        out.remove(j)
        for i in out:
            if d[j, i] < best[i]:
                best[i], parent[i] = d[j, i], j
    return torch.tensor(edges).T


def tree_term(z, gamma, weight, radius, hard):
    if hard:
        z = unit(z)
    i, j = tree_edges(z.detach())
    term = -gamma * lengths(z[i] - z[j]).sum() / len(z)
    if not hard:
        term = term + weight * (lengths(z) - radius).square().mean()
    return term


def tregs(v, beta=1.0, gamma=1.0, weight=1.0, radius=1.0, hard=False, views=2):
    """beta = 0: what is added to another method."""
    a, b = both(v, "z")
    loss = beta * (a - b).square().sum(1).mean()
    for z in (a, b)[:views]:
        loss = loss + tree_term(z, gamma, weight, radius, hard)
    return loss


def wasserstein(v, weight=1.0):
    """The distance of N(mean, covariance) of the unit rows of both views to N(0, 1/m).

    tr Sigma^(1/2) is the sum of singular values of the centred rows, over sqrt N.  A
    direction without any variance adds nothing and is not pushed."""
    z = unit(torch.cat(both(v, "z")))
    n, m = z.shape
    mean = z.mean(0)
    x = z - mean
    short = x @ x.T if n <= m else x.T @ x
    s = torch.linalg.eigvalsh(short)
    s = s[s > 1e-10 * s.max()]
    square = (mean.square().sum() + 1 + x.square().sum() / n
              - 2 / m ** 0.5 * (s / n).sqrt().sum())
    return weight * square.sqrt()


def log_lid(query, reference, k, estimator):
    """ln LID of each query row among reference rows, of which the first len(query) from
    `at` on are itself.  reference stands still."""
    at, rows = reference
    rows = rows.detach()
    r = lengths(query[:, None] - rows[None])
    itself = torch.zeros(r.shape, dtype=torch.bool)
    for i in range(len(query)):
        itself[i, at + i] = True
    r = r.masked_fill(itself, torch.inf)
    k = min(k, len(rows) - 2)
    near = r.sort(1).values
    if k < len(rows) - 1:
        step = (near[:, k] - near[:, k - 1]) / near[:, k]
        assert ((step > MARGIN) | (step < 1e-12)).all()     # equal rows pull alike
    r, w = near[:, :k], near[:, k - 1]
    if estimator == "mle":
        return (k / -(r[:, :-1] / w[:, None] + 1e-4).log().sum(1)).log()
    mean = (r if estimator == "mom_paper" else r[:, :-1]).mean(1)
    gap = torch.maximum(w - mean, 1e-4 * w + 1e-12)
    return (mean / gap).log()


def ldreg(v, beta=1.0, k=4, estimator="mom", form="l1", least=False, target=False,
          absolute=False, plain=False, layer="h"):
    """-beta mean ln LID over the rows of both views (l1), or -beta sqrt(mean ln^2) (l2).

    plain: LID itself.  target: the target's rows are neighbours, too."""
    a, b = both(v, layer)
    rows = torch.cat([a, b] + (list(both(v, "g")) if target else []))
    x = torch.cat([log_lid(a, (0, rows), k, estimator),
                   log_lid(b, (len(a), rows), k, estimator)])
    if plain:
        x = x.exp()
    if absolute:
        x = x.abs()
    term = x.square().mean().sqrt() if form == "l2" else x.mean()
    return beta * term if least else -beta * term


# --- the list: name, batches, formula --------------------------------------------------

def line(name, batches, formula, **settings):
    return name, batches, lambda v: formula(v, **settings)


LINES = [
    line("simsiam", MOST, simsiam),
    line("simsiam/asym", FEW, simsiam, symmetric=False),
    line("simsiam/no_stop", FEW, simsiam, stop=False),
    line("simsiam/xent", MOST, simsiam, xent=True),
    line("simsiam/xent_no_stop", FEW, simsiam, xent=True, stop=False),

    line("vicreg", MOST, vicreg),
    line("vicreg/solo", FEW, vicreg, convention="solo"),
    line("vicreg/paper", FEW, vicreg, convention="paper"),
    line("vicreg/inv", FEW, vicreg, inv=3.0, var=0.0, cov=0.0),
    line("vicreg/var", FEW, vicreg, inv=0.0, var=3.0, cov=0.0),
    line("vicreg/cov", FEW, vicreg, inv=0.0, var=0.0, cov=3.0),
    line("vicreg/inv_var", FEW, vicreg, inv=2.0, var=3.0, cov=0.0),
    line("vicreg/inv_cov", FEW, vicreg, inv=2.0, var=0.0, cov=3.0),
    line("vicreg/var_cov", FEW, vicreg, inv=0.0, var=2.0, cov=3.0),
    line("add_vicreg", MOST, vicreg, inv=0.0, var=1.0, cov=0.01),
    line("add_vicreg/solo", FEW, vicreg, inv=0.0, var=2.0, cov=0.5, convention="solo"),
    line("add_vicreg/var", FEW, vicreg, inv=0.0, var=2.0, cov=0.0),
    line("add_vicreg/cov", FEW, vicreg, inv=0.0, var=0.0, cov=2.0),

    line("barlow", MOST, barlow),
    line("barlow/solo", FEW, barlow, weight=0.02, scale=0.1),
    line("simclr/0.1", MOST, simclr, tau=0.1),
    line("simclr/0.5", FEW, simclr, tau=0.5),
    line("byol", MOST, byol),
    line("byol/asym", FEW, byol, symmetric=False),
    line("byol/online", FEW, byol, target="z"),

    line("align_uniform", MOST, align_uniform),
    line("align_uniform/weights", FEW, align_uniform, alpha=4.0, t=3.0, align=0.5,
         uniform=2.0),

    line("tregs", MOST, tregs),
    line("tregs/hard", MOST, tregs, hard=True),
    line("tregs/weights", FEW, tregs, beta=0.5, gamma=2.0, weight=3.0, radius=2.0),
    line("tregs/one_view", FEW, tregs, views=1),
    line("add_tregs", FEW, tregs, beta=0.0, gamma=0.1, weight=0.1),
    line("add_tregs/hard", FEW, tregs, beta=0.0, gamma=0.1, hard=True),
    line("add_tregs/one_view", FEW, tregs, beta=0.0, views=1),

    line("wasserstein", MOST, wasserstein),
    line("wasserstein/weight", FEW, wasserstein, weight=0.2),

    line("ldreg", MOST, ldreg),
    line("ldreg/paper", MOST, ldreg, estimator="mom_paper"),
    line("ldreg/mle", MOST, ldreg, estimator="mle"),
    line("ldreg/l2", FEW, ldreg, form="l2"),
    line("ldreg/min", FEW, ldreg, least=True, beta=0.1),
    line("ldreg/abs", FEW, ldreg, absolute=True),
    line("ldreg/clamped", FEW, ldreg, k=64),
    line("ldreg/plain", FEW, ldreg, plain=True),
    line("ldreg/z", FEW, ldreg, layer="z"),
    line("ldreg/target", MOST, ldreg, target=True),
    line("ldreg/target_mle", FEW, ldreg, target=True, estimator="mle", k=6),
]


def record(gold, name, views, formula):
    leaves = {k: v.clone().requires_grad_(k[0] not in DETACHED) for k, v in views.items()}
    loss = formula(leaves)
    asked = [k for k in leaves if leaves[k].requires_grad]
    grads = torch.autograd.grad(loss, [leaves[k] for k in asked], allow_unused=True)
    gold.put(f"{name}/loss", loss.reshape(1))
    for k, d in zip(asked, grads):
        if d is not None and d.any():
            gold.put(f"{name}/d{k}", d)


def main():
    gold = Gold("methods.gold")
    g = rng(506)
    views = {}
    for name, n, d, odd in BATCHES:
        views[name] = batch(g, n, d, odd)
        for k, x in views[name].items():
            gold.put(f"{name}/{k}", x)
    below = [log_lid(v["h0"], (0, torch.cat(both(v, "h"))), 4, "mom").min().item()
             for k, v in views.items() if k in FEW]
    assert min(below) < -0.1, below         # or `absolute` would change nothing
    for name, batches, formula in LINES:
        for b in batches:
            record(gold, f"{name}:{b}", views[b], formula)
    gold.write(sys.argv[1] if len(sys.argv) > 1 else HERE)


if __name__ == "__main__":
    main()
