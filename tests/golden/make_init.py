#!/usr/bin/env python3
"""Weights as PyTorch writes them, and the loss PyTorch gets from them: init.safetensors and
init.gold, for tests/test_init.c.

    python3 tests/golden/make_init.py       (torch 2.13.0 and safetensors, on a CPU)

A resnet8 of a quarter of the width with SimSiam's heads, wrapped the way
DistributedDataParallel wraps it, so that every name begins with "module.".  The images are
a formula, which the test repeats: 12 of 28 x 28 grey values, pixels in 0..1.
"""
import os

import torch
from safetensors.torch import save_file

from make_golden import BASE, SimSiam, fill

IMAGES, SIZE = 12, 28


def images():
    i = torch.arange(IMAGES).view(-1, 1, 1)
    y = torch.arange(SIZE).view(1, -1, 1)
    x = torch.arange(SIZE).view(1, 1, -1)
    grey = (i * 37 + y * (i + 3) + x * x * (2 * i + 1)) % 256
    return grey.double().view(IMAGES, 1, SIZE, SIZE) / 255


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    torch.manual_seed(0)
    o = dict(BASE, channels=1, h=SIZE, w=SIZE, batch=IMAGES)
    net = SimSiam(o).double()
    fill(net, 77)
    net.train()
    x = images()
    state = {"module." + k: (v.float() if v.is_floating_point() else v).contiguous()
             for k, v in net.state_dict().items()}
    loss = net(x, x).item()
    save_file(state, os.path.join(here, "init.safetensors"))
    with open(os.path.join(here, "init.gold"), "w") as f:
        f.write(f"{loss:.12f}\n")
    print(f"loss {loss:.12f}, {len(state)} tensors")


if __name__ == "__main__":
    main()
