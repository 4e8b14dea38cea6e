#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Images a second of a small search on a quiet machine and beside as many busy processes as processors,
with OpenMP's own way to wait (spinning) and with the programs' (asleep after microseconds), by turns."""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What the runtime chooses by itself: it cannot be had from the programs without a variable.
WAYS = {"spinning": {"GOMP_SPINCOUNT": "300000"}, "passive": {"OMP_WAIT_POLICY": "passive"}, "default": {}}


def images_per_second(arguments, ways):
    """Of the last epoch of one search."""
    clean = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        subprocess.run([arguments.program, "--preset", "quick", "--partial-channels", str(arguments.k), "--limit-train",
                        str(arguments.images), "--epochs", "2", "--quiet", "--out", out],
                       env={**clean, **ways}, check=True, stdout=subprocess.DEVNULL)
        return json.loads((out / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])["images_per_second"]


@contextlib.contextmanager
def busy(count):
    """So many processes that do nothing but compute."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(ROOT / "drnas_search"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--k", type=int, default=4, help="partial channels")
    parser.add_argument("--images", type=int, default=2000)
    arguments = parser.parse_args()
    for name, load in (("quiet", 0), ("busy", os.cpu_count() or 1)):
        with busy(load):
            found = {way: [] for way in WAYS}
            for _ in range(arguments.rounds):
                for way, variables in WAYS.items():
                    found[way].append(images_per_second(arguments, variables))
        for way, values in found.items():
            print(f"{name:5}  {way:8}  median {statistics.median(values):7.1f} images/s, "
                  f"{min(values):.1f} to {max(values):.1f} of {len(values)}", flush=True)


if __name__ == "__main__":
    main()
