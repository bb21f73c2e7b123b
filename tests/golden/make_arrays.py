"""Files as NumPy writes them, for tests/test_arrays.c: python3 tests/golden/make_arrays.py

Number (i, h, w, c) of the pictures is 31 i + 11 h + 5 w + 3 c modulo 256, number (i, d) of
the vectors i - d / 4, the label of image i is [7, -2, 500][i % 3]; images of the test part
count from 100.  Training has 6 of them, the test 4; pictures are 2 x 4."""
import pathlib
import struct
import zipfile

import numpy as np

here = pathlib.Path(__file__).parent / "arrays"
(here / "folder").mkdir(parents=True, exist_ok=True)


def pictures(first, n, c):
    i, h, w, k = np.ogrid[first:first + n, :2, :4, :c]
    return ((31 * i + 11 * h + 5 * w + 3 * k) % 256).astype(np.uint8)


def vectors(first, n):
    i, d = np.ogrid[first:first + n, :5]
    return i - d / 4


def labels(first, n):
    return np.array([7, -2, 500])[np.arange(first, first + n) % 3]


x, y, tx, ty = pictures(0, 6, 3), labels(0, 6), pictures(100, 4, 3), labels(100, 4)
np.savez(here / "stored.npz", x_train=x, y_train=y, x_test=tx, y_test=ty)
np.savez_compressed(here / "deflated.npz", x_train=x, y_train=y, x_test=tx, y_test=ty)
np.savez(here / "planes.npz", train_images=x.transpose(0, 3, 1, 2),
         train_labels=y.astype(">i2")[:, None], test_images=tx.transpose(0, 3, 1, 2),
         test_labels=ty.astype("<i4"))
np.savez(here / "fortran.npz", train_images=np.asfortranarray(x),
         train_labels=np.asfortranarray(y.astype(">i8")[:, None]),
         test_images=np.asfortranarray(tx), test_labels=ty)
np.savez(here / "grey.npz", x_train=pictures(0, 6, 1)[..., 0], x_test=pictures(100, 4, 1))
np.savez(here / "double.npz", x_train=np.asfortranarray(vectors(0, 6)), y_train=y,
         x_test=vectors(100, 4).astype(">f8"))
np.savez(here / "float.npz", x_train=vectors(0, 6).astype(np.float32),
         x_test=vectors(100, 4).astype(">f4"))
np.savez_compressed(here / "one.npz", images=pictures(0, 200, 1)[..., 0],
                    labels=np.arange(200) % 5)
np.savez(here / "object.npz", x_train=np.array([None, {}], dtype=object))
np.savez(here / "floats.npz", x_train=x / 255)
np.savez(here / "hot.npz", x_train=x, y_train=np.eye(3)[[0, 1, 2] * 2].astype(int))
for name, a in {"x_train": x, "y_train": y, "x_test": tx, "y_test": ty}.items():
    np.save(here / "folder" / f"{name}.npy", a)

# The directory of an archive beyond 4 GiB, around a small one.
data = (here / "stored.npz").read_bytes()
end = data.rfind(b"PK\5\6")
count, size, at = struct.unpack("<HII", data[end + 10:end + 20])
body, old, new = data[:at], data[at:at + size], b""
while old:
    n, m, k = struct.unpack("<HHH", old[28:34])
    packed, plain, where = *struct.unpack("<II", old[20:28]), *struct.unpack("<I", old[42:46])
    extra = struct.pack("<HHQQQ", 1, 24, plain, packed, where)
    new += (old[:20] + b"\xff" * 8 + old[28:30] + struct.pack("<H", len(extra)) + old[32:42]
            + b"\xff" * 4 + old[46:46 + n] + extra)
    old = old[46 + n + m + k:]
end64 = struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, count, count, len(new), at)
tail = (struct.pack("<IIQI", 0x07064b50, 0, at + len(new), 1)
        + struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0))
(here / "wide.npz").write_bytes(body + new + end64 + tail)
assert np.array_equal(np.load(here / "wide.npz")["x_train"], x)
assert zipfile.ZipFile(here / "wide.npz").testzip() is None
