#!/usr/bin/env python3
"""Makes the golden files of tests/test_golden.c and tests/test_optim.c.

    python3 tests/golden/make_golden.py [FOLDER]        (default: this file's folder)

Needs PyTorch and NumPy (made with PyTorch 2.13 on a CPU, NumPy 2); the tests need
neither.  Every input is a float32 number, every result is worked out in float64 and
rounded once at the end, so what a comparison shows is the error of our side alone.

A golden file is a list of records behind one line of greeting:

    fullrank golden 1\n
    NAME DIM DIM ...\n          no DIM: a scalar
    little-endian float32 numbers, row-major, as many as the product of the DIMs
    NAME = OTHER\n             the same shape and numbers as an earlier record

Layouts are ours: images (n, h, w, c), convolution weights (cout, kh, kw, cin).
"""
import math
import os
import sys
import zlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

HERE = os.path.dirname(os.path.abspath(__file__))


class Gold:
    """One golden file."""

    def __init__(self, name):
        self.name, self.body, self.names, self.seen = name, [], set(), {}

    def put(self, name, value):
        if isinstance(value, torch.Tensor):
            value = value.detach().numpy()
        a = np.array(value, dtype="<f4", order="C")     # keeps a scalar's rank
        assert name not in self.names and " " not in name, name
        assert np.isfinite(a).all(), name
        self.names.add(name)
        first = self.seen.setdefault((a.shape, a.tobytes()), name)
        if first != name and a.size > 4:
            self.body.append(f"{name} = {first}\n".encode())
            return
        head = " ".join([name] + [str(d) for d in a.shape])
        self.body += [head.encode() + b"\n", a.tobytes()]

    def write(self, folder):
        data = b"fullrank golden 1\n" + b"".join(self.body)
        with open(os.path.join(folder, self.name), "wb") as f:
            f.write(data)
        print(f"{self.name}: {len(self.names)} records, {len(data)} bytes")


def rng(seed):
    g = torch.Generator()
    g.manual_seed(seed)
    return g


def draw(g, *shape, scale=1.0, shift=0.0):
    """Normal numbers that float32 holds exactly, as a float64 leaf."""
    x = torch.randn(*shape, generator=g) * scale + shift
    return x.float().double().requires_grad_(True)


def nhwc(x):
    """(n, c, h, w) -> (n, h, w, c), and (cout, cin, kh, kw) -> (cout, kh, kw, cin)."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def case(gold, name, ins, y, g, outs=()):
    """Records inputs, value, an upstream gradient and what it makes of the inputs.

    ins: pairs of a name and a leaf, or a leaf's stand-in that gets no gradient."""
    dy = torch.randn(y.shape, generator=g).float().double()
    leaves = [(k, v) for k, v in ins if v.requires_grad]
    grads = torch.autograd.grad((y * dy).sum(), [v for _, v in leaves])
    for k, v in ins:
        gold.put(f"{name}/{k}", nhwc(v))
    gold.put(f"{name}/y", nhwc(y))
    gold.put(f"{name}/dy", nhwc(dy))
    for (k, _), d in zip(leaves, grads):
        gold.put(f"{name}/d{k}", nhwc(d))
    for k, v in outs:
        gold.put(f"{name}/{k}", v)


# --- operators -------------------------------------------------------------------------

def conv2d(gold):
    #   n  h  w  cin cout size stride pad bias
    cases = [
        (2, 8, 8, 3, 5, 3, 1, 1, 0),
        (2, 9, 7, 1, 4, 3, 2, 1, 1),            # odd sizes, grey
        (3, 6, 5, 8, 16, 1, 2, 0, 0),           # a residual block's short cut
        (2, 11, 11, 3, 8, 7, 2, 3, 1),          # the large stem
        (1, 5, 6, 4, 3, 5, 1, 0, 1),            # no padding
        (2, 7, 9, 17, 18, 3, 1, 1, 0),          # channels that fill no tile
        (2, 12, 12, 16, 32, 3, 2, 1, 0),        # channels that fill tiles, even size
    ]
    g = rng(101)
    for i, (n, h, w, cin, cout, size, stride, pad, bias) in enumerate(cases):
        x = draw(g, n, cin, h, w)
        k = draw(g, cout, cin, size, size, scale=1 / math.sqrt(cin * size * size))
        b = draw(g, cout) if bias else None
        ins = [("x", x), ("weight", k)] + ([("bias", b)] if bias else [])
        y = F.conv2d(x, k, b, stride=stride, padding=pad)
        case(gold, f"conv2d/{i}", ins, y, g)
        gold.put(f"conv2d/{i}/set", [stride, pad, bias])


def linear(gold):
    g = rng(102)
    cases = [(5, 7, 3, 1), (16, 32, 24, 0), (1, 33, 17, 1), (9, 1, 10, 1)]
    for i, (n, cin, cout, bias) in enumerate(cases):
        x, k = draw(g, n, cin), draw(g, cout, cin)
        b = draw(g, cout) if bias else None
        ins = [("x", x), ("weight", k)] + ([("bias", b)] if bias else [])
        case(gold, f"linear/{i}", ins, F.linear(x, k, b), g)
        gold.put(f"linear/{i}/set", [bias])


def batchnorm(gold):
    """Two passes in training mode, so that running statistics are seen to accumulate,
    then one in evaluation mode.  Channel 0 has a spread of the order of sqrt(eps), where
    eps shows, and channel 1 lies far from zero.

    The two forms are one operator for us: rows are the images or the pixels."""
    #   shape          affine relu residual
    cases = [
        ((6, 5), 1, 0, 0),
        ((7, 4), 0, 0, 0),
        ((8, 3), 1, 1, 0),
        ((3, 4, 5, 4), 1, 0, 0),                # n, c, h, w
        ((2, 6, 3, 4), 0, 1, 0),
        ((3, 8, 5, 5), 1, 1, 1),
        ((3, 6, 10, 10), 1, 1, 1),              # more than one chunk of rows
    ]
    g = rng(103)
    for i, (shape, affine, relu, residual) in enumerate(cases):
        c = shape[1]
        form = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
        bn = form(c, affine=bool(affine))
        scale, shift = torch.ones(c), torch.zeros(c)
        scale[0], shift[1] = 0.004, 8.0
        view = (1, c) + (1,) * (len(shape) - 2)

        def images():
            x = torch.randn(shape, generator=g) * scale.view(view) + shift.view(view)
            return x.float().double().requires_grad_(True)

        gamma = draw(g, c, scale=0.5, shift=1.0)
        beta = draw(g, c, scale=0.5)
        if affine:
            bn.weight, bn.bias = nn.Parameter(gamma), nn.Parameter(beta)
        with torch.no_grad():
            bn.running_mean.copy_(draw(g, c, scale=0.3))
            bn.running_var.copy_(draw(g, c, scale=0.1, shift=1.0))
        name = f"batchnorm/{i}"
        gold.put(f"{name}/set", [affine, relu, residual])
        gold.put(f"{name}/mean", bn.running_mean)
        gold.put(f"{name}/var", bn.running_var)
        for part in ("first", "second", "eval"):
            bn.train(part != "eval")
            x = images()
            r = draw(g, *shape) if residual else None
            y = bn(x)
            if residual:
                y = y + r
            if relu:
                y = torch.relu(y)
            ins = [("x", x)]
            if affine:
                ins += [("gamma", bn.weight), ("beta", bn.bias)]
            if residual:
                ins += [("residual", r)]
            case(gold, f"{name}/{part}", ins, y, g,
                 [("mean", bn.running_mean), ("var", bn.running_var)])


def elementwise(gold):
    g = rng(104)
    x, z = draw(g, 5, 7), draw(g, 5, 7)
    case(gold, "relu/0", [("x", x)], torch.relu(x), g)
    case(gold, "add/0", [("a", x), ("b", z)], x + z, g)
    case(gold, "scale/0", [("x", x)], -1.75 * x, g)
    case(gold, "axpy/0", [("x", x), ("y0", z)], 0.375 * x + z, g)
    # the same node on both sides: the gradient is the sum of both ways
    case(gold, "add/1", [("a", x)], x + x, g)
    # one way is closed: only the open one carries a gradient
    case(gold, "stopgrad/0", [("x", x)], x * 1.0 + x.detach(), g)


def pool(gold):
    """Padding: minus infinity for the maximum; for the average zeros that are counted,
    so the divisor is always size * size (PyTorch's default, count_include_pad=True).
    The last window may hang over the edge of the padding nowhere (ceil_mode=False)."""
    #   n  c  h  w  size stride pad
    cases = [(2, 3, 6, 6, 2, 2, 0), (2, 4, 7, 9, 3, 2, 1), (1, 5, 5, 6, 3, 1, 1),
             (2, 17, 8, 8, 3, 3, 0)]
    g = rng(105)
    for i, (n, c, h, w, size, stride, pad) in enumerate(cases):
        for kind, op in (("maxpool", F.max_pool2d), ("avgpool", F.avg_pool2d)):
            x = draw(g, n, c, h, w)
            case(gold, f"{kind}/{i}", [("x", x)], op(x, size, stride, pad), g)
            gold.put(f"{kind}/{i}/set", [size, stride, pad])
    x = draw(g, 3, 6, 4, 5)
    case(gold, "globalpool/0", [("x", x)], x.mean(dim=(2, 3)), g)


def similarity(gold):
    """Rows below eps: the length counts as eps and as constant, both in F.normalize and
    in cosine_similarity.  The last row of case 1 is such a row."""
    g = rng(106)
    x, z = draw(g, 6, 9), draw(g, 6, 9)
    case(gold, "unitrow/0", [("x", x)], F.normalize(x, dim=1, eps=1e-12), g)
    gold.put("unitrow/0/set", [1e-12])
    case(gold, "cosine/0", [("a", x), ("b", z)], F.cosine_similarity(x, z, eps=1e-8), g)
    gold.put("cosine/0/set", [1e-8])
    with torch.no_grad():
        x[5] *= 0.01 / x[5].norm()
        x.copy_(x.float().double())
    case(gold, "unitrow/1", [("x", x)], F.normalize(x, dim=1, eps=0.125), g)
    gold.put("unitrow/1/set", [0.125])
    # a row and its double, a row and its negative: cosines of 1 and -1
    with torch.no_grad():
        z[0], z[1] = 2 * x[0], -x[1]
    case(gold, "cosine/1", [("a", x), ("b", z)], F.cosine_similarity(x, z, eps=1e-8), g)
    gold.put("cosine/1/set", [1e-8])


def losses(gold):
    g = rng(107)
    a, b = draw(g, 5, 8), draw(g, 5, 8)
    case(gold, "mse/0", [("a", a), ("b", b)], F.mse_loss(a, b).view(1), g)
    case(gold, "mean/0", [("x", a)], a.mean().view(1), g)
    logits = draw(g, 7, 10, scale=3.0)
    label = torch.tensor([0, 9, 3, 3, 5, 1, 0])
    case(gold, "softmax_xent/0", [("logits", logits)],
         F.cross_entropy(logits, label).view(1), g, [("label", label)])
    big = draw(g, 3, 4, scale=40.0)     # exp would overflow without the row maximum
    with torch.no_grad():
        big[1, 2] += 120
    lab = torch.tensor([2, 0, 1])
    case(gold, "softmax_xent/1", [("logits", big)], F.cross_entropy(big, lab).view(1), g,
         [("label", lab)])
    p, z = draw(g, 6, 11, scale=2.0), draw(g, 6, 11, scale=2.0)
    soft = -(F.softmax(z, 1) * F.log_softmax(p, 1)).sum(1).mean()
    case(gold, "soft_xent/0", [("p", p), ("z", z)], soft.view(1), g)


def shapes(gold):
    g = rng(108)
    a, b, c = draw(g, 2, 4), draw(g, 3, 4), draw(g, 1, 4)
    case(gold, "concat/0", [("a", a), ("b", b), ("c", c)], torch.cat([a, b, c], 0), g)
    a, b, c = draw(g, 3, 4), draw(g, 3, 1), draw(g, 3, 6)
    case(gold, "concat_cols/0", [("a", a), ("b", b), ("c", c)],
         torch.cat([a, b, c], 1), g)
    x = draw(g, 2, 3, 4, 5)                     # (n, c, h, w); ours is (n, h, w, c)
    case(gold, "reshape/0", [("x", x)], x.permute(0, 2, 3, 1).reshape(8, 15), g)
    x = draw(g, 5, 9)
    case(gold, "slice_cols/0", [("x", x)], x[:, 3:7], g)


# --- one step of SimSiam ---------------------------------------------------------------

class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False),
                                            nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet8(nn.Module):
    """Stem 3x3, three stages of one basic block, global average (He et al. 2016, the
    CIFAR form with n = 1)."""

    def __init__(self, cin, width):
        super().__init__()
        w = [max(1, round(c * width)) for c in (16, 32, 64)]
        self.conv1 = nn.Conv2d(cin, w[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w[0])
        self.layer1 = nn.Sequential(Block(w[0], w[0], 1))
        self.layer2 = nn.Sequential(Block(w[0], w[1], 2))
        self.layer3 = nn.Sequential(Block(w[1], w[2], 2))
        self.out = w[2]

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3))


def head(dims, hidden_bn, out_bn, affine_out):
    """Linear (BN) ReLU ... Linear (BN).  A layer has a bias where no BN follows."""
    parts = []
    for i, (cin, cout) in enumerate(zip(dims, dims[1:])):
        last = i + 2 == len(dims)
        bn = out_bn if last else hidden_bn
        parts.append(nn.Linear(cin, cout, bias=not bn))
        if bn:
            parts.append(nn.BatchNorm1d(cout, affine=affine_out if last else True))
        if not last:
            parts.append(nn.ReLU())
    return nn.Sequential(*parts)


class SimSiam(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.o = o
        self.backbone = ResNet8(o["channels"], o["width"])
        r, d, layers = self.backbone.out, o["d"], o["layers"]
        self.projector = head([r] + [d] * layers, o["proj_bn"] != "none",
                              o["proj_bn"] == "output", o["affine"])
        if o["predictor"] != "none":
            self.predictor = head([d, o["hidden"], d], o["pred_bn"] != "none",
                                  o["pred_bn"] == "output", True)

    def similarity(self, p, z):
        if self.o["stop_gradient"]:
            z = z.detach()
        if self.o["similarity"] == "cosine":
            return -F.cosine_similarity(p, z, dim=1, eps=1e-8).mean()
        return -(F.softmax(z, 1) * F.log_softmax(p, 1)).sum(1).mean()

    def forward(self, x1, x2):
        z1 = self.projector(self.backbone(x1))
        z2 = self.projector(self.backbone(x2))
        q = self.predictor if self.o["predictor"] != "none" else (lambda z: z)
        if not self.o["symmetric"]:
            return self.similarity(q(z1), z2)
        p1, p2 = q(z1), q(z2)
        return (self.similarity(p1, z2) + self.similarity(p2, z1)) / 2


BASE = dict(h=12, w=12, channels=3, batch=8, width=0.25, d=12, layers=2, hidden=5,
            proj_bn="output", affine=False, predictor="mlp", pred_bn="hidden",
            stop_gradient=True, symmetric=True, similarity="cosine", views=202)

VARIANTS = {
    "default": dict(width=0.5, d=20, layers=3, hidden=8),
    "hidden": dict(proj_bn="hidden"),
    "hidden_open": dict(proj_bn="hidden", stop_gradient=False),
    "open": dict(stop_gradient=False),
    "alone": dict(predictor="none"),
    "alone_open": dict(predictor="none", stop_gradient=False),
    "oneway": dict(symmetric=False),
    "affine": dict(affine=True, pred_bn="output"),
    "bare": dict(proj_bn="none", pred_bn="none"),
    "cross_entropy": dict(similarity="cross_entropy"),
    "grey": dict(channels=1, h=14, w=10, layers=3, views=201),
    "fixed": dict(predictor="fixed"),
}

LRS, MOMENTUM, DECAY = (0.05, 0.04, 0.02), 0.9, 0.01


def plain(name):
    """Our name of a tensor: the backbone has no prefix."""
    return name.removeprefix("backbone.")


def fill(net, seed):
    """Weights of the usual size, a function of the name; gamma and beta off their
    starting point, so that a mistake in them shows; running statistics at their start."""
    with torch.no_grad():
        for name, p in net.named_parameters():
            g = rng(seed + zlib.crc32(name.encode()))
            if p.dim() > 1:
                fan_in = p[0].numel()
                bound = math.sqrt(3 / fan_in)
                p.copy_((torch.rand(p.shape, generator=g) * 2 - 1) * bound)
            elif name.endswith("weight"):
                p.copy_(torch.rand(p.shape, generator=g) * 0.5 + 0.75)
            else:
                p.copy_((torch.rand(p.shape, generator=g) - 0.5) * 0.4)
            p.copy_(p.float().double())


def train(net, o, x1, x2, steps):
    """Loss and gradients of the first step, statistics after it, weights after all."""
    weights = [p for n, p in net.named_parameters()
               if not (o["predictor"] == "fixed" and n.startswith("predictor"))]
    ahead = {id(p) for n, p in net.named_parameters() if n.startswith("predictor")}
    velocity = [torch.zeros_like(p) for p in weights]
    first = None
    for lr in steps:
        loss = net(x1, x2)
        grads = torch.autograd.grad(loss, weights)
        if first is None:
            names = {id(p): n for n, p in net.named_parameters()}
            first = dict(loss=loss.detach(),
                         grad={plain(names[id(p)]): g for p, g in zip(weights, grads)},
                         stat={plain(n): b.clone() for n, b in net.named_buffers()
                               if not n.endswith("num_batches_tracked")})
        with torch.no_grad():
            for p, g, v in zip(weights, grads, velocity):
                v.mul_(MOMENTUM).add_(g + DECAY * p)
                p.sub_((steps[0] if id(p) in ahead else lr) * v)
    return first


def gap(a, b):
    """Largest difference over largest value.  A gradient that is zero by theory (a bias
    whose shift the next BN removes) leaves only rounding on both sides: no gap."""
    size = b.double().abs().max().item()
    return (a.double() - b.double()).abs().max().item() / size if size > 1e-12 else 0.0


def simsiam(gold):
    gold.put("lr", LRS)
    gold.put("momentum", MOMENTUM)
    gold.put("decay", DECAY)
    worst = 0.0
    for name, change in VARIANTS.items():
        o = dict(BASE, **change)
        g = rng(o["views"])
        views = [torch.randn(o["batch"], o["channels"], o["h"], o["w"],
                             generator=g).float().double() for _ in range(2)]
        # the second view is a noisy copy of the first, as two crops of an image would be
        views[1] = (views[0] * 0.8 + views[1] * 0.6).float().double()
        seed = 300
        net = SimSiam(o)
        fill(net, seed)
        start = {plain(n): p.detach().clone() for n, p in net.named_parameters()}
        got = train(net, o, *views, LRS)

        # The same in float32.  It has to agree better than the test asks for (1e-4), else
        # this problem sits on a kink (a ReLU at zero) and says nothing: take other views.
        single = SimSiam(o)
        fill(single, seed)
        single.float()
        low = train(single, o, *[v.float() for v in views], LRS)
        gaps = [gap(low["grad"][n], got["grad"][n]) for n in got["grad"]]
        gaps += [gap(p, q) for p, q in zip(single.parameters(), net.parameters())]
        worst = max(worst, *gaps)
        assert max(gaps) < 3e-5, (name, max(gaps))

        gold.put(f"{name}/x1", nhwc(views[0]))
        gold.put(f"{name}/x2", nhwc(views[1]))
        gold.put(f"{name}/loss", got["loss"])
        for n, w in start.items():
            gold.put(f"{name}/weight/{n}", nhwc(w))
        for n, d in got["grad"].items():
            gold.put(f"{name}/grad/{n}", nhwc(d))
        for n, s in got["stat"].items():
            gold.put(f"{name}/stat/{n}", s)
        for n, p in net.named_parameters():
            gold.put(f"{name}/after/{plain(n)}", nhwc(p))
    print(f"simsiam: float32 against float64, worst tensor: {worst:.1e}")


# --- optimisers ------------------------------------------------------------------------

TENSORS = {"matrix": (4, 6), "filter": (2, 3, 3, 2), "vector": (7,), "zero": (3, 2)}
STEPS = 5
RATES = (0.1, 0.1, 0.08, 0.05, 0.01)


def torch_run(gold, name, make):
    g = rng(400)
    ws = {k: draw(g, *s) for k, s in TENSORS.items()}
    opt = make(list(ws.values()))
    for k, w in ws.items():
        gold.put(f"{name}/{k}/start", w)
    for t in range(STEPS):
        for k, w in ws.items():
            w.grad = draw(g, *w.shape, scale=0.5).detach()
            gold.put(f"{name}/{k}/grad{t}", w.grad)
        for group in opt.param_groups:
            group["lr"] = RATES[t]
        opt.step()
        for k, w in ws.items():
            gold.put(f"{name}/{k}/after{t}", w)


def lars_run(gold, name, decay, eta, form, clip=False, momentum=0.9):
    """The formulas of the paper's two descendants, tensor by tensor, in NumPy."""
    r = np.random.default_rng(401)

    def numbers(shape, scale):
        return (r.standard_normal(shape) * scale).astype("f4").astype("f8")

    ws = {k: numbers(s, 1) for k, s in TENSORS.items()}
    ws["zero"] *= 0                             # |w| = 0 at the first step
    vs = {k: np.zeros(s) for k, s in TENSORS.items()}
    for k, w in ws.items():
        gold.put(f"{name}/{k}/start", w)
    for t in range(STEPS):
        lr = RATES[t]
        for k, w in ws.items():
            g = numbers(w.shape, 0.5)
            if k == "filter" and t == 1:
                g *= 0                          # |g| = 0 once
            if k == "matrix" and t == 3:
                g *= 1e-3                       # a small gradient: the clip bites
            gold.put(f"{name}/{k}/grad{t}", g)
            nw = np.sqrt((w * w).sum())
            if w.ndim > 1 and form == "official":
                g = g + decay * w
                ng = np.sqrt((g * g).sum())
                if nw > 0 and ng > 0:
                    g = g * (eta * nw / ng)
            elif w.ndim > 1:
                ng = np.sqrt((g * g).sum())
                if nw > 0 and ng > 0:
                    trust = eta * nw / (ng + decay * nw + 1e-8)
                    if clip:
                        trust = min(trust / lr, 1)
                    g = trust * (g + decay * w)
            vs[k] = momentum * vs[k] + g
            ws[k] = w - lr * vs[k]
            gold.put(f"{name}/{k}/after{t}", ws[k])


def schedules(gold):
    """Closed forms over runs of 12 epochs of 7 steps."""
    epochs, steps = 12, 7
    total = epochs * steps
    simsiam_lr = [0.3 * 0.5 * (1 + math.cos(math.pi * (s // steps) / epochs))
                  for s in range(total)]
    warm = 3 * steps
    vicreg_lr = []
    for s in range(total):
        if s < warm:
            vicreg_lr.append(1.6 * s / warm)
        else:
            q = 0.5 * (1 + math.cos(math.pi * (s - warm) / (total - warm)))
            vicreg_lr.append(1.6 * q + 1.6 * 0.001 * (1 - q))
    gold.put("schedule/simsiam", simsiam_lr)
    gold.put("schedule/vicreg", vicreg_lr)


def optimisers(gold):
    gold.put("rates", RATES)
    sgd = torch.optim.SGD
    torch_run(gold, "sgd", lambda p: sgd(p, lr=1, momentum=0.9, weight_decay=0.05))
    torch_run(gold, "sgd_plain", lambda p: sgd(p, lr=1))
    torch_run(gold, "sgd_rank1", lambda p: sgd(
        [dict(params=[w for w in p if w.dim() > 1], weight_decay=0.05),
         dict(params=[w for w in p if w.dim() == 1], weight_decay=0)],
        lr=1, momentum=0.9))
    adamw = torch.optim.AdamW
    torch_run(gold, "adamw", lambda p: adamw(p, betas=(0.9, 0.95), weight_decay=0.05))
    torch_run(gold, "adamw_eps", lambda p: adamw(p, betas=(0.8, 0.99), eps=0.1,
                                                 weight_decay=0))
    lars_run(gold, "lars", 0.05, 0.02, "official")
    lars_run(gold, "lars_raw", 0.0, 0.001, "official")
    lars_run(gold, "lars_clip", 0.05, 0.02, "solo", clip=True)
    lars_run(gold, "lars_unclipped", 0.05, 0.02, "solo")
    schedules(gold)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else HERE
    ops = Gold("ops.gold")
    for make in (conv2d, linear, batchnorm, elementwise, pool, similarity, losses,
                 shapes):
        make(ops)
    ops.write(folder)
    for name, make in (("simsiam.gold", simsiam), ("optim.gold", optimisers)):
        gold = Gold(name)
        make(gold)
        gold.write(folder)


if __name__ == "__main__":
    main()
