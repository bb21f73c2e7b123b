#!/usr/bin/env python3
"""The curve of use and error against the size of the codebook, as Markdown.

    python3 experiments/simvq/curve.py RUNS...

RUNS are run folders, or folders that hold some (`fullrank reproduce simvq --out DIR` fills
DIR).  A cell is the mean over seeds, [least, most]; runs of the same settings but for the
seed are one cell.  Reads config.yaml and the last line of metrics.jsonl, and nothing else.
"""
import json
import os
import re
import sys

KINDS = (("vq uniform", "plain, from 1/K"), ("vq normal", "plain, from N(0, 1/d)"),
         ("ema", "moving average, restarts"), ("cvq", "CVQ"), ("simvq", "SimVQ"))
FIGURES = (("usage, %", "code/usage", 100, 1), ("used codes", "code/used", 1, 0),
           ("perplexity", "code/perplexity", 1, 0),
           ("error / variance of z", "code/error_relative", 1, 3),
           ("NMSE", "recon/nmse", 1, 4), ("PSNR, dB", "recon/psnr", 1, 2))


def folders(places):
    for place in places:
        for at, _, files in os.walk(place):
            if "metrics.jsonl" in files and "config.yaml" in files:
                yield at


def setting(text, section, key):
    """A resolved value of config.yaml: every section stands there as `section:`."""
    block = re.search(rf"^{section}:\n((?:  .*\n)+)", text, re.M)
    found = block and re.search(rf"^  {key}: (\S+)", block.group(1), re.M)
    return found.group(1) if found else None


# What a point of the curve has: the settings of runs.tsv beside this file, and of its like.
RECIPE = {"fashion-mnist": ("32", "10", "0.003"), "cifar10": ("64", "1", "0.001")}
PLAIN = {"train_basis": "false", "transport": "straight", "stages": "1", "groups": "1",
         "legacy": "false"}


def kind_of(text):
    """None for runs that are no point of the curve."""
    name = setting(text, "quantiser", "name")
    recipe = RECIPE.get(setting(text, "data", "name"))
    if recipe != (setting(text, "model", "dim"), setting(text, "quantiser", "weight"),
                  setting(text, "optim", "lr")):
        return None
    for key, usual in PLAIN.items():
        if setting(text, "quantiser", key) not in (None, usual):
            return None
    if name == "vq" and (setting(text, "quantiser", "restart") != "0"
                         or setting(text, "quantiser", "metric") != "euclid"):
        return None
    if name == "vq":
        return f"vq {setting(text, 'quantiser', 'init')}"
    return name


def cell(values, factor, digits):
    if not values:
        return "-"
    values = [v * factor for v in values]
    mean = f"{sum(values) / len(values):.{digits}f}"
    if len(values) == 1:
        return f"{mean} (one seed)"
    return f"{mean} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def main(places):
    points = {}
    for folder in folders(places):
        with open(os.path.join(folder, "config.yaml")) as f:
            text = f.read()
        with open(os.path.join(folder, "metrics.jsonl")) as f:
            line = json.loads(f.readlines()[-1])
        kind = kind_of(text)
        if not kind or "weights_sha256" not in line:
            continue
        key = (setting(text, "data", "name"), line["code/K"], line["epoch"], kind)
        points.setdefault(key, []).append(line)
    for data in sorted({k[0] for k in points}):
        labels = [kind for kind, _ in KINDS]
        sizes = sorted({k[1:3] for k in points if k[0] == data and k[3] in labels})
        for title, name, factor, digits in FIGURES:
            print(f"\n{data}, {title}\n")
            print("| | " + " | ".join(f"K = {k:,}" + (f" ({e} epochs)" if e != sizes[0][1]
                                                      else "") for k, e in sizes) + " |")
            print("|---" * (len(sizes) + 1) + "|")
            for kind, label in KINDS:
                row = [cell([p[name] for p in points.get((data, k, e, kind), [])], factor,
                            digits) for k, e in sizes]
                if any(c != "-" for c in row):
                    print(f"| {label} | " + " | ".join(row) + " |")


main(sys.argv[1:] or ["runs"])
