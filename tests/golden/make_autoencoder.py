#!/usr/bin/env python3
"""Makes autoencoder.gold, the golden file of tests/test_autoencoder.c.

    python3 tests/golden/make_autoencoder.py [FOLDER]   (default: this file's folder)

Operators and whole networks by PyTorch (2.13), in float64.  Format and conventions are
those of make_golden.py; weights of transposed convolutions are (cin, kh, kw, cout).
"""
import math
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

from make_golden import HERE, Gold, case, draw, nhwc, rng


def conv_transpose(gold):
    #    n  h  w  cin cout size stride pad bias
    cases = [
        (2, 4, 4, 3, 16, 4, 2, 1, 1),           # doubles the sides
        (2, 5, 3, 16, 3, 4, 2, 1, 1),           # odd images, few channels out
        (1, 3, 7, 33, 1, 4, 2, 1, 1),           # channels that fill no tile
        (2, 3, 3, 1, 33, 3, 2, 1, 0),
        (2, 5, 4, 3, 16, 3, 1, 1, 1),
        (2, 7, 9, 16, 33, 3, 1, 1, 0),          # Winograd's tiles
        (1, 4, 5, 16, 16, 2, 2, 0, 1),          # stamps side by side
        (2, 3, 2, 3, 3, 1, 2, 0, 1),            # pixels that nothing reaches but the bias
        (1, 3, 4, 3, 16, 1, 1, 0, 0),
        (2, 4, 3, 1, 3, 2, 3, 0, 1),            # gaps between stamps
        (1, 3, 3, 3, 1, 4, 3, 2, 1),            # padding cuts half a stamp off
        (2, 2, 3, 16, 3, 3, 3, 0, 0),
        (1, 1, 1, 33, 16, 4, 1, 0, 1),          # one pixel
        (3, 1, 2, 1, 1, 2, 1, 0, 1),
    ]
    g = rng(501)
    for i, (n, h, w, cin, cout, size, stride, pad, bias) in enumerate(cases):
        x = draw(g, n, cin, h, w)
        k = draw(g, cin, cout, size, size, scale=1 / math.sqrt(cin * size * size))
        b = draw(g, cout) if bias else None
        ins = [("x", x), ("weight", k)] + ([("bias", b)] if bias else [])
        y = F.conv_transpose2d(x, k, b, stride=stride, padding=pad)
        case(gold, f"conv_transpose/{i}", ins, y, g)
        gold.put(f"conv_transpose/{i}/set", [stride, pad])


def upsample(gold):
    g = rng(502)
    cases = [(2, 3, 5, 3, 2), (1, 1, 1, 17, 3), (2, 4, 3, 1, 1), (1, 2, 3, 33, 2)]
    for i, (n, h, w, c, f) in enumerate(cases):
        x = draw(g, n, c, h, w)
        y = F.interpolate(x, scale_factor=f, mode="nearest")
        case(gold, f"upsample/{i}", [("x", x)], y, g)
        gold.put(f"upsample/{i}/set", [f])


def elementwise(gold):
    g = rng(503)
    x = draw(g, 40, 30, scale=2)
    case(gold, "gelu/0", [("x", x)], F.gelu(x), g)
    for i, (lo, hi) in enumerate([(-1.0, 1.0), (-0.25, 0.5), (0.5, 0.5)]):
        x = draw(g, 9, 30)
        with torch.no_grad():                   # at the ends the gradient still passes
            x[0, 0], x[0, 1] = lo, hi
        case(gold, f"clamp/{i}", [("x", x)], torch.clamp(x, lo, hi), g)
        gold.put(f"clamp/{i}/set", [lo, hi])


def distances(gold):
    g = rng(504)
    for i, n in enumerate([1, 15, 5000]):
        a, b = draw(g, n, 1), draw(g, n, 1)
        with torch.no_grad():                   # equal: no gradient
            b[-1] = a[-1] if n > 1 else 0
        case(gold, f"l1/{i}", [("a", a), ("b", b)], F.l1_loss(a, b).reshape(1), g)
    for i, (n, spread) in enumerate([(1, 0.0), (15, -3.0), (5000, 2.0), (300, -0.5)]):
        x, mean, log_var = draw(g, n, 1), draw(g, n, 1), draw(g, 1, scale=0.1,
                                                              shift=spread)
        normal = torch.distributions.Normal(mean, torch.exp(log_var / 2))
        case(gold, f"gaussian_nll/{i}", [("x", x), ("mean", mean), ("log_var", log_var)],
             -normal.log_prob(x).mean().reshape(1), g)


# --- models ----------------------------------------------------------------------------

NEAREST = 1e-5      # no ReLU may be closer to its corner: float32 could take another side


class Relu(nn.Module):
    def forward(self, x):
        assert x.abs().min() > NEAREST
        return F.relu(x)


class Block(nn.Module):
    def __init__(self, hidden, residual):
        super().__init__()
        self.conv1 = nn.Conv2d(hidden, residual, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(residual, hidden, 1, bias=False)
        self.relu = Relu()

    def forward(self, x):
        return x + self.conv2(self.relu(self.conv1(self.relu(x))))


class Net(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)


def autoencoder(h, w, c, hidden=128, residual=32, layers=2, dim=64, up=0):
    def conv(a, b):
        return nn.Conv2d(a, b, 3, padding=1)

    def blocks():
        return [Block(hidden, residual) for _ in range(layers)] + [Relu()]

    def rise(a, b):
        if up:
            return [nn.Upsample(scale_factor=2, mode="nearest"), conv(a, b)]
        return [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1)]

    half = hidden // 2
    return Net([nn.Conv2d(c, half, 4, 2, 1), Relu(), nn.Conv2d(half, hidden, 4, 2, 1),
                Relu(), conv(hidden, hidden)] + blocks() + [nn.Conv2d(hidden, dim, 1)],
               [conv(dim, hidden)] + blocks()
               + rise(hidden, half) + [Relu()] + rise(half, c))


def autoencoder_toy(h, w, c, dim=32, clamp=1):
    def conv(a, b):
        return nn.Conv2d(a, b, 3, padding=1)

    def up():
        return nn.Upsample(scale_factor=2, mode="nearest")

    return Net([conv(c, 16), nn.MaxPool2d(2), nn.GELU(), conv(16, dim), nn.MaxPool2d(2)],
               [up(), conv(dim, 16), nn.GELU(), up(), conv(16, c)]
               + ([nn.Hardtanh(-1, 1)] if clamp else []))


def mlp_autoencoder(h, w, c, hidden=64, dim=16):
    return Net([nn.Flatten(), nn.Linear(h * w * c, hidden), Relu(),
                nn.Linear(hidden, dim)],
               [nn.Linear(dim, hidden), Relu(), nn.Linear(hidden, h * w * c),
                nn.Unflatten(1, (c, h, w))])


def ours(value, image):
    """Our layout: a linear layer sees pixels in order (h, w, c)."""
    c, h, w = image
    if value.dim() == 2 and value.shape[1] == h * w * c:
        value = value.reshape(-1, c, h, w).permute(0, 2, 3, 1).reshape(len(value), -1)
    elif value.dim() <= 2 and len(value) == h * w * c:
        value = value.reshape(c, h, w, -1).permute(1, 2, 0, 3).reshape(value.shape)
    return nhwc(value)


def model(gold, name, net, settings, n, image, seed, spread=0.05):
    g = rng(seed)
    mlp = name.startswith("mlp")
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((p + spread * torch.randn(p.shape, generator=g)).float().double())
    x = draw(g, n, *image)
    code = net.encoder(x)
    y = net.decoder(code)
    dy = torch.randn(y.shape, generator=g).float().double()
    names, leaves = zip(*net.named_parameters())
    grads = torch.autograd.grad((y * dy).sum(), (x,) + leaves)
    if mlp:
        code = code.reshape(n, -1, 1, 1)
    for k, v in (("x", x), ("map", code), ("y", y), ("dy", dy), ("dx", grads[0])):
        gold.put(f"{name}/{k}", nhwc(v))
    gold.put(f"{name}/h", code.mean((2, 3)))
    gold.put(f"{name}/set", settings)
    for k, p, d in zip(names, leaves, grads[1:]):
        if mlp and k.startswith("encoder."):            # ours does not count Flatten
            k = k.replace("encoder.1.", "encoder.0.").replace("encoder.3.", "encoder.2.")
        for what, v in (("weight", p), ("grad", d)):
            gold.put(f"{name}/{what}/{k}", ours(v, image))
    return y


def models(gold):
    for i, (s, n, image) in enumerate([((8, 4, 2, 5, 0), 2, (3, 8, 12)),
                                       ((8, 4, 1, 5, 1), 2, (1, 8, 8)),
                                       ((6, 3, 0, 4, 0), 3, (1, 4, 8)),
                                       ((18, 17, 1, 9, 1), 1, (3, 12, 8))]):
        c, h, w = image
        torch.manual_seed(510 + i)
        model(gold, f"autoencoder/{i}", autoencoder(h, w, c, *s), s, n, image, 520 + i)
    for i, (s, n, image) in enumerate([((7, 1), 2, (3, 8, 12)), ((5, 0), 3, (1, 12, 8))]):
        c, h, w = image
        torch.manual_seed(530 + i)
        y = model(gold, f"autoencoder_toy/{i}", autoencoder_toy(h, w, c, *s), s, n,
                  image, 540 + i, spread=0.25)
        assert (y.abs() == 1).any() if s[1] else (y.abs() > 1).any()    # clamp is seen
    for i, (s, n, image) in enumerate([((12, 5), 4, (3, 5, 4)), ((9, 3), 3, (1, 3, 7))]):
        c, h, w = image
        torch.manual_seed(550 + i)
        model(gold, f"mlp_autoencoder/{i}", mlp_autoencoder(h, w, c, *s), s, n, image,
              560 + i)


def sizes(gold):
    """Parameters of the whole and of the encoder, with every setting at its default."""
    for make in (autoencoder, autoencoder_toy, mlp_autoencoder):
        for h, w, c in ((28, 28, 1), (32, 32, 3)):
            net = make(h, w, c)
            count = [sum(p.numel() for p in part.parameters())
                     for part in (net, net.encoder)]
            gold.put(f"{make.__name__}/parameters/{c}", count)


if __name__ == "__main__":
    file = Gold("autoencoder.gold")
    for make in (conv_transpose, upsample, elementwise, distances, models, sizes):
        make(file)
    file.write(sys.argv[1] if len(sys.argv) > 1 else HERE)
