#!/usr/bin/env python3
"""Makes image.gold, the golden file of the suite image (tests/test_image.c).

    python3 tests/golden/make_image.py [FOLDER]         (default: this file's folder)

Needs Pillow (made with 13.0) and NumPy.  For each picture: NAME/file, the bytes of the
file; NAME/rgb and NAME/grey, what Pillow reads from it.  Where Pillow has another meaning
of a file (16-bit grey, which it keeps) or cannot write it (16-bit colours, interlaced),
the pixels are those that the file was made of.
"""
import io
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

from make_golden import Gold, HERE

H, W = 11, 13


def picture():
    """Smooth, as photographs are, with an edge and no symmetry."""
    y, x = np.mgrid[0:H, 0:W]
    rgb = np.stack([40 + 14 * x, 30 + 17 * y, 200 - 9 * x + 3 * y], axis=-1)
    rgb[6:, 8:] = [250, 20, 90]
    return rgb.clip(0, 255).astype("u1")


def saved(im, kind, **how):
    f = io.BytesIO()
    im.save(f, kind, **how)
    return f.getvalue()


def chunk(name, data):
    return (struct.pack(">I", len(data)) + name + data
            + struct.pack(">I", zlib.crc32(name + data)))


def png(h, w, depth, colour, raw, interlace=0):
    head = struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
            + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def rows(a):
    return b"".join(b"\0" + r.tobytes() for r in a)


def interlaced(a):
    raw = b""
    for y, x, dy, dx in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4),
                         (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)):
        raw += rows(a[y::dy, x::dx])
    return png(H, W, 8, 2, raw, 1)


def main():
    gold = Gold("image.gold")
    names = []

    def put(name, data, rgb=None):
        im = Image.open(io.BytesIO(data))
        if rgb is not None:
            im = Image.fromarray(rgb)
        im = ImageOps.exif_transpose(im)
        gold.put(f"{name}/file", np.frombuffer(data, "u1"))
        gold.put(f"{name}/rgb", np.asarray(im.convert("RGB")))
        gold.put(f"{name}/grey", np.asarray(im.convert("L"))[..., None])
        names.append(name)

    rgb = picture()
    im = Image.fromarray(rgb)
    grey = im.convert("L")
    alpha = Image.fromarray((np.arange(H * W).reshape(H, W) * 7 % 256).astype("u1"))
    few = im.quantize(13)
    rgba = im.copy()
    rgba.putalpha(alpha)
    la = grey.copy()
    la.putalpha(alpha)

    put("png_rgb", saved(im, "PNG"))
    put("png_grey", saved(grey, "PNG"))
    put("png_alpha", saved(rgba, "PNG"))
    put("png_grey_alpha", saved(la, "PNG"))
    put("png_palette", saved(few, "PNG"))
    put("png_palette_clear", saved(few, "PNG", transparency=3))
    put("png_key", saved(im, "PNG", transparency=(250, 20, 90)))
    put("png_bits", saved(grey.point(lambda v: 255 * (v > 120)).convert("1"), "PNG"))
    wide = grey.convert("I").point(lambda v: v * 256 + 77)
    put("png_16_grey", saved(wide.convert("I;16"), "PNG"),
        np.asarray(grey))
    deep = (rgb.astype(">u2") * 256 + 200).astype(">u2")
    put("png_16_rgb", png(H, W, 16, 2, rows(deep)), rgb)
    put("png_interlaced", interlaced(rgb), rgb)
    exif = Image.Exif()
    exif[0x0112] = 6
    put("png_exif", saved(im, "PNG", exif=exif))
    put("bmp_rgb", saved(im, "BMP"))
    put("bmp_grey", saved(grey, "BMP"))
    put("bmp_palette", saved(few, "BMP"))
    put("bmp_bits", saved(grey.point(lambda v: 255 * (v > 120)).convert("1"), "BMP"))
    put("bmp_alpha", saved(rgba, "BMP"))
    put("ppm", saved(im, "PPM"))
    put("pgm", saved(grey, "PPM"))
    few_levels = (rgb.astype(int) * 100 // 255).astype("u1")
    put("ppm_100", b"P6 # a comment\n%d\t%d\n#\n100\n" % (W, H) + few_levels.tobytes())
    put("ppm_16", b"P6\n%d %d\n65535\n" % (W, H) + deep.tobytes())
    gold.put("exact", np.array(len(names)))

    put("jpeg_420", saved(im, "JPEG", quality=90, subsampling=2))
    put("jpeg_422", saved(im, "JPEG", quality=90, subsampling=1))
    put("jpeg_444", saved(im, "JPEG", quality=90, subsampling=0))
    put("jpeg_grey", saved(grey, "JPEG", quality=90))
    put("jpeg_progressive", saved(im, "JPEG", quality=90, progressive=True))
    put("jpeg_restart", saved(im, "JPEG", quality=90, restart_marker_blocks=1))
    put("jpeg_rgb", saved(im, "JPEG", quality=90, keep_rgb=True))
    for k in range(1, 9):
        gold.put(f"orientation/{k}", np.asarray(
            ImageOps.exif_transpose(with_orientation(im, k)).convert("RGB")))
    put("jpeg_cmyk", saved(im.convert("CMYK"), "JPEG", quality=90))
    print(" ".join(names))
    gold.write(sys.argv[1] if len(sys.argv) > 1 else HERE)


def with_orientation(im, k):
    exif = Image.Exif()
    exif[0x0112] = k
    return Image.open(io.BytesIO(saved(im, "PNG", exif=exif)))


if __name__ == "__main__":
    main()
