#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the house rules: include direction, vendor headers in their files only, file length."""
import pathlib
import re
import sys

LAYERS = ["kernels", "engine", "data", "nas", "tools"]
MAX_LINES = 400
# A vendor header may be seen by these files, layers and kinds of file only.
VENDOR = {
    r"(oneapi/dnnl/)?dnnl.*": {"kernels/conv2d_plan.cpp"},
    r"(stb/)?stb_.*": {"data/decode_image.cpp", "tests"},
    r"cudnn.*": {"kernels/conv2d.cu"},
    r"cublas.*": {"kernels/cublas_library.h"},
    r"cuda_runtime.*": {"engine/native_memory.cpp", "kernels/launch.h", "tests", ".cu"},
    r"CLI/.*": {"tools", "tests", "bench"},
}


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
                if target in LAYERS and LAYERS.index(target) > LAYERS.index(layer):
                    problems.append(f"{where}: {layer} includes upward: {header}")
            for pattern, allowed in VENDOR.items():
                if re.fullmatch(pattern, header) and not allowed & {name, layer, file.suffix}:
                    problems.append(f"{where}: {header} belongs to {sorted(allowed)} only")
    for problem in problems:
        print(problem)
    print(f"{len(files)} files checked, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
