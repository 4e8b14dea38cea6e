#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Summarises runs of drnas_search and drnas_train as JSON, with command, machine, commit and date of each;
with --table, found cells beside what random cells of the same table reach.

    bench/summarize_search.py RUN... [--table CSV] > bench/results/NAME.json
RUN is a run folder, or the parent of seed-* folders."""
import argparse
import csv
import json
import math
import pathlib
import statistics
import sys
import tomllib

from recorded_command import portable_command

PLACES = ("out", "data", "cache", "nb201-table", "train-list", "alpha-list", "config")  # of the machine, not of the search
EVIDENCE = ("seconds", "trajectory", "hessian", "warnings", "stopped_on")  # as logged
MACHINE = ("device", "processor", "gpu", "cores", "threads", "memory_bytes")


def runs_in(folder: pathlib.Path) -> list[pathlib.Path]:
    seeds = sorted(folder.glob("seed-*"))
    return seeds or [folder]


def configuration(run: pathlib.Path) -> dict:
    config = tomllib.loads((run / "config.toml").read_text())
    return {key: value for key, value in config.items() if key not in PLACES}


def origin(run: pathlib.Path) -> dict:
    """What ran it, from the run.json of a program that wrote one; each commit of its sessions."""
    file = run / "run.json"
    if not file.exists():
        return {}
    record = json.loads(file.read_text())
    commits = dict.fromkeys(session["commit"] for session in record["sessions"])
    found = {"command": portable_command(record["command"], PLACES),
             "machine": {key: record[key] for key in MACHINE if key in record},
             "git_commit": ", ".join(commits), "date": record["started"][:10]}
    return {key: value for key, value in found.items() if value}


def stage_peaks(epochs: list[dict]) -> dict:
    """The peak of each stage: that of its last epoch."""
    return {str(e["stage"]): e["peak_bytes"]["total"] for e in epochs}


def mean_entropy(epoch: dict) -> float:
    """Mean over the edges of the entropy of their mean weights, in nats; pruned operations do not count."""
    entropies = []
    for row, values in enumerate(epoch["concentrations"]):
        kept = [c for op, c in enumerate(values) if c > 0 and ("kept" not in epoch or epoch["kept"][row][op])]
        shares = [c / sum(kept) for c in kept]
        entropies.append(-sum(p * math.log(p) for p in shares))
    return statistics.fmean(entropies)


def evidence(epoch: dict) -> dict:
    return {"epoch": epoch["epoch"], "mean_entropy": round(mean_entropy(epoch), 4)} | {
        key: epoch[key] for key in EVIDENCE if key in epoch}


def summarize(run: pathlib.Path) -> dict:
    epochs = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    if not epochs:
        sys.exit(f"error: {run}/log.jsonl: no epochs, expected at least one")
    last = epochs[-1]
    summary = {"run": run.name, "epochs": len(epochs), "genotype": (run / "genotype.txt").read_text().strip()}
    summary |= origin(run)
    if "table" in last:
        summary |= {"table": last["table"], "cifar10_by_epoch": [e["table"]["cifar10"] for e in epochs]}
    if any("trajectory" in e or "hessian" in e for e in epochs):
        summary["evidence"] = [evidence(e) for e in epochs]
    summary |= {key: last[key] for key in ("train_top1", "val_top1", "test_top1", "test_top5") if key in last}
    if isinstance(last["step_ms"], dict):
        summary["step_ms_best_epoch"] = {
            k: min((e["step_ms"][k] for e in epochs if e["step_ms"][k]), default=0.0) for k in last["step_ms"]}
    else:
        summary["step_ms_best_epoch"] = min(e["step_ms"] for e in epochs)
    summary["peak_bytes"] = stage_peaks(epochs) if "stage" in last else last["peak_bytes"]["total"]
    return summary


def spread(values: list[float]) -> dict:
    return {"mean": round(statistics.fmean(values), 2),
            "deviation": round(statistics.stdev(values), 2) if len(values) > 1 else 0.0,
            "min": min(values), "median": round(statistics.median(values), 2), "max": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="+", type=pathlib.Path)
    parser.add_argument("--table", type=pathlib.Path, help="NAS-Bench-201 table as CSV")
    parser.add_argument("--note", default="", help="what the runs themselves do not say")
    arguments = parser.parse_args()
    folders = [r for folder in arguments.run for r in runs_in(folder)]
    runs = [summarize(r) for r in folders]
    report = {"note": arguments.note}
    if len(arguments.run) == 1:
        report["config"] = configuration(arguments.run[0])
    else:
        for run, folder in zip(runs, folders):
            run["config"] = configuration(folder)
    accuracies = [r["table"]["cifar10"] for r in runs if "table" in r]
    if arguments.table and accuracies:
        with arguments.table.open(encoding="utf-8") as file:
            random_cells = [float(row["cifar10_test"]) for row in csv.DictReader(file)]
        found = spread(accuracies)
        found["random_cells_at_least_as_good"] = round(
            sum(a >= found["mean"] for a in random_cells) / len(random_cells), 4)
        report |= {"cifar10_found": found, "cifar10_random_cells": spread(random_cells)}
    json.dump(report | {"runs": runs}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
