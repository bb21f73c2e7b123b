#!/usr/bin/env python3
"""Makes augment.gold, the golden file of tests/test_augment.c.

    python3 tests/golden/make_augment.py [FOLDER]       (default: this file's folder)

Needs PyTorch and NumPy, like make_golden.py, whose file format this one shares.  There is
no torchvision here on purpose: every operation is put together from PyTorch's functional
pieces and Python's own colorsys, in float64, so that nothing is its own witness.

Resizing uses interpolate(antialias=True): that is the variant which agrees with Pillow
(bicubic a = -1/2, borders dropped and the rest scaled to one), the library that resized
in the published recipes.
"""
import colorsys
import sys

import numpy as np
import torch
import torch.nn.functional as F

from make_golden import Gold, HERE

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

# top, left, height, width
BOXES = [(0, 0, 13, 17), (2, 3, 7, 9), (5, 0, 8, 4), (0, 15, 13, 2), (12, 4, 1, 13),
         (6, 8, 1, 1), (1, 1, 12, 16)]
# height, width: smaller in one direction, in both, in neither
SIZES = [(5, 6), (13, 4), (3, 20), (1, 1), (7, 9)]
SIGMAS = [0.1, 0.45, 1.0, 2.0, 7.9]
FACTORS = [0.0, 0.35, 1.0, 1.6]
TURNS = [-0.5, -0.1, 0.07, 0.33, 0.5]
MEAN = [0.4914, 0.4822, 0.4465]
STD = [0.2470, 0.2435, 0.2616]


def picture(channels, seed):
    """Bytes with flat parts, edges and noise; some pixels black, white and grey."""
    g = np.random.default_rng(seed)
    x = g.integers(0, 256, (13, 17, channels))
    x[3:8, 4:11] = g.integers(0, 256, channels)
    x[0, 0], x[0, 1], x[1, 0] = 0, 255, 128
    return x


def planes(x):
    """(h, w, c) -> (1, c, h, w)"""
    return torch.as_tensor(np.asarray(x, dtype=np.float64)).permute(2, 0, 1)[None]


def hwc(x):
    return x[0].permute(1, 2, 0)


def resize(gold, name, x):
    h, w, _ = x.shape
    for k, (top, left, bh, bw) in enumerate(BOXES):
        crop = planes(x[top:top + bh, left:left + bw])
        for how in ("bilinear", "bicubic"):
            y = F.interpolate(crop, size=(h, w), mode=how, align_corners=False,
                              antialias=True)
            if how == "bilinear":       # enlarging: antialiasing must not matter
                z = F.interpolate(crop, size=(h, w), mode=how, align_corners=False)
                assert (y - z).abs().max() < 1e-9
            gold.put(f"{name}/{how}/{k}", hwc(y.clamp(0, 255) / 255))


def kernel(how, x):
    x = np.abs(x)
    if how == "bilinear":
        return np.maximum(1 - x, 0)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1,
                    np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))


def matrix(how, n, out):
    """(out, n): the kernel around every output's centre, as wide as the scale where the
    picture becomes smaller, each row scaled to the sum one."""
    wide = max(n / out, 1)
    centre = (np.arange(out)[:, None] + 0.5) * n / out - 0.5
    m = kernel(how, (np.arange(n)[None] - centre) / wide)
    return m / m.sum(axis=1, keepdims=True)


def smaller(gold, name, x):
    """Dense matrices in NumPy; PyTorch agrees, but for outputs one pixel wide, where 2.13
    is wrong (and Pillow agrees with the matrices)."""
    for k, (top, left, bh, bw) in enumerate(BOXES):
        crop = x[top:top + bh, left:left + bw]
        for s, (h, w) in enumerate(SIZES):
            for how in ("bilinear", "bicubic"):
                y = np.einsum("yi,xj,ijc->yxc", matrix(how, bh, h), matrix(how, bw, w), crop)
                if w > 1:
                    z = F.interpolate(planes(crop), size=(h, w), mode=how,
                                      align_corners=False, antialias=True)
                    assert np.abs(hwc(z).numpy() - y).max() < 1e-9
                gold.put(f"{name}/smaller/{how}/{k}/{s}", y.clip(0, 255) / 255)


def blur(gold, name, x):
    for k, sigma in enumerate(SIGMAS):
        radius = int(np.ceil(3 * sigma))
        at = torch.arange(-radius, radius + 1, dtype=torch.float64)
        line = torch.exp(-0.5 * (at / sigma) ** 2)
        line /= line.sum()
        y = planes(x)
        c = y.shape[1]
        y = F.pad(y, (radius,) * 4, mode="replicate")
        y = F.conv2d(y, line.expand(c, 1, 1, -1), groups=c)
        y = F.conv2d(y, line.expand(c, 1, 1, -1).transpose(2, 3), groups=c)
        gold.put(f"{name}/blur/{k}", hwc(y))


def grey_of(x):
    if x.shape[2] == 1:
        return x
    return (x * np.array([0.299, 0.587, 0.114])).sum(axis=2, keepdims=True)


def colour(gold, name, x):
    for k, f in enumerate(FACTORS):
        f = float(np.float32(f))
        mean = grey_of(x).mean()
        gold.put(f"{name}/brightness/{k}", np.clip(f * x, 0, 1))
        gold.put(f"{name}/contrast/{k}", np.clip(f * x + (1 - f) * mean, 0, 1))
        gold.put(f"{name}/saturation/{k}", np.clip(f * x + (1 - f) * grey_of(x), 0, 1))
    gold.put(f"{name}/grey", np.broadcast_to(grey_of(x), x.shape))
    if x.shape[2] == 3:
        for k, turn in enumerate(TURNS):
            y = np.empty_like(x)
            for i in np.ndindex(x.shape[:2]):
                h, s, v = colorsys.rgb_to_hsv(*x[i])
                y[i] = colorsys.hsv_to_rgb((h + float(np.float32(turn))) % 1.0, s, v)
            gold.put(f"{name}/hue/{k}", y)


def plain(gold, name, x):
    c = x.shape[2]
    mean, std = (np.array(v[:c], dtype="f4").astype("f8") for v in (MEAN, STD))
    gold.put(f"{name}/solarize", np.where(x >= 0.5, 1 - x, x))
    gold.put(f"{name}/normalise", (x - mean) / std)


# --- whole views -----------------------------------------------------------------------

# A draw for each recipe of spec 1.5, whose order and interpolation it follows: name, how,
# flip last?, box, size of the view, flip, jitter, order of the four, factors (brightness,
# contrast, saturation, hue), grey, sigma (0: no blur), solarize.
BRIGHT, CONTRAST, SATURATION, HUE = range(4)
VIEWS = [
    ("simsiam_cifar", "bilinear", 0, (2, 3, 7, 9), (13, 17), 1, 1, (3, 0, 2, 1),
     (1.3, 0.7, 1.25, -0.08), 0, 0, 0),
    ("simsiam_imagenet", "bilinear", 1, (1, 1, 12, 16), (8, 8), 1, 1, (1, 3, 0, 2),
     (0.7, 1.35, 0.65, 0.1), 0, 1.7, 0),
    ("vicreg", "bicubic", 0, (0, 2, 13, 12), (13, 17), 1, 1, (0, 1, 2, 3),
     (1.2, 1.1, 0.85, 0.05), 0, 0.6, 1),
    ("vicreg_paper", "bicubic", 0, (3, 0, 9, 17), (6, 9), 0, 1, (2, 1, 0, 3),
     (0.62, 0.9, 1.2, -0.1), 1, 2.0, 1),
    ("ldreg_simclr", "bicubic", 0, (0, 0, 13, 17), (10, 10), 1, 1, (3, 2, 1, 0),
     (1.75, 0.25, 1.7, -0.2), 0, 0.3, 0),
    ("solo_simsiam", "bicubic", 0, (5, 5, 6, 7), (14, 14), 0, 1, (1, 0, 3, 2),
     (0.9, 1.2, 1.0, 0.02), 0, 1.1, 0),
    ("solo_simclr", "bicubic", 0, (4, 0, 4, 17), (13, 17), 1, 0, (0, 1, 2, 3),
     (1.0, 1.0, 1.0, 0.0), 1, 0.9, 0),
    ("solo_byol", "bicubic", 0, (0, 9, 13, 8), (13, 8), 1, 1, (2, 3, 0, 1),
     (0.61, 1.39, 0.8, 0.1), 0, 0, 1),
    ("solo_vicreg", "bicubic", 0, (1, 2, 10, 11), (5, 5), 0, 1, (0, 2, 3, 1),
     (1.4, 0.6, 1.2, -0.05), 0, 0, 1),
    ("intl_cifar", "bicubic", 1, (2, 2, 8, 8), (13, 17), 1, 1, (1, 2, 3, 0),
     (1.1, 0.8, 1.1, 0.09), 0, 0, 1),
    ("grey28", "bilinear", 0, (1, 0, 9, 12), (13, 17), 1, 1, (1, 0, 2, 3),
     (1.3, 0.65, 1.0, 0.0), 0, 0.8, 0),
]


def turn_hue(x, turn):
    if x.shape[2] == 1:
        return x
    y = np.empty_like(x)
    for i in np.ndindex(x.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*x[i])
        y[i] = colorsys.hsv_to_rgb((h + turn) % 1.0, s, v)
    return y


def gaussian(x, sigma):
    radius = int(np.ceil(3 * sigma))
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    line /= line.sum()
    for axis in (0, 1):
        pad = [(radius, radius) if k == axis else (0, 0) for k in range(3)]
        x = np.apply_along_axis(np.convolve, axis, np.pad(x, pad, "edge"), line, "valid")
    return x


def whole_view(x, how, late, box, size, flip, jitter, order, factors, grey, sigma, solar):
    top, left, bh, bw = box
    y = F.interpolate(planes(x[top:top + bh, left:left + bw]), size=size, mode=how,
                      align_corners=False, antialias=True)
    y = hwc(y.clamp(0, 255) / 255).numpy()
    if flip and not late:
        y = y[:, ::-1]
    change = {
        BRIGHT: lambda y, f: f * y,
        CONTRAST: lambda y, f: f * y + (1 - f) * grey_of(y).mean(),
        SATURATION: lambda y, f: f * y + (1 - f) * grey_of(y),
        HUE: turn_hue,
    }
    for k in order if jitter else ():
        y = np.clip(change[k](y, float(np.float32(factors[k]))), 0, 1)
    if grey:
        y = np.broadcast_to(grey_of(y), y.shape)
    if sigma:
        y = gaussian(y, sigma)
    if solar:
        y = np.where(y >= 0.5, 1 - y, y)
    if flip and late:
        y = y[:, ::-1]
    c = y.shape[2]
    mean, std = (np.array(v[:c], dtype="f4").astype("f8") for v in (MEAN, STD))
    return (y - mean) / std


def views(gold, name, x):
    for recipe, how, late, box, size, flip, jitter, order, factors, grey, sigma, solar \
            in VIEWS:
        y = whole_view(x, how, late, box, size, flip, jitter, order, factors, grey, sigma,
                       solar)
        gold.put(f"{name}/view/{recipe}", np.ascontiguousarray(y))
        gold.put(f"{name}/draw/{recipe}", np.array(
            [*box, *size, flip, jitter, *order, *factors, grey, sigma, solar]))


def main():
    gold = Gold("augment.gold")
    gold.put("boxes", np.array(BOXES))
    gold.put("sizes", np.array(SIZES))
    gold.put("sigmas", np.array(SIGMAS))
    gold.put("factors", np.array(FACTORS))
    gold.put("turns", np.array(TURNS))
    gold.put("mean", np.array(MEAN))
    gold.put("std", np.array(STD))
    for name, channels in (("one", 1), ("three", 3)):
        bytes_ = picture(channels, channels)
        gold.put(f"{name}/bytes", bytes_)
        resize(gold, name, bytes_)
        smaller(gold, name, bytes_)
        x = (bytes_ / 255).astype(np.float32).astype(np.float64)
        gold.put(f"{name}/x", x)
        blur(gold, name, x)
        colour(gold, name, x)
        plain(gold, name, x)
        views(gold, name, bytes_)
    gold.write(sys.argv[1] if len(sys.argv) > 1 else HERE)


if __name__ == "__main__":
    main()
