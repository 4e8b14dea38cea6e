#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the table that drnas_search --nb201-table reads, from the nats_bench package.

The CSV holds the test accuracy in percent after 200 epochs, mean over trials, of all 15,625
NAS-Bench-201 cells, sorted by architecture string.
"""
import argparse
import csv
import os
import sys

HEADER = ["architecture", "cifar10_test", "cifar100_test", "imagenet16_120_test"]
DATASETS = ["cifar10", "cifar100", "ImageNet16-120"]
CELLS = 15625


class ExportError(Exception):
    """A single line that names what is wrong and what was expected."""


def open_benchmark(source):
    if not os.path.exists(source):
        raise ExportError(f"{source} not found, expected the unpacked NATS-tss-v1_0-3ffb9-simple "
                          "folder or the NATS-tss-v1_0-3ffb9-full .pickle.pbz2 file")
    try:
        from nats_bench import create
    except ImportError as error:
        raise ExportError("the Python package nats_bench cannot be imported "
                          f"({error}); install it with: pip install nats_bench") from error
    # A folder holds one file per architecture, read on demand ("fast mode").
    try:
        api = create(source, "tss", fast_mode=os.path.isdir(source), verbose=False)
    except Exception as error:
        raise ExportError(f"{source}: nats_bench cannot read it ({error})") from error
    if len(api) != CELLS:
        raise ExportError(f"{source}: {len(api)} architectures, expected {CELLS} "
                          "(the topology search space)")
    return api


def read_rows(api):
    for index in range(CELLS):
        accuracies = []
        for dataset in DATASETS:
            # is_random=False: mean over all trials of the 200-epoch runs.
            info = api.get_more_info(index, dataset, hp="200", is_random=False)
            if "test-accuracy" not in info:
                raise ExportError(f"architecture {index} has no test accuracy on {dataset}")
            accuracies.append(f"{info['test-accuracy']:.2f}")
        yield [api.arch(index), *accuracies]
        if index % 500 == 0 and sys.stderr.isatty():
            print(f"\r{index}/{CELLS}", end="", file=sys.stderr)


def write_table(rows, output):
    """Through a temporary file, so that `output` is whole or untouched."""
    temporary = output + ".tmp"
    try:
        with open(temporary, "w", newline="", encoding="ascii") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(sorted(rows))
        os.replace(temporary, output)
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: export_nb201_table.py NATS-tss-v1_0-3ffb9-simple nas_bench_201.csv")
    parser.add_argument("benchmark", help="folder (simple form) or .pickle.pbz2 file (full form) "
                        "of the topology search space of NATS-Bench")
    parser.add_argument("output", help="CSV file to write")
    arguments = parser.parse_args()
    try:
        api = open_benchmark(arguments.benchmark)
        write_table(read_rows(api), arguments.output)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
