#!/usr/bin/env python3
"""Prints the table of the presets as Markdown: mean and range over seeds.

    fullrank reproduce fmnist --out runs
    python3 experiments/fmnist/table.py runs

Reads the run folders that runs.tsv names, by the settings that are in their config.yaml.
"""
import glob
import json
import os
import sys

COLUMNS = [("eval/linear", "linear probe, %", 100, 1), ("eval/knn", "kNN, %", 100, 1),
           ("h/collapse/erank", "rank of h", 1, 1),
           ("h/collapse/lid_gmean", "LID of h", 1, 1),
           ("collapse/erank", "rank of z", 1, 1),
           ("collapse/std", "sqrt(d)·std of z", 1, 2)]


def label_of(status):
    name = status["method"]
    more = [w.strip()[1:] for w in status.get("label", "").split(",")
            if w.strip().startswith("+")]
    return " + ".join([name] + more)


def shown(values, digits):
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main(root):
    rows, raw, first = {}, [], []
    for folder in sorted(glob.glob(os.path.join(root, "reproduce", "*", "s*"))):
        with open(os.path.join(folder, "status.json")) as f:
            status = json.load(f)
        with open(os.path.join(folder, "metrics.jsonl")) as f:
            lines = [json.loads(line) for line in f]
        if status["state"] != "finished":
            continue
        rows.setdefault((label_of(status), os.path.dirname(folder)), []).append(
            (lines[-1], sum(line["seconds"] for line in lines)))
        raw.append(status["baseline"]["raw_pixel_linear"])
        first.append(lines[0])
    print("| method | " + " | ".join(c[1] for c in COLUMNS) + " | verdict | s of training |")
    print("|---|" + "---|" * (len(COLUMNS) + 2))
    untrained = [shown([line[k] * s for line in first], n) for k, _, s, n in COLUMNS]
    print(f"| untrained network | {' | '.join(untrained)} | | |")
    print(f"| raw pixels | {100 * raw[0]:.1f} | | | | | | | |")
    for (label, _), runs in sorted(rows.items(),
                                   key=lambda r: -sum(x[0]["eval/linear"] for x in r[1])
                                   / len(r[1])):
        cells = [shown([x[0][k] * s for x in runs], n) for k, _, s, n in COLUMNS]
        words = sorted({x[0]["verdict"] for x in runs})
        print(f"| {label} | {' | '.join(cells)} | {', '.join(words)} |"
              f" {sum(x[1] for x in runs) / len(runs):.0f} |")
    print(f"\nSeeds a row: {sorted({len(r) for r in rows.values()})}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs")
