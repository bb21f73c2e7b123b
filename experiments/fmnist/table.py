#!/usr/bin/env python3
"""Prints the table of the presets as Markdown: mean and range over seeds.

    fullrank reproduce fmnist --out runs
    python3 experiments/fmnist/table.py runs

A run folder belongs to a line of runs.tsv when its method is that of the configuration and
its label tells the line's overrides, and nothing else.
"""
import glob
import json
import os
import re
import sys

COLUMNS = [("eval/linear", "linear probe, %", 100, 1), ("eval/knn", "kNN, %", 100, 1),
           ("h/collapse/erank", "rank of h", 1, 1),
           ("h/collapse/lid_gmean", "LID of h", 1, 1),
           ("collapse/erank", "rank of z", 1, 1),
           ("collapse/std", "√d·std of z", 1, 2)]
HERE = os.path.dirname(os.path.abspath(__file__))


def lines_of_table():
    """(name, method, tokens that a label may have, whether it must have all of them)"""
    with open(os.path.join(HERE, "runs.tsv")) as f:
        rows = [r.rstrip("\n").split("\t") for r in f if not r.startswith("#")][1:]
    for name, config, overrides in rows:
        with open(os.path.join(HERE, config)) as f:
            text = f.read()
        method = re.search(r"^method:\s*(?:\{|\n\s+)name: (\w+)", text, re.M).group(1)
        given = [w.split(".", 1)[1] for w in overrides.split()]
        own = [f"{k}={v}" for k, v in re.findall(r"(\w+): ([^\s,}]+)", text)]
        yield name, method, set(given or own), bool(given)


def shown(values, digits):
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main(root):
    found, raw, first = {}, [], {}
    for folder in sorted(glob.glob(os.path.join(root, "reproduce", "*", "s*"))):
        with open(os.path.join(folder, "status.json")) as f:
            status = json.load(f)
        tokens = set(status["label"].split(", "))
        for name, method, words, all_of_them in lines_of_table():
            if method != status["method"] or status["state"] != "finished":
                continue
            if tokens == words if all_of_them else tokens <= words:
                with open(os.path.join(folder, "metrics.jsonl")) as f:
                    lines = [json.loads(line) for line in f]
                found.setdefault(name, []).append(lines[-1])
                raw.append(status["baseline"]["raw_pixel_linear"])
                first[status["seed"]] = lines[0]
    print("| preset | " + " | ".join(c[1] for c in COLUMNS) + " | verdict |")
    print("|---|" + "---|" * (len(COLUMNS) + 1))
    mean = lambda runs: sum(x["eval/linear"] for x in runs) / len(runs)
    for name, runs in sorted(found.items(), key=lambda r: -mean(r[1])):
        cells = [shown([x[k] * s for x in runs], n) for k, _, s, n in COLUMNS]
        words = sorted({x["verdict"] for x in runs})
        print(f"| {name} | {' | '.join(cells)} | {', '.join(words)} |")
    print(f"| raw pixels | {100 * raw[0]:.1f} |" + " |" * len(COLUMNS))
    untrained = [shown([line[k] * s for line in first.values()], n)
                 for k, _, s, n in COLUMNS]
    print(f"| conv3, untrained | {' | '.join(untrained)} | |")
    counts = {name: len(runs) for name, runs in found.items()}
    print(f"seeds of each: {counts}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs")
