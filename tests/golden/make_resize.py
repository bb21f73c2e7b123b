#!/usr/bin/env python3
"""Makes resize.gold, the golden file of the suite resize (tests/test_resize.c).

    python3 tests/golden/make_resize.py [FOLDER]        (default: this file's folder)

Needs Pillow (made with 13.0; 12.3 gives the same bytes) and NumPy.  Rows and columns are
resized by two calls, so that the order is ours in every version: Pillow up to 12 does
rows first, but for pictures more than 100 times as high as wide; Pillow 13 chooses.
"""
import sys

import numpy as np
from PIL import Image

from make_golden import Gold, HERE

FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "area": Image.BOX}
# height, width, the box (top, left, height, width), new height, new width
CASES = [
    (9, 11, (0, 0, 9, 11), 5, 4),           # smaller
    (9, 11, (0, 0, 9, 11), 18, 23),         # larger
    (12, 8, (0, 0, 12, 8), 3, 4),           # by whole factors
    (9, 11, (0, 0, 9, 11), 4, 17),          # one of each
    (9, 11, (0, 0, 9, 11), 17, 4),
    (9, 11, (0, 0, 9, 11), 9, 11),          # the same
    (9, 11, (0, 0, 9, 11), 9, 5),           # one direction alone
    (9, 11, (0, 0, 9, 11), 5, 11),
    (9, 11, (2, 3, 5, 6), 3, 4),            # a box
    (9, 11, (2, 3, 5, 6), 7, 13),
    (9, 11, (8, 10, 1, 1), 6, 5),           # a box of one pixel, in the corner
    (9, 11, (1, 0, 7, 11), 1, 1),
    (1, 1, (0, 0, 1, 1), 4, 3),
    (40, 3, (0, 0, 40, 3), 7, 2),           # many taps
    (2, 50, (0, 0, 2, 50), 3, 3),
]


def resize(x, how, box, oh, ow):
    h, _, c = x.shape
    top, left, bh, bw = box
    im = Image.fromarray(x if c == 3 else x[..., 0])
    im = im.resize((ow, h), how, box=(left, 0, left + bw, h))
    im = im.resize((ow, oh), how, box=(0, top, ow, top + bh))
    return np.asarray(im).reshape(oh, ow, c)


def main():
    gold = Gold("resize.gold")
    g = np.random.default_rng(7)
    gold.put("cases", np.array([[h, w, *box, oh, ow] for h, w, box, oh, ow in CASES]))
    for channels in (1, 3):
        for k, (h, w, box, oh, ow) in enumerate(CASES):
            # half of the pixels black or white: bicubic overshoots there and is clipped
            x = g.integers(0, 256, (h, w, channels)).astype("u1")
            x = np.where(g.random((h, w, 1)) < 0.5, x, (x > 127) * 255).astype("u1")
            gold.put(f"{channels}/in/{k}", x)
            for name, how in FILTERS.items():
                gold.put(f"{channels}/{name}/{k}", resize(x, how, box, oh, ow))
    gold.write(sys.argv[1] if len(sys.argv) > 1 else HERE)


if __name__ == "__main__":
    main()
