#!/usr/bin/env python3
"""Makes quant.gold, the golden file of tests/test_quant.c.

    python3 tests/golden/make_quant.py [FOLDER]         (default: this file's folder)

Quantisers in float64, written from their definitions and differentiated by PyTorch
(2.13): what an estimator takes for a constant is detached, autograd does the rest.  A
case is its settings as text ("simvq codes=5 bias=0", in the record NAME/text, one
character a number), so that they stand here alone.

    NAME/z w q index loss dz    rows, d(w.q + loss)/dq, what comes out, (parts, n) indices
    NAME/p/P  NAME/d/P          a parameter or buffer P, and the gradient of a parameter
    NAME/T/z  NAME/T/P          five steps of training: rows, state after the step

Format and conventions are those of make_golden.py.
"""
import sys

import torch

from make_golden import HERE, Gold, draw, rng
from make_quantops import bit_entropy_of, rotated

SIZES = [(12, 5, 3), (40, 16, 8), (7, 33, 5), (64, 100, 16)]    # n, K, D
LR = 0.5                                                        # of the five steps
DEFAULTS = dict(groups=1, stages=1, share=0, dim=0, transport="straight", weight=1,
                codes=512, metric="euclid", beta=0.25, legacy=0, basis_dim=0,
                train_basis=0, bias=1, decay=0.99, eps=1e-5, bits=9, spherical=0,
                group=9, scale=1, entropy=0.1, gamma=1, tau=100, levels="8,6,5",
                first_batch=0)
LEAST = 1e-5            # between the best and the next score: no choice hangs on rounding


class Close(Exception):
    """Rows that another seed has to replace."""


def seeded(seed, make):
    """make(gold-like list, generator) of the first seed without a close choice."""
    for attempt in range(100):
        records = []
        try:
            make(lambda *record: records.append(record), rng(seed + 1000 * attempt))
            return records
        except Close:
            pass
    raise AssertionError(f"seed {seed}: every choice is close")


def number(text):
    x = float(text)
    return int(x) if x == int(x) else x


def settings(text):
    kind, *pairs = text.split()
    s = dict(DEFAULTS, kind=kind)
    if kind == "lfq":
        s["beta"] = 0
    for key, value in (p.split("=") for p in pairs):
        s[key] = value if isinstance(DEFAULTS[key], str) else number(value)
    return s


def unit(x):
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)


def scores(z, c, metric):
    if metric == "cosine":
        return unit(z) @ unit(c).T
    return -(z[:, None] - c[None]).square().sum(2)


def best(s):
    if s.shape[1] > 1:
        top = s.topk(2, dim=1).values
        if (top[:, 0] - top[:, 1]).min() < LEAST:
            raise Close
    return s.argmax(1)


def half_means(s, z, q, to_z, to_q):
    return to_z * (z - q.detach()).square().mean() \
        + to_q * (z.detach() - q).square().mean()


class Book:
    """vq, ema, cvq: K codes in a table."""

    def __init__(self, s, name, d, g, add, scale):
        self.s, self.name = s, name
        kind = "buffer" if s["kind"] == "ema" else "parameter"
        self.c = add(f"{name}.embedding.weight", draw(g, s["codes"], d, scale=scale),
                     kind)

    def prepare(self, z):
        return unit(z) if self.s["metric"] == "unit" else z

    def quantise(self, z):
        s = self.s
        c = self.prepare(self.c)
        index = best(scores(z.detach(), c.detach(), s["metric"]))
        q = c[index]
        one = 0 if s["kind"] == "ema" else 1
        weights = (1, s["beta"]) if s["legacy"] else (s["beta"], one)
        return q, half_means(s, z, q, *weights), index


class SimVQ(Book):
    def __init__(self, s, name, d, g, add, scale):
        self.s, self.name = s, name
        wide = s["basis_dim"] or d
        self.b = add(f"{name}.embedding.weight", draw(g, s["codes"], wide, scale=scale),
                     "parameter" if s["train_basis"] else "buffer")
        self.w = add(f"{name}.embedding_proj.weight",
                     draw(g, d, wide, scale=wide ** -0.5), "parameter")
        self.bias = add(f"{name}.embedding_proj.bias", draw(g, d, scale=0.2),
                        "parameter") if s["bias"] else 0

    @property
    def c(self):
        return self.b @ self.w.T + self.bias


class FSQ:
    def __init__(self, s, *_):
        self.levels = torch.tensor([int(x) for x in s["levels"].split(",")])

    def prepare(self, z):
        return z

    def quantise(self, z):
        size = self.levels
        half = size // 2
        h = (size - 1) * (1 + 1e-3) / 2
        o = torch.where(size % 2 == 0, 0.5, 0.0)
        y = torch.tanh(z + torch.atanh(o / h)) * h - o
        if (y - y.floor() - 0.5).abs().min() < LEAST:
            raise Close
        u = y.detach().round()
        step = torch.cat([torch.ones(1, dtype=torch.int64), size.cumprod(0)[:-1]])
        return (y + (u - y.detach())) / half, None, ((u + half) * step).sum(1).long()


class LFQ:
    def __init__(self, s, *_):
        self.s = s
        self.scale = s["bits"] ** -0.5 if s["spherical"] else s["scale"]

    def prepare(self, z):
        return unit(z) if self.s["spherical"] else z

    def quantise(self, z):
        s = self.s
        if z.abs().min() < LEAST:
            raise Close
        bit = (z.detach() > 0).long()
        q = self.scale * (2.0 * bit - 1)
        index = (bit * 2 ** torch.arange(z.shape[1] - 1, -1, -1)).sum(1)
        loss = s["beta"] * (z - q).square().mean()
        loss = loss + s["entropy"] * bit_entropy_of(z, self.scale, s["tau"], s["gamma"],
                                                    s["group"]).sum()
        return q, loss if s["beta"] or s["entropy"] else None, index


KINDS = dict(vq=Book, ema=Book, cvq=Book, simvq=SimVQ, fsq=FSQ, lfq=LFQ)


class Quantiser:
    def __init__(self, text, d, g):
        s = self.s = settings(text)
        self.tensors, self.role = {}, {}
        each = {"fsq": s["levels"].count(",") + 1, "lfq": s["bits"]}.get(s["kind"], 0)
        inner = s["dim"] or each * s["groups"] or d
        self.project = inner != d or s["dim"]
        if self.project:
            for name, a, b in (("in", d, inner), ("out", inner, d)):
                self.add(f"q.project_{name}.weight", draw(g, b, a, scale=a ** -0.5),
                         "parameter")
                self.add(f"q.project_{name}.bias", draw(g, b, scale=0.1), "parameter")
        self.part = []
        for i in range(s["groups"]):
            for j in range(s["stages"]):
                if self.part and s["share"]:
                    self.part.append(self.part[0])
                    continue
                name = "q" if s["share"] or s["groups"] * s["stages"] == 1 \
                    else f"q.{i}.{j}" if s["groups"] > 1 and s["stages"] > 1 \
                    else f"q.{i + j}"
                self.part.append(KINDS[s["kind"]](s, name, inner // s["groups"], g,
                                                  self.add, 0.6 ** j))

    def add(self, name, x, role):
        self.tensors[name], self.role[name] = x.requires_grad_(role == "parameter"), role
        return x

    def linear(self, name, x):
        if not self.project:
            return x
        return x @ self.tensors[f"q.project_{name}.weight"].T \
            + self.tensors[f"q.project_{name}.bias"]

    def __call__(self, z):
        """q, loss (None: there is none), [(rows, index) of each part]."""
        s, found, qs, total = self.s, [], [], None
        slices = self.linear("in", z).chunk(s["groups"], dim=1)
        for i, x in enumerate(slices):
            parts = self.part[i * s["stages"]:(i + 1) * s["stages"]]
            x = rest = parts[0].prepare(x)
            q = 0
            for j, part in enumerate(parts):
                one, loss, index = part.quantise(rest)
                found.append((rest.detach(), index))
                q = q + (one.detach() if j else one)
                if loss is not None:
                    total = loss if total is None else total + loss
                rest = rest - one.detach()
            if s["kind"] == "fsq":              # its own gradient, of its first stage
                qs.append(q)
            elif s["transport"] == "rotation":
                y = rotated(x, q.detach())
                qs.append(y + (q - y).detach())
            else:
                qs.append(x + (q - x).detach())
        q = self.linear("out", torch.cat(qs, dim=1))
        if total is not None:
            total = total * s["weight"] / s["groups"]
        return q, None if not s["weight"] else total, found


# --- one evaluation --------------------------------------------------------------------

def once():
    books = ["vq", "ema", "cvq", "simvq"]
    for kind in books:
        for n, k, d in SIZES:
            yield n, d, f"{kind} codes={k}"
    switches = ["beta=1.5 weight=3", "metric=cosine", "metric=unit", "transport=rotation",
                "stages=4", "groups=2", "groups=2 stages=3", "stages=3 share=1",
                "groups=2 share=1", "dim=4", "dim=6 groups=2 stages=2 metric=cosine",
                "groups=2 metric=unit transport=rotation", "weight=0",
                "stages=3 transport=rotation beta=0"]
    for i, more in enumerate(switches):
        for kind in ("vq", "simvq") if i < 4 or i == 6 else (books[i % 4],):
            yield 40, 8, f"{kind} codes=16 {more}"
    yield 40, 8, "ema codes=16 metric=unit"
    yield 40, 8, "cvq codes=16 metric=cosine stages=2"
    for kind in ("vq", "simvq"):
        yield 12, 3, f"{kind} codes=5 legacy=1 beta=0.25"
    for more in ("bias=0", "train_basis=1", "basis_dim=3", "basis_dim=11 train_basis=1",
                 "train_basis=1 bias=0 metric=unit", "stages=2 train_basis=1 share=1"):
        yield 40, 8, f"simvq codes=16 {more}"
    yield 5, 1, "vq codes=3"
    yield 5, 4, "vq codes=1"
    for levels, d, more in (("8,6,5", 3, ""), ("3", 1, ""), ("7,5,5,5,5", 5, ""),
                            ("8,5,5,5", 6, "weight=2"), ("5,4", 4, "groups=2"),
                            ("8,8,8", 8, "dim=3"), ("5,5,4", 3, "stages=2")):
        yield 40, d, f"fsq levels={levels} {more}"
    #                 d  settings: tau small where rows are rounded before the logits
    for d, more in ((3, ""), (9, "scale=0.5 beta=0.25"), (6, "entropy=0 beta=1"),
                    (6, "entropy=0"), (7, "group=3 tau=2 gamma=0.5 weight=2"),
                    (8, "spherical=1 tau=3"), (4, "stages=3 tau=1 scale=0.7"),
                    (8, "groups=2 bits=4 tau=1 transport=rotation")):
        more = more if "bits" in more else f"bits={d} {more}"
        yield 40, d, f"lfq {more}"
    yield 40, 8, "lfq bits=5 tau=1 beta=0.5"    # not its columns: projected


def name_texts(gold, name, text):
    gold.put(f"{name}/text", [float(ord(c)) for c in " ".join(text.split())])


def evaluate(text, n, d, name, put, g):
    u, z = Quantiser(text, d, g), draw(g, n, d)
    w = torch.randn(n, d, generator=g).float().double()
    q, loss, found = u(z)
    leaves = {k: x for k, x in u.tensors.items() if u.role[k] == "parameter"}
    grads = torch.autograd.grad((q * w).sum() + (0 if loss is None else loss),
                                [z, *leaves.values()], allow_unused=True)
    for key, x in (("z", z), ("w", w), ("q", q), ("dz", grads[0])):
        put(f"{name}/{key}", x)
    put(f"{name}/index", torch.stack([at for _, at in found]))
    if loss is not None:
        put(f"{name}/loss", loss)
    for k, x in u.tensors.items():
        put(f"{name}/p/{k}", x)
    for k, dx in zip(leaves, grads[1:]):
        if dx is not None:
            put(f"{name}/d/{k}", dx)


def put_text(gold, name, text):
    gold.put(f"{name}/text", [float(ord(c)) for c in " ".join(text.split())])


def evaluations(gold):
    for i, (n, d, text) in enumerate(once()):
        name = f"once/{i}"
        put_text(gold, name, text)
        for record in seeded(i, lambda put, g: evaluate(text, n, d, name, put, g)):
            gold.put(*record)


# --- five steps ------------------------------------------------------------------------

def ema_start(u, n):
    for p in dict.fromkeys(u.part):
        p.c.copy_(p.prepare(p.c))
        p.count = u.add(f"{p.name}.cluster_size",
                        torch.full_like(p.c[:, 0], n / len(p.c)), "buffer")
        p.sum = u.add(f"{p.name}.embed_avg", p.count[:, None] * p.c, "buffer")


def hits(part, index):
    return torch.bincount(index, minlength=len(part.c)).double()


def ema_step(part, z, index, t):
    s, c = part.s, hits(part, index)
    sums = torch.zeros_like(part.sum).index_add(0, index, z)
    part.count.copy_(s["decay"] * part.count + (1 - s["decay"]) * c)
    part.sum.copy_(s["decay"] * part.sum + (1 - s["decay"]) * sums)
    total = part.count.sum()
    smooth = (part.count + s["eps"]) / (total + len(c) * s["eps"]) * total
    new = part.sum / smooth[:, None]
    if s["metric"] == "unit":
        new = unit(new)
    # M and N of a code without rows shrink alike; only eps would move it (spec 4e).
    idle = c == 0
    assert s["decay"] == 0 or s["eps"] > 1e-5 or \
        (new - part.c)[idle].abs().sum() < 100 * s["eps"] * part.c.abs().sum()
    part.c.copy_(torch.where(idle[:, None], part.c, new))


def cvq_start(u, n):
    for p in dict.fromkeys(u.part):
        p.usage = u.add(f"{p.name}.embed_prob", torch.zeros(len(p.c)), "buffer")


def cvq_step(part, z, index, t):
    s, k = part.s, len(part.c)
    part.usage.copy_(s["decay"] * part.usage
                     + (1 - s["decay"]) * hits(part, index) / len(z))
    if t and s["first_batch"]:
        return
    a = torch.exp(-(part.usage * k * 10) / (1 - s["decay"]) - 1e-3)[:, None]
    metric = "cosine" if s["metric"] == "unit" else s["metric"]
    anchor = z[best(scores(part.c, z, metric))]
    part.c.copy_((1 - a) * part.c + a * anchor)


STATE = dict(ema=(ema_start, ema_step), cvq=(cvq_start, cvq_step))


def trained():
    for kind in ("ema", "cvq"):
        for n, k, d in SIZES:               # cvq's dead codes meet at one row
            yield n, d, f"{kind} codes={k if kind == 'ema' else min(k, n // 3)}"
    for more in ("decay=0.8 eps=0.1", "decay=0", "metric=cosine", "metric=unit",
                 "stages=3", "groups=2 decay=0.5", "stages=2 share=1"):
        yield 40, 8, f"ema codes=16 {more}"
    for more in ("metric=cosine", "metric=unit", "decay=0.5", "stages=2 metric=cosine",
                 "first_batch=1"):
        yield 40, 8, f"cvq codes=16 {more}"
    yield 40, 8, "vq codes=16"
    yield 40, 8, "simvq codes=16 train_basis=1"


def settle(u, t, n, step, found):
    mine = {}
    for part, one in zip(u.part, found):
        mine.setdefault(part, []).append(one)
    for part, all_rows in mine.items():
        rows, index = (torch.cat(x) for x in zip(*all_rows))
        step(part, rows, index, t)


def train(text, n, d, name, put, g):
    u = Quantiser(text, d, g)
    start, step = STATE.get(u.s["kind"], (None, None))
    for k, x in u.tensors.items():
        put(f"{name}/p/{k}", x.clone())
    if start:
        start(u, n * (len(u.part) if u.s["share"] else 1))
    for t in range(5):
        z = draw(g, n, d)
        put(f"{name}/{t}/z", z)
        _, loss, found = u(z)
        leaves = [x for k, x in u.tensors.items() if u.role[k] == "parameter"]
        grads = torch.autograd.grad(loss, leaves) if leaves else []
        with torch.no_grad():
            if step:
                settle(u, t, n, step, found)
            for x, dx in zip(leaves, grads):
                x -= LR * dx
            for k, x in u.tensors.items():
                put(f"{name}/{t}/{k}", x.clone())


def training(gold):
    for i, (n, d, text) in enumerate(trained()):
        name = f"steps/{i}"
        put_text(gold, name, text)
        for record in seeded(500 + i, lambda put, g: train(text, n, d, name, put, g)):
            gold.put(*record)


if __name__ == "__main__":
    file = Gold("quant.gold")
    evaluations(file)
    training(file)
    file.write(sys.argv[1] if len(sys.argv) > 1 else HERE)
