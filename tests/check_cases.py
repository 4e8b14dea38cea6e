#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that every kernel family has a case, which its CPU test, its CUDA test and the benchmarks
place.

A family is a header of kernels/ that declares functions for both devices: `template <Device D>`.
Headers of maths, of one device only or of a vendor's library declare none."""
import pathlib
import re
import sys

BENCHMARKS = "bench/kernel_benchmarks.h"


def families(root):
    for header in sorted((root / "kernels").rglob("*.h")):
        if re.search(r"^template <Device D>", header.read_text(encoding="utf-8"), re.MULTILINE):
            yield header.relative_to(root).as_posix(), header.stem


def cases_of(root, file, seen):
    """Cases that a file includes, by itself or through headers beside the tests."""
    found = set()
    for include in re.findall(r'#include "(tests/[^"]+)"', file.read_text(encoding="utf-8")):
        if include.startswith("tests/cases/"):
            found.add(pathlib.Path(include).stem)
        elif include.startswith("tests/kernels/") and include not in seen:
            found |= cases_of(root, root / include, seen | {include})
    return found


def missing(root):
    tests = list((root / "tests/kernels").rglob("test_*.cpp"))
    on_cuda, on_cpu = set(), set()
    for test in tests:
        placed = on_cuda if test.name.startswith("test_cuda_") else on_cpu
        placed.update(cases_of(root, test, set()))
    benchmarks = (root / BENCHMARKS).read_text(encoding="utf-8")
    for header, name in families(root):
        case = f"tests/cases/{name}.h"
        if not (root / case).exists():
            yield f"{header}: no case; add {case}, which places its calls in Buffers<D>"
            continue
        if name not in on_cpu:
            yield f"{header}: no CPU test; include {case} in a tests/kernels/*/test_*.cpp"
        if name not in on_cuda:
            yield f"{header}: no CUDA test; include {case} in a tests/kernels/*/test_cuda_*.cpp"
        if f'list.add("{name}",' not in benchmarks:
            yield f'{header}: no benchmark; add list.add("{name}", ...) to {BENCHMARKS}'


def main(root: pathlib.Path) -> int:
    problems = list(missing(root))
    for problem in problems:
        print(problem)
    print(f"{len(list(families(root)))} kernel families checked, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
