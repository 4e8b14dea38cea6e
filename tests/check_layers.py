#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the house rules: include direction between floors and between a floor's rooms, vendor headers
in their files only, file length."""
import fnmatch
import pathlib
import re
import sys

LAYERS = ["kernels", "engine", "data", "nas", "tools"]
# The rooms of a floor, lowest first: a room includes itself and lower ones. Those of one entry do not
# know each other.
ROOMS = [
    ["kernels/core"], ["kernels/random"], ["kernels/train"], ["kernels/alpha", "kernels/layers"],
    ["kernels/bundle", "kernels/planes"],
    ["engine/memory"], ["engine"], ["engine/parameters"], ["engine/ops"],
    ["nas/space"], ["nas/space/*"], ["nas/step"], ["nas/method"], ["nas/diagnostics"],
    ["nas/options"], ["nas/run"], ["nas/search", "nas/training"],
    ["tools/drawing"], ["tools/cli"], ["tools/report"], ["tools"],
]
# Lists what is in the rooms of its own floor; nothing else depends on it at compile time.
REGISTRY = "registry.cpp"
MAX_LINES = 400
# A vendor header may be seen by these files, layers and kinds of file only.
VENDOR = {
    r"(oneapi/dnnl/)?dnnl.*": {"kernels/layers/conv2d_plan.cpp"},
    r"(stb/)?stb_.*": {"data/decode_stb.cpp", "tests", "bench"},
    r"j(peglib|error)\.h": {"data/decode_jpeg.cpp"},
    r"png.*\.h": {"data/decode_png.cpp", "bench"},
    r"webp/.*": {"data/decode_webp.cpp", "tests", "bench"},
    r"cudnn.*": {"kernels/layers/cudnn_conv2d.cu"},
    r"cublas.*": {"kernels/layers/cublas_library.h"},
    r"cuda_runtime.*": {"engine/memory/native_memory.cpp", "kernels/core/launch.h", "tests", ".cu"},
    r"CLI/.*": {"tools", "tests", "bench"},
}


def rank(room):
    """Place of a room in ROOMS; None where it has none."""
    return next((place for place, rooms in enumerate(ROOMS) if any(fnmatch.fnmatch(room, r) for r in rooms)), None)


def room_of(name):
    return name.rpartition("/")[0]


def upward(name, header):
    """Does a file include what it must not know?"""
    here, there = room_of(name), room_of(header)
    floor, target = here.split("/")[0], there.split("/")[0]
    if target not in LAYERS or floor not in LAYERS or here == there:
        return False
    if name.endswith("/" + REGISTRY) and there.startswith(here):
        return False
    if floor != target:
        return LAYERS.index(target) > LAYERS.index(floor)
    ranks = rank(here), rank(there)
    return None in ranks or ranks[0] <= ranks[1]


def main(root: pathlib.Path) -> int:
    problems = []
    files = [f for folder in LAYERS + ["tests", "bench"] for f in (root / folder).rglob("*")
             if f.suffix in {".h", ".cpp", ".cu", ".cuh", ".py", ".js", ".css", ".html"}]
    for file in files:
        name = file.relative_to(root).as_posix()
        lines = file.read_text(encoding="utf-8").splitlines()
        if len(lines) > MAX_LINES:
            problems.append(f"{name}: {len(lines)} lines, expected at most {MAX_LINES}")
        layer = name.split("/")[0]
        for number, line in enumerate(lines, 1):
            found = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line)
            if not found:
                continue
            header = found.group(1)
            target = header.split("/")[0]
            where = f"{name}:{number}"
            if layer in LAYERS:
                if target in {"tests", "bench"}:
                    problems.append(f"{where}: includes {header}; nothing includes tests or bench")
                if upward(name, header):
                    problems.append(f"{where}: {room_of(name)} includes upward: {header}")
            for pattern, allowed in VENDOR.items():
                if re.fullmatch(pattern, header) and not allowed & {name, layer, file.suffix}:
                    problems.append(f"{where}: {header} belongs to {sorted(allowed)} only")
    for problem in problems:
        print(problem)
    print(f"{len(files)} files checked, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
