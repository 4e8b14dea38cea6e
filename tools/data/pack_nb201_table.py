#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Packs a NAS-Bench-201 accuracy table for the library:
    pack_nb201_table.py nas_bench_201.csv nas/space/nb201/nats_bench_accuracies.bin

The CSV is that of drnas_search --nb201-table (export_nb201_table.py writes one). The result is zlib's stream
of, for each of the three data sets, the high and then the low bytes of all accuracies in hundredths of a
percent, cells in the order of their number: digits in base 5, the first edge the most significant."""

import argparse
import csv
import re
import sys
import zlib

HEADER = ["architecture", "cifar10_test", "cifar100_test", "imagenet16_120_test"]
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
CELLS = 5 ** 6


class TableError(Exception):
    """A line that names what is wrong and what was expected."""


def number_of(architecture):
    """|op~0|+|op~0|op~1|+... as a number of six digits in base 5."""
    names = re.findall(r"([a-z0-9_]+)~\d", architecture)
    if len(names) != 6 or any(name not in OPERATIONS for name in names):
        raise TableError(f"architecture '{architecture}', expected six of {', '.join(OPERATIONS)}")
    number = 0
    for name in names:
        number = 5 * number + OPERATIONS.index(name)
    return number


def read_table(path):
    """Hundredths of a percent by cell, a triple each."""
    cells = {}
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = csv.reader(stream)
            if next(rows, None) != HEADER:
                raise TableError(f"{path}: header, expected {','.join(HEADER)}")
            for row in rows:
                values = [round(100 * float(text)) for text in row[1:]]
                if len(values) != 3 or not all(0 <= value <= 10000 for value in values):
                    raise TableError(f"{path}: line {rows.line_num}: expected three accuracies of 0 to 100")
                cells[number_of(row[0])] = values
    except (OSError, ValueError) as failure:
        raise TableError(f"{path}: {failure}") from failure
    if len(cells) != CELLS:
        raise TableError(f"{path}: {len(cells)} architectures, expected {CELLS}")
    return [cells[number] for number in range(CELLS)]


def pack(cells):
    planes = b""
    for data_set in range(3):
        values = [cell[data_set] for cell in cells]
        planes += bytes(value >> 8 for value in values) + bytes(value & 255 for value in values)
    return zlib.compress(planes, 9)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", help="accuracy table")
    parser.add_argument("out", help="file to write")
    arguments = parser.parse_args()
    try:
        packed = pack(read_table(arguments.csv))
        with open(arguments.out, "wb") as stream:
            stream.write(packed)
    except (TableError, OSError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    print(f"{arguments.out}: {len(packed)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
