# SPDX-License-Identifier: MIT
"""Times the steps of this project beside a plain PyTorch supernet, one program after the other.

Ratios are peer / ours: above 1, ours is faster or smaller. Memory is the peak of the process
above what it held before the model was built, so the size of the libraries does not count.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BENCH = os.path.join(ROOT, "build", "bench", "bench_step")
PEER = os.path.join(HERE, "torch_supernet.py")
LAYOUTS = ("published", "channels_last")
STEPS = ("architecture_step_ms", "weight_step_ms")


class CompareError(Exception):
    """A one-line message that says what to install or run."""


def first_line(command):
    """First line that a command prints, or None where it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip().split("\n")[0] or None


def cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.split(":", 1)[1].strip() for line in stream if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def cores():
    return len(os.sched_getaffinity(0))


def torch_version(python):
    """The torch release of an interpreter; an error if it or numpy cannot be imported."""
    code = "import numpy, torch; print(torch.__version__)"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError as error:
        raise CompareError(f"{python}: {error.strerror}: name an interpreter by --python") from None
    if done.returncode != 0:
        raise CompareError(
            f"{python}: cannot import torch and numpy: install python3-torch and python3-numpy, "
            "or name another interpreter by --python"
        )
    return done.stdout.strip()


def run_json(command):
    """Runs a program with --json FILE and returns what it wrote there."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.json")
        done = subprocess.run(
            command + ["--json", path], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            lines = (done.stderr.strip() or done.stdout.strip()).split("\n")
            name = os.path.basename(command[1] if command[0] != BENCH else command[0])
            raise CompareError(f"{name}: {lines[-1].removeprefix('error: ')}")
        try:
            with open(path, encoding="utf-8") as stream:
                return json.load(stream)
        except (OSError, ValueError) as error:
            raise CompareError(f"{os.path.basename(command[0])}: no report: {error}") from None


def memory(report):
    return report["process_peak_bytes"] - report["process_start_bytes"]


def sizes(options, partial, steps):
    named = {
        "channels": options.channels,
        "cells": options.cells,
        "batch-size": options.batch_size,
        "partial-channels": partial,
        "steps": steps,
        "threads": options.threads,
    }
    return [part for key, value in named.items() for part in (f"--{key}", str(value))]


def compare_one(options, interpreters, partial):
    """Ours and every peer at one K; each peer gets its ratios to ours."""
    space = ["--space", "nas-bench-201"]
    ours = run_json([BENCH] + space + sizes(options, partial, options.steps))
    print_row(partial, "drnas", ours, None)
    peers = []
    for python, version in interpreters:
        for layout in LAYOUTS:
            arguments = sizes(options, partial, options.peer_steps) + ["--layout", layout]
            peer = run_json([python, PEER] + arguments)
            ratio = {key: peer[key]["median"] / ours[key]["median"] for key in STEPS}
            ratio["memory"] = memory(peer) / max(memory(ours), 1)
            peer["ratio"] = ratio
            peers.append(peer)
            print_row(partial, f"torch {version} {layout}", peer, ratio)
    return {"partial_channels": partial, "ours": ours, "peers": peers}


def print_row(partial, name, report, ratio):
    cells = [f"{partial:>2}", f"{name:<34}"]
    for key in STEPS:
        factor = f"{ratio[key]:.2f}x" if ratio else ""
        cells.append(f"{report[key]['median']:>9.1f} {factor:>8}")
    factor = f"{ratio['memory']:.2f}x" if ratio else ""
    cells.append(f"{memory(report) / 2**20:>9.1f} {factor:>8}")
    print("  ".join(cells), flush=True)


def positive_list(text):
    values = [int(part) for part in text.split(",")]
    if not values or min(values) < 1:
        raise ValueError(text)
    return values


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=16, metavar="C")
    parser.add_argument("--cells", type=int, default=5, metavar="N", help="cells a stage")
    parser.add_argument("--batch-size", type=int, default=64, metavar="B")
    parser.add_argument(
        "--partial-channels", type=positive_list, default=[1, 2, 4, 8], metavar="K,K,..."
    )
    parser.add_argument("--steps", type=int, default=9, help="timed steps of ours")
    parser.add_argument("--peer-steps", type=int, default=3, help="timed steps of the peer")
    parser.add_argument("--threads", type=int, default=cores(), help="default: all cores")
    parser.add_argument("--python", default="/usr/bin/python3", help="interpreter with torch")
    parser.add_argument("--extra-python", metavar="PATH", help="one with a second torch release")
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE")
    return parser.parse_args()


def compare(options):
    if not os.access(BENCH, os.X_OK):
        raise CompareError("build/bench/bench_step: no such program: run make first")
    pythons = [options.python] + ([options.extra_python] if options.extra_python else [])
    interpreters = [(python, torch_version(python)) for python in pythons]
    report = {
        "machine": {"cpu": cpu_model(), "cores": cores()},
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "git_commit": first_line(["git", "describe", "--always", "--dirty", "--abbrev=40"]),
        "torch": [version for _, version in interpreters],
        "threads": options.threads,
        "results": [],
    }
    print(
        f"C {options.channels}, N {options.cells}, batch {options.batch_size}, "
        f"{options.threads} threads; median ms, MiB above start, ratio peer / ours"
    )
    heads = ("architecture", "weight", "memory")
    print("  ".join([" K", f"{'program':<34}"] + [f"{head:>18}" for head in heads]))
    for partial in options.partial_channels:
        report["results"].append(compare_one(options, interpreters, partial))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            json.dump(report, stream, indent=2)
            stream.write("\n")


if __name__ == "__main__":
    try:
        compare(parse_options())
    except (CompareError, OSError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(2)
