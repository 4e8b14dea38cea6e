#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Summarises search runs with table accuracies as JSON, beside what random cells of the same table reach.

    bench/summarize_search.py RUN... --table CSV > bench/results/NAME.json
RUN is a run folder, or the parent of seed-* folders."""
import argparse
import csv
import json
import pathlib
import statistics
import sys
import tomllib

PLACES = ("out", "data", "cache", "nb201-table")  # of the machine, not of the search


def runs_in(folder: pathlib.Path) -> list[pathlib.Path]:
    seeds = sorted(folder.glob("seed-*"))
    return seeds or [folder]


def summarize(run: pathlib.Path) -> dict:
    epochs = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    if not epochs or "table" not in epochs[-1]:
        sys.exit(f"error: {run}/log.jsonl: no table accuracies, expected a run with --nb201-table")
    last = epochs[-1]
    return {
        "run": run.name,
        "epochs": len(epochs),
        "genotype": last["genotype"],
        "table": last["table"],
        "cifar10_by_epoch": [e["table"]["cifar10"] for e in epochs],
        "train_top1": last["train_top1"],
        "val_top1": last["val_top1"],
        "step_ms_best_epoch": {k: min(e["step_ms"][k] for e in epochs) for k in last["step_ms"]},
        "peak_bytes": last["peak_bytes"]["total"],
    }


def spread(values: list[float]) -> dict:
    return {"mean": round(statistics.fmean(values), 2),
            "deviation": round(statistics.stdev(values), 2) if len(values) > 1 else 0.0,
            "min": min(values), "median": round(statistics.median(values), 2), "max": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="+", type=pathlib.Path)
    parser.add_argument("--table", required=True, type=pathlib.Path, help="NAS-Bench-201 table as CSV")
    parser.add_argument("--note", default="", help="machine, date, commit")
    arguments = parser.parse_args()
    runs = [summarize(r) for folder in arguments.run for r in runs_in(folder)]
    with arguments.table.open(encoding="utf-8") as file:
        random_cells = [float(row["cifar10_test"]) for row in csv.DictReader(file)]
    found = spread([r["table"]["cifar10"] for r in runs])
    found["random_cells_at_least_as_good"] = round(
        sum(a >= found["mean"] for a in random_cells) / len(random_cells), 4)
    config = tomllib.loads((arguments.run[0] / "config.toml").read_text())
    for place in PLACES:
        config.pop(place, None)
    json.dump({"note": arguments.note, "config": config, "cifar10_found": found,
               "cifar10_random_cells": spread(random_cells), "runs": runs}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
