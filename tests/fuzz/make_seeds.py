"""Seeds of the readers' fuzzers, in corpus/NAME/: python3 tests/fuzz/make_seeds.py"""
import gzip
import io
import pathlib
import struct

import numpy as np

here = pathlib.Path(__file__).parent / "corpus"


def put(fuzzer, name, data):
    folder = here / fuzzer
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def npy(x):
    f = io.BytesIO()
    np.save(f, x)
    return f.getvalue()


images = struct.pack(">4I", 0x803, 2, 2, 2) + bytes(range(8))
labels = struct.pack(">2I", 0x801, 2) + b"\1\3"
for i, data in enumerate((images, labels, images, labels)):
    put("idx", f"plain{i}", bytes([i]) + data)
    put("idx", f"packed{i}", bytes([i]) + gzip.compress(data, mtime=0))

x = np.arange(12, dtype=np.uint8).reshape(4, 1, 1, 3)
vector = np.linspace(0, 1, 8).reshape(4, 2)
y = np.array([3, -1, 3, 7])
for name, a in {"bytes": x, "planes": x.transpose(0, 3, 1, 2), "double": vector,
                "float": vector.astype(">f4"), "fortran": np.asfortranarray(vector),
                "grey": x[:, :, :, 0], "object": np.array([None, 1])}.items():
    put("npy", name, b"\0" + npy(a))
for name, a in {"int64": y, "column": y.astype(">i2")[:, None],
                "bool": y > 0}.items():
    put("npy", name, b"\1" + npy(a[:2]))
put("npy", "test", b"\x12" + npy(x[:2, :, :, 0]))

for name, save in {"stored": np.savez, "deflated": np.savez_compressed}.items():
    f = io.BytesIO()
    save(f, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    put("npz", name, f.getvalue())
    f = io.BytesIO()
    save(f, images=vector, labels=y)
    put("npz", name + "_one", f.getvalue())

put("cifar", "ten", b"\xff\x2f\x00" + bytes(range(10)))
put("cifar", "hundred", b"\xff\x2f\x07" + bytes(range(20)))
put("stl10", "plain", b"\xff\xff\x01" + bytes(range(1, 11)))
