#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Is each barrier and fence of the kernels needed?

check_lines.py ROOT FOLDER: FOLDER holds what the families of simt_tests have left there (DRNAS_SIMT_LINES). Each line of
kernels/ with a barrier or fence must have run, and must have been the only thing that ordered two accesses which may not race:
without it the checker would have found them. One that never is does nothing and goes."""

import pathlib
import re
import sys

CALL = re.compile(r"\b__(syncthreads|syncwarp|threadfence)\(")


def places(root):
    """"FILE:LINE" of barriers and fences in the sources."""
    found = []
    for path in sorted(root.glob("kernels/**/*")):
        if path.suffix not in (".cu", ".h"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if CALL.search(line.split("//")[0]):
                found.append(f"{path.name}:{number}")
    return found


def states(folder):
    """Of each place that ran: was it needed?"""
    needed = {}
    for path in folder.glob("*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            place, _, word = line.partition(" ")
            needed[place] = needed.get(place, False) or word == "needed"
    return needed


def main(arguments):
    if len(arguments) != 3:
        sys.exit(__doc__)
    root, folder = map(pathlib.Path, arguments[1:])
    needed = states(folder)
    wrong = 0
    expected = places(root)
    for place in expected:
        if place not in needed:
            print(f"{place}: no test runs it")
        elif not needed[place]:
            print(f"{place}: nothing depends on it")
        wrong += not needed.get(place, False)
    print(f"{len(expected)} barriers and fences, {len(expected) - wrong} of them needed")
    return 1 if wrong or not expected else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
