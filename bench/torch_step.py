"""The same training step in PyTorch, timed on demand: the counterpart of step.c.

    torch_step.py MODEL BATCH THREADS contiguous|channels_last

Backbone, heads, loss and optimiser are those of step.c: same layers, same widths, two
passes, symmetric negative cosine with stop-gradient, SGD with momentum and weight decay.
After two steps that warm up it prints "ready" and facts; then every line it reads is a
number of seconds, answered by the median time of a step in milliseconds.
"""
import resource
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional

WARM_UP = 2


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


def main():
    name, batch, threads, layout = sys.argv[1:5]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    memory = getattr(torch, layout + "_format" if layout == "contiguous" else layout)
    net = SimSiam(name).train().to(memory_format=memory)
    views = [torch.randn(int(batch), *net.image).to(memory_format=memory)
             for _ in range(2)]
    optimiser = torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9,
                                weight_decay=5e-4)

    def step():
        optimiser.zero_grad(set_to_none=True)
        (p1, z1), (p2, z2) = net(views[0]), net(views[1])
        loss = -0.5 * (functional.cosine_similarity(p1, z2).mean()
                       + functional.cosine_similarity(p2, z1).mean())
        loss.backward()
        optimiser.step()
        return loss.item()

    for _ in range(WARM_UP):
        step()
    parameters = sum(p.numel() for p in net.parameters())
    print(f"ready torch={torch.__version__} parameters={parameters}", flush=True)

    for line in sys.stdin:
        milliseconds, start = [], time.perf_counter()
        last = start
        while True:
            step()
            t = time.perf_counter()
            milliseconds.append(1e3 * (t - last))
            last = t
            if t - start >= float(line):
                break
        print(f"{statistics.median(milliseconds):.3f}", flush=True)
    print(f"rss_MiB={resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")


main()
