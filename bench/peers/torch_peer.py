"""What one would write in PyTorch (and SciPy), timed on demand: a partner of fullrank-bench.

    torch_peer.py THREADS [contiguous|channels_last]

Says "ready" and its versions; then every line it reads is SECONDS ITEM WORD..., answered
by the median time of one in milliseconds and by a value that both sides must agree on
("nan": nothing to compare), or by "- REASON".  Items and words are those of bench/*.c;
inputs are the same numbers, made by the same hash.
"""
import resource
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

THREADS = int(sys.argv[1])
LAYOUT = sys.argv[2] if len(sys.argv) > 2 else "contiguous"


def numbers(stream, *shape):
    """bench_fill of serve.c."""
    h = np.arange(np.prod(shape), dtype=np.uint32)
    h *= np.uint32(0x9E3779B1)
    h += np.uint32(stream * 0x7FEB352D & 0xFFFFFFFF)
    h = (h ^ h >> np.uint32(16)) * np.uint32(0x21F0AAAD)
    h = (h ^ h >> np.uint32(15)) * np.uint32(0x735A2D97)
    h ^= h >> np.uint32(15)
    h ^= np.uint32(0x80000000)
    x = h.view(np.int32).astype(np.float32) * np.float32(2.0 ** -31 * 1.7320508)
    return torch.from_numpy(x.reshape(shape))


# ---- training steps: the networks of nn/models, the heads and loss of ssl/simsiam.c ----


def conv(cin, cout, size, stride):
    return nn.Conv2d(cin, cout, size, stride, size // 2, bias=False)


class Block(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1 x)))) + shortcut x)"""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.first = nn.Sequential(conv(cin, cout, 3, stride), nn.BatchNorm2d(cout),
                                   nn.ReLU(inplace=True))
        self.second = nn.Sequential(conv(cout, cout, 3, 1), nn.BatchNorm2d(cout))
        self.shortcut = nn.Identity()
        if stride != 1 or cin != cout:
            self.shortcut = nn.Sequential(conv(cin, cout, 1, stride),
                                          nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.second(self.first(x))
        return functional.relu(y + self.shortcut(x), inplace=True)


def backbone(name):
    """The layers of nn/models, the width of h, and the shape of an image."""
    if name == "conv3":
        layers, cin = [], 1
        for cout in (16, 32, 64):
            layers += [conv(cin, cout, 3, 2), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)]
            cin = cout
        return layers, cin, (1, 28, 28)
    widths, blocks, image = {
        "resnet8": ((16, 32, 64), 1, (1, 28, 28)),
        "resnet18": ((64, 128, 256, 512), 2, (3, 32, 32)),
    }[name]
    cin = widths[0]
    layers = [conv(image[0], cin, 3, 1), nn.BatchNorm2d(cin), nn.ReLU(inplace=True)]
    for stage, cout in enumerate(widths):
        for block in range(blocks):
            layers.append(Block(cin, cout, 2 if stage and not block else 1))
            cin = cout
    return layers, cin, image


class SimSiam(nn.Module):
    def __init__(self, name):
        super().__init__()
        layers, r, self.image = backbone(name)
        d = 2048 if name == "resnet18" else 256
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.projector = nn.Sequential(
            nn.Linear(r, d, bias=False), nn.BatchNorm1d(d), nn.ReLU(inplace=True),
            nn.Linear(d, d, bias=False), nn.BatchNorm1d(d, affine=False))
        self.predictor = nn.Sequential(
            nn.Linear(d, d // 4, bias=False), nn.BatchNorm1d(d // 4),
            nn.ReLU(inplace=True), nn.Linear(d // 4, d))

    def forward(self, x):
        z = self.projector(self.trunk(x))
        return self.predictor(z), z.detach()


class Build:
    """build MODEL BATCH: all that comes before the first step"""

    def __init__(self, name, batch):
        torch.manual_seed(0)
        memory = {"contiguous": torch.contiguous_format,
                  "channels_last": torch.channels_last}[LAYOUT]
        self.net = SimSiam(name).train().to(memory_format=memory)
        self.views = [torch.randn(int(batch), *self.net.image).to(memory_format=memory)
                      for _ in range(2)]
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=0.03, momentum=0.9,
                                         weight_decay=5e-4)

    def run(self):
        return float("nan")


class Step(Build):
    """step MODEL BATCH"""

    def __init__(self, name, batch):
        super().__init__(name, batch)
        self.run()

    def run(self):
        self.optimiser.zero_grad(set_to_none=True)
        (p1, z1), (p2, z2) = self.net(self.views[0]), self.net(self.views[1])
        loss = -0.5 * (functional.cosine_similarity(p1, z2).mean()
                       + functional.cosine_similarity(p2, z1).mean())
        loss.backward()
        self.optimiser.step()
        loss.item()
        return float("nan")


# ---- losses: forward and backward ----


class Loss:
    """The value of a loss; run also takes its gradients."""

    def leaves(self, *x):
        self.inputs = [v.requires_grad_() for v in x]

    def run(self):
        for v in self.inputs:
            v.grad = None
        loss = self.loss(*self.inputs)
        loss.backward()
        return loss.item()


class Vicreg(Loss):
    """vicreg N D: 25 invariance + 25 variance + covariance, as the paper's code weighs."""

    def __init__(self, n, d):
        self.leaves(numbers(1, int(n), int(d)), numbers(2, int(n), int(d)))

    @staticmethod
    def loss(x, y):
        n, d = x.shape
        invariance = functional.mse_loss(x, y)
        x, y = x - x.mean(dim=0), y - y.mean(dim=0)
        variance = covariance = 0
        for v in (x, y):
            std = torch.sqrt(v.var(dim=0) + 1e-4)
            variance = variance + functional.relu(1 - std).mean() / 2
            c = v.T @ v / (n - 1)
            covariance = covariance + (c.pow(2).sum() - c.diagonal().pow(2).sum()) / d
        return 25 * invariance + 25 * variance + covariance


class Tree(Loss):
    """tree N D: minus the length of the minimum spanning tree of unit rows; SciPy finds
    the edges, their lengths are taken again for the gradient."""

    def __init__(self, n, d):
        from scipy.sparse.csgraph import minimum_spanning_tree
        self.spanning = minimum_spanning_tree
        self.leaves(functional.normalize(numbers(1, int(n), int(d))))

    def loss(self, z):
        with torch.no_grad():
            edges = self.spanning(torch.cdist(z, z).numpy()).tocoo()
            i = torch.from_numpy(edges.row.astype(np.int64))
            j = torch.from_numpy(edges.col.astype(np.int64))
        return -(z[i] - z[j]).norm(dim=1).sum()


class Lid(Loss):
    """lid HOW N D K: minus the mean log local intrinsic dimension over the K nearest
    neighbours of each row, by the method of moments or by maximum likelihood."""

    def __init__(self, how, n, d, k):
        self.how, self.k = how, int(k)
        self.leaves(numbers(1, int(n), int(d)))

    def loss(self, z):
        r = torch.cdist(z, z).topk(self.k + 1, dim=1, largest=False).values[:, 1:]
        if self.how == "mom":
            mean = r.mean(dim=1)
            lid = mean / (r[:, -1] - mean)
        else:
            lid = -self.k / torch.log(r[:, :-1] / r[:, -1:]).sum(dim=1)
        return -lid.log().mean()


class Codes(Loss):
    """vq FORM N D K: nearest: the search alone; vq, simvq: with losses and gradients.
    Every code is one of the tokens' kind of numbers."""

    CHUNK = 2048

    def __init__(self, form, n, d, k):
        n, d, k = int(n), int(d), int(k)
        self.form = form
        z, c = numbers(1, n, d), numbers(2, k, d)
        if form == "nearest":
            self.z, self.c = z, c
        elif form == "vq":
            self.leaves(z, c)
        else:
            self.basis = c
            self.leaves(z, torch.eye(d))

    def nearest(self, z, c):
        half = 0.5 * c.pow(2).sum(dim=1)
        index = [torch.addmm(half, z[i:i + self.CHUNK], c.T, alpha=-1).argmin(dim=1)
                 for i in range(0, len(z), self.CHUNK)]
        return torch.cat(index)

    def loss(self, z, c):
        if self.form == "simvq":
            c = self.basis @ c
        with torch.no_grad():
            index = self.nearest(z, c)
        q = functional.embedding(index, c)
        return functional.mse_loss(q, z.detach()) \
            + 0.25 * functional.mse_loss(z, q.detach())

    def run(self):
        if self.form != "nearest":
            return super().run()
        index = self.nearest(self.z, self.c)
        return float(index.double().mean())


# ---- metrics ----


class Erank:
    """erank N D HOW: exp of the entropy of the covariance's normalised eigenvalues, from
    these in double, or from the singular values of centred X."""

    def __init__(self, n, d, how):
        self.how = how
        self.x = numbers(1, int(n), int(d))

    def run(self):
        z = self.x - self.x.mean(dim=0)
        if self.how == "svd":
            p = torch.linalg.svdvals(z).pow(2)
        else:
            p = torch.linalg.eigvalsh((z.T @ z).double()).clamp_min(0)
        p = p / p.sum()
        return float(torch.exp(-(p * torch.log(p + 1e-12)).sum()))


class Knn:
    """knn BANK D QUERIES K CLASSES: weighted vote of the K nearest by cosine, weights
    exp(s / 0.07); the value is the share of queries whose class is right."""

    CHUNK = 500

    def __init__(self, bank, d, queries, k, classes):
        self.k, self.classes = int(k), int(classes)
        self.bank = functional.normalize(numbers(1, int(bank), int(d)))
        self.queries = functional.normalize(numbers(2, int(queries), int(d)))
        self.labels = torch.arange(int(bank)) % self.classes

    def run(self):
        found = []
        for i in range(0, len(self.queries), self.CHUNK):
            s, j = (self.queries[i:i + self.CHUNK] @ self.bank.T).topk(self.k, dim=1)
            score = torch.zeros(len(s), self.classes)
            score.scatter_add_(1, self.labels[j], (s / 0.07).exp())
            found.append(score.argmax(dim=1))
        right = torch.arange(len(self.queries)) % self.classes == torch.cat(found)
        return float(right.double().mean())


ITEMS = {"build": Build, "step": Step, "vicreg": Vicreg, "tree": Tree, "lid": Lid, "vq": Codes,
         "erank": Erank, "knn": Knn}


def serve():
    request, item, value = None, None, float("nan")
    for line in sys.stdin:
        seconds, wanted = line.split(maxsplit=1)
        wanted = wanted.strip()
        if wanted == "memory":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{peak:.1f} nan", flush=True)
            continue
        if wanted != request:
            item = None                                 # frees before it takes
            name, *words = wanted.split()
            try:
                item = ITEMS[name](*words)
                value = item.run()                      # warms up
                request = wanted
            except (KeyError, ImportError, ValueError, TypeError, RuntimeError,
                    MemoryError) as error:
                request = None
                print(f"- {type(error).__name__}: {error}"[:150], flush=True)
                continue
        milliseconds, start = [], time.perf_counter()
        last = start
        while True:
            item.run()
            t = time.perf_counter()
            milliseconds.append(1e3 * (t - last))
            last = t
            if t - start >= float(seconds):
                break
        print(f"{statistics.median(milliseconds):.6f} {value:.9g}", flush=True)


torch.set_num_threads(THREADS)
print(f"ready PyTorch {torch.__version__}, NumPy {np.__version__}", flush=True)
serve()
