#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rows of a recorded sweep (drnas_sweep --json) beside random cells of NAS-Bench-201, on CIFAR-10: the interval of 95 % of
the difference between a row's mean and that of as many random cells as it has seeds, and how many of 100 such draws find
less. With the sweep's folder also the milliseconds of an architecture and a weight step together: median, least and most
over the epochs of all seeds."""
import argparse
import csv
import json
import pathlib
import random
import re
import statistics

DRAWS = 400000


def random_means(table, count):
    with open(table, encoding="utf-8") as lines:
        cells = [float(row["cifar10_test"]) for row in csv.DictReader(line for line in lines if line[0] != "#")]
    draw = random.Random(1)
    return sorted(sum(draw.choice(cells) for _ in range(count)) / count for _ in range(DRAWS))


def step_times(folder, row, steps):
    logs = (folder / re.sub(r"[^A-Za-z0-9._]+", "-", row).strip("-.")).glob("seed*/log.jsonl")
    return [json.loads(line)["seconds"]["train"] / steps * 1000
            for log in logs for line in log.read_text(encoding="utf-8").splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=pathlib.Path, help="JSON of drnas_sweep --json")
    parser.add_argument("table", type=pathlib.Path, help="accuracy table of NAS-Bench-201, CSV")
    parser.add_argument("--runs", type=pathlib.Path, help="folder of the sweep: drnas_sweep --out")
    parser.add_argument("--steps", type=int, default=47, help="weight steps an epoch (6,000 images, half of them, batch 64: 47)")
    options = parser.parse_args()
    rows = {}
    for run in json.loads(options.record.read_text(encoding="utf-8"))["runs"]:
        rows.setdefault(run["row"], []).append(run)
    means = {count: random_means(options.table, count) for count in {len(runs) for runs in rows.values()}}
    for name, runs in sorted(rows.items(), key=lambda row: -statistics.mean(run["cifar10"] for run in row[1])):
        found, others = [run["cifar10"] for run in runs], means[len(runs)]
        mean, low, high = statistics.mean(found), others[int(0.975 * DRAWS)], others[int(0.025 * DRAWS)]
        deviation = f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else ""
        below = 100 * sum(other < mean for other in others) / DRAWS
        peak = max(run["peak_bytes"] for run in runs) / 2**20
        cells = [name, f"{mean:.2f}{deviation}", f"{mean - low:+.1f} to {mean - high:+.1f}", f"{below:.0f}", f"{peak:.1f}"]
        if options.runs:
            times = step_times(options.runs, name, options.steps)
            cells.append(f"{statistics.median(times):.0f} ({min(times):.0f} to {max(times):.0f})")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
